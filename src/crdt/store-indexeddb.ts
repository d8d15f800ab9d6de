import type { IDBPDatabase } from 'idb'
import { openDB, unwrap } from 'idb'
import { platformEnvironment } from '../environment-platform.ts'
import type { ErrorCode } from '../errors.ts'
import { SealogError } from '../errors.ts'
import type { Durability, ReplicaStore, StoreRow } from './store.ts'
import type { OwnBatch, OwnBytes } from './store-arguments.ts'
import { prefixEnd } from './store-arguments.ts'
import type { LeaseEnvironment } from './store-indexeddb-lease.ts'
import { takeLease } from './store-indexeddb-lease.ts'
import type { WriterLock } from './store-indexeddb-lock.ts'
import { takeWebLock } from './store-indexeddb-lock.ts'
import type { StoreSession } from './store-session.ts'
import { sessionStore } from './store-session.ts'

const SCHEMA_VERSION = 1
/** The one object store: ArrayBuffer keys, which IndexedDB orders as unsigned bytes, to ArrayBuffer values. */
const ROWS = 'rows'
/** Keys are never empty. */
const LEAST_KEY: OwnBytes = Uint8Array.of(0)

/**
 * A store in the IndexedDB database `sealog/<name>` of this origin, in pages and workers of all kinds.
 *
 * The writer's lock is a Web Lock of the same name: held until `close`, and freed by the browser when a page crashes.
 * Without Web Locks (pages that are neither https nor localhost) it is a lease in the database, renewed while the store
 * is open: a crashed page then blocks its successor for up to five seconds, and a page that slept longer than that may
 * find itself succeeded, after which its commits reject with `ERR_STORE_LOCKED`.
 *
 * Another page that deletes the database, or opens it with a newer version of this library, is let through: from then on
 * this store rejects with `ERR_STORE`, as it does when the browser takes the database away.
 *
 * Browsers may evict what an origin stores unless the application asks for `navigator.storage.persist()`.
 * @param environment clock and timer of the lease; the platform's by default
 * @throws TypeError
 */
export function indexedDbStore(name: string, environment: LeaseEnvironment = platformEnvironment()): ReplicaStore {
  if (typeof name !== 'string' || name === '') throw new TypeError('name: expected a text that is not empty')
  return sessionStore(() => beginSession(`sealog/${name}`, environment))
}

/** Why the session can no longer be used, once that is so. */
interface Fate {
  lost?: SealogError
}

async function beginSession(name: string, environment: LeaseEnvironment): Promise<StoreSession> {
  const fate: Fate = {}
  const locks: LockManager | undefined = globalThis.navigator?.locks
  if (locks === undefined) {
    const onLost = (): void => loseLock(fate)
    return openSession(name, fate, db => takeLease(() => rowsToWrite(db), environment, onLost))
  }
  const lock = await takeWebLock(locks, name, () => loseLock(fate))
  if (lock === undefined) throw lockedError()
  try {
    return await openSession(name, fate, async () => lock)
  } catch (error) {
    await lock.release()
    throw error
  }
}

async function openSession(
  name: string,
  fate: Fate,
  takeLock: (db: IDBPDatabase) => Promise<WriterLock | undefined>,
): Promise<StoreSession> {
  const db = await openDatabase(name, fate)
  try {
    const lock = await takeLock(db)
    if (lock === undefined) throw lockedError()
    return session(db, lock, fate)
  } catch (error) {
    db.close()
    throw storeError(error)
  }
}

async function openDatabase(name: string, fate: Fate): Promise<IDBPDatabase> {
  if (globalThis.indexedDB === undefined) throw new SealogError('ERR_STORE', 'this platform has no IndexedDB')
  let db: IDBPDatabase
  try {
    db = await openDB(name, SCHEMA_VERSION, {
      upgrade: created => void created.createObjectStore(ROWS),
      blocking: (_current, _blocked, event) => {
        // Commits under way still finish; the other page waits for them.
        ;(event.target as IDBDatabase).close()
        fate.lost ??= new SealogError('ERR_STORE', 'another page deletes or upgrades the database')
      },
      terminated: () => {
        fate.lost ??= new SealogError('ERR_STORE', 'the browser closed the database')
      },
    })
  } catch (error) {
    throw storeError(error)
  }
  if (db.objectStoreNames.length === 1 && db.objectStoreNames.contains(ROWS)) return db
  db.close()
  throw new SealogError('ERR_STORE_CORRUPT', 'the database was made by something else')
}

