import type { Database } from 'better-sqlite3'
import { SealogError } from 'sealog/protocol'

/** "SLRY", at byte 68 of the file. */
const APPLICATION_ID = 0x534c5259
const SCHEMA_VERSION = 3
/** After a large transaction the write-ahead log is cut back to this many bytes. */
const LOG_LIMIT = 64 * 2 ** 20

/**
 * Spaces have short numbers, as their ids would stand in every row. Rows of entries are short and clustered by place;
 * bodies are not, and apart from them, so that they can go without a trace in the log.
 */
const SCHEMA: readonly string[] = [
  `CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    name TEXT NOT NULL,
    key BLOB NOT NULL
  ) STRICT`,
  `CREATE TABLE spaces (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    frontier BLOB NOT NULL
  ) STRICT`,
  `CREATE TABLE entries (
    space INTEGER NOT NULL,
    place INTEGER NOT NULL,
    header BLOB NOT NULL,
    hash BLOB NOT NULL,
    signature BLOB NOT NULL,
    document BLOB NOT NULL,
    actor BLOB NOT NULL,
    seq INTEGER NOT NULL,
    is_control INTEGER NOT NULL,
    is_snapshot INTEGER NOT NULL,
    seen_size INTEGER NOT NULL,
    body_length INTEGER NOT NULL,
    replaced BLOB NOT NULL,
    PRIMARY KEY (space, place)
  ) STRICT, WITHOUT ROWID`,
  'CREATE INDEX entries_of_control ON entries (space, place) WHERE is_control = 1',
  'CREATE INDEX entries_of_documents ON entries (space, document, place)',
  'CREATE INDEX entries_of_actors ON entries (space, actor, seq)',
  `CREATE TABLE bodies (
    space INTEGER NOT NULL,
    place INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (space, place)
  ) STRICT`,
  `CREATE TABLE nodes (
    space INTEGER NOT NULL,
    level INTEGER NOT NULL,
    place INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (space, level, place)
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE control_rows (
    space INTEGER NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (space, name)
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE documents (
    space INTEGER NOT NULL,
    document BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (space, document)
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE actors (
    space INTEGER NOT NULL,
    document BLOB NOT NULL,
    actor BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (space, document, actor)
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE heads (
    space INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    time INTEGER NOT NULL,
    note BLOB NOT NULL
  ) STRICT`,
  `CREATE TABLE cosigned (
    space INTEGER NOT NULL,
    size INTEGER NOT NULL,
    note BLOB NOT NULL,
    PRIMARY KEY (space, size)
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE wraps (
    space INTEGER NOT NULL,
    place INTEGER NOT NULL,
    position INTEGER NOT NULL,
    device INTEGER NOT NULL,
    wrap BLOB NOT NULL,
    PRIMARY KEY (space, place, position)
  ) STRICT`,
  'CREATE UNIQUE INDEX wraps_of_devices ON wraps (space, device, place)',
  `CREATE TABLE mailboxes (
    address BLOB NOT NULL PRIMARY KEY,
    counter INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    signature BLOB NOT NULL
  ) STRICT`,
]

/**
 * Locks the database for as long as it is open, recognises or initialises it, and makes commits durable. A file that is
 * not ours is refused and left as it is.
 * @throws SealogError ERR_STORE, ERR_STORE_CORRUPT, ERR_STORE_SCHEMA
 */
export function prepareDatabase(db: Database): void {
  // Before the first access: the log then needs no shared memory, and the lock is kept for as long as the connection.
  db.pragma('locking_mode = EXCLUSIVE')
  db.pragma('trusted_schema = OFF')
  db.pragma('cell_size_check = ON')
  db.transaction(() => {
    if (isEmpty(db)) initialise(db)
    else recognise(db)
  }).exclusive()
  const mode = db.pragma('journal_mode = WAL', { simple: true })
  if (mode !== 'wal' && !db.memory) {
    throw new SealogError('ERR_STORE', 'the file system cannot hold a write-ahead log')
  }
  // Each commit is on the disk before it returns.
  db.pragma('synchronous = FULL')
  db.pragma(`journal_size_limit = ${LOG_LIMIT}`)
}

function initialise(db: Database): void {
  db.pragma(`application_id = ${APPLICATION_ID}`)
  for (const statement of SCHEMA) db.exec(statement)
  db.pragma(`user_version = ${SCHEMA_VERSION}`)
}

function isEmpty(db: Database): boolean {
  return schemaOf(db).length === 0 && numberOf(db, 'application_id') === 0 && numberOf(db, 'user_version') === 0
}

/** A database that can be opened has exactly the tables of this version. */
function recognise(db: Database): void {
  if (numberOf(db, 'application_id') !== APPLICATION_ID) {
    throw new SealogError('ERR_STORE_CORRUPT', "the file is another application's database")
  }
  const version = numberOf(db, 'user_version')
  if (version !== SCHEMA_VERSION) {
    throw new SealogError(
      'ERR_STORE_SCHEMA',
      `the database has schema ${version}, this version reads ${SCHEMA_VERSION} only`,
    )
  }
  const expected = [...SCHEMA].sort()
  const actual = [...schemaOf(db)].sort()
  if (expected.length !== actual.length || expected.some((sql, i) => sql !== actual[i])) {
    throw new SealogError('ERR_STORE_CORRUPT', 'the database does not have the tables it should have')
  }
}

/** What was created by a statement: tables and indexes, and none of those that SQLite makes by itself. */
function schemaOf(db: Database): readonly string[] {
  return db.prepare<[], string>('SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL').pluck().all()
}

function numberOf(db: Database, pragma: string): number {
  return db.pragma(pragma, { simple: true }) as number
}
