/** One line of the relay's log. Ids, sizes, codes and times; never bodies, keys or names of people. */
export interface LogRecord {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly event: string
  readonly [field: string]: string | number | boolean | undefined
}

export type Log = (record: LogRecord) => void
