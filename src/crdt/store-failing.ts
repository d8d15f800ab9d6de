import type { ErrorCode } from '../errors.ts'
import { SealogError } from '../errors.ts'
import type { ReplicaStore } from './store.ts'

export interface FailingStoreOptions {
  /** Which operation fails, counted from 1 in the order of the calls. Absent: none, the store only counts. */
  readonly failAt?: number
  /**
   * `before` (default): the operation does not happen. `after`: it happens, but the caller sees an error, as when a
   * disk fails, or a process dies, between the effect and the acknowledgement.
   */
  readonly mode?: 'before' | 'after'
  /** Default `ERR_STORE`. */
  readonly code?: ErrorCode
}

export interface FailingStore extends ReplicaStore {
  /** How many of `get`, `scan` and `commit` were called so far, the failed one included. */
  readonly operations: number
}

/**
 * Fails one operation of a store, chosen by number, and passes on all others. Run a session once without `failAt`, read
 * `operations`, then run it again for every number up to that: whatever the moment, nothing acknowledged may be lost.
 * `open` and `close` are passed on uncounted.
 * @throws TypeError
 */
export function failingStore(inner: ReplicaStore, options: FailingStoreOptions = {}): FailingStore {
  const { failAt, mode = 'before', code = 'ERR_STORE' } = options
  if (failAt !== undefined && !(Number.isSafeInteger(failAt) && failAt > 0)) {
    throw new TypeError('options.failAt: expected a whole number from 1')
  }
  if (mode !== 'before' && mode !== 'after') throw new TypeError("options.mode: expected 'before' or 'after'")
  let operations = 0

  async function count<T>(name: string, operation: () => Promise<T>): Promise<T> {
    operations++
    if (operations !== failAt) return operation()
    const failure = new SealogError(code, `${name}, operation ${failAt}, was made to fail ${mode} its effect`)
    if (mode === 'after') await operation()
    throw failure
  }

  return {
    get operations() {
      return operations
    },
    open: () => inner.open(),
    get: key => count('get', () => inner.get(key)),
    scan: prefix => count('scan', () => inner.scan(prefix)),
    commit: batch => count('commit', () => inner.commit(batch)),
    close: () => inner.close(),
  }
}
