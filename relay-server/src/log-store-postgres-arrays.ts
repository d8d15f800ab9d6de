/** OID of `bytea`. */
const BYTEA = 17

/**
 * A `bytea[]` in PostgreSQL's binary format (src/backend/utils/adt/arrayfuncs.c, `array_recv`): number of dimensions,
 * whether there are nulls, type of the elements; length and lower bound of the one dimension; then each element after
 * its length, −1 for null. The text format would take twice the room, and be parsed on both sides.
 */
export function bytesArray(items: readonly (Uint8Array | undefined)[]): Buffer {
  const length = items.reduce((sum, item) => sum + 4 + (item?.length ?? 0), 20)
  const encoded = Buffer.allocUnsafe(length)
  // No dimension is the only form of an empty array.
  encoded.writeInt32BE(items.length === 0 ? 0 : 1, 0)
  encoded.writeInt32BE(1, 4)
  encoded.writeInt32BE(BYTEA, 8)
  if (items.length === 0) return encoded.subarray(0, 12)
  encoded.writeInt32BE(items.length, 12)
  encoded.writeInt32BE(1, 16)
  let offset = 20
  for (const item of items) {
    encoded.writeInt32BE(item?.length ?? -1, offset)
    offset += 4
    if (item === undefined) continue
    encoded.set(item, offset)
    offset += item.length
  }
  return encoded
}

/** An array of numbers or truth values in the text format. */
export function plainArray(items: readonly (number | boolean)[]): string {
  return `{${items.join(',')}}`
}
