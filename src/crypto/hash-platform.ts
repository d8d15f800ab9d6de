import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { equalBytes } from '../bytes.ts'

/** SHA-256 of one message. @returns 32 bytes of its own */
export type Sha256 = (message: Uint8Array) => Uint8Array

/** What Node has of its own modules without an import, which a bundler for browsers would have to know of. */
interface NodeLike {
  readonly process?: { readonly getBuiltinModule?: (name: string) => unknown }
}

type OneShot = (algorithm: string, message: Uint8Array, encoding: 'buffer') => Uint8Array

/** Lengths around the padding of one block and of several (FIPS 180-4 §5.1.1), and around what is passed by copy. */
const TESTED_LENGTHS = [0, 1, 33, 55, 56, 63, 64, 65, 119, 120, 215, 1000]

/**
 * The one-shot SHA-256 of Node's OpenSSL (`crypto.hash`), which takes a header in less than half the time of
 * JavaScript. WebCrypto's is no alternative: it is asynchronous, and slower than JavaScript on anything short.
 * @param platform where to look for it
 * @returns undefined where there is none, as in browsers, or where it does not give what JavaScript does
 */
export function platformSha256(platform: object): Sha256 | undefined {
  const { hash } = nodeCrypto(platform as NodeLike)
  if (hash === undefined) return undefined
  // Copied: a `Buffer` is not what callers expect, and 32 bytes of JavaScript's own are less to keep.
  const sha256: Sha256 = message => new Uint8Array(hash('sha256', message, 'buffer'))
  return hashesLikeReference(sha256) ? sha256 : undefined
}

function nodeCrypto({ process }: NodeLike): { readonly hash?: OneShot } {
  try {
    return (process?.getBuiltinModule?.('node:crypto') ?? {}) as { readonly hash?: OneShot }
  } catch {
    return {}
  }
}

function hashesLikeReference(sha256: Sha256): boolean {
  try {
    return TESTED_LENGTHS.every(length => {
      // A part of something larger, as messages often are.
      const message = Uint8Array.from({ length: length + 2 }, (_, i) => (i * 167 + length) & 0xff).subarray(
        1,
        length + 1,
      )
      return equalBytes(sha256(message), nobleSha256(message))
    })
  } catch {
    return false
  }
}
