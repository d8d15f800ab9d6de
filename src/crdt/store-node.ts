import { accessSync, closeSync, constants, openSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Database as SqliteDatabase } from 'better-sqlite3'
import type { ErrorCode } from '../errors.ts'
import { SealogError } from '../errors.ts'
import type { Durability, ReplicaStore, StoreRow } from './store.ts'
import type { OwnBatch, OwnBytes } from './store-arguments.ts'
import { prefixEnd } from './store-arguments.ts'
import type { StoreSession } from './store-session.ts'
import { sessionStore } from './store-session.ts'

/** "SEAL", at byte 68 of the file. */
const APPLICATION_ID = 0x5345414c
const SCHEMA_VERSION = 1
const SELECT_ROWS = 'SELECT key, value FROM rows'
const CREATE = 'CREATE TABLE rows (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID'
/** After a large batch the write-ahead log is cut back to this many bytes. */
const LOG_LIMIT = 16 * 2 ** 20

type SqliteRow = [key: Uint8Array, value: Uint8Array]

export interface NodeStoreOptions {
  /**
   * The largest size of the database file in bytes, rounded down to whole pages; a commit that needs more rejects with
   * `ERR_STORE_FULL`. The write-ahead log beside it comes on top. Default: what the disk holds.
   */
  readonly maxBytes?: number
}

/**
 * A store in one SQLite file, for Node. Needs the package `better-sqlite3` (12), which is loaded by `open`.
 *
 * A file that does not exist is created, readable by its owner only, since it holds keys; its folder must exist. A file
 * that is no database, or another application's, is refused with `ERR_STORE_CORRUPT` and left as it is. While the store
 * is open the file is locked by the operating system, which also frees it when the process dies. SQLite's own log
 * (`<file>-wal`) belongs to the file: copy or move them together, and only while the store is closed.
 *
 * A `strict` commit syncs the log before it resolves, and with it all commits before. The work is done within the call:
 * a large batch blocks the thread.
 * @param file a path; relative to the working directory at the time of this call
 * @throws TypeError
 */
export function nodeStore(file: string, options: NodeStoreOptions = {}): ReplicaStore {
  if (typeof file !== 'string' || file === '' || file.includes('\0')) throw new TypeError('file: expected a path')
  const { maxBytes } = options
  if (maxBytes !== undefined && !(Number.isSafeInteger(maxBytes) && maxBytes > 0)) {
    throw new TypeError('options.maxBytes: expected a number of bytes')
  }
  // Absolute, so that SQLite cannot read a name like `file:x?mode=memory` as anything but a name.
  const path = resolve(file)
  return sessionStore(() => beginSession(path, maxBytes))
}

async function beginSession(path: string, maxBytes: number | undefined): Promise<StoreSession> {
  const Database = await loadDriver()
  let db: SqliteDatabase | undefined
  try {
    createPrivately(path)
    const isNew = statSync(path).size === 0
    db = new Database(path, { timeout: 0, fileMustExist: true })
    // To be settled before the first table: what compaction frees goes back to the file system.
    if (isNew) db.pragma('auto_vacuum = INCREMENTAL')
    prepare(db)
    if (maxBytes !== undefined) limitSize(db, maxBytes)
    return session(db)
  } catch (error) {
    db?.close()
    throw storeError(error)
  }
}

async function loadDriver(): Promise<typeof import('better-sqlite3')> {
  try {
    return (await import('better-sqlite3')).default
  } catch (cause) {
    throw new SealogError('ERR_STORE', 'the Node store needs the package better-sqlite3 (npm install better-sqlite3)', {
      cause,
      retryable: false,
    })
  }
}

/**
 * Creates the file, or finds it there and writable. Only ever opens a file that this very call creates: under POSIX,
 * closing any second descriptor of a file would drop the lock of a store that this process has open on it.
 */
function createPrivately(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    // SQLite would open it for reading only, and say so at the first commit.
    accessSync(path, constants.R_OK | constants.W_OK)
    // SQLite takes a file of one byte for an empty one, and would overwrite it.
    if (statSync(path).size === 1) throw new SealogError('ERR_STORE_CORRUPT', 'the file is no database')
  }
}

/** Locks, recognises or initialises the database; changes nothing in one that is not ours. */
function prepare(db: SqliteDatabase): void {
  // Before the first access: the log then needs no shared memory, and the lock is kept for as long as the connection.
  db.pragma('locking_mode = EXCLUSIVE')
  db.pragma('trusted_schema = OFF')
  db.pragma('cell_size_check = ON')
  db.transaction(() => {
    if (!isEmpty(db)) return recognise(db)
    db.exec(CREATE)
    db.pragma(`application_id = ${APPLICATION_ID}`)
    db.pragma(`user_version = ${SCHEMA_VERSION}`)
  }).exclusive()
  if (db.pragma('journal_mode = WAL', { simple: true }) !== 'wal') {
    throw new SealogError('ERR_STORE', 'the file system cannot hold a write-ahead log')
  }
  db.pragma(`journal_size_limit = ${LOG_LIMIT}`)
  // Deleted keys are overwritten where that costs no page write of its own.
  db.pragma('secure_delete = FAST')
}

