import { type ErrorCode, equalBytes, hasCode } from 'sealog/protocol'
import type { LogStore } from './log-store.ts'

/** Where one case of the suite keeps its logs; empty at first. */
export interface LogStorePlace {
  /**
   * A new, unopened store over this place.
   * @param onStatement to be called before each step of a transaction, and failing it by what it throws; a store that
   * cannot be made to fail ignores it
   */
  store(onStatement?: (name: string) => void): LogStore
  /** Are logs still there for another store over this place? */
  readonly isPersistent: boolean
  /**
   * Copies the logs, as a backup does, and leaves out what was signed of them. Called while no store is open.
   * @returns puts the copy in the place of the logs, likewise; absent where the store cannot be set back
   */
  backUpLogs?(): Promise<() => Promise<void>>
  /** Removes the place; called when the case is over and all its stores are closed. */
  remove?(): Promise<void>
}

export type Check = (
  place: LogStorePlace,
  opened: (onStatement?: (name: string) => void) => Promise<LogStore>,
) => Promise<void>

export function equal(actual: unknown, expected: unknown): void {
  if (isSame(actual, expected)) return
  throw new Error(`expected ${describe(expected)}, not ${describe(actual)}`)
}

function isSame(a: unknown, b: unknown): boolean {
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && equalBytes(a, b)
  }
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  const keys = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...keys].every(key => isSame((a as never)[key], (b as never)[key]))
}

export async function rejects(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!hasCode(error, code)) throw new Error(`expected a rejection with ${code}, not ${String(error)}`)
}

function describe(value: unknown): string {
  return JSON.stringify(plain(value))?.slice(0, 500) ?? 'undefined'
}

/** For messages: bytes as their length and beginning. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `${value.length} bytes ${value.slice(0, 8).join(' ')}`
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]))
}

/** Makes one step of a transaction fail, by number. */
export function failingSteps(): {
  readonly take: () => void
  /** @returns whether there was a step of that number, which then failed the action */
  readonly fails: (failAt: number, action: () => Promise<void>) => Promise<boolean>
} {
  let failing = 0
  let step = 0
  return {
    take() {
      step++
      if (step === failing) throw new Error('made to fail')
    },
    async fails(failAt, action) {
      step = 0
      failing = failAt
      try {
        await action()
        return false
      } catch (error) {
        if (step !== failAt || !hasCode(error, 'ERR_STORE')) throw error
        return true
      } finally {
        failing = 0
      }
    },
  }
}
