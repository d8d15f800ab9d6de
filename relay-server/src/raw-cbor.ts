import { type Cbor, concat, encodeCbor } from 'sealog/protocol'

/** CBOR items with integers that no honest encoder writes. */
export type RawCbor = number | bigint | string | Uint8Array | readonly RawCbor[]

/** Deterministic (RFC 8949 §4.2.1) for integers up to 2⁶⁴−1. */
export function encodeRaw(item: RawCbor): Uint8Array {
  if (typeof item === 'bigint') return item <= Number.MAX_SAFE_INTEGER ? encodeCbor(Number(item)) : encodeLong(item)
  if (!isArray(item)) return encodeCbor(item as Cbor)
  // The head of an array of so many items: that of an array of so many zeros, which take a byte each.
  const blank = encodeCbor(item.map(() => 0))
  return concat(blank.subarray(0, blank.length - item.length), ...item.map(encodeRaw))
}

function encodeLong(value: bigint): Uint8Array {
  const bytes = new Uint8Array(9)
  bytes[0] = 0x1b
  new DataView(bytes.buffer).setBigUint64(1, value)
  return bytes
}

function isArray(item: RawCbor): item is readonly RawCbor[] {
  return Array.isArray(item)
}
