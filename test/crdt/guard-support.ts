import * as Automerge from '@automerge/automerge'
import { concat, fromHex } from '../../src/bytes.ts'
import { ByteReader } from '../../src/crdt/guard/byte-reader.ts'
import { readChangeChunk } from '../../src/crdt/guard/change-chunk.ts'
import { CHUNK_TYPE, readChunk, writeChunk } from '../../src/crdt/guard/chunk.ts'
import { pushInt, pushUint } from '../../src/crdt/guard/column-writer.ts'
import type { CausalPast, KeyReference, ObjectKind, ObjectReference, OpReference } from '../../src/crdt/guard/rules.ts'
import { DEFAULT_LIMITS } from '../../src/crdt/guard/rules.ts'
import { hasCode } from '../../src/errors.ts'

export type Doc = Automerge.Doc<Record<string, unknown>>

export const ACTOR_A: string = 'a1'.repeat(16)
export const ACTOR_B: string = 'b2'.repeat(16)
export const ACTOR_C: string = 'c3'.repeat(16)

/** The reason for which `act` was refused, 'accepted' where it was not; anything but ERR_GUARD is thrown on. */
export function verdict(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    if (hasCode(error, 'ERR_GUARD') && error.details.reason !== undefined) return error.details.reason
    throw error
  }
  return 'accepted'
}

/** The parts of a change chunk, for those who put together what Automerge would not write. */
export interface ChangeParts {
  readonly deps: readonly string[]
  readonly actor: string
  readonly seq: number
  readonly startOp: number
  readonly time: number
  readonly message: Uint8Array
  readonly others: readonly string[]
  /** Specification and bytes, in the order in which they are to be written. */
  readonly columns: readonly (readonly [number, Uint8Array])[]
  readonly extra: Uint8Array
}

export function partsOf(bytes: Uint8Array): ChangeParts {
  const change = readChangeChunk(readChunk(new ByteReader(bytes)).body, DEFAULT_LIMITS)
  return {
    deps: change.dependencies,
    actor: change.actor,
    seq: change.seq,
    startOp: change.startOp,
    time: change.time,
    message: change.message,
    others: change.ops.actors.slice(1),
    columns: [...change.columns],
    extra: new Uint8Array(0),
  }
}

export function chunkOf(parts: ChangeParts): Uint8Array {
  const out: number[] = []
  const pushBytes = (bytes: Uint8Array): void => {
    pushUint(out, bytes.length)
    out.push(...bytes)
  }
  pushUint(out, parts.deps.length)
  for (const hash of parts.deps) out.push(...fromHex(hash))
  pushBytes(fromHex(parts.actor))
  pushUint(out, parts.seq)
  pushUint(out, parts.startOp)
  pushInt(out, parts.time)
  pushBytes(parts.message)
  pushUint(out, parts.others.length)
  for (const actor of parts.others) pushBytes(fromHex(actor))
  pushUint(out, parts.columns.length)
  for (const [specification, bytes] of parts.columns) {
    pushUint(out, specification)
    pushUint(out, bytes.length)
  }
  const data = parts.columns.map(([, bytes]) => bytes)
  return writeChunk(CHUNK_TYPE.change, concat(Uint8Array.from(out), ...data, parts.extra))
}

/** What Automerge's own type leaves out. */
interface DecodedOp {
  readonly action: string
  readonly obj: string
  readonly key?: string
  readonly elemId?: string
  readonly insert?: boolean
}

