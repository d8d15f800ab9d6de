import { describe, expect, it, vi } from 'vitest'
import type { MailboxSpace } from '../src/crdt/mailbox-list.ts'
import { SpaceMailbox } from '../src/crdt/space-mailbox.ts'
import { spaceDeviceOf } from '../src/crypto/mailbox.ts'
import { generatePhrase, seedOfPhrase } from '../src/crypto/phrase.ts'
import { nobleVerifier } from '../src/crypto/sign.ts'
import { SealogError } from '../src/errors.ts'
import type { SpaceId } from '../src/ids.ts'
import { createRecovery, type RecoveredSpace, recover } from '../src/recovery.ts'
import { clientOf, hurried, MailboxRelay, refusal } from './helpers/mailbox-relay.ts'
import { listedSpace, noteAt } from './helpers/mailbox-spaces.ts'

const SPACES = [listedSpace(1), listedSpace(2), listedSpace(3, 'other.test')] as const
const IDS: readonly SpaceId[] = SPACES.map(({ space }) => space)
const SEED = new Uint8Array(32).fill(5)
const refused = (): never => {
  throw new SealogError('ERR_UNAUTHORIZED', 'not a member any more')
}

function mailboxAt(relay: MailboxRelay, seed: Uint8Array): SpaceMailbox {
  const environment = hurried()
  return new SpaceMailbox({ seed, client: clientOf(relay, environment), environment, verifier: nobleVerifier })
}

const admit = async (space: SpaceId): Promise<MailboxSpace> =>
  SPACES.find(each => each.space === space) as (typeof SPACES)[0]

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new SealogError('ERR_ABORTED', 'aborted by the caller')))
  })
}

async function recovered(relay: MailboxRelay, seed: Uint8Array = SEED): Promise<RecoveredSpace[]> {
  const found: RecoveredSpace[] = []
  const adopt = async (space: RecoveredSpace): Promise<void> => void found.push(space)
  await recover({ mailbox: mailboxAt(relay, seed), verifier: nobleVerifier, adopt })
  return found
}

describe('a recovery phrase', () => {
  it('gives a blank machine back all spaces, with the keys that were admitted to them (R-RECOVERY-1)', async () => {
    const relay = new MailboxRelay()
    const phrase = await generatePhrase(hurried().random)
    const seed = await seedOfPhrase(phrase)
    const admitted: unknown[] = []
    const outcome = await createRecovery({
      mailbox: mailboxAt(relay, seed),
      spaces: IDS,
      admit: async (space, device) => {
        admitted.push(device)
        return admit(space)
      },
    })
    expect(outcome).toEqual({ done: IDS, failed: [] })
    const found = await recovered(relay, await seedOfPhrase(phrase.toUpperCase()))
    expect(found).toEqual(SPACES.map(each => ({ ...each, device: spaceDeviceOf(seed, each.space) })))
    expect(found.map(({ device }) => device)).toEqual(admitted)
  })

  it('takes in further spaces later, and later notes', async () => {
    const relay = new MailboxRelay()
    const mailbox = mailboxAt(relay, SEED)
    await createRecovery({ mailbox, spaces: IDS.slice(0, 2), admit })
    const [first, , third] = SPACES
    const later = { ...first, note: noteAt(first, 99) }
    await createRecovery({ mailbox, spaces: [first.space], admit: async () => later })
    await createRecovery({ mailbox, spaces: [third.space], admit })
    expect((await recovered(relay)).map(({ note }) => note)).toEqual([later.note, SPACES[1].note, third.note])
  })

  it('that nobody wrote down has no spaces', async () => {
    const nobody = recovered(new MailboxRelay())
    await expect(nobody).rejects.toMatchObject({ code: 'ERR_UNKNOWN_MAILBOX' })
  })
})

