import { randomBytes } from 'node:crypto'
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { x25519 } from '@noble/curves/ed25519.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { concat, toUtf8 } from 'sealog/protocol'

/** What one secret takes when it is sealed to one device by X25519 alone: ephemeral key, secret and tag. */
export const PLAIN_WRAP_LENGTH: number = 32 + 32 + 16
const ML_KEM_KEY_LENGTH = 1184
const NONCE: Uint8Array = new Uint8Array(24)
const INFO: Uint8Array = toUtf8('bench/plain-wrap')

export interface PlainDevice {
  readonly secretKey: Uint8Array
  readonly publicKey: Uint8Array
}

export function plainDevice(): PlainDevice {
  return x25519.keygen()
}

/**
 * The floor: an ephemeral key pair and one X25519 for each device, and the same AEAD over the secret. No quantum computer
 * has to be feared, and nobody can tell whether others were given the same.
 */
export function plainWrap(secret: Uint8Array, device: Uint8Array): Uint8Array {
  const ephemeral = x25519.keygen(new Uint8Array(randomBytes(32)))
  const shared = x25519.getSharedSecret(ephemeral.secretKey, device)
  const sealed = xchacha20poly1305(keyOf(shared, ephemeral.publicKey, device), NONCE).encrypt(secret)
  return concat(ephemeral.publicKey, sealed)
}

export function openPlainWrap({ secretKey, publicKey }: PlainDevice, wrap: Uint8Array): Uint8Array {
  const ephemeral = wrap.subarray(0, 32)
  const shared = x25519.getSharedSecret(secretKey, ephemeral)
  return xchacha20poly1305(keyOf(shared, ephemeral, publicKey), NONCE).decrypt(wrap.subarray(32))
}

/** The post-quantum half of an X-Wing encapsulation, alone. @param kem X-Wing key, 1,216 bytes */
export function encapsulateMlKem(kem: Uint8Array): Uint8Array {
  return ml_kem768.encapsulate(kem.subarray(0, ML_KEM_KEY_LENGTH)).cipherText
}

function keyOf(shared: Uint8Array, ephemeral: Uint8Array, device: Uint8Array): Uint8Array {
  return hkdf(sha256, shared, concat(ephemeral, device), INFO, 32)
}
