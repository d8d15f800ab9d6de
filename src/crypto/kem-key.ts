import { fromHex, toHex } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { assertBytes } from './checks.ts'

/** X-Wing encapsulation key: ML-KEM-768 (1,184 bytes) ‖ X25519 (32 bytes). */
export const KEM_PUBLIC_KEY_LENGTH = 1216

const X25519_START = 1184
/** 768 coefficients of 12 bits; the 32 bytes behind them are a seed, of which every value is good. */
const COEFFICIENT_BYTES = 1152
const MLKEM_Q = 3329

/** 2²⁵⁵ − 19, little-endian. */
const FIELD_PRIME: Uint8Array = fromHex(`ed${'ff'.repeat(30)}7f`)

/** The u-coordinates of order 1, 2, 4 and 8 on the curve and its twist (RFC 7748 §6.1), in canonical encoding. */
const LOW_ORDER: ReadonlySet<string> = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  `ec${'ff'.repeat(30)}7f`,
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
])

/**
 * May this be the KEM key of a device? True iff it has 1,216 bytes, every ML-KEM coefficient is below q (the
 * encapsulation-key check of FIPS 203 §7.2), and the X25519 part is canonical (below p) and not of low order. A key
 * then has one encoding, which is what "never admitted twice" needs; and a wrap for it depends on both halves.
 *
 * Public bytes only: this file holds no secret and may be used by verifiers and relays.
 */
export function isValidKemKey(publicKey: Uint8Array): boolean {
  assertBytes(publicKey, 'publicKey')
  if (publicKey.length !== KEM_PUBLIC_KEY_LENGTH) return false
  for (let i = 0; i < COEFFICIENT_BYTES; i += 3) {
    const packed = at(publicKey, i) | (at(publicKey, i + 1) << 8) | (at(publicKey, i + 2) << 16)
    if ((packed & 0xfff) >= MLKEM_Q || packed >>> 12 >= MLKEM_Q) return false
  }
  const u = publicKey.subarray(X25519_START)
  return isBelow(u, FIELD_PRIME) && !LOW_ORDER.has(toHex(u))
}

/** @throws SealogError ERR_KEY where `isValidKemKey` is false; TypeError for what is not bytes */
export function assertValidKemKey(publicKey: Uint8Array): void {
  if (!isValidKemKey(publicKey)) throw new SealogError('ERR_KEY', 'not a valid X-Wing public key')
}

/** a < b as little-endian integers of the same length. */
function isBelow(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = a.length - 1; i >= 0; i--) if (at(a, i) !== at(b, i)) return at(a, i) < at(b, i)
  return false
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] as number
}
