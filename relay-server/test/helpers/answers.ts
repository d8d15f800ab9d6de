import {
  concat,
  cosign,
  decodeHeader,
  encodeNote,
  type LogRecord,
  nobleSigningKey,
  parseNote,
  type Records,
  type SpaceId,
} from 'sealog/protocol'
import { type Authored, author, type EntryOptions, type TestDevice } from './authoring.ts'
import type { TestReplica } from './replica.ts'
import type { World } from './world.ts'

export interface Answer {
  readonly parts: readonly Records[]
  readonly head: Uint8Array
  readonly records: readonly LogRecord[]
}

/** The whole answer to a request; fails unless it is complete, and its parts stand right behind each other. */
export function answerTo(replica: TestReplica, ref: number): Answer {
  const refused = replica.rejects.find(reject => reject.ref === ref)
  if (refused !== undefined) throw new Error(`refused: ${refused.code} ${refused.message}`)
  const first = replica.messages.findIndex(message => message.type === 'records' && message.ref === ref)
  const parts: Records[] = []
  for (const message of first < 0 ? [] : replica.messages.slice(first)) {
    if (message.type !== 'records' || message.ref !== ref) break
    parts.push(message)
  }
  if (parts.at(-1)?.more !== false || parts.slice(0, -1).some(part => !part.more)) throw new Error('not a whole answer')
  return { parts, head: concat(...parts.map(part => part.head)), records: parts.flatMap(part => part.records) }
}

/** An entry that repeats the tag of its chain, as a snapshot and a retirement do. */
export function repeating(
  world: World,
  replica: TestReplica,
  device: TestDevice,
  before: Authored,
  options: EntryOptions,
): Authored {
  const { tag } = decodeHeader(before.header)
  return author(world.environment.random, device, world.genesis.hash, {
    seen: replica.seen,
    ...options,
    header: { tag, ...options.header },
  })
}

/** The latest note that a replica was sent, with a cosignature by a device. */
export async function cosigned(
  note: Uint8Array,
  space: SpaceId,
  device: TestDevice,
  time = 1_800_000_000,
): Promise<Uint8Array> {
  const { checkpoint, text, signatures } = parseNote(note)
  const line = await cosign(text, space, device.number, time, nobleSigningKey(device.seed))
  return encodeNote(checkpoint, [...signatures, line])
}
