import type { Durability, StoreBatch } from './store.ts'
import { MAX_KEY_LENGTH, MAX_VALUE_LENGTH } from './store.ts'

/** Bytes in a buffer of exactly their length, which nobody else holds. */
export type OwnBytes = Uint8Array<ArrayBuffer>

/** A batch that was checked and copied. */
export interface OwnBatch {
  readonly puts: readonly (readonly [key: OwnBytes, value: OwnBytes])[]
  readonly deletes: readonly OwnBytes[]
  readonly durability: Durability
}

/** @throws TypeError */
export function ownKey(key: Uint8Array, argument: string): OwnBytes {
  return own(key, 1, MAX_KEY_LENGTH, argument)
}

/** @throws TypeError */
export function ownPrefix(prefix: Uint8Array, argument: string): OwnBytes {
  return own(prefix, 0, MAX_KEY_LENGTH, argument)
}

/** @throws TypeError */
export function ownBatch(batch: StoreBatch): OwnBatch {
  if (typeof batch !== 'object' || batch === null) throw new TypeError('batch: expected an object')
  const { puts, deletes, durability = 'strict' } = batch
  if (!Array.isArray(puts)) throw new TypeError('batch.puts: expected an array')
  if (!Array.isArray(deletes)) throw new TypeError('batch.deletes: expected an array')
  if (durability !== 'strict' && durability !== 'relaxed') {
    throw new TypeError("batch.durability: expected 'strict' or 'relaxed'")
  }
  const own: OwnBatch = { puts: puts.map(ownRow), deletes: deletes.map(ownDelete), durability }
  refuseOverlap(own)
  return own
}

/** The bytes as a string that is equal, and sorts, exactly as they do. For short keys. */
export function keyText(key: Uint8Array): string {
  return String.fromCharCode(...key)
}

/**
 * Where the keys that start with `prefix` end: the least byte string above all of them.
 * @returns undefined if there is none, because `prefix` is empty or all 0xff
 */
export function prefixEnd(prefix: Uint8Array): OwnBytes | undefined {
  let length = prefix.length
  while (length > 0 && prefix[length - 1] === 0xff) length--
  if (length === 0) return undefined
  const end = new Uint8Array(prefix.subarray(0, length))
  end[length - 1] = (end[length - 1] as number) + 1
  return end
}

function ownRow(row: unknown, index: number): readonly [OwnBytes, OwnBytes] {
  const argument = `batch.puts[${index}]`
  if (!Array.isArray(row) || row.length !== 2) throw new TypeError(`${argument}: expected a key and a value`)
  return [ownKey(row[0], `${argument} key`), own(row[1], 0, MAX_VALUE_LENGTH, `${argument} value`)]
}

function ownDelete(key: Uint8Array, index: number): OwnBytes {
  return ownKey(key, `batch.deletes[${index}]`)
}

function own(bytes: Uint8Array, least: number, most: number, argument: string): OwnBytes {
  if (!(bytes instanceof Uint8Array) || bytes.length < least || bytes.length > most) {
    throw new TypeError(`${argument}: expected a Uint8Array of ${least} to ${most} bytes`)
  }
  // The constructor copies; `slice` would not, on a subclass (Node's own) that redefines it as a view.
  return new Uint8Array(bytes)
}

function refuseOverlap({ puts, deletes }: OwnBatch): void {
  if (puts.length === 0 || deletes.length === 0) return
  const deleted = new Set(deletes.map(keyText))
  for (const [index, [key]] of puts.entries()) {
    if (deleted.has(keyText(key))) throw new TypeError(`batch.puts[${index}] key: stands in batch.deletes too`)
  }
}
