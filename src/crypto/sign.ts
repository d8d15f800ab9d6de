import { ed25519 } from '@noble/curves/ed25519.js'
import { sha512 } from '@noble/hashes/sha2.js'
import { concat, equalBytes, toHex } from '../bytes.ts'
import type { Random } from '../environment.ts'
import { SealogError } from '../errors.ts'
import { type BoundedCache, boundedCache } from './bounded-cache.ts'
import { assertBytes } from './checks.ts'

/*
 * Ed25519 (RFC 8032 §5.1) with one verdict for every input on every runtime (DESIGN §3). RFC 8032 leaves room:
 * implementations differ on cofactors, on encodings that are not canonical and on keys of small order, and a replica
 * that accepts what another refuses is a fork. So the rule is fixed here and this file is its reference:
 *
 *  1. the public key is admissible: a canonical encoding of a point of prime order (neither the identity nor a point
 *     with a torsion component);
 *  2. the signature has 64 bytes, R ‖ S, and S as a little-endian integer is less than the group order L;
 *  3. [S]B − [h]A, h = SHA-512(R ‖ A ‖ message) mod L, encodes to exactly the bytes of R (cofactorless; R is never
 *     decoded).
 */

export const PUBLIC_KEY_LENGTH = 32
export const SEED_LENGTH = 32
export const SIGNATURE_LENGTH = 64

/** One question to a verifier. Any byte lengths may be asked about; wrong ones get the answer `false`. */
export interface SignatureCheck {
  /** Ed25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array
  readonly message: Uint8Array
  /** R ‖ S, 64 bytes. */
  readonly signature: Uint8Array
}

/** Verdicts are those of `verifySync`, whatever the backend; it never rejects because of what it is asked about. */
export interface SignatureVerifier {
  readonly backend: 'webcrypto' | 'node' | 'noble'
  verify(check: SignatureCheck): Promise<boolean>
  /** One verdict per check, in the same order. */
  verifyAll(checks: readonly SignatureCheck[]): Promise<readonly boolean[]>
}

/** One device's secret signing key; the secret itself is not readable. */
export interface SigningKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** The deterministic signature of RFC 8032 §5.1.6. @returns 64 bytes */
  sign(message: Uint8Array): Promise<Uint8Array>
}

const { Point } = ed25519
const { BASE, Fn } = Point
type EdwardsPoint = typeof BASE

/** `null`: not admissible. Checking a key costs more than verifying a signature, and the same keys come back. */
const points: BoundedCache<EdwardsPoint | null> = boundedCache(4096)

function admissiblePoint(publicKey: Uint8Array): EdwardsPoint | null {
  assertBytes(publicKey, 'publicKey')
  if (publicKey.length !== PUBLIC_KEY_LENGTH) return null
  return points.get(toHex(publicKey), () => decodeAdmissible(publicKey))
}

function decodeAdmissible(publicKey: Uint8Array): EdwardsPoint | null {
  let point: EdwardsPoint
  try {
    point = Point.fromBytes(publicKey)
  } catch {
    return null
  }
  const canonical = equalBytes(point.toBytes(), publicKey)
  return canonical && !point.is0() && point.isTorsionFree() ? point : null
}

/**
 * May this be the signing key of a device? True for a canonical encoding of a point of prime order: on the curve,
 * torsion-free, not the identity (DESIGN §3). Such keys leave implementations nothing to disagree on but R and S.
 */
export function isAdmissibleKey(publicKey: Uint8Array): boolean {
  return admissiblePoint(publicKey) !== null
}

/** @throws SealogError ERR_KEY where `isAdmissibleKey` is false */
export function assertAdmissibleKey(publicKey: Uint8Array): void {
  if (!isAdmissibleKey(publicKey)) throw new SealogError('ERR_KEY', 'not an admissible Ed25519 public key')
}

/** Parts 1 and 2 of the rule: everything that can be said without the message. */
export function isWellFormedCheck(check: SignatureCheck): boolean {
  assertBytes(check.message, 'message')
  assertBytes(check.signature, 'signature')
  return (
    check.signature.length === SIGNATURE_LENGTH &&
    Fn.isValid(littleEndian(check.signature.subarray(32))) &&
    isAdmissibleKey(check.publicKey)
  )
}

/** The rule at the top of this file; 1 to 2 ms. @throws TypeError for what is not bytes */
export function verifySync(check: SignatureCheck): boolean {
  if (!isWellFormedCheck(check)) return false
  const { publicKey, message, signature } = check
  const point = admissiblePoint(publicKey) as EdwardsPoint
  const r = signature.subarray(0, 32)
  const s = littleEndian(signature.subarray(32))
  const h = Fn.create(littleEndian(sha512(concat(r, publicKey, message))))
  return equalBytes(BASE.multiplyUnsafe(s).subtract(point.multiplyUnsafe(h)).toBytes(), r)
}

/** `verifySync` as a verifier: the backend that exists everywhere. */
export const nobleVerifier: SignatureVerifier = {
  backend: 'noble',
  verify: async check => verifySync(check),
  verifyAll: async checks => checks.map(verifySync),
}

/** 32 fresh bytes, the secret of RFC 8032 §5.1.5. @throws TypeError when `random` returns another length */
export function generateSeed(random: Random): Uint8Array {
  const seed = random(SEED_LENGTH)
  assertBytes(seed, 'random', SEED_LENGTH)
  return seed
}

/** RFC 8032 §5.1.5. @param seed 32 bytes @returns 32 bytes @throws TypeError */
export function publicKeyOf(seed: Uint8Array): Uint8Array {
  assertBytes(seed, 'seed', SEED_LENGTH)
  return ed25519.getPublicKey(seed)
}

/** RFC 8032 §5.1.6. @param seed 32 bytes @returns 64 bytes @throws TypeError */
export function signSync(seed: Uint8Array, message: Uint8Array): Uint8Array {
  assertBytes(seed, 'seed', SEED_LENGTH)
  assertBytes(message, 'message')
  return ed25519.sign(message, seed)
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes.slice().reverse())}`)
}
