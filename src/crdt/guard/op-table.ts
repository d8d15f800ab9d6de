import { isLeb128 } from './byte-reader.ts'
import type { Columns, TextColumn } from './columns.ts'
import { decodeBooleans, decodeNumbers, decodeTexts, NULL } from './columns.ts'
import type { GuardLimits } from './rules.ts'
import { isDeniedKey, MAX_COUNTER, refuse } from './rules.ts'
import { isUtf8 } from './utf8.ts'

/** Column specifications of operations, `id << 4 | type`. */
export const OP_COLUMN = {
  objectActor: 0x01,
  /** In changes and documents. */
  objectCounter: 0x02,
  /** In bundles, where it is written as differences. */
  objectCounterDelta: 0x03,
  keyActor: 0x11,
  keyCounter: 0x13,
  keyText: 0x15,
  idActor: 0x21,
  idCounter: 0x23,
  insert: 0x34,
  action: 0x42,
  valueMeta: 0x56,
  value: 0x57,
  predecessorCount: 0x70,
  predecessorActor: 0x71,
  predecessorCounter: 0x73,
  successorCount: 0x80,
  successorActor: 0x81,
  successorCounter: 0x83,
  expand: 0x94,
  markName: 0xa5,
  /** In bundles: for each op in order of counters, its row. */
  rowByCounter: 0xb3,
} as const

export const ACTION = { makeMap: 0, set: 1, makeList: 2, delete: 3, makeText: 4, increment: 5, mark: 7 } as const
const LAST_ACTION = 7
/** A relic of Automerge 0.x, which 3.5.0 reads but keeps out of its index of objects, and panics when something refers to it. */
const MAKE_TABLE = 6

/** The low four bits of a value's metadata; the rest is its length in bytes. */
export const VALUE_TYPE = {
  null: 0,
  false: 1,
  true: 2,
  uint: 3,
  int: 4,
  float: 5,
  text: 6,
  bytes: 7,
  counter: 8,
  timestamp: 9,
} as const

/** The operations of one chunk, column by column, one row an op; every number is in range, nothing refers anywhere yet. */
export interface OpTable {
  readonly rows: number
  /** Hex; what the actor columns index. */
  readonly actors: readonly string[]
  /** Index of the author. */
  readonly author: number
  /** `NULL` for the root. */
  readonly objectActor: Int32Array
  readonly objectCounter: Int32Array
  readonly keyActor: Int32Array
  /** 0: before the first element; `NULL`: the key is a text. */
  readonly keyCounter: Int32Array
  readonly keyText: TextColumn
  readonly insert: Uint8Array
  readonly action: Int32Array
  readonly valueMeta: Int32Array
  /** `rows + 1` offsets into `value`. */
  readonly valueStart: Int32Array
  readonly value: Uint8Array
  /** `rows + 1` offsets into the predecessor columns. In a document these are successors. */
  readonly relatedStart: Int32Array
  readonly relatedActor: Int32Array
  readonly relatedCounter: Int32Array
  readonly expand: Uint8Array
  readonly markName: TextColumn
}

const NO_NUMBERS = new Int32Array(0)
const NO_BYTES = new Uint8Array(0)
const COUNTER = { delta: false, nullable: true, min: 1, max: MAX_COUNTER } as const
const ELEMENT = { delta: true, nullable: true, min: 0, max: MAX_COUNTER } as const

/** Which of the columns stand for "related" ops, and how objects are written. */
export interface OpLayout {
  readonly objectCounterDelta: boolean
  /** Documents list successors where changes and bundles list predecessors. */
  readonly successors: boolean
}

/**
 * Decodes and checks the columns of `rows` operations one by one.
 * @throws SealogError ERR_GUARD
 */
