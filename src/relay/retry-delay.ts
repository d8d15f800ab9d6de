import type { Environment } from '../environment.ts'
import type { SealogError } from '../errors.ts'

/** Longest pause that a relay may ask for, in milliseconds. */
const LONGEST_PAUSE = 5 * 60_000

/** A delay of about `full` milliseconds, after the pause that the relay asked for in `cause`, if it did. */
export function retryDelay(environment: Environment, full: number, cause: SealogError): number {
  return Math.min(LONGEST_PAUSE, cause.details.retryAfter ?? 0) + jittered(environment, full)
}

/** Between half of `full` and all of it, so that clients that lost one relay do not return as one. */
export function jittered(environment: Environment, full: number): number {
  const [byte = 0] = environment.random(1)
  return Math.round(full * (0.5 + byte / 510))
}
