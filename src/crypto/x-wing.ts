import { x25519 } from '@noble/curves/ed25519.js'
import { sha3_256, shake256 } from '@noble/hashes/sha3.js'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { concat, equalBytes } from '../bytes.ts'

/** ML-KEM-768 public key and ciphertext; what follows them is of X25519, 32 bytes. */
const LATTICE_KEY_LENGTH = 1184
const LATTICE_CIPHERTEXT_LENGTH = 1088
/** The ML-KEM part of coins and of an expanded seed. */
const LATTICE_COINS_LENGTH = 32
const LATTICE_SEED_LENGTH = 64
const EXPANDED_LENGTH = 96
/** `\.//^\`, draft-connolly-cfrg-xwing-kem §5.3. */
const LABEL: Uint8Array = Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c)

/*
 * X-Wing, composed of its two halves: the secret of a key pair is a seed, and every use of it would grow the pair anew,
 * and every encapsulation multiply the base point twice. Here neither happens more often than it must. Arguments are
 * checked by the callers.
 */

/** What a seed grows to. */
interface KeyPair {
  readonly seed: Uint8Array
  readonly latticeSecret: Uint8Array
  readonly curveSecret: Uint8Array
  readonly publicKey: Uint8Array
}

/** For as long as whoever holds the seed holds on to it. */
const grown = new WeakMap<Uint8Array, KeyPair>()

/** §5.2. @param seed 32 bytes @returns 1,216 bytes */
export function publicKeyOfSeed(seed: Uint8Array): Uint8Array {
  return keyPairOf(seed).publicKey.slice()
}

/** §5.4, derandomised. @param publicKey 1,216 bytes @param coins 64 bytes @throws Error for a point of low order */
export function encapsulateTo(
  publicKey: Uint8Array,
  coins: Uint8Array,
): { readonly ciphertext: Uint8Array; readonly sharedSecret: Uint8Array } {
  const curveKey = publicKey.subarray(LATTICE_KEY_LENGTH)
  const ephemeral = coins.subarray(LATTICE_COINS_LENGTH)
  const lattice = ml_kem768.encapsulate(
    publicKey.subarray(0, LATTICE_KEY_LENGTH),
    coins.subarray(0, LATTICE_COINS_LENGTH),
  )
  const curve = x25519.getPublicKey(ephemeral)
  const sharedSecret = combined(lattice.sharedSecret, x25519.getSharedSecret(ephemeral, curveKey), curve, curveKey)
  return { ciphertext: concat(lattice.cipherText, curve), sharedSecret }
}

/** §5.5. @param ciphertext 1,120 bytes @returns 32 bytes @throws Error for a point of low order */
export function decapsulateWith(seed: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  const { latticeSecret, curveSecret, publicKey } = keyPairOf(seed)
  const curve = ciphertext.subarray(LATTICE_CIPHERTEXT_LENGTH)
  const lattice = ml_kem768.decapsulate(ciphertext.subarray(0, LATTICE_CIPHERTEXT_LENGTH), latticeSecret)
  const shared = x25519.getSharedSecret(curveSecret, curve)
  return combined(lattice, shared, curve, publicKey.subarray(LATTICE_KEY_LENGTH))
}

/** §5.3: the X25519 ciphertext and key are in it, the ML-KEM ones are bound by ML-KEM itself. */
function combined(lattice: Uint8Array, shared: Uint8Array, ciphertext: Uint8Array, key: Uint8Array): Uint8Array {
  return sha3_256(concat(lattice, shared, ciphertext, key, LABEL))
}

function keyPairOf(seed: Uint8Array): KeyPair {
  const known = grown.get(seed)
  // The bytes may have been overwritten since.
  if (known !== undefined && equalBytes(known.seed, seed)) return known
  const expanded = shake256(seed, { dkLen: EXPANDED_LENGTH })
  const lattice = ml_kem768.keygen(expanded.subarray(0, LATTICE_SEED_LENGTH))
  const curveSecret = expanded.slice(LATTICE_SEED_LENGTH)
  const publicKey = concat(lattice.publicKey, x25519.getPublicKey(curveSecret))
  const pair = { seed: seed.slice(), latticeSecret: lattice.secretKey, curveSecret, publicKey }
  grown.set(seed, pair)
  return pair
}
