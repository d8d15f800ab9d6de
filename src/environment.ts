/** A source of `length` fresh random bytes. */
export type Random = (length: number) => Uint8Array

/** Everything a core module may not reach for by itself; handed in, so that a simulator can own it. */
export interface Environment {
  readonly random: Random
  /** Unix time in milliseconds. */
  readonly now: () => number
  /** Runs `task` after `ms` milliseconds; the returned function cancels it. */
  readonly schedule: (ms: number, task: () => void) => () => void
}
