import { SealogError } from '../errors.ts'
import { assertBytes } from './checks.ts'

const MARK = 0x80
const SHORTEST = 32
const LONGEST = 2 ** 30

/**
 * Padmé (PURBs, PoPETs 2019(4), §4): keeps the ⌊log₂ ⌊log₂ L⌋⌋ + 1 highest bits of a length after the leading one and
 * rounds up the rest. A length then gives away O(log log L) bits of itself, for at most 12 % more bytes.
 * @param length 1 … 2³⁰
 */
export function padme(length: number): number {
  if (!Number.isInteger(length) || length < 1 || length > LONGEST) throw new TypeError('length: expected 1 to 2^30')
  const exponent = floorLog2(length)
  if (exponent === 0) return length
  const unit = 2 ** (exponent - floorLog2(exponent) - 1)
  return Math.ceil(length / unit) * unit
}

/** Bytes that `pad` makes of a payload of `length` bytes: Padmé of payload and mark, at least 32. */
export function paddedLength(length: number): number {
  return Math.max(SHORTEST, padme(length + 1))
}

/** payload ‖ 0x80 ‖ zeros, up to `paddedLength`. @throws TypeError */
export function pad(payload: Uint8Array): Uint8Array {
  return padTo(payload, paddedLength)
}

/**
 * The payload of what `pad` made, as a view of `padded`. Every payload has one padding: any other is refused, so a
 * sender cannot choose how long its ciphertexts are.
 * @throws SealogError ERR_OPEN
 */
export function unpad(padded: Uint8Array): Uint8Array {
  return unpadFrom(padded, paddedLength)
}

function blockLength(length: number): number {
  return (Math.floor(length / SHORTEST) + 1) * SHORTEST
}

/** payload ‖ 0x80 ‖ zeros, up to the next multiple of 32: for texts that are short and alike. @throws TypeError */
export function padBlocks(payload: Uint8Array): Uint8Array {
  return padTo(payload, blockLength)
}

/** The payload of what `padBlocks` made, as a view of `padded`. @throws SealogError ERR_OPEN */
export function unpadBlocks(padded: Uint8Array): Uint8Array {
  return unpadFrom(padded, blockLength)
}

function padTo(payload: Uint8Array, lengthOf: (length: number) => number): Uint8Array {
  assertBytes(payload, 'payload')
  const out = new Uint8Array(lengthOf(payload.length))
  out.set(payload)
  out[payload.length] = MARK
  return out
}

function unpadFrom(padded: Uint8Array, lengthOf: (length: number) => number): Uint8Array {
  assertBytes(padded, 'padded')
  let end = padded.length - 1
  while (end >= 0 && padded[end] === 0) end--
  if (end < 0 || padded[end] !== MARK || lengthOf(end) !== padded.length) {
    throw new SealogError('ERR_OPEN', 'padding is not the one the payload has')
  }
  return padded.subarray(0, end)
}

function floorLog2(value: number): number {
  return 31 - Math.clz32(value)
}
