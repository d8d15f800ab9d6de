import { hasCode, SealogError } from 'sealog/protocol'

/** Milliseconds after which somebody who finds the store failing may try again. */
const RETRY_AFTER = 1000

/** As clients are told that the store failed: they try again. */
export function storageError(cause: unknown): SealogError {
  if (hasCode(cause, 'ERR_RELAY_STORAGE')) return cause
  return new SealogError('ERR_RELAY_STORAGE', 'the relay cannot use its store', {
    cause,
    details: { retryAfter: RETRY_AFTER },
  })
}

/** Did the store do nothing at all, as too much else was asked of it for too long? See `LogStore`. */
export function isStoreBusy(error: unknown): error is SealogError {
  return hasCode(error, 'ERR_STORE') && error.details.reason === 'busy'
}

/** Why the store failed, for the operator. */
export function causeOf(error: SealogError): string {
  return error.cause instanceof Error ? error.cause.message : error.message
}
