import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import {
  type BoundedCache,
  boundedCache,
  defaultVerifier,
  equalBytes,
  fromHex,
  isWellFormedCheck,
  nobleSigningKey,
  type SignatureCheck,
  type SignatureVerifier,
  type SigningKey,
  signsLikeReference,
  toHex,
  verifiesLikeReference,
  verifySync,
} from 'sealog/protocol'

/** SubjectPublicKeyInfo and PKCS #8 of an Ed25519 key (RFC 8410 §4, §7) without the key. */
const SPKI_PREFIX: Uint8Array = fromHex('302a300506032b6570032100')
const PKCS8_PREFIX: Uint8Array = fromHex('302e020100300506032b657004220420')
const KEY_LIMIT = 4096
/** R of a signature whose nonce was zero. */
const IDENTITY: Uint8Array = Uint8Array.of(1, ...new Uint8Array(31))
/** So few are done before another thread has woken up. */
const FEW = 2
/** Checks handed to the thread pool at once: enough to keep every core busy. */
const BATCH = 256

/**
 * Ed25519 of Node's own OpenSSL, called directly: several times as fast as by way of WebCrypto for a single signature, as
 * that always goes through another thread. The rule is the one of `verifySync`, and only its last part, the equation, is
 * left to OpenSSL: keys that are not admissible, S ≥ L, and R = identity, on which implementations differ, do not get
 * there. What is left is shown by the edge cases of the self-test; a Node that fails one gets `defaultVerifier`.
 */
export async function nodeVerifier(): Promise<SignatureVerifier> {
  const keys: BoundedCache<KeyObject> = boundedCache(KEY_LIMIT)
  const sync = (check: SignatureCheck): boolean => judge(check, keys, verifyNow)
  const pooled = (check: SignatureCheck): Promise<boolean> | boolean => judge(check, keys, verifyElsewhere)
  const isStrict =
    (await verifiesLikeReference(async check => sync(check))) && (await verifiesLikeReference(async c => pooled(c)))
  if (!isStrict) return defaultVerifier()
  return {
    backend: 'node',
    verify: async check => sync(check),
    async verifyAll(checks) {
      if (checks.length <= FEW) return checks.map(sync)
      const verdicts: boolean[] = []
      for (let start = 0; start < checks.length; start += BATCH) {
        verdicts.push(...(await Promise.all(checks.slice(start, start + BATCH).map(pooled))))
      }
      return verdicts
    },
  }
}

type Equation<R> = (key: KeyObject, check: SignatureCheck) => R

/** The whole rule but the equation, and that too where OpenSSL is not asked, or cannot answer. */
function judge<R>(check: SignatureCheck, keys: BoundedCache<KeyObject>, equation: Equation<R>): R | boolean {
  if (!isWellFormedCheck(check)) return false
  if (equalBytes(check.signature.subarray(0, 32), IDENTITY)) return verifySync(check)
  try {
    const key = keys.get(toHex(check.publicKey), () => publicKeyOf(check.publicKey))
    return equation(key, check)
  } catch {
    // That it cannot be asked (out of memory, say) is no verdict about the signature.
    return verifySync(check)
  }
}

function verifyNow(key: KeyObject, { message, signature }: SignatureCheck): boolean {
  return verify(null, message, key, signature)
}

function verifyElsewhere(key: KeyObject, check: SignatureCheck): Promise<boolean> {
  return new Promise(resolve => {
    verify(null, check.message, key, check.signature, (error, holds) => {
      resolve(error instanceof Error ? verifySync(check) : holds)
    })
  })
}

/**
 * A signing key that signs with Node's own OpenSSL, on the thread of the caller, where that gives the signatures of
 * RFC 8032; in JavaScript otherwise.
 * @param seed 32 bytes, copied
 * @throws TypeError
 */
export async function nodeSigningKey(seed: Uint8Array): Promise<SigningKey> {
  const reference = nobleSigningKey(seed)
  if (!(await signsLikeReference(nodeSign))) return reference
  const fast = nodeSign(seed)
  return { publicKey: reference.publicKey, sign: message => fast(message).catch(() => reference.sign(message)) }
}

function nodeSign(seed: Uint8Array): (message: Uint8Array) => Promise<Uint8Array> {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })
  return async message => new Uint8Array(sign(null, message, key))
}

function publicKeyOf(publicKey: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' })
}
