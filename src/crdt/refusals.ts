import type { ErrorCode, SealogError } from '../errors.ts'

const UNSENDABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_INVALID_ENTRY',
  'ERR_LIMIT',
  'ERR_BODY',
  'ERR_MALFORMED',
  'ERR_SIGNATURE',
])

/** Is the refusal of a push about one entry, whenever that is sent? */
export function isUnsendable({ code }: SealogError): boolean {
  return UNSENDABLE.has(code)
}

/** Does the relay take no more for the time being, whatever it is? */
export function isCongested({ code }: SealogError): boolean {
  return code === 'ERR_RATE_LIMITED' || code === 'ERR_QUOTA'
}
