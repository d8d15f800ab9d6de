import { type Environment, SealogError } from 'sealog/protocol'
import type { LogStore } from './log-store.ts'

/** Why no new clients should be sent here; `maintenance`: a command of the operator has the store to itself. */
export type UnreadyReason = 'draining' | 'store' | 'store-slow' | 'maintenance'

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
        error => answered(isMaintenance(error) ? 'maintenance' : 'store'),
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

function isMaintenance(error: unknown): boolean {
  return error instanceof SealogError && error.details.reason === 'maintenance'
}