/** What stands in some changes, read by Automerge itself: an answer to the guard that shares no code with it. */
export function pastOf(changes: readonly Uint8Array[]): CausalPast {
  const ops = new Map<string, { obj: string; key: string; insert: boolean; action: string }>()
  let maxOp = 0
  for (const bytes of changes) {
    const change = Automerge.decodeChange(bytes)
    ;(change.ops as readonly DecodedOp[]).forEach((op, i) => {
      const id = `${change.startOp + i}@${change.actor}`
      const insert = op.insert === true
      ops.set(id, { obj: op.obj, key: insert ? id : (op.elemId ?? `"${op.key}`), insert, action: op.action })
    })
    maxOp = Math.max(maxOp, change.startOp + change.ops.length - 1)
  }
  const name = (reference: OpReference): string => `${reference.counter}@${reference.actor}`
  const objectName = (object: ObjectReference): string => (object === undefined ? '_root' : name(object))
  const keyName = (key: KeyReference): string => (typeof key === 'string' ? `"${key}` : name(key))
  const kinds: Record<string, ObjectKind> = { makeMap: 'map', makeList: 'list', makeText: 'text' }
  return {
    maxOp,
    object: reference => {
      const op = ops.get(name(reference))
      const kind = kinds[op?.action ?? '']
      if (op === undefined || kind === undefined) return undefined
      let depth = 1
      for (let parent = op.obj; parent !== '_root'; parent = (ops.get(parent) as { obj: string }).obj) depth++
      return { kind, depth }
    },
    element: (object, reference) => {
      const op = ops.get(name(reference))
      return op?.insert === true && op.obj === objectName(object)
    },
    predecessor: (object, key, reference) => {
      const op = ops.get(name(reference))
      if (op === undefined || op.action === 'del' || op.action === 'inc') return false
      return op.obj === objectName(object) && op.key === keyName(key)
    },
  }
}

/** All changes that changes with these hashes have in their past, and these. */
export function ancestors(changes: readonly Uint8Array[], hashes: readonly string[]): Uint8Array[] {
  const byHash = new Map(changes.map(bytes => [Automerge.decodeChange(bytes).hash as string, bytes]))
  const seen = new Set<string>()
  const open = [...hashes]
  for (let hash = open.pop(); hash !== undefined; hash = open.pop()) {
    const bytes = byHash.get(hash)
    if (bytes === undefined || seen.has(hash)) continue
    seen.add(hash)
    open.push(...Automerge.decodeChange(bytes).deps)
  }
  return [...seen].map(hash => byHash.get(hash) as Uint8Array)
}

export function hashOf(bytes: Uint8Array): Uint8Array {
  return readChunk(new ByteReader(bytes)).hash
}

/** A document of two actors with something of every kind in it. */
export function richDocument(): { doc: Doc; changes: Uint8Array[] } {
  let doc: Doc = Automerge.init({ actor: ACTOR_A })
  const edit = (fn: (draft: Record<string, never>) => void): void => {
    doc = Automerge.change(doc, { time: 1_700_000_000 }, fn as (draft: Record<string, unknown>) => void)
  }
  const set = (fn: (draft: Record<string, unknown>) => void): void => edit(fn as never)
  set(d => {
    d.title = 'A day in the field'
    d.notes = { one: { deep: [1, 'two', true, null] }, number: 1 }
    d.list = ['x', 'y', { z: 1 }]
    d.count = new Automerge.Counter(3)
  })
  set(d => {
    Automerge.splice(d as never, ['title'], 2, 3, 'night')
    ;(d.count as Automerge.Counter).increment(4)
    ;(d.list as unknown[]).splice(1, 1)
  })
  let other = Automerge.clone(doc, { actor: ACTOR_B })
  other = Automerge.change(other, { time: 1_700_000_001 }, d => {
    Automerge.splice(d as never, ['title'], 0, 0, 'B: ')
    Automerge.mark(d as never, ['title'], { start: 1, end: 6, expand: 'both' }, 'bold', true)
    ;(d.notes as Record<string, unknown>).number = 2
    ;(d.list as unknown[])[0] = 'w'
  })
  set(d => {
    Automerge.splice(d as never, ['title'], 4, 0, 'A')
    ;(d.notes as Record<string, unknown>).number = 3
    Automerge.splitBlock(d as never, ['title'], 3, { type: 'p', attrs: {}, parents: [] })
  })
  doc = Automerge.merge(doc, other)
  set(d => {
    ;(d.notes as Record<string, unknown>).number = 4
    delete (d.notes as Record<string, unknown>).one
    Automerge.unmark(d as never, ['title'], { start: 2, end: 4 }, 'bold')
    d.bytes = new Uint8Array([1, 2, 3])
    d.when = new Date(5)
    d.float = 1.5
    d.negative = -7
  })
  return { doc, changes: Automerge.getAllChanges(doc) }
}
