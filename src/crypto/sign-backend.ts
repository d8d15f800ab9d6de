import { nobleVerifier, publicKeyOf, type SignatureVerifier, type SigningKey, signSync } from './sign.ts'
import { signsLikeReference, verifiesLikeReference } from './sign-self-test.ts'
import { webcryptoCheck, webcryptoSign, webcryptoVerifier } from './sign-webcrypto.ts'

/** The self-tests take a few milliseconds: once per runtime is enough. */
const verifiers = new WeakMap<SubtleCrypto, Promise<SignatureVerifier>>()
const signers = new WeakMap<SubtleCrypto, Promise<boolean>>()

/**
 * The fastest backend that gives the verdicts of `verifySync`: WebCrypto where its Ed25519 passes the self-test,
 * `nobleVerifier` otherwise.
 * @param subtle default: the platform's, if it has one (browsers offer it to secure contexts only)
 */
export function selectVerifier(subtle: SubtleCrypto | undefined = platformSubtle()): Promise<SignatureVerifier> {
  if (subtle === undefined) return Promise.resolve(nobleVerifier)
  const known = verifiers.get(subtle)
  if (known !== undefined) return known
  const chosen = verifiesLikeReference(webcryptoCheck(subtle)).then(equal =>
    equal ? webcryptoVerifier(subtle) : nobleVerifier,
  )
  verifiers.set(subtle, chosen)
  return chosen
}

/** `selectVerifier()`; the self-test runs in the first call. */
export function defaultVerifier(): Promise<SignatureVerifier> {
  return selectVerifier()
}

/**
 * A signing key that uses WebCrypto where that gives the same signatures, and JavaScript otherwise.
 * @param seed 32 bytes, copied
 * @param subtle default: the platform's, if it has one
 * @throws TypeError
 */
export function signingKeyFromSeed(seed: Uint8Array, subtle: SubtleCrypto | undefined = platformSubtle()): SigningKey {
  const reference = nobleSigningKey(seed)
  if (subtle === undefined) return reference
  const fast = webcryptoSign(subtle, seed)
  return {
    publicKey: reference.publicKey,
    async sign(message) {
      if (!(await signsWell(subtle))) return reference.sign(message)
      return fast(message).catch(() => reference.sign(message))
    },
  }
}

/**
 * A signing key in JavaScript alone: it settles without leaving the microtask queue, as a simulator needs.
 * @param seed 32 bytes, copied
 * @throws TypeError
 */
export function nobleSigningKey(seed: Uint8Array): SigningKey {
  const publicKey = publicKeyOf(seed)
  const own = seed.slice()
  return { publicKey, sign: async message => signSync(own, message) }
}

function signsWell(subtle: SubtleCrypto): Promise<boolean> {
  let known = signers.get(subtle)
  if (known === undefined) {
    known = signsLikeReference(seed => webcryptoSign(subtle, seed))
    signers.set(subtle, known)
  }
  return known
}

function platformSubtle(): SubtleCrypto | undefined {
  return globalThis.crypto?.subtle
}
