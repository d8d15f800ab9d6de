import { type DestinationStream, pino } from 'pino'
import type { Log, LogRecord } from './log-record.ts'

export type LogLevel = LogRecord['level']

/** A field is a code, a number or a sentence; whatever is longer came from somebody else. */
const MAX_TEXT_LENGTH = 500

/**
 * A log of JSON lines: `level`, `time` (ISO 8601), `event`, and what else the record has. Nothing but text, numbers and
 * booleans gets through, and of text nothing that looks like a key or password (`withoutSecrets`): the ids of spaces are
 * the one exception, in the field that is theirs.
 * @param destination takes whole lines; what it cannot write is lost
 */
export function jsonLog(level: LogLevel, destination: DestinationStream): Log {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    },
    destination,
  )
  return ({ level, event, ...fields }) => logger[level]({ event, ...loggedFields(fields) })
}

function loggedFields(fields: Readonly<Record<string, unknown>>): Record<string, string | number | boolean> {
  const logged: Record<string, string | number | boolean> = {}
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'number' || typeof value === 'boolean') logged[name] = value
    else if (typeof value === 'string') logged[name] = name === 'space' ? spaceId(value) : withoutSecrets(value)
  }
  return logged
}

function spaceId(value: string): string {
  return /^[0-9a-f]{64}$/.test(value) ? value : withoutSecrets(value)
}

/**
 * A text without runs of hex or base64 as long as a key (32 bytes), without what stands before the `@` of a URL, and not
 * longer than a log line should be. Messages of errors are written without secrets; this holds where one is not.
 */
function withoutSecrets(text: string): string {
  const clean = text
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^@\s/]*@/gi, '$1…@')
    .replace(/[0-9a-f]{33,}/gi, '…')
    .replace(/[A-Za-z0-9+/]{43}=/g, '…')
    .replace(/[A-Za-z0-9_-]{43,}/g, '…')
  return clean.length > MAX_TEXT_LENGTH ? `${clean.slice(0, MAX_TEXT_LENGTH)}…` : clean
}
