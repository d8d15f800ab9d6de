import { ByteReader } from './byte-reader.ts'
import { inflate } from './inflate.ts'
import type { GuardReason } from './rules.ts'
import { refuse } from './rules.ts'
import { decodeText } from './utf8.ts'

/**
 * Automerge's columns: a table of (specification, byte length) pairs, then the bytes. A specification is
 * `id << 4 | deflated << 3 | type`. Each decoder below takes the expected number of rows, so that nothing expands
 * beyond a count that was checked before, and refuses every encoding but the one that Automerge itself writes.
 */
export type Columns = ReadonlyMap<number, Uint8Array>

const DEFLATED = 0b1000

/** What may still be inflated; shared by all columns of one inspection. */
export interface InflateBudget {
  remaining: number
}

/** One entry of a column table. */
interface ColumnEntry {
  readonly specification: number
  readonly deflated: boolean
  readonly length: number
}

/**
 * A column table: known specifications only, ascending, each at most once, none empty.
 * @param mayDeflate bundles and documents deflate long columns, changes never do
 */
export function readColumnTable(
  reader: ByteReader,
  known: ReadonlySet<number>,
  mayDeflate: boolean,
): readonly ColumnEntry[] {
  const count = reader.uint()
  if (count > known.size) refuse('columns', 'more columns than there are')
  const entries: ColumnEntry[] = []
  let last = -1
  for (let i = 0; i < count; i++) {
    const raw = reader.uint()
    const deflated = (raw & DEFLATED) !== 0
    const specification = deflated ? raw - DEFLATED : raw
    if (!known.has(specification) || (deflated && !mayDeflate)) refuse('columns', 'unknown column')
    if (specification <= last) refuse('columns', 'columns out of order')
    last = specification
    const length = reader.uint()
    if (length === 0) refuse('columns', 'empty column')
    entries.push({ specification, deflated, length })
  }
  return entries
}

/** The columns' bytes, which follow the table, or tables, one after the other. */
export function readColumnData(reader: ByteReader, table: readonly ColumnEntry[], budget: InflateBudget): Columns {
  const columns = new Map<number, Uint8Array>()
  for (const { specification, deflated, length } of table) {
    let bytes = reader.take(length)
    if (deflated) {
      bytes = inflate(bytes, budget.remaining)
      budget.remaining -= bytes.length
      if (bytes.length === 0) refuse('columns', 'empty column')
    }
    columns.set(specification, bytes)
  }
  return columns
}

/** How the numbers of a column are written, and which are acceptable. */
export interface NumberFormat {
  /** Each number is written as the difference to the one before. */
  readonly delta: boolean
  readonly nullable: boolean
  readonly min: number
  readonly max: number
}

/** What stands for null in a decoded column of numbers, all of which are otherwise 0 or more. */
export const NULL = -1

/** How many rows a run-length encoded column of unsigned integers has, without expanding any run. */
export function countRows(column: Uint8Array | undefined, limit: number, reason: GuardReason): number {
  if (column === undefined) return 0
  const reader = new ByteReader(column)
  let rows = 0
  while (!reader.done) {
    const count = reader.int()
    if (count > 0) reader.uint()
    const length = count === 0 ? reader.uint() : Math.abs(count)
    rows += length
    if (rows > limit) refuse(reason, 'rows')
    if (count < 0) for (let i = 0; i < length; i++) reader.uint()
  }
  return rows
}

