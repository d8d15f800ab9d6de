import { accessSync, closeSync, constants, existsSync, openSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import Database, { type Database as SqliteDatabase } from 'better-sqlite3'
import { SealogError } from 'sealog/protocol'
import { codeOf } from './log-store-sqlite-errors.ts'
import { assertSameRelay, readIdentity, writeIdentity } from './log-store-sqlite-identity.ts'
import { prepareDatabase, recogniseDatabase } from './log-store-sqlite-schema.ts'
import { HEADS, LOGS, type Schema } from './log-store-sqlite-tables.ts'

/** How long to wait for a process that is just ending and still holds the lock, in milliseconds. */
const LOCK_TIMEOUT = 2000
export const IN_MEMORY = ':memory:'

export interface SqlitePlaces {
  readonly logs: string
  readonly heads: string
  /** Go on without heads, where there are none. */
  readonly acceptRollback: boolean
}

/** The two databases of a store. */
export interface SqliteFiles {
  readonly logs: SqliteDatabase
  readonly heads: SqliteDatabase
  close(): void
}

/** As the one process that writes. @throws SealogError, and what SQLite throws */
export function openForWriting({ logs, heads, acceptRollback }: SqlitePlaces): SqliteFiles {
  return opening(open => {
    for (const path of [logs, heads]) if (path !== IN_MEMORY) open(lockOf(path))
    const first = open(databaseOf(logs))
    prepareDatabase(first, LOGS)
    const identity = readIdentity(first)
    // Before it is created: an empty one beside these logs would say that nothing was ever signed.
    if (identity !== undefined && !acceptRollback && !isThere(heads)) throw withoutHeads(heads)
    const second = open(databaseOf(heads))
    prepareDatabase(second, HEADS)
    if (identity !== undefined) {
      if (!acceptRollback && readIdentity(second) === undefined) throw withoutHeads(heads)
      writeIdentity(second, identity)
    }
    return { logs: first, heads: second }
  })
}

/** Beside a process that writes, or without one. @throws SealogError, and what SQLite throws */
export function openForReading({ logs, heads, acceptRollback }: SqlitePlaces): SqliteFiles {
  return opening(open => {
    const reading = (path: string, schema: Schema): SqliteDatabase => {
      const db = open(new Database(path, { readonly: true, fileMustExist: true, timeout: LOCK_TIMEOUT }))
      recogniseDatabase(db, schema)
      return db
    }
    const first = reading(logs, LOGS)
    const identity = readIdentity(first)
    if (!isThere(heads)) {
      if (identity !== undefined && !acceptRollback) throw withoutHeads(heads)
      const none = open(new Database(IN_MEMORY))
      prepareDatabase(none, HEADS)
      return { logs: first, heads: none }
    }
    const second = reading(heads, HEADS)
    const signer = readIdentity(second)
    if (identity !== undefined && signer === undefined && !acceptRollback) throw withoutHeads(heads)
    if (identity !== undefined) assertSameRelay(signer, identity)
    return { logs: first, heads: second }
  })
}

/** Closes what was opened, last to first, also where opening fails half-way. */
function opening(
  action: (open: (db: SqliteDatabase) => SqliteDatabase) => Pick<SqliteFiles, 'logs' | 'heads'>,
): SqliteFiles {
  const opened: SqliteDatabase[] = []
  const close = (): void => {
    for (const db of opened.splice(0).reverse()) db.close()
  }
  try {
    const files = action(db => {
      opened.push(db)
      return db
    })
    return { ...files, close }
  } catch (error) {
    close()
    throw error
  }
}

/**
 * Held for as long as it is open, and free when its process ends in whatever way. It is a file of its own, as a lock on
 * the database would keep out those who read beside.
 */
function lockOf(path: string): SqliteDatabase {
  // By whatever name the file is called, its lock is the same.
  const real = existsSync(path) ? realpathSync(path) : join(realpathSync(dirname(path)), basename(path))
  const file = `${real}-lock`
  createPrivately(file)
  const lock = new Database(file, { timeout: LOCK_TIMEOUT })
  try {
    lock.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    lock.close()
    throw error
  }
  return lock
}

function databaseOf(path: string): SqliteDatabase {
  if (path !== IN_MEMORY) createPrivately(path)
  return new Database(path, { timeout: LOCK_TIMEOUT })
}

function isThere(path: string): boolean {
  return path === IN_MEMORY || existsSync(path)
}

function createPrivately(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    // SQLite would open it for reading only, and say so at the first commit.
    accessSync(path, constants.R_OK | constants.W_OK)
  }
}

function withoutHeads(path: string): SealogError {
  return new SealogError(
    'ERR_STORE_CORRUPT',
    `there are logs, but not what was signed of them (${path}): without it, the relay could sign others in their place`,
    { details: { reason: 'heads' } },
  )
}
