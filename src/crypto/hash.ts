import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js'
import { toUtf8 } from '../bytes.ts'

/** SHA-256 of one message or of the concatenation of several. @returns 32 bytes */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return nobleSha256(parts[0] as Uint8Array)
  const hash = nobleSha256.create()
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** SHA-256(label ‖ 0x00 ‖ parts): one hash function per label. @returns 32 bytes */
export function labelledHash(label: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return sha256(toUtf8(`${label}\0`), ...parts)
}

export const ZERO_32: Uint8Array = new Uint8Array(32)
