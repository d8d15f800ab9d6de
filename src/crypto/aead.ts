import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { SealogError } from '../errors.ts'
import { assertBytes } from './checks.ts'

export const AEAD_KEY_LENGTH = 32
export const NONCE_LENGTH = 24
/** What sealing adds to the plaintext: the Poly1305 tag at the end. */
export const TAG_LENGTH = 16

/**
 * XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03 §2). Two plaintexts under one key and nonce give both of them away:
 * callers derive the nonce so that this cannot happen.
 * @param key 32 bytes
 * @param nonce 24 bytes
 * @returns ciphertext ‖ tag, 16 bytes more than the plaintext
 * @throws TypeError
 */
export function seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array {
  assertKeyed(key, nonce, aad)
  assertBytes(plaintext, 'plaintext')
  return xchacha20poly1305(key, nonce, aad).encrypt(plaintext)
}

/**
 * Opens what `seal` made under the same key, nonce and additional data.
 * @param key 32 bytes
 * @param nonce 24 bytes
 * @param sealed ciphertext ‖ tag; any length may be tried
 * @throws SealogError ERR_OPEN; TypeError for a wrong key, nonce or aad
 */
export function open(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array {
  assertKeyed(key, nonce, aad)
  assertBytes(sealed, 'sealed')
  if (sealed.length < TAG_LENGTH) throw new SealogError('ERR_OPEN', 'ciphertext shorter than its tag')
  try {
    return xchacha20poly1305(key, nonce, aad).decrypt(sealed)
  } catch (cause) {
    throw new SealogError('ERR_OPEN', 'ciphertext does not open', { cause })
  }
}

function assertKeyed(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array): void {
  assertBytes(key, 'key', AEAD_KEY_LENGTH)
  assertBytes(nonce, 'nonce', NONCE_LENGTH)
  assertBytes(aad, 'aad')
}
