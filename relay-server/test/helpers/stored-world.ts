import {
  type DocumentId,
  INLINE_BODY_LENGTH,
  nobleVerifier,
  platformEnvironment,
  publicKeyOf,
  putMailboxInput,
  signSync,
} from 'sealog/protocol'
import type { Command, CommandArguments, CommandContext } from '../../src/command.ts'
import type { LogStore } from '../../src/log-store.ts'
import { cosigned, repeating } from './answers.ts'
import { type Authored, filler, pushEntryOf } from './authoring.ts'
import { invite, putWhole, rotate } from './membership.ts'
import type { TestReplica } from './replica.ts'
import { admit, openWorld, type World } from './world.ts'

export const NOTES: DocumentId = 'd1'.repeat(16) as DocumentId
const PLANS = 'd2'.repeat(16) as DocumentId

/** Pushes, and fails where that is refused. */
export async function write(world: World, replica: TestReplica, ...entries: readonly Authored[]): Promise<void> {
  const refused = replica.rejects.length
  replica.push(world.space, ...entries)
  await world.relay.deliverAll()
  if (replica.rejects.length > refused) throw new Error(`refused: ${replica.rejects.at(-1)?.message}`)
  await replica.follow(world.space)
}

/**
 * A relay over a store, with one of everything that it can hold: several devices and documents, an import, a retired
 * actor, a superseded snapshot, a body that travels in parts, an epoch with its wraps, a cosigned note and a mailbox.
 */
export async function storedWorld(store: LogStore): Promise<World> {
  const world = await openWorld({ store })
  const { owner, relay, space, environment } = world
  await store.writeIdentity({ name: relay.name, key: relay.key })
  const reader = await world.reader()
  const anna = await admit(world, reader)
  await invite(world, reader)
  await rotate(world, reader)
  await write(world, reader, world.entry(reader, owner, { document: NOTES, kind: 'import', body: filler(300) }))
  const header = { epoch: reader.epoch }
  const first = world.entry(reader, anna, { document: NOTES })
  await write(world, reader, first)
  await write(
    world,
    reader,
    repeating(world, reader, anna, first, { document: NOTES, kind: 'snapshot', body: filler(900), header }),
  )
  const second = world.entry(reader, anna, { document: NOTES })
  await write(world, reader, second)
  await write(
    world,
    reader,
    repeating(world, reader, anna, second, { document: NOTES, kind: 'snapshot', body: filler(950), header }),
  )
  const only = world.entry(reader, anna, { document: PLANS })
  await write(world, reader, only)
  const retire = { document: PLANS, kind: 'retire', body: new Uint8Array(0), header } as const
  await write(world, reader, repeating(world, reader, anna, only, retire))
  await writeLarge(
    world,
    reader,
    world.entry(reader, owner, { document: PLANS, body: filler(INLINE_BODY_LENGTH + 100) }),
  )
  const note = reader.syncs.at(-1)?.batch.note as Uint8Array
  reader.send({ type: 'cosign', ref: reader.ref(), space, note: await cosigned(note, space, owner) })
  await relay.deliverAll()
  const seed = environment.random(32)
  const address = publicKeyOf(seed)
  const bytes = filler(200)
  const input = putMailboxInput({ name: relay.name, key: relay.key }, address, 3, bytes)
  await store.putMailbox(address, { counter: 3, bytes, signature: signSync(seed, input) })
  await write(world, reader, world.entry(reader, owner, { document: NOTES }))
  return world
}

/** With its body uploaded ahead, in parts. */
async function writeLarge(world: World, replica: TestReplica, entry: Authored): Promise<void> {
  putWhole(world, replica, entry.body)
  const { header, signature } = pushEntryOf(entry)
  replica.send({
    type: 'push',
    ref: replica.ref(),
    space: world.space,
    entries: [{ header, signature, body: undefined }],
  })
  await world.relay.deliverAll()
  if (replica.rejects.length > 0) throw new Error(`refused: ${replica.rejects.at(-1)?.message}`)
  await replica.follow(world.space)
}

export interface Ran {
  readonly code: number
  readonly lines: readonly string[]
  readonly errors: readonly string[]
}

/** Runs a command of the operator over a store. */
export async function runCommand(
  command: Command,
  openStore: (readOnly: boolean) => Promise<LogStore>,
  given: CommandArguments = {},
  options: Partial<CommandContext> = {},
): Promise<Ran> {
  let out = ''
  let err = ''
  const context: CommandContext = {
    openStore,
    key: undefined,
    stdout: text => {
      out += text
    },
    stderr: text => {
      err += text
    },
    environment: platformEnvironment(),
    verifier: nobleVerifier,
    ...options,
  }
  const code = await command.run(context, given)
  const lines = (text: string): readonly string[] => text.split('\n').filter(line => line !== '')
  return { code, lines: lines(out), errors: lines(err) }
}
