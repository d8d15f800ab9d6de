import { toHex } from '../../bytes.ts'
import { ByteReader } from './byte-reader.ts'
import { readActors, readHashes } from './change-chunk.ts'
import { CHUNK_TYPE, readChunk } from './chunk.ts'
import type { Columns, InflateBudget, NumberFormat } from './columns.ts'
import { countRows, decodeNumbers, decodeTexts, NULL, readColumnData, readColumnTable } from './columns.ts'
import type { OpTable } from './op-table.ts'
import { ACTION, OP_COLUMN, readOpTable, required } from './op-table.ts'
import type { GuardLimits } from './rules.ts'
import { DOCUMENT_LIMITS, MAX_COUNTER, refuse } from './rules.ts'

/** A saved document, decoded. */
export interface DocumentChunk {
  /** Hex, ascending. */
  readonly actors: readonly string[]
  /** Hashes in hex, ascending, as the document claims them; `Automerge.load` verifies them. */
  readonly heads: readonly string[]
  /** Position of each head among the changes. */
  readonly headIndices: readonly number[]
  readonly changes: DocumentChanges
  /** In document order; their related ops are successors. */
  readonly ops: OpTable
  readonly idActor: Int32Array
  readonly idCounter: Int32Array
}

/** The changes of a document, each after those that it depends on. */
export interface DocumentChanges {
  readonly count: number
  /** Index of the author. */
  readonly actor: Int32Array
  readonly seq: Int32Array
  /** Largest op counter in the change or what it depends on. */
  readonly maxOp: Int32Array
  /** `count + 1` offsets into `dependency`. */
  readonly dependencyStart: Int32Array
  /** Positions of changes. */
  readonly dependency: Int32Array
  /** Bytes that Automerge keeps with the change beside its operations. */
  readonly extraLength: Int32Array
}

export interface InspectedDocument {
  /** Hex, ascending. */
  readonly actors: readonly string[]
  /** Hashes in hex, ascending, as the document claims them; `Automerge.load` verifies them. */
  readonly heads: readonly string[]
  readonly changeCount: number
  /** Operations that the document keeps; deletions are not among them. */
  readonly opCount: number
  /** The largest op counter. */
  readonly maxOp: number
  /** Number of changes of each actor, which is also the seq of its last one. */
  readonly seqs: ReadonlyMap<string, number>
}

const CHANGE_COLUMN = {
  actor: 0x01,
  seq: 0x03,
  maxOp: 0x13,
  time: 0x23,
  message: 0x35,
  dependencyCount: 0x40,
  dependency: 0x43,
  extraMeta: 0x56,
  extra: 0x57,
} as const

const KNOWN_CHANGE_COLUMNS: ReadonlySet<number> = new Set(Object.values(CHANGE_COLUMN))
const KNOWN_OP_COLUMNS: ReadonlySet<number> = new Set([
  OP_COLUMN.objectActor,
  OP_COLUMN.objectCounter,
  OP_COLUMN.keyActor,
  OP_COLUMN.keyCounter,
  OP_COLUMN.keyText,
  OP_COLUMN.idActor,
  OP_COLUMN.idCounter,
  OP_COLUMN.insert,
  OP_COLUMN.action,
  OP_COLUMN.valueMeta,
  OP_COLUMN.value,
  OP_COLUMN.successorCount,
  OP_COLUMN.successorActor,
  OP_COLUMN.successorCounter,
  OP_COLUMN.expand,
  OP_COLUMN.markName,
])
const LAYOUT = { objectCounterDelta: false, successors: true } as const
const COUNTER = { delta: true, nullable: false, min: 0, max: MAX_COUNTER } as const
const TIME: NumberFormat = { delta: true, nullable: false, min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }
/** Low four bits of the metadata of extra bytes: Automerge writes them as text or as bytes. */
const EXTRA_LENGTH_SHIFT = 4

