import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { KEM_PUBLIC_KEY_LENGTH, sha256, toUtf8 } from 'sealog/protocol'

/** 32 bytes that are the same in every run. */
export function bytesOf(label: string): Uint8Array {
  return sha256(toUtf8(label))
}

export interface Signer {
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
}

/** Ed25519 of the platform: a log of many entries is signed in a moment. */
export function newSigner(): Signer {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const encoded: { x?: string } = (publicKey as KeyObject).export({ format: 'jwk' })
  return {
    publicKey: new Uint8Array(Buffer.from(encoded.x ?? '', 'base64url')),
    sign: message => new Uint8Array(sign(null, message, privateKey)),
  }
}

/** All ML-KEM coefficients zero, and the base point of X25519: a valid key, whose secret nobody needs here. */
export function anyKemKey(): Uint8Array {
  const key = new Uint8Array(KEM_PUBLIC_KEY_LENGTH)
  key[KEM_PUBLIC_KEY_LENGTH - 32] = 9
  return key
}
