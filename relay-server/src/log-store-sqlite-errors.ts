import { asSealogError, type ErrorCode, SealogError } from 'sealog/protocol'

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

/**
 * After these nobody knows what of the medium is as it should be: what a failed `fsync` left unwritten the system may
 * have forgotten, and a second one would succeed. A quota that is used up comes as SQLITE_IOERR_WRITE too.
 */
const FAULTS: readonly string[] = [
  'SQLITE_IOERR',
  'SQLITE_CORRUPT',
  'SQLITE_NOTADB',
  'SQLITE_READONLY',
  'SQLITE_PROTOCOL',
  'SQLITE_INTERNAL',
]

/** Must the database be opened again before it can be relied upon? */
export function isFault(error: unknown): boolean {
  const reported = codeOf(error)
  return FAULTS.some(start => reported.startsWith(start))
}

/** Whether an open store can be relied upon. */
export interface Health {
  /** To be told of every error. */
  note(error: unknown): void
  /** @throws SealogError ERR_STORE after a fault */
  check(): void
}

export function healthOf(): Health {
  let fault: unknown
  return {
    note(error) {
      if (fault === undefined && isFault(error)) fault = error
    },
    check() {
      if (fault === undefined) return
      const detail = fault instanceof Error ? fault.message : codeOf(fault)
      const message = `the database failed, and must be opened again: restart the relay (${detail})`
      throw new SealogError('ERR_STORE', message, { cause: fault })
    },
  }
}

/** What a store throws for whatever SQLite threw. @throws TypeError for misuse, as it came */
export function storeError(error: unknown): SealogError {
  if (error instanceof TypeError) throw error
  const reported = codeOf(error)
  const [, code, message] = CODES.find(([start]) => reported.startsWith(start)) ?? UNKNOWN
  const detail = error instanceof Error ? error.message : reported
  return asSealogError(error, code, `${message} (${detail})`)
}
