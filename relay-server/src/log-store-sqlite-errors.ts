import { asSealogError, type ErrorCode, type SealogError } from 'sealog/protocol'

/** The code that SQLite or the operating system gave an error, or nothing. */
export function codeOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

/** By the beginning of SQLite's or the operating system's code. */
const CODES: readonly (readonly [start: string, code: ErrorCode, message: string])[] = [
  ['SQLITE_FULL', 'ERR_STORE_FULL', 'the disk is full'],
  ['ENOSPC', 'ERR_STORE_FULL', 'the disk is full'],
  ['EDQUOT', 'ERR_STORE_FULL', 'the disk quota is used up'],
  ['SQLITE_BUSY', 'ERR_STORE_LOCKED', 'another process uses the database'],
  ['SQLITE_CORRUPT', 'ERR_STORE_CORRUPT', 'the database is damaged'],
  ['SQLITE_NOTADB', 'ERR_STORE_CORRUPT', 'the file is no database'],
]

const UNKNOWN = ['', 'ERR_STORE', 'the database failed'] as const

/** What a store throws for whatever SQLite threw. @throws TypeError for misuse, as it came */
export function storeError(error: unknown): SealogError {
  if (error instanceof TypeError) throw error
  const reported = codeOf(error)
  const [, code, message] = CODES.find(([start]) => reported.startsWith(start)) ?? UNKNOWN
  const detail = error instanceof Error ? error.message : reported
  return asSealogError(error, code, `${message} (${detail})`)
}
