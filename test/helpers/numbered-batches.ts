import { compareBytes } from '../../src/bytes.ts'
import type { StoreBatch, StoreRow } from '../../src/crdt/store.ts'

// An endless sequence of batches, of which each says by its number alone what it puts and deletes.

export const COUNTER_KEY: Uint8Array = Uint8Array.of(0)
/** A batch deletes the rows of the one so many before it. */
const KEPT = 8

export function numberedBatch(number: number): StoreBatch {
  return {
    puts: [[COUNTER_KEY, writeNumber(number)], ...rowsOf(number)],
    deletes: rowsOf(number - KEPT).map(([key]) => key),
    durability: number % 3 === 0 ? 'relaxed' : 'strict',
  }
}

/** All that a store holds after batches 1 … `last`, in order. */
export function rowsAfter(last: number): readonly StoreRow[] {
  if (last === 0) return []
  const rows: StoreRow[] = [[COUNTER_KEY, writeNumber(last)]]
  for (let number = last - KEPT + 1; number <= last; number++) rows.push(...rowsOf(number))
  return rows.sort(([a], [b]) => compareBytes(a, b))
}

export function readNumber(bytes: Uint8Array | undefined): number {
  return bytes === undefined ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
}

function rowsOf(number: number): readonly StoreRow[] {
  if (number < 1) return []
  const length = number % 5 === 0 ? 60_000 : 300
  return Array.from({ length: 1 + (number % 7) }, (_, i) => [
    Uint8Array.of(1, ...writeNumber(number), i),
    new Uint8Array(length).fill(number + i),
  ])
}

function writeNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}
