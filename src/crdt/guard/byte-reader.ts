import { refuse } from './rules.ts'

/**
 * A position in hostile bytes. Every read is bounds-checked and refuses an integer with a shorter spelling, because
 * Automerge writes each value in exactly one way and hashes what it would write.
 */
export class ByteReader {
  readonly bytes: Uint8Array
  position = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get done(): boolean {
    return this.position >= this.bytes.length
  }

  /** The next `length` bytes, as a view. @throws SealogError ERR_GUARD truncated */
  take(length: number): Uint8Array {
    const end = this.position + length
    if (end > this.bytes.length) refuse('truncated', `${length} bytes wanted`)
    const view = this.bytes.subarray(this.position, end)
    this.position = end
    return view
  }

  byte(): number {
    if (this.position >= this.bytes.length) refuse('truncated', 'one byte wanted')
    return this.bytes[this.position++] as number
  }

  /** Unsigned LEB128 up to `max` (at most 2⁵³−1). @throws SealogError ERR_GUARD truncated, integer */
  uint(max: number = Number.MAX_SAFE_INTEGER): number {
    let byte = this.byte()
    if (byte < 0x80) {
      if (byte > max) refuse('integer', 'out of range')
      return byte
    }
    let value = byte & 0x7f
    let scale = 128
    do {
      byte = this.byte()
      value += (byte & 0x7f) * scale
      scale *= 128
      if (value > max || scale > 2 ** 63) refuse('integer', 'out of range')
    } while (byte >= 0x80)
    if (byte === 0) refuse('integer', 'not minimal')
    return value
  }

  /** Signed LEB128 within ±(2⁵³−1). @throws SealogError ERR_GUARD truncated, integer */
  int(): number {
    let byte = this.byte()
    if (byte < 0x80) return byte < 0x40 ? byte : byte - 0x80
    let value = byte & 0x7f
    let scale = 128
    let before: number
    do {
      before = byte
      byte = this.byte()
      if (scale > 2 ** 56) refuse('integer', 'out of range')
      // The last group bears the sign, so that no sum on the way exceeds what is exact.
      value += (byte >= 0x80 ? byte & 0x7f : byte < 0x40 ? byte : byte - 0x80) * scale
      scale *= 128
    } while (byte >= 0x80)
    const isPadded = (byte === 0 && (before & 0x40) === 0) || (byte === 0x7f && (before & 0x40) !== 0)
    if (isPadded) refuse('integer', 'not minimal')
    if (!Number.isSafeInteger(value)) refuse('integer', 'out of range')
    return value
  }
}

/**
 * Are these bytes one minimal LEB128 integer of at most 64 bits? Used where the value itself does not matter.
 */
export function isLeb128(bytes: Uint8Array, start: number, end: number, signed: boolean): boolean {
  const length = end - start
  if (length < 1 || length > 10) return false
  for (let i = start; i < end - 1; i++) if ((bytes[i] as number) < 0x80) return false
  const last = bytes[end - 1] as number
  if (last >= 0x80) return false
  if (length === 10 && last !== 0 && last !== (signed ? 0x7f : 0x01)) return false
  if (length === 1) return true
  const before = bytes[end - 2] as number
  if (!signed) return last !== 0
  return !(last === 0 && (before & 0x40) === 0) && !(last === 0x7f && (before & 0x40) !== 0)
}