function session(db: IDBPDatabase, lock: WriterLock, fate: Fate): StoreSession {
  async function attempt<T>(action: () => Promise<T>): Promise<T> {
    if (fate.lost !== undefined) throw fate.lost
    try {
      return await action()
    } catch (error) {
      throw fate.lost ?? storeError(error)
    }
  }

  return {
    get: key => attempt(() => get(db, key)),
    scan: prefix => attempt(() => scan(db, prefix)),
    commit: batch => attempt(() => commit(db, batch, lock, fate)),
    close: async () => {
      await lock.release()
      db.close()
    },
  }
}

// Reads wait for their transaction, too: a connection with one under way would outlive `close`.

async function get(db: IDBPDatabase, key: OwnBytes): Promise<Uint8Array | undefined> {
  const { store, done } = db.transaction(ROWS)
  const [value] = await Promise.all([store.get(key.buffer), done])
  return value === undefined ? undefined : bytesOf(value)
}

async function scan(db: IDBPDatabase, prefix: OwnBytes): Promise<readonly StoreRow[]> {
  const range = rangeOf(prefix)
  const { store, done } = db.transaction(ROWS)
  const [keys, values] = await Promise.all([store.getAllKeys(range), store.getAll(range), done])
  return keys.map((key, index) => [bytesOf(key), bytesOf(values[index])])
}

function rangeOf(prefix: OwnBytes): IDBKeyRange {
  const start = prefix.length === 0 ? LEAST_KEY : prefix
  const end = prefixEnd(prefix)
  if (end === undefined) return IDBKeyRange.lowerBound(start.buffer)
  return IDBKeyRange.bound(start.buffer, end.buffer, false, true)
}

/** Bare requests and events: a promise for every row of a large batch would cost more than the rows. */
function commit(db: IDBPDatabase, batch: OwnBatch, lock: WriterLock, fate: Fate): Promise<void> {
  return new Promise((resolve, reject) => {
    const rows = rowsToWrite(db, batch.durability)
    const { transaction } = rows
    let refusal: unknown
    transaction.oncomplete = () => resolve()
    transaction.onabort = () =>
      reject(refusal ?? transaction.error ?? new SealogError('ERR_STORE', 'the commit was aborted'))

    function abort(reason: unknown): void {
      refusal = reason
      transaction.abort()
    }

    function write(): void {
      try {
        for (const key of batch.deletes) rows.delete(key.buffer)
        for (const [key, value] of batch.puts) rows.put(value.buffer, key.buffer)
        transaction.commit()
      } catch (error) {
        abort(error)
      }
    }

    if (lock.fence === undefined) return write()
    lock.fence(rows, write, () => {
      loseLock(fate)
      abort(lockedError())
    })
  })
}

function rowsToWrite(db: IDBPDatabase, durability: Durability = 'relaxed'): IDBObjectStore {
  return unwrap(db).transaction(ROWS, 'readwrite', { durability }).objectStore(ROWS)
}

function bytesOf(stored: unknown): Uint8Array {
  if (stored instanceof ArrayBuffer) return new Uint8Array(stored)
  throw new SealogError('ERR_STORE_CORRUPT', 'the database holds a row that is not bytes')
}

function loseLock(fate: Fate): void {
  fate.lost ??= lockedError()
}

function lockedError(): SealogError {
  return new SealogError('ERR_STORE_LOCKED', 'another page or worker writes this store')
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  QuotaExceededError: 'ERR_STORE_FULL',
  VersionError: 'ERR_STORE_SCHEMA',
}

function storeError(error: unknown): SealogError {
  if (error instanceof SealogError) return error
  const name = (error as Partial<DOMException> | null)?.name ?? ''
  return new SealogError(CODES[name] ?? 'ERR_STORE', `IndexedDB failed (${name})`, { cause: error })
}
