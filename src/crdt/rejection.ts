import { type ErrorCode, SealogError } from '../errors.ts'
import type { Reject } from '../relay/session-messages.ts'

/** What a relay may answer. Anything else, this side's own codes among them, is a failure of the relay. */
const RELAY_CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'ERR_BODY',
  'ERR_INVALID_ENTRY',
  'ERR_INVITE',
  'ERR_LIMIT',
  'ERR_MALFORMED',
  'ERR_QUOTA',
  'ERR_RATE_LIMITED',
  'ERR_RELAY_BEHIND',
  'ERR_RELAY_IDENTITY',
  'ERR_RELAY_STORAGE',
  'ERR_REMOVED',
  'ERR_ROLLBACK',
  'ERR_SIGNATURE',
  'ERR_SPACE_EXISTS',
  'ERR_STALE_CHAIN',
  'ERR_STALE_EPOCH',
  'ERR_UNAUTHORIZED',
  'ERR_UNEXPECTED',
  'ERR_UNKNOWN_SPACE',
])

/**
 * A `reject` as an error of this side. A code that only a replica can know, such as one that says that something did not
 * verify, means nothing in a relay's mouth, and becomes `ERR_RELAY_INTERNAL`.
 */
export function rejection(reject: Reject): SealogError {
  const details = { ...(reject.retryAfter > 0 ? { retryAfter: reject.retryAfter } : {}), index: reject.position }
  const code = RELAY_CODES.has(reject.code) ? (reject.code as ErrorCode) : 'ERR_RELAY_INTERNAL'
  return new SealogError(code, `the relay answered ${reject.code}: ${reject.message}`, { details })
}