describe('a space that cannot be reached', () => {
  it('keeps no other from being listed', async () => {
    const relay = new MailboxRelay()
    const [first, second, third] = IDS
    const outcome = await createRecovery({
      mailbox: mailboxAt(relay, SEED),
      spaces: IDS,
      admit: space => (space === second ? refused() : admit(space)),
    })
    expect(outcome.done).toEqual([first, third])
    expect(outcome.failed).toMatchObject([{ space: second, error: { code: 'ERR_UNAUTHORIZED' } }])
    expect((await recovered(relay)).map(({ space }) => space)).toEqual([first, third])
  })

  it('keeps no other from being recovered', async () => {
    const relay = new MailboxRelay()
    await createRecovery({ mailbox: mailboxAt(relay, SEED), spaces: IDS, admit })
    const outcome = await recover({
      mailbox: mailboxAt(relay, SEED),
      verifier: nobleVerifier,
      adopt: async ({ space }) => {
        if (space === IDS[0]) refused()
      },
    })
    expect(outcome.done).toEqual(IDS.slice(1))
    expect(outcome.failed).toMatchObject([{ space: IDS[0], error: { code: 'ERR_UNAUTHORIZED' } }])
  })

  it('for however long keeps none of the others waiting', async () => {
    const relay = new MailboxRelay()
    const stop = new AbortController()
    const [first, ...others] = IDS
    const created = createRecovery({
      mailbox: mailboxAt(relay, SEED),
      spaces: IDS,
      admit: space => (space === first ? untilAborted(stop.signal) : admit(space)),
      signal: stop.signal,
    })
    const ended = expect(created).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    await vi.waitFor(async () => expect((await recovered(relay)).map(({ space }) => space)).toEqual(others))
    stop.abort()
    await ended
  })

  it('leaves no mailbox where there is no other', async () => {
    const relay = new MailboxRelay()
    const outcome = await createRecovery({ mailbox: mailboxAt(relay, SEED), spaces: IDS, admit: async () => refused() })
    expect(outcome.done).toEqual([])
    expect(relay.requests).toEqual([])
  })

  it('with a note that its relay did not sign is not adopted (R-RECOVERY-2)', async () => {
    const relay = new MailboxRelay()
    const [first] = SPACES
    // With a key hash of the relay's, and a signature of somebody else's.
    const forged = { ...first, note: noteAt(first, 10, undefined, () => new Uint8Array(64).fill(1)) }
    const mailbox = mailboxAt(relay, SEED)
    await createRecovery({
      mailbox,
      spaces: IDS,
      admit: async space => (space === first.space ? forged : admit(space)),
    })
    const adopted: SpaceId[] = []
    const outcome = await recover({
      mailbox,
      verifier: nobleVerifier,
      adopt: async ({ space }) => void adopted.push(space),
    })
    expect(adopted).toEqual(IDS.slice(1))
    expect(outcome.failed).toMatchObject([{ space: first.space, error: { code: 'ERR_CHECKPOINT_SIGNATURE' } }])
  })
})

describe('many spaces', () => {
  const many = Array.from({ length: 40 }, (_, i) => listedSpace(i, 'relay.test', () => new Uint8Array(64)))
  const admitOne = async (space: SpaceId): Promise<MailboxSpace> => {
    await new Promise(resolve => setTimeout(resolve))
    return many.find(each => each.space === space) as MailboxSpace
  }

  it('are worked on eight at a time, and what came while the mailbox was written is written next', async () => {
    let [now, most, admitted] = [0, 0, 0]
    let open = (): void => {}
    const all = new Promise<void>(resolve => {
      open = resolve
    })
    class SlowMailbox extends SpaceMailbox {
      override async write(...args: Parameters<SpaceMailbox['write']>): ReturnType<SpaceMailbox['write']> {
        await all
        return super.write(...args)
      }
    }
    const relay = new MailboxRelay()
    const environment = hurried()
    const client = clientOf(relay, environment)
    const mailbox = new SlowMailbox({ seed: SEED, client, environment, verifier: nobleVerifier })
    await createRecovery({
      mailbox,
      spaces: many.map(({ space }) => space),
      admit: async space => {
        most = Math.max(most, ++now)
        const found = await admitOne(space)
        now--
        if (++admitted === many.length) open()
        return found
      },
    })
    expect(most).toBe(8)
    expect(await mailbox.read()).toEqual({ counter: 2, spaces: many })
  })

  it('are listed in the end where the mailbox could not be written in between', async () => {
    const relay = new MailboxRelay()
    let refusals = 1
    relay.answer = request =>
      request.type === 'put-mailbox' && refusals-- > 0 ? [refusal(request, 'ERR_LIMIT')] : undefined
    const mailbox = mailboxAt(relay, SEED)
    await createRecovery({ mailbox, spaces: many.slice(0, 5).map(({ space }) => space), admit: admitOne })
    expect((await mailbox.read()).spaces).toHaveLength(5)
    expect(refusals).toBeLessThan(1)
    relay.answer = request => [refusal(request, 'ERR_LIMIT')]
    const last = createRecovery({ mailbox, spaces: IDS, admit })
    await expect(last).rejects.toMatchObject({ code: 'ERR_LIMIT' })
  })

  it('are left alone from the moment on that the caller calls for the end', async () => {
    const stop = new AbortController()
    let calls = 0
    const created = createRecovery({
      mailbox: mailboxAt(new MailboxRelay(), SEED),
      spaces: many.map(({ space }) => space),
      admit: async space => {
        if (++calls === 12) stop.abort()
        return admitOne(space)
      },
      signal: stop.signal,
    })
    await expect(created).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    await new Promise(resolve => setTimeout(resolve, 50))
    expect(calls).toBeLessThan(12 + 8)
  })

  it('by closing the replica is no failure of the spaces', async () => {
    const closed = async (): Promise<never> => {
      throw new SealogError('ERR_CLOSED', 'the replica was closed')
    }
    const created = createRecovery({ mailbox: mailboxAt(new MailboxRelay(), SEED), spaces: IDS, admit: closed })
    await expect(created).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  })
})
