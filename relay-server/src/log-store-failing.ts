import { type ErrorCode, SealogError } from 'sealog/protocol'
import type { LogStore } from './log-store.ts'

export interface FailingLogStoreOptions {
  /** Which operation fails, counted from 1 in the order of the calls. Absent: none, the store only counts. */
  readonly failAt?: number
  /**
   * `before` (default): the operation does not happen. `after`: it happens, but the caller sees an error, as when the
   * process dies between the effect and the acknowledgement.
   */
  readonly mode?: 'before' | 'after'
  /** Which operations are counted. Default: those that write. */
  readonly counted?: readonly CountedOperation[]
  /** Default `ERR_STORE`. */
  readonly code?: ErrorCode
}

export type CountedOperation = Exclude<keyof LogStore, 'isShared' | 'open' | 'onGrown' | 'close'>

const WRITES: readonly CountedOperation[] = [
  'append',
  'undoAppend',
  'putFloor',
  'putHead',
  'raiseHead',
  'acceptRollback',
  'putCosigned',
  'putMailbox',
  'discard',
  'removeSpace',
]

export interface FailingLogStore extends LogStore {
  /** How many of the counted operations were called so far, the failed one included. */
  readonly operations: number
}

/**
 * Fails one operation of a store, chosen by number, and passes on all others. Run a session once without `failAt`, read
 * `operations`, then run it again for every number up to that: whatever the moment, nothing acknowledged may be lost.
 */
export function failingLogStore(inner: LogStore, options: FailingLogStoreOptions = {}): FailingLogStore {
  const { failAt, mode = 'before', counted = WRITES, code = 'ERR_STORE' } = options
  let operations = 0

  async function count<T>(name: CountedOperation, operation: () => Promise<T>): Promise<T> {
    if (!counted.includes(name)) return operation()
    operations++
    if (operations !== failAt) return operation()
    if (mode === 'after') await operation()
    throw new SealogError(code, `${name}, operation ${failAt}, was made to fail ${mode} its effect`)
  }

  return {
    get operations() {
      return operations
    },
    isShared: inner.isShared,
    open: () => inner.open(),
    readIdentity: () => count('readIdentity', () => inner.readIdentity()),
    writeIdentity: identity => count('writeIdentity', () => inner.writeIdentity(identity)),
    readSpace: space => count('readSpace', () => inner.readSpace(space)),
    readSize: space => count('readSize', () => inner.readSize(space)),
    readSpaces: (after, limit) => count('readSpaces', () => inner.readSpaces(after, limit)),
    append: append => count('append', () => inner.append(append)),
    undoAppend: undo => count('undoAppend', () => inner.undoAppend(undo)),
    putFloor: (space, size) => count('putFloor', () => inner.putFloor(space, size)),
    readHead: space => count('readHead', () => inner.readHead(space)),
    putHead: (...args) => count('putHead', () => inner.putHead(...args)),
    raiseHead: (space, head) => count('raiseHead', () => inner.raiseHead(space, head)),
    acceptRollback: space => count('acceptRollback', () => inner.acceptRollback(space)),
    announce: space => count('announce', () => inner.announce(space)),
    onGrown: listener => inner.onGrown(listener),
    readChoice: (...args) => count('readChoice', () => inner.readChoice(...args)),
    putCosigned: (...args) => count('putCosigned', () => inner.putCosigned(...args)),
    readCosigned: space => count('readCosigned', () => inner.readCosigned(space)),
    readEntries: (space, range) => count('readEntries', () => inner.readEntries(space, range)),
    readNodes: (space, places) => count('readNodes', () => inner.readNodes(space, places)),
    readBody: (...args) => count('readBody', () => inner.readBody(...args)),
    readWrap: (...args) => count('readWrap', () => inner.readWrap(...args)),
    readWraps: (...args) => count('readWraps', () => inner.readWraps(...args)),
    putMailbox: (...args) => count('putMailbox', () => inner.putMailbox(...args)),
    readMailbox: address => count('readMailbox', () => inner.readMailbox(address)),
    readMailboxes: (...args) => count('readMailboxes', () => inner.readMailboxes(...args)),
    inspect: limit => count('inspect', () => inner.inspect(limit)),
    discard: (...args) => count('discard', () => inner.discard(...args)),
    removeSpace: space => count('removeSpace', () => inner.removeSpace(space)),
    compact: () => count('compact', () => inner.compact()),
    close: () => inner.close(),
  }
}
