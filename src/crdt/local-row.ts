import { concat } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { lastPart } from './rows.ts'

/** An own change that no proven entry holds yet. */
export interface LocalChange {
  readonly seq: number
  /** Automerge change hash, 32 bytes. */
  readonly hash: Uint8Array
  /** The change as an Automerge chunk. */
  readonly bytes: Uint8Array
}

export function encodeLocalRow(change: LocalChange): Uint8Array {
  return concat(change.hash, change.bytes)
}

export function decodeLocalRow(key: Uint8Array, value: Uint8Array): LocalChange {
  const seq = Number.parseInt(lastPart(key), 16)
  if (value.length < 32 || !Number.isSafeInteger(seq)) throw new SealogError('ERR_STORE_CORRUPT', 'a local change')
  return { seq, hash: value.subarray(0, 32), bytes: value.subarray(32) }
}
