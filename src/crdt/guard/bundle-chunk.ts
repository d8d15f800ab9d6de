import { toHex, toUtf8 } from '../../bytes.ts'
import { ByteReader } from './byte-reader.ts'
import { readActors, readHashes } from './change-chunk.ts'
import type { Columns, InflateBudget, NumberFormat } from './columns.ts'
import { countRows, decodeNumbers, decodeTexts, NULL, readColumnData, readColumnTable } from './columns.ts'
import type { OpTable } from './op-table.ts'
import { OP_COLUMN, readOpTable, required } from './op-table.ts'
import type { GuardLimits } from './rules.ts'
import { MAX_COUNTER, refuse } from './rules.ts'

/** One change of a bundle. */
export interface BundleMember {
  readonly seq: number
  readonly startOp: number
  readonly opCount: number
  readonly time: number
  /** UTF-8; empty without one. */
  readonly message: Uint8Array
  /** Hashes of changes outside the bundle, in hex. Each change but the first also depends on the one before. */
  readonly dependencies: readonly string[]
  /** Where in the list of its dependencies the one before stands; −1 for the first change. */
  readonly previousAt: number
}

export interface BundleChunk {
  readonly actor: string
  readonly members: readonly BundleMember[]
  readonly ops: OpTable
  /** Row of each op in the order of counters. */
  readonly rowByCounter: Int32Array
}

const CHANGE_COLUMN = {
  actor: 0x01,
  seq: 0x03,
  startOp: 0x13,
  maxOp: 0x23,
  time: 0x33,
  message: 0x45,
  dependencyCount: 0x50,
  dependency: 0x53,
  extraCount: 0x60,
} as const

const KNOWN_CHANGE_COLUMNS: ReadonlySet<number> = new Set(Object.values(CHANGE_COLUMN))
const KNOWN_OP_COLUMNS: ReadonlySet<number> = new Set([
  OP_COLUMN.objectActor,
  OP_COLUMN.objectCounterDelta,
  OP_COLUMN.keyActor,
  OP_COLUMN.keyCounter,
  OP_COLUMN.keyText,
  OP_COLUMN.idActor,
  OP_COLUMN.insert,
  OP_COLUMN.action,
  OP_COLUMN.valueMeta,
  OP_COLUMN.value,
  OP_COLUMN.predecessorCount,
  OP_COLUMN.predecessorActor,
  OP_COLUMN.predecessorCounter,
  OP_COLUMN.expand,
  OP_COLUMN.markName,
  OP_COLUMN.rowByCounter,
])
const NO_MESSAGE = new Uint8Array(0)
const LAYOUT = { objectCounterDelta: true, successors: false } as const
const DELTA: NumberFormat = { delta: true, nullable: false, min: 0, max: MAX_COUNTER }
const TIME: NumberFormat = { delta: true, nullable: false, min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }

/**
 * Decodes the body of a bundle chunk all of whose changes have one author: dependencies outside the bundle, actors,
 * then the changes and then their operations in columns. The operations stand in document order; a permutation says
 * which is which. Automerge takes a bundle apart into changes and computes their hashes itself.
 * @throws SealogError ERR_GUARD
 */
export function readBundleChunk(body: Uint8Array, limits: GuardLimits, budget: InflateBudget): BundleChunk {
  const reader = new ByteReader(body)
  const external = readHashes(reader, limits.maxDependencies, false)
  if (new Set(external).size !== external.length) refuse('dependencies', 'listed twice')
  const actors = readActors(reader, limits.maxActors).map(toHex)
  const changeColumns = readColumnData(reader, readColumnTable(reader, KNOWN_CHANGE_COLUMNS, true), budget)
  const opColumns = readColumnData(reader, readColumnTable(reader, KNOWN_OP_COLUMNS, true), budget)
  if (!reader.done) refuse('trailing-bytes', 'bundle')

  const count = countRows(changeColumns.get(CHANGE_COLUMN.actor), limits.maxChanges, 'too-many-changes')
  if (count === 0) refuse('columns', 'bundle without changes')
  const actorFormat = { delta: false, nullable: false, min: 0, max: actors.length - 1 } as const
  const author = onlyValue(required(changeColumns, CHANGE_COLUMN.actor, count, actorFormat, 'actor'), count)
  const members = readMembers(changeColumns, count, external, limits)

  const rows = members.reduce((sum, member) => sum + member.opCount, 0)
  if (rows > limits.maxOps) refuse('too-many-ops', 'operations')
  if (countRows(opColumns.get(OP_COLUMN.action), limits.maxOps, 'too-many-ops') !== rows) refuse('rows', 'operations')
  if (rows === 0 && opColumns.size > 0) refuse('columns', 'columns without rows')
  if (rows > 0 && onlyValue(required(opColumns, OP_COLUMN.idActor, rows, actorFormat, 'op actor'), rows) !== author) {
    refuse('actor', 'operation of another actor')
  }
  const ops = readOpTable(opColumns, rows, actors, author, LAYOUT, limits)
  return { actor: actors[author] as string, members, ops, rowByCounter: readPermutation(opColumns, rows) }
}