/** Fills `out`, one number a row. @throws SealogError ERR_GUARD rows, encoding, integer, truncated */
export function decodeNumbers<T extends Int32Array | Float64Array>(
  column: Uint8Array,
  out: T,
  format: NumberFormat,
): T {
  const { delta, nullable, min, max } = format
  const rows = out.length
  const reader = new ByteReader(column)
  let row = 0
  let absolute = 0
  // The written number just before this run, if there is none in between; what continues it should have been in its run.
  let before = Number.NaN
  let afterLiteral = false
  let afterNull = false
  let nulls = 0
  while (!reader.done) {
    const count = reader.int()
    if (count > 0) {
      if (count === 1) refuse('encoding', 'run of one')
      const raw = delta ? reader.int() : reader.uint()
      if (raw === before) refuse('encoding', 'run continues')
      if (row + count > rows) refuse('rows', 'too many')
      for (let i = 0; i < count; i++) {
        absolute = delta ? absolute + raw : raw
        if (absolute < min || absolute > max) refuse('integer', 'out of range')
        out[row++] = absolute
      }
      before = raw
      afterLiteral = false
      afterNull = false
    } else if (count < 0) {
      if (afterLiteral) refuse('encoding', 'run continues')
      if (row - count > rows) refuse('rows', 'too many')
      for (let i = count; i < 0; i++) {
        const raw = delta ? reader.int() : reader.uint()
        if (raw === before) refuse('encoding', 'run continues')
        before = raw
        absolute = delta ? absolute + raw : raw
        if (absolute < min || absolute > max) refuse('integer', 'out of range')
        out[row++] = absolute
      }
      afterLiteral = true
      afterNull = false
    } else {
      const length = reader.uint()
      if (!nullable) refuse('encoding', 'null')
      if (length === 0 || afterNull) refuse('encoding', 'run continues')
      if (row + length > rows) refuse('rows', 'too many')
      out.fill(NULL, row, row + length)
      row += length
      nulls += length
      before = Number.NaN
      afterLiteral = false
      afterNull = true
    }
  }
  if (row !== rows) refuse('rows', 'too few')
  // A column of nulls alone is left out.
  if (nullable && nulls === rows) refuse('encoding', 'nothing but null')
  return out
}

/** Fills `out` with 0 and 1: alternating run lengths, beginning with false. @throws SealogError ERR_GUARD */
export function decodeBooleans(column: Uint8Array, out: Uint8Array): Uint8Array {
  const rows = out.length
  const reader = new ByteReader(column)
  let row = 0
  let value = 0
  let first = true
  while (!reader.done) {
    const count = reader.uint()
    if (count === 0 && (!first || reader.done)) refuse('encoding', 'run continues')
    if (row + count > rows) refuse('rows', 'too many')
    if (value === 1) out.fill(1, row, row + count)
    row += count
    value = 1 - value
    first = false
  }
  if (row !== rows) refuse('rows', 'too few')
  return out
}

/** Texts of a column: `values[index[row]]`, null where the index is `NULL`. A run of one text is stored once. */
export interface TextColumn {
  readonly index: Int32Array
  readonly values: readonly string[]
}

/**
 * @param maxBytes UTF-8 bytes of one text
 * @param mayBeAllNull bundles write the messages of their changes even where there are none
 * @throws SealogError ERR_GUARD
 */
export function decodeTexts(
  column: Uint8Array,
  rows: number,
  maxBytes: number,
  mayBeAllNull: boolean = false,
): TextColumn {
  const index = new Int32Array(rows)
  const values: string[] = []
  const reader = new ByteReader(column)
  let row = 0
  let before: string | undefined
  let afterLiteral = false
  let afterNull = false
  while (!reader.done) {
    const count = reader.int()
    if (count === 0) {
      const length = reader.uint()
      if (length === 0 || afterNull) refuse('encoding', 'run continues')
      if (row + length > rows) refuse('rows', 'too many')
      index.fill(NULL, row, row + length)
      row += length
      before = undefined
      afterLiteral = false
      afterNull = true
      continue
    }
    if (count === 1) refuse('encoding', 'run of one')
    if (count < 0 && afterLiteral) refuse('encoding', 'run continues')
    if (row + Math.abs(count) > rows) refuse('rows', 'too many')
    for (let i = count < 0 ? count : -1; i < 0; i++) {
      const length = reader.uint()
      if (length > maxBytes) refuse('key-length', 'text too long')
      const text = decodeText(reader.take(length))
      if (text === before) refuse('encoding', 'run continues')
      before = text
      const repeat = count < 0 ? 1 : count
      index.fill(values.length, row, row + repeat)
      values.push(text)
      row += repeat
    }
    afterLiteral = count < 0
    afterNull = false
  }
  if (row !== rows) refuse('rows', 'too few')
  if (values.length === 0 && !mayBeAllNull) refuse('encoding', 'nothing but null')
  return { index, values }
}
