import { concat, equalBytes } from '../../bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import type { ByteReader } from './byte-reader.ts'
import { refuse } from './rules.ts'

/** The first four bytes of every chunk that Automerge writes. */
const MAGIC = Uint8Array.of(0x85, 0x6f, 0x4a, 0x83)

/**
 * Automerge also knows type 2, a change that is deflated as a whole. It never leaves Automerge 3.5.0 through
 * `getLastLocalChange`, `getChangeByHash` or `saveBundle`, so it is refused everywhere.
 */
export const CHUNK_TYPE = { document: 0, change: 1, bundle: 3 } as const

export interface Chunk {
  readonly type: number
  readonly body: Uint8Array
  /** SHA-256(type ‖ length ‖ body), 32 bytes; for a change this is its hash. */
  readonly hash: Uint8Array
}

/** The next chunk: magic, checksum, type, length, body. @throws SealogError ERR_GUARD */
export function readChunk(reader: ByteReader): Chunk {
  if (!equalBytes(reader.take(MAGIC.length), MAGIC)) refuse('magic', 'not an Automerge chunk')
  const checksum = reader.take(4)
  const hashedFrom = reader.position
  const type = reader.byte()
  const body = reader.take(reader.uint())
  const hash = sha256(reader.bytes.subarray(hashedFrom, reader.position))
  if (!equalBytes(hash.subarray(0, 4), checksum)) refuse('checksum', 'chunk')
  return { type, body, hash }
}

/** The inverse of `readChunk`. */
export function writeChunk(type: number, body: Uint8Array): Uint8Array {
  const head = [type]
  for (let length = body.length; ; length = Math.floor(length / 128)) {
    if (length < 128) {
      head.push(length)
      break
    }
    head.push((length % 128) | 0x80)
  }
  const hashed = concat(Uint8Array.from(head), body)
  return concat(MAGIC, sha256(hashed).subarray(0, 4), hashed)
}
