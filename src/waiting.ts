import type { Environment } from './environment.ts'
import { SealogError } from './errors.ts'

export interface WaitOptions {
  readonly signal?: AbortSignal
  /** Milliseconds; without it a call waits as long as it takes. */
  readonly timeout?: number
}

/** Timers take no more, in milliseconds (almost 25 days): beyond it, a call waits as long as it takes. */
const LONGEST_TIMER: number = 2 ** 31 - 1

/** @throws TypeError */
export function assertWaitOptions(options: WaitOptions): void {
  const { timeout, signal } = options
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout >= 0)) {
    throw new TypeError('timeout: expected a number of milliseconds')
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw new TypeError('signal: expected an AbortSignal')
}

/**
 * Settles as `task` does, or rejects earlier.
 * @throws SealogError ERR_TIMEOUT, ERR_ABORTED
 */
export function withLimits<T>(environment: Environment, options: WaitOptions, task: Promise<T>): Promise<T> {
  const { signal, timeout } = options
  return new Promise((resolve, reject) => {
    const cancel =
      timeout === undefined || timeout > LONGEST_TIMER
        ? () => {}
        : environment.schedule(timeout, () =>
            done(() => reject(new SealogError('ERR_TIMEOUT', `not within ${timeout} ms`))),
          )
    const onAbort = (): void => done(() => reject(aborted(signal)))
    const done = (settle: () => void): void => {
      cancel()
      signal?.removeEventListener('abort', onAbort)
      settle()
    }
    // Also of a call that was aborted before it began: what the task comes to must not go unhandled.
    task.then(
      value => done(() => resolve(value)),
      error => done(() => reject(error)),
    )
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted) onAbort()
  })
}

/** Lets callers wait until a condition holds that changes now and then. */
export class Condition {
  readonly #waiters = new Set<() => void>()

  /** To be called whenever a condition may have changed. */
  changed(): void {
    for (const check of [...this.#waiters]) check()
  }

  /** @param holds throws to give up waiting */
  until(holds: () => boolean, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        this.#waiters.delete(check)
        signal?.removeEventListener('abort', onAbort)
        settle()
      }
      const check = (): void => {
        try {
          if (holds()) end(resolve)
        } catch (error) {
          end(() => reject(error))
        }
      }
      const onAbort = (): void => end(() => reject(aborted(signal)))
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiters.add(check)
      if (signal?.aborted) onAbort()
      else check()
    })
  }
}

function aborted(signal: AbortSignal | undefined): SealogError {
  return new SealogError('ERR_ABORTED', 'aborted by the caller', { cause: signal?.reason })
}
