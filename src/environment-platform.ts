import type { Environment } from './environment.ts'

/** The clock, timers and randomness of the platform (browsers and Node alike). */
export function platformEnvironment(): Environment {
  return {
    random: length => crypto.getRandomValues(new Uint8Array(length)),
    now: () => Date.now(),
    schedule: (ms, task) => {
      const timer = setTimeout(task, ms)
      return () => clearTimeout(timer)
    },
  }
}
