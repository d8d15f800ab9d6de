import type { Environment } from 'sealog/protocol'
import type { LogStore } from './log-store.ts'

/** Why no new clients should be sent here. */
export type UnreadyReason = 'draining' | 'store' | 'store-slow'

/** Whether a relay is fit to take clients: it is not stopping, and its store answers. */
export interface Readiness {
  /** @returns undefined where it is fit */
  check(): Promise<UnreadyReason | undefined>
  /** It is going to stop. */
  drain(): void
}

/** A store that takes longer than this to read one row is of no use, in milliseconds. */
const STORE_PATIENCE = 2000
/** Whoever asks again within this time, in milliseconds, gets the same answer: asking costs the store nothing. */
const MAX_AGE = 1000

export function storeReadiness(store: LogStore, environment: Environment): Readiness {
  let isDraining = false
  let latest: { readonly at: number; readonly answer: Promise<UnreadyReason | undefined> } | undefined

  function askStore(): Promise<UnreadyReason | undefined> {
    return new Promise(resolve => {
      const cancel = environment.schedule(STORE_PATIENCE, () => resolve('store-slow'))
      const answered = (reason: UnreadyReason | undefined): void => {
        cancel()
        resolve(reason)
      }
      store.readIdentity().then(
        () => answered(undefined),
        () => answered('store'),
      )
    })
  }

  return {
    async check() {
      if (isDraining) return 'draining'
      const now = environment.now()
      if (latest === undefined || Math.abs(now - latest.at) > MAX_AGE) latest = { at: now, answer: askStore() }
      const reason = await latest.answer
      return isDraining ? 'draining' : reason
    },
    drain() {
      isDraining = true
    },
  }
}