function readMembers(
  columns: Columns,
  count: number,
  external: readonly string[],
  limits: GuardLimits,
): BundleMember[] {
  const seq = required(columns, CHANGE_COLUMN.seq, count, { ...DELTA, nullable: false }, 'seq')
  const startOp = required(columns, CHANGE_COLUMN.startOp, count, { ...DELTA, nullable: false }, 'first op')
  const maxOp = required(columns, CHANGE_COLUMN.maxOp, count, { ...DELTA, nullable: false }, 'last op')
  const timeColumn = columns.get(CHANGE_COLUMN.time) ?? refuse('columns', 'time')
  const time = decodeNumbers(timeColumn, new Float64Array(count), TIME)
  const messageColumn = columns.get(CHANGE_COLUMN.message) ?? refuse('columns', 'message')
  const message = decodeTexts(messageColumn, count, limits.maxMessageBytes, true)
  const dependencyCount = required(
    columns,
    CHANGE_COLUMN.dependencyCount,
    count,
    { delta: false, nullable: false, min: 0, max: limits.maxDependencies },
    'dependency counts',
  )
  let total = 0
  for (const each of dependencyCount) total += each
  // A change depends on few others; without a bound, a run of counts would let the next column expand.
  if (total > count + limits.maxDependencies) refuse('too-many-dependencies', 'dependencies')
  const dependency = required(columns, CHANGE_COLUMN.dependency, total, { ...DELTA, nullable: false }, 'dependencies')
  const extra = required(
    columns,
    CHANGE_COLUMN.extraCount,
    count,
    { delta: false, nullable: false, min: 0, max: MAX_COUNTER },
    'extra',
  )
  if (extra.some(length => length !== 0)) refuse('extra', 'bytes in a change')

  const members: BundleMember[] = []
  // The change that last mentioned each outside dependency: one is mentioned once per change.
  const mentionedBy = new Int32Array(external.length).fill(-1)
  let position = 0
  let seen = 0
  for (let i = 0; i < count; i++) {
    const first = startOp[i] as number
    const opCount = (maxOp[i] as number) - first + 1
    if (first < 1 || opCount < 0) refuse('counter', 'out of range')
    const dependencies: string[] = []
    let previousAt = -1
    const end = position + (dependencyCount[i] as number)
    for (; position < end; position++) {
      const index = dependency[position] as number
      if (index < count) {
        // All are of one author, so that the one before has all earlier ones in its past.
        if (index !== i - 1 || previousAt >= 0) refuse('previous', 'not the change before')
        previousAt = dependencies.length
        continue
      }
      // Outside dependencies are listed in the order in which changes first mention them.
      const outside = index - count
      if (outside > seen || outside >= external.length) refuse('dependencies', 'out of order')
      if (mentionedBy[outside] === i) refuse('dependencies', 'listed twice')
      if (outside === seen) seen++
      mentionedBy[outside] = i
      dependencies.push(external[outside] as string)
    }
    if (previousAt < 0 && i > 0) refuse('previous', 'not a dependency')
    const text = message.index[i] as number
    if (text !== NULL && message.values[text] === '') refuse('encoding', 'empty message')
    members.push({
      seq: seq[i] as number,
      startOp: first,
      opCount,
      time: time[i] as number,
      message: text === NULL ? NO_MESSAGE : toUtf8(message.values[text] as string),
      dependencies,
      previousAt,
    })
  }
  if (seen !== external.length) refuse('dependencies', 'not mentioned')
  return members
}

/** The one value that a column repeats. */
function onlyValue(column: Int32Array, rows: number): number {
  const value = column[0] as number
  for (let i = 1; i < rows; i++) if (column[i] !== value) refuse('actor', 'changes of several actors')
  return value
}

function readPermutation(columns: Columns, rows: number): Int32Array {
  const permutation = required(
    columns,
    OP_COLUMN.rowByCounter,
    rows,
    { delta: true, nullable: false, min: 0, max: Math.max(0, rows - 1) },
    'row numbers',
  )
  const taken = new Uint8Array(rows)
  for (const row of permutation) {
    if (taken[row] === 1) refuse('permutation', 'row twice')
    taken[row] = 1
  }
  return permutation
}
