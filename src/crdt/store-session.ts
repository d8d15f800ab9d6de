import { asSealogError, SealogError } from '../errors.ts'
import type { ReplicaStore, StoreRow } from './store.ts'
import type { OwnBatch, OwnBytes } from './store-arguments.ts'
import { ownBatch, ownKey, ownPrefix } from './store-arguments.ts'

/**
 * A store between `open` and `close`: what remains for each kind of store to write. Arguments come checked and copied,
 * results must not be aliased, and each method takes effect in the order of the calls.
 */
export interface StoreSession {
  get(key: OwnBytes): Promise<Uint8Array | undefined>
  scan(prefix: OwnBytes): Promise<readonly StoreRow[]>
  commit(batch: OwnBatch): Promise<void>
  /** Called once, when no other call is under way. */
  close(): Promise<void>
}

type State =
  | { readonly name: 'closed' }
  | { readonly name: 'opening'; readonly settled: Promise<void> }
  | { readonly name: 'open'; readonly session: StoreSession }
  | { readonly name: 'closing'; readonly done: Promise<void> }

const CLOSED: State = { name: 'closed' }

/** A store from a way to begin a session: the lifetime, argument and error rules of `ReplicaStore`, once for all kinds. */
export function sessionStore(begin: () => Promise<StoreSession>): ReplicaStore {
  let state: State = CLOSED
  const running = new Set<Promise<unknown>>()

  async function open(): Promise<void> {
    while (state.name === 'closing') await state.done.catch(() => undefined)
    if (state.name !== 'closed') throw new SealogError('ERR_STORE_LOCKED', 'this store is open already')
    const beginning = begin()
    state = { name: 'opening', settled: beginning.then(noResult, noResult) }
    try {
      state = { name: 'open', session: await beginning }
    } catch (error) {
      state = CLOSED
      throw asStoreError(error)
    }
  }

  async function run<T>(action: (session: StoreSession) => Promise<T>): Promise<T> {
    if (state.name !== 'open') throw new SealogError('ERR_CLOSED', 'the store is not open')
    const result = action(state.session)
    running.add(result)
    try {
      return await result
    } catch (error) {
      throw asStoreError(error)
    } finally {
      running.delete(result)
    }
  }

  async function close(): Promise<void> {
    while (state.name === 'opening') await state.settled
    if (state.name === 'open') state = { name: 'closing', done: end(state.session) }
    if (state.name === 'closing') await state.done
  }

  async function end(session: StoreSession): Promise<void> {
    await Promise.allSettled(running)
    try {
      await session.close()
    } catch (error) {
      throw asStoreError(error)
    } finally {
      state = CLOSED
    }
  }

  return {
    open,
    close,
    get: async key => {
      const copy = ownKey(key, 'key')
      return run(session => session.get(copy))
    },
    scan: async prefix => {
      const copy = ownPrefix(prefix, 'prefix')
      return run(session => session.scan(copy))
    },
    commit: async batch => {
      const copy = ownBatch(batch)
      return run(session => session.commit(copy))
    },
  }
}

function asStoreError(error: unknown): SealogError {
  return asSealogError(error, 'ERR_STORE', 'the store failed')
}

function noResult(): void {}
