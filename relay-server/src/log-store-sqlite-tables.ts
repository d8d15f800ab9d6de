import type { Database } from 'better-sqlite3'
import type { KeptHead } from './log-store.ts'
import { headChecksum } from './log-store-head-checksum.ts'

/** What a database of ours holds. */
export interface Schema {
  readonly what: string
  /** At byte 68 of the file. */
  readonly applicationId: number
  readonly version: number
  readonly statements: readonly string[]
  /** By a former version: makes a database of that one into one of the next. What is missing here is not read any more. */
  readonly migrations: ReadonlyMap<number, (db: Database) => void>
}

/** Whose file this is; in both, as they must not be taken for another relay's. */
const IDENTITY = `CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    name TEXT NOT NULL,
    key BLOB NOT NULL
  ) STRICT`

const SPACES = `CREATE TABLE spaces (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    frontier BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    base BLOB
  ) STRICT`

/**
 * The logs. Spaces have short numbers, as their ids would stand in every row. Rows of entries are short and clustered by
 * place; bodies are not, and apart from them, so that they can go without a trace in the log.
 */
export const LOGS: Schema = {
  what: 'the database',
  // "SLRY"
  applicationId: 0x534c5259,
  version: 5,
  statements: [
    IDENTITY,
    SPACES,
    `CREATE TABLE entries (
    space INTEGER NOT NULL,
    place INTEGER NOT NULL,
    header BLOB NOT NULL,
    hash BLOB NOT NULL,
    signature BLOB NOT NULL,
    document BLOB NOT NULL,
    actor BLOB NOT NULL,
    seq INTEGER NOT NULL,
    is_control INTEGER NOT NULL CHECK (is_control IN (0, 1)),
    is_snapshot INTEGER NOT NULL CHECK (is_snapshot IN (0, 1)),
    seen_size INTEGER NOT NULL,
    body_length INTEGER NOT NULL,
    replaced BLOB NOT NULL,
    PRIMARY KEY (space, place)
  ) STRICT, WITHOUT ROWID`,
    'CREATE INDEX entries_of_control ON entries (space, place) WHERE is_control = 1',
    'CREATE INDEX entries_of_documents ON entries (space, document, place)',
    'CREATE INDEX entries_of_actors ON entries (space, actor, seq)',
    // `entry` is space << 32 | place: one tree, not a table and an index.
    `CREATE TABLE bodies (
    entry INTEGER PRIMARY KEY,
    body BLOB NOT NULL
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
  ],
  migrations: new Map([
    [4, db => replaceTable(db, 'spaces', SPACES, 'INSERT INTO spaces SELECT *, NULL FROM former_spaces')],
  ]),
}

const SIGNED_HEADS = `CREATE TABLE heads (
    space BLOB PRIMARY KEY NOT NULL,
    size INTEGER NOT NULL,
    time INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    abandoned INTEGER NOT NULL,
    note BLOB NOT NULL,
    checksum BLOB NOT NULL
  ) STRICT, WITHOUT ROWID`

/** What the relay signed. By the ids of spaces, as the numbers of a database that was set back may be others. */
export const HEADS: Schema = {
  what: 'the database of signed heads',
  // "SLRH"
  applicationId: 0x534c5248,
  version: 2,
  statements: [IDENTITY, SIGNED_HEADS],
  migrations: new Map([[1, addHeadChecksums]]),
}

/** What is there is taken for right: of a row without a checksum nobody knows better. */
function addHeadChecksums(db: Database): void {
  db.function('head_checksum', { deterministic: true }, (space, size, time, latest, abandoned, note) => {
    const head: KeptHead = { size, time, latest, abandoned, note: Uint8Array.from(note) }
    return headChecksum(space, head)
  })
  const columns = 'space, size, time, latest, abandoned, note'
  replaceTable(
    db,
    'heads',
    SIGNED_HEADS,
    `INSERT INTO heads SELECT ${columns}, head_checksum(${columns}) FROM former_heads`,
  )
}

/** SQLite keeps the text that made a table, by which it is recognised: so it is made anew, and filled. */
function replaceTable(db: Database, name: string, create: string, fill: string): void {
  db.exec(`ALTER TABLE ${name} RENAME TO former_${name}`)
  db.exec(create)
  db.exec(fill)
  db.exec(`DROP TABLE former_${name}`)
}
