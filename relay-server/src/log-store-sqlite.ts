import { accessSync, closeSync, constants, openSync } from 'node:fs'
import { resolve } from 'node:path'
import Database, { type Database as SqliteDatabase } from 'better-sqlite3'
import { actorIdOf, documentIdOf, idBytes, SealogError, type SpaceId } from 'sealog/protocol'
import {
  type EntryRange,
  KEPT_COSIGNED,
  type LogStore,
  type StoredHead,
  type StoredIdentity,
  type StoredMailbox,
  type StoredSpace,
  type StoredWrap,
} from './log-store.ts'
import { assertHeadAdvances, assertStored } from './log-store-fence.ts'
import { appendWriter } from './log-store-sqlite-append.ts'
import { choiceReader } from './log-store-sqlite-choice.ts'
import { codeOf, storeError } from './log-store-sqlite-errors.ts'
import { type EntryRow, plain, selectingEntries, storedEntry, takeEntries } from './log-store-sqlite-rows.ts'
import { prepareDatabase } from './log-store-sqlite-schema.ts'

/** How long to wait for a process that is just ending and still holds the lock, in milliseconds. */
const LOCK_TIMEOUT = 2000

export interface SqliteLogStoreOptions {
  /**
   * Called before each statement of a transaction and, as `commit`, at its end; what it throws fails the transaction.
   * For tests of atomicity.
   */
  readonly onStatement?: (name: string) => void
}

/**
 * A relay's store in one SQLite file; `:memory:` for one that ends with `close`. Writes block the thread until they are
 * on the disk. The file is created readable by its owner only, and belongs to one process as long as it is open; its
 * write-ahead log (`<file>-wal`) belongs to it: copy or move them together, and only while no relay uses them.
 */
export function sqliteLogStore(file: string, options: SqliteLogStoreOptions = {}): LogStore {
  if (typeof file !== 'string' || file === '' || file.includes('\0')) throw new TypeError('file: expected a path')
  const path = file === ':memory:' ? file : resolve(file)
  let database: OpenDatabase | undefined

  /** Every method is synchronous inside: the promise only tells how it went. */
  async function use<T>(action: (db: OpenDatabase) => T): Promise<T> {
    if (database === undefined) throw new SealogError('ERR_CLOSED', 'the store is not open')
    try {
      return action(database)
    } catch (error) {
      throw storeError(error)
    }
  }

  return {
    async open() {
      if (database !== undefined) throw new SealogError('ERR_STORE_LOCKED', 'the store is open already')
      database = openDatabase(path, options.onStatement ?? (() => {}))
    },
    readIdentity: () => use(db => db.readIdentity()),
    writeIdentity: identity => use(db => db.writeIdentity(identity)),
    readSpace: space => use(db => db.readSpace(space)),
    append: append => use(db => db.append(append)),
    putHead: (space, head) => use(db => db.putHead(space, head)),
    readChoice: (space, choice, limits) => use(db => db.readChoice(space, choice, limits)),
    putCosigned: (space, size, note) => use(db => db.putCosigned(space, size, note)),
    readCosigned: space => use(db => db.readCosigned(space)),
    readEntries: (space, range) => use(db => db.readEntries(space, range)),
    readNodes: (space, places) => use(db => db.readNodes(space, places)),
    readBody: (space, index, offset, length) => use(db => db.readBody(space, index, offset, length)),
    readWrap: (...args) => use(db => db.readWrap(...args)),
    readWraps: (...args) => use(db => db.readWraps(...args)),
    putMailbox: (address, mailbox) => use(db => db.putMailbox(address, mailbox)),
    readMailbox: address => use(db => db.readMailbox(address)),
    async close() {
      database?.close()
      database = undefined
    },
  }
}

type Sync<F> = F extends (...args: infer A) => Promise<infer R> ? (...args: A) => R : never
type OpenDatabase = { readonly [K in Exclude<keyof LogStore, 'open'>]: Sync<LogStore[K]> }

