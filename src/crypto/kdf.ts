import { hkdf as nobleHkdf } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concat, toUtf8 } from '../bytes.ts'
import { assertBytes, assertUint } from './checks.ts'

/** What a derived key is for. No two uses share a label, so no two uses share a key. */
export type Label = `sealog/v1/${string}`

const LABEL = /^sealog\/v1\/[a-z0-9-]+$/
/** RFC 5869 §2.3: 255 blocks of SHA-256. */
const LONGEST_OUTPUT = 255 * 32

/**
 * HKDF-SHA256 (RFC 5869) without salt: `ikm` is always a uniform secret of at least 32 bytes here, and what it is
 * bound to goes into `info` = UTF-8(label) ‖ 0x00 ‖ parts.
 *
 * One `info` has one meaning because a label contains no zero byte and fixes how many parts follow and how long each
 * is: a caller passes parts of fixed length only, and hashes what has no fixed length (`sha256`) or puts its length
 * in front (`uint64`).
 *
 * @param length of the output in bytes, 1 … 8,160
 * @throws TypeError
 */
export function hkdf(ikm: Uint8Array, label: Label, parts: readonly Uint8Array[], length: number): Uint8Array {
  assertBytes(ikm, 'ikm')
  if (ikm.length < 32) throw new TypeError(`ikm: expected at least 32 bytes, got ${ikm.length}`)
  if (!LABEL.test(label)) throw new TypeError('label: expected sealog/v1/ and lower-case letters, digits or hyphens')
  for (const [i, part] of parts.entries()) assertBytes(part, `parts[${i}]`)
  if (!Number.isInteger(length) || length < 1 || length > LONGEST_OUTPUT) {
    throw new TypeError(`length: expected 1 to ${LONGEST_OUTPUT}`)
  }
  return nobleHkdf(sha256, ikm, undefined, concat(toUtf8(`${label}\0`), ...parts), length)
}

/** HMAC-SHA256 (RFC 2104). @returns 32 bytes @throws TypeError */
export function hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
  assertBytes(key, 'key')
  assertBytes(message, 'message')
  return hmac(sha256, key, message)
}

/** An integer 0 … 2⁵³−1 as 8 bytes, big-endian: how numbers stand in derivations. @throws TypeError */
export function uint64(value: number): Uint8Array {
  assertUint(value, 'value')
  const out = new Uint8Array(8)
  new DataView(out.buffer).setBigUint64(0, BigInt(value))
  return out
}
