import type { Environment } from 'sealog/protocol'
import type { Log, LogRecord } from './log-record.ts'

/** So many lines of one event pass at once, and then so many a second. Errors are worth more than what clients do. */
const BUDGETS: Readonly<Record<LogRecord['level'], { readonly burst: number; readonly perSecond: number }>> = {
  error: { burst: 5000, perSecond: 2 },
  warn: { burst: 100, perSecond: 1 },
  info: { burst: 100, perSecond: 1 },
  debug: { burst: 1000, perSecond: 100 },
}

/** Lines that were left out are told of this much later, in milliseconds. */
const SUMMARY_TIME = 60_000

interface Bucket {
  readonly record: LogRecord
  tokens: number
  at: number
  omitted: number
}

/**
 * Lets through a bounded number of lines of each event, so that whoever makes the relay say something cannot fill its
 * disk. What is left out is counted, and told in a line `lines-omitted`. Events are words of the program and not of
 * whoever talks to it, so there are few.
 */
export function throttledLog(log: Log, environment: Environment): Log {
  const buckets = new Map<string, Bucket>()

  function summarise(bucket: Bucket): void {
    const { level, event } = bucket.record
    log({ level: level === 'debug' ? 'debug' : 'warn', event: 'lines-omitted', of: event, lines: bucket.omitted })
    bucket.omitted = 0
  }

  return record => {
    const name = `${record.level} ${record.event}`
    const { burst, perSecond } = BUDGETS[record.level]
    const now = environment.now()
    const bucket = buckets.get(name) ?? { record, tokens: burst, at: now, omitted: 0 }
    buckets.set(name, bucket)
    bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, now - bucket.at) / 1000) * perSecond)
    bucket.at = now
    if (bucket.tokens >= 1) {
      bucket.tokens--
      log(record)
      return
    }
    bucket.omitted++
    if (bucket.omitted === 1) environment.schedule(SUMMARY_TIME, () => summarise(bucket))
  }
}