function isEmpty(db: SqliteDatabase): boolean {
  const objects = db.prepare<[], number>('SELECT count(*) FROM sqlite_schema').pluck().get()
  return objects === 0 && numberOf(db, 'application_id') === 0 && numberOf(db, 'user_version') === 0
}

function recognise(db: SqliteDatabase): void {
  if (numberOf(db, 'application_id') !== APPLICATION_ID) {
    throw new SealogError('ERR_STORE_CORRUPT', "the file is another application's database")
  }
  const version = numberOf(db, 'user_version')
  if (version > SCHEMA_VERSION) {
    throw new SealogError('ERR_STORE_SCHEMA', `the store has schema ${version}, this version knows ${SCHEMA_VERSION}`)
  }
  const schema = db.prepare<[], string>('SELECT sql FROM sqlite_schema').pluck().all()
  if (version !== SCHEMA_VERSION || schema.length !== 1 || schema[0] !== CREATE) {
    throw new SealogError('ERR_STORE_CORRUPT', 'the store does not have the tables it should have')
  }
}

function limitSize(db: SqliteDatabase, maxBytes: number): void {
  const pages = Math.floor(maxBytes / numberOf(db, 'page_size'))
  // Zero would ask for the present limit instead of setting one.
  db.pragma(`max_page_count = ${Math.max(pages, 1)}`)
}

function session(db: SqliteDatabase): StoreSession {
  const select = db.prepare<[OwnBytes], Uint8Array>('SELECT value FROM rows WHERE key = ?').pluck()
  const selectFrom = db.prepare<[OwnBytes], SqliteRow>(`${SELECT_ROWS} WHERE key >= ? ORDER BY key`).raw()
  const selectRange = db
    .prepare<[OwnBytes, OwnBytes], SqliteRow>(`${SELECT_ROWS} WHERE key >= ? AND key < ? ORDER BY key`)
    .raw()
  const upsert = db.prepare<[OwnBytes, OwnBytes]>(
    'INSERT INTO rows (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
  )
  const remove = db.prepare<[OwnBytes]>('DELETE FROM rows WHERE key = ?')
  const write = db.transaction((batch: OwnBatch) => {
    for (const key of batch.deletes) remove.run(key)
    for (const [key, value] of batch.puts) upsert.run(key, value)
  })
  let failure: SealogError | undefined
  let synced: Durability | undefined

  function attempt<T>(action: () => T): T {
    if (failure !== undefined) throw failure
    try {
      return action()
    } catch (error) {
      const mapped = storeError(error)
      // What a disk that failed once still holds is only known after SQLite has read it anew.
      if (mapped.code === 'ERR_STORE' || mapped.code === 'ERR_STORE_CORRUPT') failure = mapped
      throw mapped
    }
  }

  function syncAs(durability: Durability): void {
    if (durability === synced) return
    // In the log's mode NORMAL leaves out only the sync after each commit; the sync of the next strict commit covers it.
    db.pragma(`synchronous = ${durability === 'strict' ? 'FULL' : 'NORMAL'}`)
    synced = durability
  }

  return {
    get: async key =>
      attempt(() => {
        const value = select.get(key)
        return value && plain(value)
      }),
    scan: async prefix =>
      attempt(() => {
        const end = prefixEnd(prefix)
        const rows = end === undefined ? selectFrom.all(prefix) : selectRange.all(prefix, end)
        return rows.map(([key, value]): StoreRow => [plain(key), plain(value)])
      }),
    commit: async batch =>
      attempt(() => {
        syncAs(batch.durability)
        write(batch)
      }),
    close: async () => {
      try {
        if (failure === undefined) db.pragma('incremental_vacuum')
      } catch {
        // A file that is larger than it needs to be is no reason to fail.
      } finally {
        db.close()
      }
    },
  }
}

/** SQLite hands out Node's own kind of bytes, each in a buffer of its own. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function numberOf(db: SqliteDatabase, pragma: string): number {
  return db.pragma(pragma, { simple: true }) as number
}

function codeOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

/** By the beginning of SQLite's or the operating system's code; the rest of an extended code says where it happened. */
const CODES: readonly (readonly [start: string, code: ErrorCode])[] = [
  ['SQLITE_FULL', 'ERR_STORE_FULL'],
  ['ENOSPC', 'ERR_STORE_FULL'],
  ['EDQUOT', 'ERR_STORE_FULL'],
  ['SQLITE_BUSY', 'ERR_STORE_LOCKED'],
  ['SQLITE_CORRUPT', 'ERR_STORE_CORRUPT'],
  ['SQLITE_NOTADB', 'ERR_STORE_CORRUPT'],
]

function storeError(error: unknown): SealogError {
  if (error instanceof SealogError) return error
  const reported = codeOf(error)
  const code = CODES.find(([start]) => reported.startsWith(start))?.[1] ?? 'ERR_STORE'
  return new SealogError(code, `SQLite failed (${reported})`, { cause: error })
}
