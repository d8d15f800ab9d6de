import type { Database } from 'better-sqlite3'
import { SealogError } from 'sealog/protocol'
import { codeOf } from './log-store-sqlite-errors.ts'
import type { Schema } from './log-store-sqlite-tables.ts'

/** After a large transaction the write-ahead log is cut back to this many bytes. */
const LOG_LIMIT = 64 * 2 ** 20

/**
 * Recognises or initialises a database, brings one of a former version to this one, and makes commits durable. A file
 * that is not ours is refused and left as it is.
 * @throws SealogError ERR_STORE, ERR_STORE_CORRUPT, ERR_STORE_SCHEMA
 */
export function prepareDatabase(db: Database, schema: Schema): void {
  distrust(db)
  db.transaction(() => {
    if (isEmpty(db)) initialise(db, schema)
    else migrate(db, schema)
    recognise(db, schema)
  }).exclusive()
  const mode = db.pragma('journal_mode = WAL', { simple: true })
  if (mode !== 'wal' && !db.memory) {
    throw new SealogError('ERR_STORE', 'the file system cannot hold a write-ahead log')
  }
  // Each commit is on the disk before it returns.
  db.pragma('synchronous = FULL')
  db.pragma(`journal_size_limit = ${LOG_LIMIT}`)
  // What is to be undone of a large transaction then needs no file, nor a process with a descriptor left for it.
  db.pragma('temp_store = MEMORY')
  // SQLite would do it by itself, and tell nobody of a disk that failed then: see `groupCommits`.
  db.pragma('wal_autocheckpoint = 0')
  // What was read from the write-ahead log may not be on the disk, if the process that wrote it ended because it failed.
  db.pragma('wal_checkpoint(TRUNCATE)')
}

/**
 * Recognises a database that another process may be writing.
 * @throws SealogError ERR_STORE_CORRUPT, ERR_STORE_SCHEMA
 */
export function recogniseDatabase(db: Database, schema: Schema): void {
  distrust(db)
  db.transaction(() => recognise(db, schema)).deferred()
}

function distrust(db: Database): void {
  db.pragma('trusted_schema = OFF')
  db.pragma('cell_size_check = ON')
}

function initialise(db: Database, schema: Schema): void {
  db.pragma(`application_id = ${schema.applicationId}`)
  for (const statement of schema.statements) db.exec(statement)
  db.pragma(`user_version = ${schema.version}`)
}

function isEmpty(db: Database): boolean {
  return schemaOf(db).length === 0 && numberOf(db, 'application_id') === 0 && numberOf(db, 'user_version') === 0
}

/** Step by step, as far as there are steps; whatever else is there is left to `recognise`, and nothing of it stays. */
function migrate(db: Database, schema: Schema): void {
  if (numberOf(db, 'application_id') !== schema.applicationId) return
  for (;;) {
    const version = numberOf(db, 'user_version')
    const step = schema.migrations.get(version)
    if (step === undefined) return
    take(step, db, schema)
    db.pragma(`user_version = ${version + 1}`)
  }
}

/** Where the tables of the former version are not there, it is none. */
function take(step: (db: Database) => void, db: Database, { what }: Schema): void {
  try {
    step(db)
  } catch (cause) {
    if (codeOf(cause) !== 'SQLITE_ERROR') throw cause
    throw new SealogError('ERR_STORE_CORRUPT', `${what} does not have the tables of its version`, { cause })
  }
}

/** A database that can be opened has exactly the tables of this version. */
function recognise(db: Database, schema: Schema): void {
  if (numberOf(db, 'application_id') !== schema.applicationId) {
    throw new SealogError('ERR_STORE_CORRUPT', `${schema.what} is something else's`)
  }
  const version = numberOf(db, 'user_version')
  if (version !== schema.version) {
    throw new SealogError(
      'ERR_STORE_SCHEMA',
      `${schema.what} has schema ${version}, this version reads ${schema.version} only`,
    )
  }
  const expected = [...schema.statements].sort()
  const actual = [...schemaOf(db)].sort()
  if (expected.length !== actual.length || expected.some((sql, i) => sql !== actual[i])) {
    throw new SealogError('ERR_STORE_CORRUPT', `${schema.what} does not have the tables it should have`)
  }
}

/** What was created by a statement: tables and indexes, and none of those that SQLite makes by itself. */
function schemaOf(db: Database): readonly string[] {
  return db.prepare<[], string>('SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL').pluck().all()
}

function numberOf(db: Database, pragma: string): number {
  return db.pragma(pragma, { simple: true }) as number
}
