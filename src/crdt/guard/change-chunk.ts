import { compareBytes, toHex } from '../../bytes.ts'
import { ByteReader } from './byte-reader.ts'
import { CHUNK_TYPE, readChunk } from './chunk.ts'
import type { Columns, InflateBudget } from './columns.ts'
import { countRows, NULL, readColumnData, readColumnTable } from './columns.ts'
import type { OpTable } from './op-table.ts'
import { OP_COLUMN, readOpTable } from './op-table.ts'
import type { GuardLimits } from './rules.ts'
import { MAX_COUNTER, refuse } from './rules.ts'
import { isUtf8 } from './utf8.ts'

/** The body of a change chunk, decoded. */
export interface ChangeChunk {
  /** Hex, ascending. */
  readonly dependencies: readonly string[]
  readonly actor: string
  readonly seq: number
  readonly startOp: number
  /** Unix seconds, as Automerge writes it. */
  readonly time: number
  readonly message: Uint8Array
  readonly ops: OpTable
  readonly columns: Columns
}

const KNOWN_COLUMNS: ReadonlySet<number> = new Set([
  OP_COLUMN.objectActor,
  OP_COLUMN.objectCounter,
  OP_COLUMN.keyActor,
  OP_COLUMN.keyCounter,
  OP_COLUMN.keyText,
  OP_COLUMN.insert,
  OP_COLUMN.action,
  OP_COLUMN.valueMeta,
  OP_COLUMN.value,
  OP_COLUMN.predecessorCount,
  OP_COLUMN.predecessorActor,
  OP_COLUMN.predecessorCounter,
  OP_COLUMN.expand,
  OP_COLUMN.markName,
])
const LAYOUT = { objectCounterDelta: false, successors: false } as const
const NO_BUDGET: InflateBudget = { remaining: 0 }
const HASH_LENGTH = 32
/** Automerge's own default is 16 bytes, and so are Sealog's actors; older documents may hold others. */
const MAX_ACTOR_BYTES = 64

/**
 * Decodes the body of a change chunk and refuses it unless it is byte for byte what Automerge would write for the
 * same operations. This matters because a document keeps operations, not changes: Automerge rebuilds changes from
 * them, and a change that was written in another way comes back with another hash, in a file that does not load.
 * @throws SealogError ERR_GUARD
 */
export function readChangeChunk(body: Uint8Array, limits: GuardLimits): ChangeChunk {
  const reader = new ByteReader(body)
  const dependencies = readHashes(reader, limits.maxDependencies, true)
  const author = readActor(reader)
  const seq = reader.uint()
  if (seq < 1 || seq > MAX_COUNTER) refuse('seq', 'out of range')
  const startOp = reader.uint()
  if (startOp < 1 || startOp > MAX_COUNTER) refuse('counter', 'out of range')
  const time = reader.int()
  const messageLength = reader.uint()
  if (messageLength > limits.maxMessageBytes) refuse('message-length', 'message')
  const message = reader.take(messageLength)
  if (!isUtf8(message, 0, message.length)) refuse('utf8', 'message')
  const others = readActors(reader, limits.maxActors)
  const table = readColumnTable(reader, KNOWN_COLUMNS, false)
  const columns = readColumnData(reader, table, NO_BUDGET)
  if (!reader.done) refuse('extra', 'bytes after the columns')

  const rows = countRows(columns.get(OP_COLUMN.action), limits.maxOps, 'too-many-ops')
  if (rows === 0 && columns.size > 0) refuse('columns', 'columns without rows')
  if (startOp + rows - 1 > MAX_COUNTER) refuse('counter', 'out of range')
  const actor = toHex(author)
  const actors = [actor, ...others.map(toHex)]
  if (others.some(other => compareBytes(other, author) === 0)) refuse('actor-table', 'author twice')
  const ops = readOpTable(columns, rows, actors, 0, LAYOUT, limits)
  checkActorsUsed(ops)
  return { dependencies, actor, seq, startOp, time, message, ops, columns }
}

/** What a change says of its place in history, and the hash that commits to it. */
export interface ChangeLink {
  /** In hex, of the bytes as they are. */
  readonly hash: string
  /** In hex. */
  readonly dependencies: readonly string[]
  readonly actor: string
  readonly seq: number
}

/**
 * The places of raw changes, one chunk after the other, whatever their operations are.
 * @throws SealogError ERR_GUARD for bytes whose hashes or places cannot be told
 */
export function readChangeLinks(bytes: Uint8Array, limits: GuardLimits): readonly ChangeLink[] {
  const chunks = new ByteReader(bytes)
  const links: ChangeLink[] = []
  while (!chunks.done) {
    const { type, body, hash } = readChunk(chunks)
    if (type !== CHUNK_TYPE.change) refuse('chunk-type', 'not a change')
    const reader = new ByteReader(body)
    const dependencies = readHashes(reader, limits.maxDependencies, true)
    links.push({ hash: toHex(hash), dependencies, actor: toHex(readActor(reader)), seq: reader.uint() })
  }
  return links
}

/** A count and as many 32-byte hashes, in hex. */
export function readHashes(reader: ByteReader, limit: number, ascending: boolean): string[] {
  const count = reader.uint()
  if (count > limit) refuse('too-many-dependencies', 'hashes')
  const hashes: string[] = []
  let before: Uint8Array | undefined
  for (let i = 0; i < count; i++) {
    const hash = reader.take(HASH_LENGTH)
    if (ascending && before !== undefined && compareBytes(before, hash) >= 0) refuse('dependencies', 'out of order')
    before = hash
    hashes.push(toHex(hash))
  }
  return hashes
}

/** A count and as many actor ids, strictly ascending. */
export function readActors(reader: ByteReader, limit: number): Uint8Array[] {
  const count = reader.uint()
  if (count > limit) refuse('too-many-actors', 'actors')
  const actors: Uint8Array[] = []
  for (let i = 0; i < count; i++) {
    const actor = readActor(reader)
    const before = actors[i - 1]
    if (before !== undefined && compareBytes(before, actor) >= 0) refuse('actor-table', 'out of order')
    actors.push(actor)
  }
  return actors
}

function readActor(reader: ByteReader): Uint8Array {
  const length = reader.uint()
  if (length > MAX_ACTOR_BYTES) refuse('actor-table', 'actor id too long')
  return reader.take(length)
}

/** Automerge lists the author and exactly those actors that an op refers to. */
function checkActorsUsed(ops: OpTable): void {
  const used = new Uint8Array(ops.actors.length)
  used[ops.author] = 1
  for (const column of [ops.objectActor, ops.keyActor, ops.relatedActor]) {
    for (const actor of column) if (actor !== NULL) used[actor] = 1
  }
  if (used.includes(0)) refuse('actor-table', 'actor without a reference')
}