export function readOpTable(
  columns: Columns,
  rows: number,
  actors: readonly string[],
  author: number,
  layout: OpLayout,
  limits: GuardLimits,
): OpTable {
  const actor = { delta: false, nullable: true, min: 0, max: actors.length - 1 } as const
  const objectColumn = layout.objectCounterDelta ? OP_COLUMN.objectCounterDelta : OP_COLUMN.objectCounter
  const related = layout.successors
    ? [OP_COLUMN.successorCount, OP_COLUMN.successorActor, OP_COLUMN.successorCounter]
    : [OP_COLUMN.predecessorCount, OP_COLUMN.predecessorActor, OP_COLUMN.predecessorCounter]
  const [relatedCount = 0, relatedActor = 0, relatedCounter = 0] = related

  const action = required(
    columns,
    OP_COLUMN.action,
    rows,
    { delta: false, nullable: false, min: 0, max: LAST_ACTION },
    'action',
  )
  if (action.includes(MAKE_TABLE)) refuse('action', 'table')
  const keyText = texts(columns, OP_COLUMN.keyText, rows, limits)
  const markName = texts(columns, OP_COLUMN.markName, rows, limits)
  const valueMeta = required(
    columns,
    OP_COLUMN.valueMeta,
    rows,
    { delta: false, nullable: false, min: 0, max: MAX_COUNTER },
    'value',
  )
  const value = columns.get(OP_COLUMN.value) ?? NO_BYTES
  const relatedStart = offsets(columns.get(relatedCount), rows, limits.maxPredecessors)
  const relatedTotal = relatedStart[rows] as number
  const expand = columns.get(OP_COLUMN.expand)
  const expanded = new Uint8Array(rows)
  if (expand !== undefined && !decodeBooleans(expand, expanded).includes(1)) refuse('encoding', 'nothing but false')
  const insert = columns.get(OP_COLUMN.insert)
  if (insert === undefined && rows > 0) refuse('columns', 'insert')

  return {
    rows,
    actors,
    author,
    objectActor: optional(columns, OP_COLUMN.objectActor, rows, actor),
    objectCounter: optional(
      columns,
      objectColumn,
      rows,
      layout.objectCounterDelta ? { ...COUNTER, delta: true } : COUNTER,
    ),
    keyActor: optional(columns, OP_COLUMN.keyActor, rows, actor),
    keyCounter: optional(columns, OP_COLUMN.keyCounter, rows, ELEMENT),
    keyText,
    insert: insert === undefined ? NO_BYTES : decodeBooleans(insert, new Uint8Array(rows)),
    action,
    valueMeta,
    valueStart: checkValues(valueMeta, value),
    value,
    relatedStart,
    relatedActor: required(columns, relatedActor, relatedTotal, { ...actor, nullable: false }, 'predecessor actors'),
    relatedCounter: required(
      columns,
      relatedCounter,
      relatedTotal,
      { delta: true, nullable: false, min: 1, max: MAX_COUNTER },
      'predecessor counters',
    ),
    expand: expanded,
    markName,
  }
}

/** A column without nulls, which is there exactly if there are rows. */
export function required(
  columns: Columns,
  specification: number,
  rows: number,
  format: { delta: boolean; nullable: false; min: number; max: number },
  what: string,
): Int32Array {
  const column = columns.get(specification)
  if (column === undefined) return rows === 0 ? NO_NUMBERS : refuse('columns', what)
  return decodeNumbers(column, new Int32Array(rows), format)
}

function optional(
  columns: Columns,
  specification: number,
  rows: number,
  format: { delta: boolean; nullable: true; min: number; max: number },
): Int32Array {
  const column = columns.get(specification)
  if (column === undefined) return new Int32Array(rows).fill(NULL)
  return decodeNumbers(column, new Int32Array(rows), format)
}

function texts(columns: Columns, specification: number, rows: number, limits: GuardLimits): TextColumn {
  const column = columns.get(specification)
  if (column === undefined) return { index: new Int32Array(rows).fill(NULL), values: [] }
  const decoded = decodeTexts(column, rows, limits.maxKeyBytes)
  if (decoded.values.some(isDeniedKey)) refuse('denied-key', 'map key or mark name')
  return decoded
}

/** Turns a column of counts into `rows + 1` offsets. */
function offsets(column: Uint8Array | undefined, rows: number, limit: number): Int32Array {
  const starts = new Int32Array(rows + 1)
  if (column === undefined) return rows === 0 ? starts : refuse('columns', 'predecessor counts')
  const counts = decodeNumbers(column, new Int32Array(rows), { delta: false, nullable: false, min: 0, max: limit })
  let total = 0
  for (let row = 0; row < rows; row++) {
    total += counts[row] as number
    if (total > limit) refuse('too-many-predecessors', 'predecessors')
    starts[row + 1] = total
  }
  return starts
}

/** Every value has the length and form of its type, and together they are exactly the value bytes. */
function checkValues(meta: Int32Array, value: Uint8Array): Int32Array {
  const starts = new Int32Array(meta.length + 1)
  let start = 0
  for (let row = 0; row < meta.length; row++) {
    const end = start + ((meta[row] as number) >>> 4)
    if (end > value.length) refuse('value', 'past the end')
    if (!isValue((meta[row] as number) & 15, value, start, end)) refuse('value', 'malformed')
    starts[row + 1] = end
    start = end
  }
  if (start !== value.length) refuse('value', 'left over')
  return starts
}

function isValue(type: number, bytes: Uint8Array, start: number, end: number): boolean {
  switch (type) {
    case VALUE_TYPE.text:
      return isUtf8(bytes, start, end)
    case VALUE_TYPE.null:
    case VALUE_TYPE.false:
    case VALUE_TYPE.true:
      return start === end
    case VALUE_TYPE.uint:
      return isLeb128(bytes, start, end, false)
    case VALUE_TYPE.int:
    case VALUE_TYPE.counter:
    case VALUE_TYPE.timestamp:
      return isLeb128(bytes, start, end, true)
    case VALUE_TYPE.float:
      return end - start === 8 && !isSignallingNaN(bytes, start)
    case VALUE_TYPE.bytes:
      return true
    default:
      return false
  }
}

/** A signalling NaN may come out of a CPU as another NaN, and the change would have another hash. */
function isSignallingNaN(bytes: Uint8Array, start: number): boolean {
  const high = ((bytes[start + 7] as number) << 8) | (bytes[start + 6] as number)
  if ((high & 0x7ff0) !== 0x7ff0 || (high & 0x0008) !== 0) return false
  return (high & 0x0007) !== 0 || bytes.subarray(start, start + 6).some(byte => byte !== 0)
}
