import { setImmediate } from 'node:timers'
import type { Database } from 'better-sqlite3'
import { codeOf, type Health, isFault } from './log-store-sqlite-errors.ts'

/** What a commit writes to the write-ahead log besides the bytes that it is about, at a guess: a dozen pages. */
const COMMIT_BYTES = 48 * 1024
/**
 * The write-ahead log is brought into the database after so many bytes, counted likewise. It then begins anew in the same
 * place, and to write over a file is faster than to make it longer.
 */
const CHECKPOINT_BYTES = 16 * 2 ** 20

/** The transactions of one database. */
export interface Commits {
  /**
   * Writes in one transaction, together with whatever else is to be written in this turn of the event loop: one wait
   * for the disk serves all of it. Resolves when it is on the disk. An action that throws is undone, alone.
   * @param bytes about how many it writes
   */
  write<T>(bytes: number, action: () => T): Promise<T>
  /** Now, not at the end of the turn. */
  flush(): void
}

interface Waiting {
  readonly bytes: number
  readonly action: () => unknown
  readonly resolve: (result: never) => void
  readonly reject: (reason: unknown) => void
}

type Outcome = { readonly result: unknown } | { readonly error: unknown }

/** @param health after a fault nothing is written any more */
export function groupCommits(db: Database, health: Health): Commits {
  let waiting: Waiting[] = []
  let written = 0
  const alone = db.transaction((action: () => unknown) => action())

  /** Each in a savepoint. What ends the whole transaction is thrown. */
  const together = db.transaction((group: readonly Waiting[]): readonly Outcome[] =>
    group.map(({ action }) => {
      try {
        return { result: alone(action) }
      } catch (error) {
        if (!db.inTransaction || isFault(error) || isFull(error)) throw error
        return { error }
      }
    }),
  )

  function run(group: readonly Waiting[]): readonly Outcome[] {
    const [first] = group
    if (group.length > 1) {
      try {
        return together.immediate(group)
      } catch (error) {
        // Nothing of it was written. What does not fit together may fit in part.
        if (isFull(error)) return group.flatMap(each => run([each]))
        return group.map(() => ({ error }))
      }
    }
    try {
      return [{ result: alone.immediate(first?.action as () => unknown) }]
    } catch (error) {
      return [{ error }]
    }
  }

  function attempt(group: readonly Waiting[]): readonly Outcome[] {
    try {
      health.check()
      return run(group)
    } catch (error) {
      return group.map(() => ({ error }))
    }
  }

  function flush(): void {
    const group = waiting
    waiting = []
    if (group.length === 0) return
    const outcomes = attempt(group)
    for (const outcome of outcomes) if ('error' in outcome) health.note(outcome.error)
    for (const [i, { resolve, reject }] of group.entries()) {
      const outcome = outcomes[i] as Outcome
      if ('error' in outcome) reject(outcome.error)
      else resolve(outcome.result as never)
    }
    written += group.reduce((sum, { bytes }) => sum + bytes, COMMIT_BYTES)
    if (written < CHECKPOINT_BYTES) return
    written = 0
    checkpoint()
  }

  /** An automatic one says nothing of errors, and the next would take for durable what is not. */
  function checkpoint(): void {
    try {
      db.pragma('wal_checkpoint(PASSIVE)')
    } catch (error) {
      // Where the disk is full, all stays in the write-ahead log.
      health.note(error)
    }
  }

  return {
    write: (bytes, action) =>
      new Promise((resolve, reject) => {
        waiting.push({ bytes, action, resolve, reject })
        if (waiting.length === 1) setImmediate(flush)
      }),
    flush,
  }
}

function isFull(error: unknown): boolean {
  return codeOf(error).startsWith('SQLITE_FULL')
}