/**
 * Inspects a saved document before `Automerge.load` sees it: that it is exactly one document chunk, within bounds,
 * every column well-formed and as long as the others, every number in range, no denied key.
 *
 * `Automerge.load` itself rebuilds every change and compares the heads, so that a document which loads is the one its
 * heads commit to. What is not checked here is whether operations refer to what exists, and changes to what the guard
 * takes in entries: a document that its author made to panic Automerge on loading may still do so. For a document of
 * somebody else's, `checkDocumentChanges` judges that.
 * @throws SealogError ERR_GUARD
 */
export function inspectDocument(bytes: Uint8Array, limits: GuardLimits = DOCUMENT_LIMITS): InspectedDocument {
  const { actors, heads, changes, ops } = readDocument(bytes, limits)
  const seqs = new Map(actors.map(actor => [actor, 0]))
  let maxOp = 0
  for (let i = 0; i < changes.count; i++) {
    seqs.set(actors[changes.actor[i] as number] as string, changes.seq[i] as number)
    maxOp = Math.max(maxOp, changes.maxOp[i] as number)
  }
  return { actors, heads, changeCount: changes.count, opCount: ops.rows, maxOp, seqs }
}

/** What `inspectDocument` inspects, for those who need the operations. @throws SealogError ERR_GUARD */
export function readDocument(bytes: Uint8Array, limits: GuardLimits = DOCUMENT_LIMITS): DocumentChunk {
  if (bytes.length > limits.maxBytes) refuse('too-large', 'document')
  const outer = new ByteReader(bytes)
  const chunk = readChunk(outer)
  if (chunk.type !== CHUNK_TYPE.document) refuse('chunk-type', 'not a document')
  if (!outer.done) refuse('trailing-bytes', 'after the document')

  const reader = new ByteReader(chunk.body)
  const actors = readActors(reader, limits.maxActors).map(toHex)
  const heads = readHashes(reader, limits.maxDependencies, true)
  const changeTable = readColumnTable(reader, KNOWN_CHANGE_COLUMNS, true)
  const opTable = readColumnTable(reader, KNOWN_OP_COLUMNS, true)
  const budget: InflateBudget = { remaining: limits.maxInflated }
  const changeColumns = readColumnData(reader, changeTable, budget)
  const opColumns = readColumnData(reader, opTable, budget)
  const changes = readChanges(changeColumns, actors, limits)
  const headIndices = heads.map(() => reader.uint())
  if (headIndices.some(index => index >= changes.count)) refuse('dependencies', 'head')
  if (!reader.done) refuse('trailing-bytes', 'in the document')
  if (heads.length === 0 && changes.count > 0) refuse('dependencies', 'no head')

  const rows = countRows(opColumns.get(OP_COLUMN.action), limits.maxOps, 'too-many-ops')
  if (rows === 0 && opColumns.size > 0) refuse('columns', 'columns without rows')
  const ops = readOpTable(opColumns, rows, actors, 0, LAYOUT, limits)
  const actorFormat = { delta: false, nullable: false, min: 0, max: actors.length - 1 } as const
  const idActor = required(opColumns, OP_COLUMN.idActor, rows, actorFormat, 'op actor')
  const idCounter = required(opColumns, OP_COLUMN.idCounter, rows, { ...COUNTER, min: 1 }, 'op counter')
  checkDocumentOps(ops, idActor, idCounter, changes)
  return { actors, heads, headIndices, changes, ops, idActor, idCounter }
}

