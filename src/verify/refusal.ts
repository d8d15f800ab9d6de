import { type ErrorCode, SealogError } from '../errors.ts'
import type { Header } from './entry.ts'

/** Why an entry is not valid at its place in the log. Same verdict in the relay and in every client. */
export type Refusal =
  | 'space'
  | 'device'
  | 'role'
  | 'epoch'
  | 'tainted'
  | 'chain'
  | 'retired'
  | 'seen'
  | 'kind'
  | 'length'
  | 'tag'
  | 'actors'
  | 'control-body'
  | 'key'
  | 'invite'
  | 'expired'
  | 'import'
  | 'snapshot'
  | 'member'
  | 'last-owner'
  | 'limit'
  | 'base'
  | 'rate'
  | 'delivery'

/** An entry at its place in the log. */
export interface LoggedEntry {
  readonly header: Header
  /** Leaf hash of the header, 32 bytes. */
  readonly hash: Uint8Array
  readonly index: number
}

/** The log as the reducer sees it while it is at entry `index`. */
export interface EntryAt extends LoggedEntry {
  /** Root of the log's first `seenSize` entries, 32 bytes. */
  readonly seenRoot: Uint8Array
  /** Of control entries only. */
  readonly controlBody: Uint8Array | undefined
}

/** @throws SealogError ERR_INVALID_ENTRY with `details.reason` */
export function refuseIf(refused: boolean, entry: EntryAt, reason: Refusal): void {
  if (refused) throw refusal(entry, reason)
}

/** @param code other than ERR_INVALID_ENTRY where the author can mend it, or is to be told more than that */
export function refusal(
  entry: EntryAt,
  reason: Refusal,
  code: ErrorCode = 'ERR_INVALID_ENTRY',
  cause?: unknown,
): SealogError {
  return new SealogError(code, `entry ${entry.index} refused: ${reason}`, {
    details: { reason, index: entry.index },
    cause,
  })
}
