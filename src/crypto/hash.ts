import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { concat, toUtf8 } from '../bytes.ts'
import { platformSha256, type Sha256 } from './hash-platform.ts'

/** The platform's where it is the same and faster (see `platformSha256`), JavaScript otherwise. */
const oneShot: Sha256 = platformSha256(globalThis) ?? nobleSha256

/** SHA-256 of one message or of the concatenation of several. @returns 32 bytes */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  return oneShot(parts.length === 1 ? (parts[0] as Uint8Array) : concat(...parts))
}

/** SHA-256(label ‖ 0x00 ‖ parts): one hash function per label. @returns 32 bytes */
export function labelledHash(label: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return sha256(toUtf8(`${label}\0`), ...parts)
}

export const ZERO_32: Uint8Array = new Uint8Array(32)