function readChanges(columns: Columns, actors: readonly string[], limits: GuardLimits): DocumentChanges {
  const count = countRows(columns.get(CHANGE_COLUMN.actor), limits.maxChanges, 'too-many-changes')
  if (count === 0 && columns.size > 0) refuse('columns', 'columns without rows')
  const actorFormat = { delta: false, nullable: false, min: 0, max: actors.length - 1 } as const
  const actor = required(columns, CHANGE_COLUMN.actor, count, actorFormat, 'actor')
  const seq = required(columns, CHANGE_COLUMN.seq, count, COUNTER, 'seq')
  const maxOp = required(columns, CHANGE_COLUMN.maxOp, count, COUNTER, 'last op')
  const time = columns.get(CHANGE_COLUMN.time)
  if (time !== undefined) decodeNumbers(time, new Float64Array(count), TIME)
  else if (count > 0) refuse('columns', 'time')
  const message = columns.get(CHANGE_COLUMN.message)
  if (message !== undefined) decodeTexts(message, count, limits.maxMessageBytes)
  const extraLength = readExtra(columns, count)

  const perChange = { delta: false, nullable: false, min: 0, max: limits.maxDependencies } as const
  const dependencyCount = required(columns, CHANGE_COLUMN.dependencyCount, count, perChange, 'dependency counts')
  const dependencyStart = new Int32Array(count + 1)
  let total = 0
  for (let i = 0; i < count; i++) {
    total += dependencyCount[i] as number
    if (total > 4 * limits.maxChanges) refuse('too-many-dependencies', 'dependencies')
    dependencyStart[i + 1] = total
  }
  const dependency = required(columns, CHANGE_COLUMN.dependency, total, COUNTER, 'dependencies')

  const lastSeq = new Int32Array(actors.length)
  for (let i = 0; i < count; i++) {
    const author = actor[i] as number
    if (seq[i] !== (lastSeq[author] as number) + 1) refuse('seq', 'not the next')
    lastSeq[author] = seq[i] as number
    for (let at = dependencyStart[i] as number; at < (dependencyStart[i + 1] as number); at++) {
      const index = dependency[at] as number
      if (index >= i) refuse('dependencies', 'not an earlier change')
      if ((maxOp[index] as number) > (maxOp[i] as number)) refuse('counter', 'behind a dependency')
    }
  }
  return { count, actor, seq, maxOp, dependencyStart, dependency, extraLength }
}

/** Bytes that Automerge keeps with a change for whoever wrote it: only their lengths matter. */
function readExtra(columns: Columns, count: number): Int32Array {
  const format = { delta: false, nullable: false, min: 0, max: MAX_COUNTER } as const
  const meta = required(columns, CHANGE_COLUMN.extraMeta, count, format, 'extra')
  const lengths = meta.map(each => each >>> EXTRA_LENGTH_SHIFT)
  let total = 0
  for (const length of lengths) total += length
  if (total !== (columns.get(CHANGE_COLUMN.extra)?.length ?? 0)) refuse('extra', 'lengths')
  return lengths
}

function checkDocumentOps(ops: OpTable, idActor: Int32Array, idCounter: Int32Array, changes: DocumentChanges): void {
  const maxOps = new Int32Array(ops.actors.length)
  for (let i = 0; i < changes.count; i++) {
    const author = changes.actor[i] as number
    maxOps[author] = Math.max(maxOps[author] as number, changes.maxOp[i] as number)
  }
  for (let row = 0; row < ops.rows; row++) {
    const counter = idCounter[row] as number
    if (counter > (maxOps[idActor[row] as number] as number)) refuse('counter', 'of no change')
    const objectCounter = ops.objectCounter[row] as number
    if ((objectCounter === NULL) !== (ops.objectActor[row] === NULL)) refuse('object', 'half an id')
    if (objectCounter >= counter) refuse('object', 'not in the past')
    checkDocumentKey(ops, row, counter)
    if (ops.action[row] === ACTION.delete) refuse('action', 'deletion')
    for (let i = ops.relatedStart[row] as number; i < (ops.relatedStart[row + 1] as number); i++) {
      if ((ops.relatedCounter[i] as number) <= counter) refuse('predecessor', 'successor in the past')
    }
  }
}

function checkDocumentKey(ops: OpTable, row: number, counter: number): void {
  const keyCounter = ops.keyCounter[row] as number
  const isHead = keyCounter === 0
  const hasActor = ops.keyActor[row] !== NULL
  if (ops.keyText.index[row] !== NULL) {
    if (keyCounter !== NULL || hasActor || ops.insert[row] === 1) refuse('key', 'text and element')
    return
  }
  if (keyCounter === NULL) refuse('key', 'missing')
  if (isHead ? hasActor || ops.insert[row] !== 1 : !hasActor) refuse('key', 'half an id')
  if (keyCounter >= counter) refuse('element', 'not in the past')
}
