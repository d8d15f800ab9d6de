import { concat, equalBytes, fromHex, toHex } from '../bytes.ts'
import { type BoundedCache, boundedCache } from './bounded-cache.ts'
import { assertBytes } from './checks.ts'
import { isWellFormedCheck, SEED_LENGTH, type SignatureCheck, type SignatureVerifier, verifySync } from './sign.ts'

const ALGORITHM = 'Ed25519'
/** PKCS #8 of an Ed25519 seed (RFC 8410 §7) without the seed. */
const PKCS8_PREFIX: Uint8Array = fromHex('302e020100300506032b657004220420')
const KEY_LIMIT = 1024
/** Checks under way at once: enough to keep every core busy, few enough not to copy a whole catch-up. */
const BATCH = 128
/** R of a signature whose nonce was zero. */
const IDENTITY: Uint8Array = Uint8Array.of(1, ...new Uint8Array(31))

/** A verdict that rejects, instead of answering, where WebCrypto fails. */
export type WebcryptoCheck = (check: SignatureCheck) => Promise<boolean>

/**
 * The rule of `sign.ts` with the equation left to WebCrypto. What implementations are known to disagree on does not
 * get there: keys that are not admissible, S ≥ L, and R = identity, which some refuse as a point of small order
 * and RFC 8032 does not. What is left is shown by the self-test, once per runtime.
 */
export function webcryptoCheck(subtle: SubtleCrypto): WebcryptoCheck {
  const keys: BoundedCache<Promise<CryptoKey>> = boundedCache(KEY_LIMIT)
  return async check => {
    if (!isWellFormedCheck(check)) return false
    const { publicKey, message, signature } = check
    if (equalBytes(signature.subarray(0, 32), IDENTITY)) return verifySync(check)
    const name = toHex(publicKey)
    const key = keys.get(name, () => importPublicKey(subtle, publicKey))
    try {
      return await subtle.verify(ALGORITHM, await key, signature as BufferSource, message as BufferSource)
    } catch (error) {
      keys.delete(name)
      throw error
    }
  }
}

async function importPublicKey(subtle: SubtleCrypto, publicKey: Uint8Array): Promise<CryptoKey> {
  return subtle.importKey('raw', publicKey as BufferSource, ALGORITHM, false, ['verify'])
}

/** A verifier over WebCrypto. Only for a runtime that passed the self-test: see `selectVerifier`. */
export function webcryptoVerifier(subtle: SubtleCrypto): SignatureVerifier {
  const ask = webcryptoCheck(subtle)
  // A runtime that cannot answer (out of memory, worker shutting down) has not said that the signature is bad.
  const verify = (check: SignatureCheck): Promise<boolean> => ask(check).catch(() => verifySync(check))
  return {
    backend: 'webcrypto',
    verify,
    async verifyAll(checks) {
      const verdicts: boolean[] = []
      for (let start = 0; start < checks.length; start += BATCH) {
        verdicts.push(...(await Promise.all(checks.slice(start, start + BATCH).map(verify))))
      }
      return verdicts
    },
  }
}

/**
 * Signs with WebCrypto; throws what WebCrypto throws.
 * @param seed 32 bytes, copied
 * @throws TypeError
 */
export function webcryptoSign(subtle: SubtleCrypto, seed: Uint8Array): (message: Uint8Array) => Promise<Uint8Array> {
  assertBytes(seed, 'seed', SEED_LENGTH)
  const encoded = concat(PKCS8_PREFIX, seed)
  let key: Promise<CryptoKey> | undefined
  return async message => {
    assertBytes(message, 'message')
    key ??= subtle.importKey('pkcs8', encoded as BufferSource, ALGORITHM, false, ['sign'])
    return new Uint8Array(await subtle.sign(ALGORITHM, await key, message as BufferSource))
  }
}
