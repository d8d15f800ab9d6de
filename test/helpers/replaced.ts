import { concat, toUtf8 } from '../../src/bytes.ts'

/** The bytes with the first occurrence of one text replaced by another. */
export function replaced(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const wanted = toUtf8(from)
  const at = bytes.findIndex((_, i) => wanted.every((byte, j) => bytes[i + j] === byte))
  if (at < 0) throw new Error(`no ${from} in the bytes`)
  return concat(bytes.subarray(0, at), toUtf8(to), bytes.subarray(at + wanted.length))
}