function openDatabase(path: string, onStatement: (name: string) => void): OpenDatabase {
  let db: SqliteDatabase | undefined
  try {
    if (path !== ':memory:') createPrivately(path)
    db = new Database(path, { timeout: LOCK_TIMEOUT })
    prepareDatabase(db)
    return operations(db, onStatement)
  } catch (error) {
    db?.close()
    throw storeError(error)
  }
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

interface SpaceRow {
  readonly number: number
  readonly size: number
  readonly frontier: Uint8Array
}

function operations(db: SqliteDatabase, onStatement: (name: string) => void): OpenDatabase {
  const selectIdentity = db.prepare<[], StoredIdentity>('SELECT name, key FROM identity')
  const insertIdentity = db.prepare('INSERT INTO identity (only, name, key) VALUES (1, ?, ?) ON CONFLICT DO NOTHING')
  const selectSpace = db.prepare<[Uint8Array], SpaceRow>('SELECT number, size, frontier FROM spaces WHERE id = ?')
  const upsertHead = db.prepare(
    `INSERT INTO heads VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET size = excluded.size, time = excluded.time, note = excluded.note`,
  )
  const selectHead = db.prepare<[number], StoredHead>('SELECT size, time, note FROM heads WHERE space = ?')
  const upsertCosigned = db.prepare(
    'INSERT INTO cosigned VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET note = excluded.note',
  )
  const deleteOldCosigned = db.prepare(
    `DELETE FROM cosigned WHERE space = ? AND size NOT IN
       (SELECT size FROM cosigned WHERE space = ? ORDER BY size DESC LIMIT ${KEPT_COSIGNED})`,
  )
  const selectCosigned = db
    .prepare<[number], Uint8Array>('SELECT note FROM cosigned WHERE space = ? ORDER BY size DESC')
    .pluck()
  const selectControl = db
    .prepare<[number], [string, Uint8Array]>('SELECT name, value FROM control_rows WHERE space = ? ORDER BY name')
    .raw()
  const selectDocuments = db
    .prepare<[number], [Uint8Array, Uint8Array]>('SELECT document, value FROM documents WHERE space = ?')
    .raw()
  const selectActors = db
    .prepare<[number], [Uint8Array, Uint8Array, Uint8Array]>(
      'SELECT document, actor, value FROM actors WHERE space = ?',
    )
    .raw()
  const selectEntries = db
    .prepare<[number, number, number, number], EntryRow>(
      selectingEntries('entries.space = ? AND entries.place >= ? AND entries.place < ? ORDER BY entries.place'),
    )
    .raw()
  const readChosen = choiceReader(db)
  const selectLeaf = db
    .prepare<[number, number], Uint8Array>('SELECT hash FROM entries WHERE space = ? AND place = ?')
    .pluck()
  const selectNode = db
    .prepare<[number, number, number], Uint8Array>('SELECT hash FROM nodes WHERE space = ? AND level = ? AND place = ?')
    .pluck()
  const selectBody = db
    .prepare<[number, number, number, number], Uint8Array | null>(
      'SELECT substr(body, ?, ?) FROM bodies WHERE space = ? AND place = ?',
    )
    .pluck()

  const selectWraps = db.prepare<[number, number], StoredWrap>(
    'SELECT place AS "index", position, device, wrap FROM wraps WHERE space = ? AND place = ? ORDER BY position',
  )
  const selectWrap = db.prepare<[number, number, number], StoredWrap>(
    'SELECT place AS "index", position, device, wrap FROM wraps WHERE space = ? AND device = ? AND place = ?',
  )
  const upsertMailbox = db.prepare(
    `INSERT INTO mailboxes VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET counter = excluded.counter, bytes = excluded.bytes, signature = excluded.signature
     WHERE excluded.counter > mailboxes.counter`,
  )
  const selectMailbox = db.prepare<[Uint8Array], StoredMailbox>(
    'SELECT counter, bytes, signature FROM mailboxes WHERE address = ?',
  )

  const writeAppend = appendWriter(db, onStatement)

  const writeHead = db.transaction((id: SpaceId, head: StoredHead) => {
    const space = selectSpace.get(idBytes(id))
    const before = space && selectHead.get(space.number)
    assertHeadAdvances(head, space?.size ?? 0, before)
    onStatement('head')
    upsertHead.run(space?.number, head.size, head.time, head.note)
    onStatement('commit')
  })

  const writeCosigned = db.transaction((id: SpaceId, size: number, note: Uint8Array) => {
    const space = selectSpace.get(idBytes(id))
    assertStored(size, space?.size ?? 0)
    onStatement('cosigned')
    upsertCosigned.run(space?.number, size, note)
    onStatement('old')
    deleteOldCosigned.run(space?.number, space?.number)
    onStatement('commit')
  })

  const writeMailbox = db.transaction((address: Uint8Array, { counter, bytes, signature }: StoredMailbox): boolean => {
    onStatement('mailbox')
    const { changes } = upsertMailbox.run(address, counter, bytes, signature)
    onStatement('commit')
    return changes > 0
  })

  /** Numbers never change, and there are few spaces: one look-up for each. */
  const numbers = new Map<SpaceId, number>()

  function numberOf(id: SpaceId): number {
    const known = numbers.get(id)
    if (known !== undefined) return known
    const row = selectSpace.get(idBytes(id))
    if (row === undefined) return -1
    numbers.set(id, row.number)
    return row.number
  }

  return {
    readIdentity() {
      const row = selectIdentity.get()
      return row && { name: row.name, key: plain(row.key) }
    },
    writeIdentity({ name, key }) {
      const { changes } = insertIdentity.run(name, key)
      if (changes === 0) throw new SealogError('ERR_STORE_LOCKED', 'the store has an owner')
    },
    readSpace(id): StoredSpace | undefined {
      const row = selectSpace.get(idBytes(id))
      if (row === undefined) return undefined
      const head = selectHead.get(row.number)
      return {
        size: row.size,
        frontier: plain(row.frontier),
        state: {
          control: selectControl.all(row.number).map(([name, value]) => ({ name, value: plain(value) })),
          documents: selectDocuments.all(row.number).map(([document, value]) => ({
            document: documentIdOf(document),
            value: plain(value),
          })),
          actors: selectActors.all(row.number).map(([document, actor, value]) => ({
            document: documentIdOf(document),
            actor: actorIdOf(actor),
            value: plain(value),
          })),
        },
        head: head && { size: head.size, time: head.time, note: plain(head.note) },
      }
    },
    append: append => writeAppend(append),
    putHead: (id, head) => writeHead(id, head),
    readChoice: (id, choice, limits) => readChosen(numberOf(id), choice, limits),
    putCosigned: (id, size, note) => writeCosigned(id, size, note),
    readCosigned: id => selectCosigned.all(numberOf(id)).map(plain),
    readEntries: (id, { from, to, inlineLength, maxBytes }: EntryRange) =>
      takeEntries(selectEntries.iterate(inlineLength, numberOf(id), from, to), maxBytes, storedEntry),
    readNodes(id, places) {
      const space = numberOf(id)
      return places.map(([level, index]) => {
        const hash = level === 0 ? selectLeaf.get(space, index) : selectNode.get(space, level, index)
        if (hash === undefined) throw new SealogError('ERR_STORE_CORRUPT', `no node ${index} on level ${level}`)
        return plain(hash)
      })
    },
    readBody(id, index, offset, length) {
      const part = selectBody.get(offset + 1, length, numberOf(id), index)
      // Of nothing SQLite makes null.
      return part === null ? new Uint8Array(0) : part && plain(part)
    },
    readWrap(id, index, device) {
      const row = selectWrap.get(numberOf(id), device, index)
      return row && { ...row, wrap: plain(row.wrap) }
    },
    readWraps: (id, index) => selectWraps.all(numberOf(id), index).map(row => ({ ...row, wrap: plain(row.wrap) })),
    putMailbox: (address, mailbox) => writeMailbox(address, mailbox),
    readMailbox(address) {
      const row = selectMailbox.get(address)
      return row && { counter: row.counter, bytes: plain(row.bytes), signature: plain(row.signature) }
    },
    close: () => void db.close(),
  }
}
