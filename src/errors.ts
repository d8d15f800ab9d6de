/**
 * Every code that Sealog raises. Codes are stable; messages are for people and may change.
 * Codes under "relay lied" mean that something the relay said did not verify: nothing of it was applied.
 */
export type ErrorCode =
  // what the relay (or the network) said does not verify
  | 'ERR_MALFORMED' // bytes that are no canonical encoding of what they should be
  | 'ERR_LIMIT' // a length or count beyond the stated limit
  | 'ERR_CHECKPOINT' // a note that does not parse, or is for another log
  | 'ERR_CHECKPOINT_SIGNATURE' // a note that the pinned relay key did not sign
  | 'ERR_TIME_BACKWARDS' // a checkpoint older than the last one accepted for a log at least as large
  | 'ERR_ROLLBACK' // a signed log smaller than one already verified
  | 'ERR_ROOT_MISMATCH' // entries do not hash to the signed root
  | 'ERR_STATE_ROOT' // entries do not fold to the signed state root
  | 'ERR_PROOF' // an inclusion, consistency or state proof that does not verify, or is missing
  | 'ERR_UNCOVERED' // a header that no signature in the response covers
  | 'ERR_SIGNATURE' // a signature that does not verify
  | 'ERR_INVALID_ENTRY' // an entry that the reducer refuses; `details.reason` says why
  | 'ERR_BODY' // a body that is not the one the header commits to
  | 'ERR_UNVOUCHED' // a checkpoint to skip to that not enough other members have cosigned
  | 'ERR_UNEXPECTED' // a message out of place
  | 'ERR_RELAY_IDENTITY' // the relay's name or key is not the pinned one
  // what a relay answers to a push or a request
  | 'ERR_STALE_EPOCH'
  | 'ERR_STALE_CHAIN' // seq/prev do not extend the actor's chain: sync, then seal again
  | 'ERR_UNKNOWN_SPACE'
  | 'ERR_SPACE_EXISTS'
  | 'ERR_UNAUTHORIZED' // not a current device of the space, or not allowed to do this
  | 'ERR_REMOVED' // the device was removed from the space, as the log up to there shows
  | 'ERR_UNKNOWN_MAILBOX' // no such mailbox at the relay, or not of whoever asks
  | 'ERR_STALE_MAILBOX' // the mailbox was written in the meantime: read it, then write again
  | 'ERR_RATE_LIMITED' // too much at once; `details.retryAfter` says after how many milliseconds to try again
  | 'ERR_QUOTA' // the relay has no more room for this; waiting does not help by itself
  | 'ERR_RELAY_STORAGE' // the relay cannot store: nothing was accepted
  | 'ERR_RELAY_INTERNAL'
  | 'ERR_RELAY_BEHIND' // the relay has fewer entries than it once signed: members can give them back
  // content
  | 'ERR_OPEN' // a ciphertext that does not open
  | 'ERR_TAG' // a change hash that the signed tag does not commit to
  | 'ERR_GUARD' // changes that the content rules refuse; `details.reason` says why
  | 'ERR_CONTENT' // changes that do not apply as announced
  | 'ERR_DEPENDENCY' // changes that build on others which are not there yet
  // local
  | 'ERR_UPGRADE' // a version, kind or encoding that this build does not know
  | 'ERR_PHRASE' // not a recovery phrase; `details.reason` says why, and never a word of it
  | 'ERR_INVITE' // an invite that is malformed, used, expired or revoked
  | 'ERR_UNKNOWN_DOCUMENT'
  | 'ERR_FROZEN' // the relay contradicted itself, by its own signatures: sync has ended, see `exportEvidence`
  | 'ERR_CLOSED'
  | 'ERR_READ_ONLY'
  | 'ERR_REENTRANT'
  | 'ERR_LOCKED' // a document from before the time that this member may read
  | 'ERR_STALE_HEAD' // the latest head is older than `maxHeadAge`: nothing is sealed on it
  | 'ERR_TIMEOUT'
  | 'ERR_ABORTED'
  | 'ERR_OFFLINE' // the transport is down; shown in status, never thrown by the public API
  | 'ERR_STORE' // the local store failed
  | 'ERR_STORE_FULL' // the local store is out of space
  | 'ERR_STORE_LOCKED' // another process or tab writes this store
  | 'ERR_STORE_CORRUPT' // the local store holds what this library cannot have written
  | 'ERR_STORE_SCHEMA' // written by a newer version
  | 'ERR_STORE_SEALED' // the local store is protected: it opens with `unlock`; `details.expected` says by what
  | 'ERR_PASSPHRASE' // not the passphrase or passkey that the local store is protected by
  | 'ERR_UNSUPPORTED' // the browser or authenticator has not got what this needs
  | 'ERR_KEY' // a key that must not be admitted

/** What an error may carry. Never keys, never plaintext. */
export interface ErrorDetails {
  readonly reason?: string
  readonly index?: number
  readonly expected?: string
  readonly actual?: string
  readonly limit?: number
  readonly retryAfter?: number
  readonly argument?: string
}

export interface SealogErrorOptions {
  readonly cause?: unknown
  readonly details?: ErrorDetails
  /** Would the same call succeed later, with nothing changed by the caller? Default: by code. */
  readonly retryable?: boolean
}

const RETRYABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_STALE_EPOCH',
  'ERR_STALE_CHAIN',
  'ERR_RATE_LIMITED',
  'ERR_RELAY_STORAGE',
  'ERR_RELAY_INTERNAL',
  'ERR_RELAY_BEHIND',
  'ERR_TIMEOUT',
  'ERR_OFFLINE',
  'ERR_STORE',
  'ERR_STORE_FULL',
  'ERR_STORE_LOCKED',
])

/** The one error class of Sealog. Misuse (a wrong argument) is a `TypeError` instead. */
export class SealogError extends Error {
  override readonly name: string = 'SealogError'
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, options: SealogErrorOptions = {}) {
    super(`${code}: ${message}`, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? RETRYABLE.has(code)
    this.details = options.details ?? {}
  }
}

/** Does `error` carry this code? */
export function hasCode(error: unknown, code: ErrorCode): error is SealogError {
  return error instanceof SealogError && error.code === code
}

/** Wraps whatever was thrown as a `SealogError`, leaving one that already is untouched. */
export function asSealogError(error: unknown, code: ErrorCode, message: string): SealogError {
  return error instanceof SealogError ? error : new SealogError(code, message, { cause: error })
}
