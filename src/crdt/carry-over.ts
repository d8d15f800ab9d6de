import { compareBytes, concat, fromHex, toHex } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { ByteReader } from './guard/byte-reader.ts'
import type { ChangeChunk } from './guard/change-chunk.ts'
import { readChangeChunk } from './guard/change-chunk.ts'
import { CHUNK_TYPE, readChunk, writeChunk } from './guard/chunk.ts'
import { encodeNumbers, pushInt, pushUint } from './guard/column-writer.ts'
import { NULL } from './guard/columns.ts'
import { OP_COLUMN } from './guard/op-table.ts'
import { DEFAULT_LIMITS } from './guard/rules.ts'
import { inspectChunks } from './guard.ts'

export interface CarryOverOptions {
  /** Own change chunks that no proven entry holds, in order of seq. */
  readonly changes: readonly Uint8Array[]
  /** The actor that wrote them, in hex. */
  readonly from: string
  /** A fresh actor, in hex: one without a change of its own. */
  readonly to: string
}

export interface CarriedChange {
  /** 1, 2, 3 … */
  readonly seq: number
  /** 32 bytes. */
  readonly hash: Uint8Array
  /** A raw change chunk. */
  readonly bytes: Uint8Array
}

/**
 * Rewrites own changes under another actor (DESIGN §3): the same operations at the same counters, on the same past.
 * What they say about each other moves to the new actor and the new hashes; what they say about changes of the old
 * actor that were sent stays. They apply wherever the originals' dependencies are, also beside other changes that a
 * clone wrote under the old actor.
 *
 * Only the columns that name actors are written anew; values are copied, because no detour through JavaScript values
 * keeps them all (`decodeChange` and `encodeChange` of Automerge 3.5.0 lose NaN and the infinities).
 * @throws SealogError ERR_GUARD for bytes that are not a change chunk as Automerge writes it, ERR_CONTENT for a
 *   change of another actor or out of order
 */
export function carryOver(options: CarryOverOptions): readonly CarriedChange[] {
  const { changes, from, to } = options
  if (from === to) throw new TypeError('to: the same actor as from')
  const carried: CarriedChange[] = []
  const newHashes = new Map<string, Uint8Array>()
  let before: ChangeChunk | undefined
  let firstUnsent = 0
  for (const bytes of changes) {
    const reader = new ByteReader(bytes)
    const chunk = readChunk(reader)
    if (chunk.type !== CHUNK_TYPE.change || !reader.done) throw new SealogError('ERR_CONTENT', 'not one change chunk')
    const change = readChangeChunk(chunk.body, DEFAULT_LIMITS)
    if (change.actor !== from || change.ops.actors.includes(to))
      throw new SealogError('ERR_CONTENT', 'change of another actor')
    if (before !== undefined && change.seq !== before.seq + 1)
      throw new SealogError('ERR_CONTENT', 'changes out of order')
    if (before === undefined) firstUnsent = change.startOp
    before = change
    const seq = carried.length + 1
    const body = rewrite(change, { seq, to, newHashes, isUnsent: counter => counter >= firstUnsent })
    const rewritten = writeChunk(CHUNK_TYPE.change, body)
    const { hash } = readChunk(new ByteReader(rewritten))
    // What goes out must be what every replica takes.
    inspectChunks(rewritten, { actor: to, nextSeq: seq, previousHash: carried.at(-1)?.hash, encoding: 'raw' })
    newHashes.set(toHex(chunk.hash), hash)
    carried.push({ seq, hash, bytes: rewritten })
  }
  return carried
}

interface Rewrite {
  readonly seq: number
  readonly to: string
  /** By old hash in hex. */
  readonly newHashes: ReadonlyMap<string, Uint8Array>
  /** Is the author's op with this counter one of those that move? */
  readonly isUnsent: (counter: number) => boolean
}

function rewrite(change: ChangeChunk, { seq, to, newHashes, isUnsent }: Rewrite): Uint8Array {
  const { ops } = change
  const actorOf = (index: number, counter: number): string => {
    return index === ops.author && isUnsent(counter) ? to : (ops.actors[index] as string)
  }
  const predecessors = sortedPredecessors(change, actorOf)
  const others = new Set(predecessors.actors)
  const objects = Array.from(ops.objectActor, (index, row) =>
    nameOf(index, ops.objectCounter[row] as number, actorOf, others),
  )
  const keys = Array.from(ops.keyActor, (index, row) => nameOf(index, ops.keyCounter[row] as number, actorOf, others))
  others.delete(to)
  const sorted = [...others].sort()
  const index = new Map([to, ...sorted].map((actor, i) => [actor, i]))
  const indexOf = (actor: string | undefined): number => (actor === undefined ? NULL : (index.get(actor) as number))

  const columns = new Map(change.columns)
  columns.set(OP_COLUMN.objectActor, encodeNumbers(objects.map(indexOf), false))
  columns.set(OP_COLUMN.keyActor, encodeNumbers(keys.map(indexOf), false))
  columns.set(OP_COLUMN.predecessorActor, encodeNumbers(predecessors.actors.map(indexOf), false))
  columns.set(OP_COLUMN.predecessorCounter, encodeNumbers(predecessors.counters, true))
  const written = [...columns].filter(([, bytes]) => bytes.length > 0).sort(([a], [b]) => a - b)

  const dependencies = change.dependencies.map(hash => newHashes.get(hash) ?? fromHex(hash)).sort(compareBytes)
  const head: number[] = []
  pushUint(head, dependencies.length)
  const middle: number[] = []
  pushBytes(middle, fromHex(to))
  pushUint(middle, seq)
  pushUint(middle, change.startOp)
  pushInt(middle, change.time)
  pushBytes(middle, change.message)
  pushUint(middle, sorted.length)
  for (const actor of sorted) pushBytes(middle, fromHex(actor))
  pushUint(middle, written.length)
  for (const [specification, bytes] of written) {
    pushUint(middle, specification)
    pushUint(middle, bytes.length)
  }
  return concat(Uint8Array.from(head), ...dependencies, Uint8Array.from(middle), ...written.map(([, bytes]) => bytes))
}

type ActorOf = (index: number, counter: number) => string

function nameOf(index: number, counter: number, actorOf: ActorOf, seen: Set<string>): string | undefined {
  if (index === NULL) return undefined
  const actor = actorOf(index, counter)
  seen.add(actor)
  return actor
}

/** The predecessors of each op in the order of (counter, actor), which a new name may change. */
function sortedPredecessors({ ops }: ChangeChunk, actorOf: ActorOf): { actors: string[]; counters: number[] } {
  const actors: string[] = []
  const counters: number[] = []
  for (let row = 0; row < ops.rows; row++) {
    const ids: { counter: number; actor: string }[] = []
    for (let i = ops.relatedStart[row] as number; i < (ops.relatedStart[row + 1] as number); i++) {
      const counter = ops.relatedCounter[i] as number
      ids.push({ counter, actor: actorOf(ops.relatedActor[i] as number, counter) })
    }
    ids.sort((a, b) => a.counter - b.counter || (a.actor < b.actor ? -1 : 1))
    for (const id of ids) {
      actors.push(id.actor)
      counters.push(id.counter)
    }
  }
  return { actors, counters }
}

function pushBytes(out: number[], bytes: Uint8Array): void {
  pushUint(out, bytes.length)
  for (const byte of bytes) out.push(byte)
}
