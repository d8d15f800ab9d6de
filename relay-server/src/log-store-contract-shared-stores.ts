import { hasCode } from 'sealog/protocol'
import type { LogStore } from './log-store.ts'

/** So many processes at once. */
export const RIVALS = 3

/** Several stores over the place, opened at once. */
export async function several(opened: () => Promise<LogStore>): Promise<readonly LogStore[]> {
  return Promise.all(Array.from({ length: RIVALS }, () => opened()))
}

/** Those that resolved; all others must have been fenced off. */
export function landed(results: readonly PromiseSettledResult<unknown>[]): readonly unknown[] {
  for (const result of results) {
    if (result.status === 'rejected' && !hasCode(result.reason, 'ERR_STORE_LOCKED')) throw result.reason
  }
  return results.filter(result => result.status === 'fulfilled')
}
