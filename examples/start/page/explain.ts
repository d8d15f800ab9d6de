import { type ErrorCode, SealogError } from 'sealog'

const WORDS: Partial<Record<ErrorCode, string>> = {
  ERR_STORE_LOCKED: 'This device is open in another tab. Close that tab and reload this page.',
  ERR_INVITE: 'This invite was used already, or has expired. Each link lets one person in, once.',
  ERR_READ_ONLY: 'You can read these notes, but not write them.',
  ERR_GUARD: 'This is more than one change may hold.',
}

/** What an error means to the person in front of the page. */
export function explain(error: unknown): string {
  if (error instanceof SealogError) return WORDS[error.code] ?? error.message
  return error instanceof Error ? error.message : String(error)
}
