import { describe, expect, it } from 'vitest'
import { openWorld, type World } from '../../relay-server/test/helpers/world.ts'
import { type MailboxSpace, mergeMailboxLists } from '../../src/crdt/mailbox-list.ts'
import { SpaceMailbox } from '../../src/crdt/space-mailbox.ts'
import { nobleVerifier, signSync } from '../../src/crypto/sign.ts'
import { createRecovery, recover } from '../../src/recovery.ts'
import { authenticationInput } from '../../src/relay/authentication.ts'
import { RelayClient } from '../../src/relay/client.ts'
import { hurried } from '../helpers/mailbox-relay.ts'
import { listedSpace } from '../helpers/mailbox-spaces.ts'

const SEED = new Uint8Array(32).fill(5)
const SPACES = [listedSpace(1), listedSpace(2)] as const
const IDS = SPACES.map(({ space }) => space)
const admit = async (space: string): Promise<MailboxSpace> => SPACES.find(each => each.space === space) ?? SPACES[0]

function machineAt({ relay }: World): { readonly client: RelayClient; readonly mailbox: SpaceMailbox } {
  const environment = hurried()
  const client = new RelayClient({
    transport: relay,
    environment,
    url: 'ws://relay.test',
    // First contact: it is the mailbox that tells the relay's identity.
    pinned: undefined,
    pin: async () => {},
    onState: () => {},
  })
  return { client, mailbox: new SpaceMailbox({ seed: SEED, client, environment, verifier: nobleVerifier }) }
}

/** A machine of the owner's, with the space open. */
function memberAt(world: World): ReturnType<typeof machineAt> {
  const machine = machineAt(world)
  const { client } = machine
  const { space, owner } = world
  client.attach(space, {
    onUp: ({ relay, challenge }) => {
      const signature = signSync(owner.seed, authenticationInput(relay, challenge, space, owner.signing))
      const ref = client.nextRef()
      client.send({ type: 'open', ref, space, from: 0, device: owner.signing, signature, wants: undefined })
    },
    onMessage: () => {},
    onDown: () => {},
  })
  return machine
}

async function recovered(world: World): Promise<readonly string[]> {
  const found: string[] = []
  const { client, mailbox } = machineAt(world)
  await recover({ mailbox, verifier: nobleVerifier, adopt: async ({ space }) => void found.push(space) })
  client.close()
  return found
}

describe('a mailbox at a relay', () => {
  it('gives a blank machine the spaces of the phrase, over restarts of the relay', async () => {
    const world = await openWorld()
    const { mailbox, client } = memberAt(world)
    expect(await createRecovery({ mailbox, spaces: IDS, admit })).toEqual({ done: IDS, failed: [] })
    expect(await recovered(world)).toEqual(IDS)
    world.relay.restart()
    expect(await recovered(world)).toEqual(IDS)
    client.close()
  })

  it('is not for strangers to write to', async () => {
    const world = await openWorld()
    const { mailbox, client } = machineAt(world)
    await expect(mailbox.write(() => SPACES)).rejects.toMatchObject({ code: 'ERR_UNAUTHORIZED' })
    client.close()
    await expect(recovered(world)).rejects.toMatchObject({ code: 'ERR_UNKNOWN_MAILBOX' })
  })

  it('is written by two machines at a time, while connections break', async () => {
    const world = await openWorld()
    const [ann, bob] = [memberAt(world), memberAt(world)]
    const cutting = setInterval(() => world.relay.cut(), 7)
    const writes = SPACES.map((each, i) =>
      (i === 0 ? ann : bob).mailbox.write(listed => mergeMailboxLists(listed, [each])),
    )
    await new Promise(resolve => setTimeout(resolve, 60))
    clearInterval(cutting)
    await Promise.all(writes)
    expect(await recovered(world)).toEqual(IDS)
    for (const { client } of [ann, bob]) client.close()
  })
})
