import { asSealogError, type ErrorCode, type SealogError } from 'sealog/protocol'

/** By the beginning of the SQLSTATE (PostgreSQL, appendix A) or of the operating system's code. */
const CODES: readonly (readonly [start: string, code: ErrorCode, message: string])[] = [
  ['53100', 'ERR_STORE_FULL', 'the disk of the database is full'],
  ['53200', 'ERR_STORE_FULL', 'the database is out of memory'],
  ['XX001', 'ERR_STORE_CORRUPT', 'the database is damaged'],
  ['XX002', 'ERR_STORE_CORRUPT', 'an index of the database is damaged'],
  // The fences refuse what comes late before it meets any constraint, so this is about what is stored.
  ['23', 'ERR_STORE_CORRUPT', 'the database holds what it should not hold'],
  ['42P01', 'ERR_STORE_CORRUPT', 'a table is missing'],
  ['42703', 'ERR_STORE_CORRUPT', 'a column is missing'],
  ['3F000', 'ERR_STORE_CORRUPT', 'the schema is missing'],
]

const UNKNOWN = ['', 'ERR_STORE', 'the database failed'] as const

/** What a store throws for whatever the database or the way to it threw. @throws TypeError for misuse, as it came */
export function postgresError(error: unknown): SealogError {
  if (error instanceof TypeError) throw error
  const reported = codeOf(error)
  const [, code, message] = CODES.find(([start]) => reported.startsWith(start)) ?? UNKNOWN
  const detail = error instanceof Error ? error.message : 'unknown error'
  return asSealogError(withoutValues(error), code, `${message} (${reported === '' ? detail : `${reported} ${detail}`})`)
}

function codeOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

/** The server quotes values of rows in these fields, and errors come to be logged. */
function withoutValues(error: unknown): unknown {
  if (error instanceof Error)
    for (const field of ['detail', 'where', 'internalQuery', 'hint']) Reflect.deleteProperty(error, field)
  return error
}
