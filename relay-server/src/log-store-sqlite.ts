import { join, parse, resolve } from 'node:path'
import { idBytes, SealogError, type SpaceId } from 'sealog/protocol'
import { bytesOf } from './append.ts'
import type { Append, LogStore } from './log-store.ts'
import { isTombstone } from './log-store-fence.ts'
import { type Commits, groupCommits } from './log-store-sqlite-commits.ts'
import { type Health, healthOf, storeError } from './log-store-sqlite-errors.ts'
import {
  IN_MEMORY,
  openForReading,
  openForWriting,
  type SqliteFiles,
  type SqlitePlaces,
} from './log-store-sqlite-files.ts'
import { type SqliteHeads, sqliteHeads } from './log-store-sqlite-heads.ts'
import { readIdentity, writeIdentity } from './log-store-sqlite-identity.ts'
import { inspectHeads, inspectLogs } from './log-store-sqlite-inspect.ts'
import { type SqliteLogs, type SqliteLogWrites, sqliteLogs, sqliteLogWrites } from './log-store-sqlite-logs.ts'
import { compact, type SqliteUpkeep, sqliteUpkeep } from './log-store-sqlite-upkeep.ts'

export interface SqliteLogStoreOptions {
  /**
   * The file of what was signed, which must not be set back with the logs. Default: `relay-heads.db` beside a `relay.db`,
   * and likewise for other names.
   */
  readonly heads?: string
  /** Reads beside the process that writes, or without one: whatever would write rejects with ERR_READ_ONLY. */
  readonly readOnly?: boolean
  /** Opens logs whose heads are gone. Without heads nobody knows whether these are all the entries that were signed. */
  readonly acceptRollback?: boolean
  /**
   * Called before each statement of a transaction and, as `commit`, at its end; what it throws fails the transaction.
   * For tests of atomicity.
   */
  readonly onStatement?: (name: string) => void
}

/**
 * A relay's store in two SQLite files, one for the logs and one for what was signed of them; `:memory:` for one that
 * ends with `close`. Writes block the thread until they are on the disk; those of one turn of the event loop share one
 * commit. The files are created readable by their owner only, and one process at a time writes them: it holds
 * `<file>-lock` for as long as it is open, and others may read. A write-ahead log (`<file>-wal`) belongs to its file:
 * copy or move them together, and only while no relay uses them.
 *
 * `open` rejects with ERR_STORE_CORRUPT and `details.reason` `heads` where logs of a relay have no heads, and
 * `other-heads` where the heads are another relay's. After an error of the disk every call rejects with ERR_STORE until
 * the store is closed and opened again; a full disk fails the one write.
 */
export function sqliteLogStore(file: string, options: SqliteLogStoreOptions = {}): LogStore {
  const places = placesOf(file, options)
  const { readOnly = false, onStatement = () => {} } = options
  let database: OpenStore | undefined

  function opened(): OpenStore {
    if (database === undefined) throw new SealogError('ERR_CLOSED', 'the store is not open')
    database.health.check()
    return database
  }

  /** Reading is synchronous inside: the promise only tells how it went. */
  async function read<T>(action: (db: OpenStore) => T): Promise<T> {
    const db = opened()
    try {
      return action(db)
    } catch (error) {
      // Who only reads goes on to find what can still be read, and vouches for nothing.
      if (!readOnly) db.health.note(error)
      throw storeError(error)
    }
  }

  async function write<T>(action: (db: OpenStore) => Promise<T>): Promise<T> {
    const db = opened()
    if (readOnly) throw new SealogError('ERR_READ_ONLY', 'the store was opened for reading')
    try {
      return await action(db)
    } catch (error) {
      throw storeError(error)
    }
  }

  return {
    isShared: false,
    async open() {
      if (database !== undefined) throw new SealogError('ERR_STORE_LOCKED', 'the store is open already')
      try {
        database = openStore(readOnly ? openForReading(places) : openForWriting(places), onStatement)
      } catch (error) {
        throw storeError(error)
      }
    },
    readIdentity: () => read(db => readIdentity(db.files.logs)),
    writeIdentity: identity =>
      write(async ({ files, inLogs, inHeads }) => {
        if (readIdentity(files.logs) !== undefined) throw new SealogError('ERR_STORE_LOCKED', 'the store has an owner')
        // The heads first: logs that have an owner, and heads that have none, are taken for logs without heads.
        await inHeads.write(0, () => writeIdentity(files.heads, identity))
        await inLogs.write(0, () => writeIdentity(files.logs, identity))
      }),
    readSpace: space => read(db => db.logs.readSpace(space)),
    readSize: space => read(db => db.logs.readSize(space)),
    readSpaces: (after, limit) =>
      read(db => spacesOf(db, after === undefined ? new Uint8Array(0) : idBytes(after), limit)),
    append: append => write(db => db.inLogs.write(sizeOf(append), () => db.logWrites.append(append))),
    undoAppend: undo => write(db => db.inLogs.write(0, () => db.logWrites.undoAppend(undo))),
    putFloor: (space, size) => write(db => db.inLogs.write(0, () => db.logWrites.putFloor(space, size))),
    readHead: space => read(db => db.heads.read(space)),
    putHead: (space, head, after) => write(db => db.inHeads.write(0, () => db.heads.put(space, head, after))),
    raiseHead: (space, head) => write(db => db.inHeads.write(0, () => db.heads.raise(space, head))),
    acceptRollback: space =>
      write(async db => {
        // As long as the head is there, the space is behind, whatever its floor: half of this is none of it.
        if (isTombstone(db.heads.read(space))) return
        await db.inLogs.write(0, () => db.logWrites.clearFloor(space))
        await db.inHeads.write(0, () => db.heads.forget(space))
      }),
    announce: () => read(() => {}),
    onGrown: () => () => {},
    readChoice: (...args) => read(db => db.logs.readChoice(...args)),
    putCosigned: (space, size, note) =>
      write(db => db.inLogs.write(note.length, () => db.logWrites.putCosigned(space, size, note))),
    readCosigned: space => read(db => db.logs.readCosigned(space)),
    readEntries: (space, range) => read(db => db.logs.readEntries(space, range)),
    readNodes: (space, places) => read(db => db.logs.readNodes(space, places)),
    readBody: (...args) => read(db => db.logs.readBody(...args)),
    readWrap: (...args) => read(db => db.logs.readWrap(...args)),
    readWraps: (...args) => read(db => db.logs.readWraps(...args)),
    putMailbox: (address, mailbox) =>
      write(db => db.inLogs.write(mailbox.bytes.length, () => db.logWrites.putMailbox(address, mailbox))),
    readMailbox: address => read(db => db.logs.readMailbox(address)),
    readMailboxes: (after, limit) => read(db => db.logs.readMailboxes(after, limit)),
    inspect: limit =>
      read(({ files }) => [...inspectLogs(files.logs, limit), ...inspectHeads(files.heads, limit)].slice(0, limit)),
    discard: (space, bodies) => write(db => db.inLogs.write(0, () => db.upkeep.discard(space, bodies))),
    removeSpace: space =>
      write(async db => {
        const { size } = db.logs.readSize(space)
        await db.inHeads.write(0, () => db.heads.bury(space, size))
        await db.inLogs.write(0, () => db.upkeep.remove(space))
      }),
    compact: () =>
      write(async ({ files, inLogs, inHeads, health }) => {
        inLogs.flush()
        inHeads.flush()
        try {
          const [logs, heads] = [compact(files.logs), compact(files.heads)]
          return { before: logs.before + heads.before, after: logs.after + heads.after }
        } catch (error) {
          health.note(error)
          throw error
        }
      }),
    async close() {
      const closing = database
      database = undefined
      closing?.inLogs.flush()
      closing?.inHeads.flush()
      closing?.files.close()
    },
  }
}

interface OpenStore {
  readonly files: SqliteFiles
  readonly health: Health
  readonly logs: SqliteLogs
  readonly logWrites: SqliteLogWrites
  readonly upkeep: SqliteUpkeep
  readonly heads: SqliteHeads
  readonly inLogs: Commits
  readonly inHeads: Commits
}

function openStore(files: SqliteFiles, onStatement: (name: string) => void): OpenStore {
  const health = healthOf()
  return {
    files,
    health,
    logs: sqliteLogs(files.logs),
    logWrites: sqliteLogWrites(files.logs, onStatement),
    upkeep: sqliteUpkeep(files.logs, onStatement),
    heads: sqliteHeads(files.heads, onStatement),
    inLogs: groupCommits(files.logs, health),
    inHeads: groupCommits(files.heads, health),
  }
}

/** About how many bytes are written: an entry is of another actor than the one before, and so on other pages. */
function sizeOf(append: Append): number {
  return bytesOf(append) + append.entries.length * 8192
}

/** Those of both, in order, each once. */
function spacesOf({ logs, heads }: OpenStore, after: Uint8Array, limit: number): readonly SpaceId[] {
  return [...new Set([...logs.spaces(after, limit), ...heads.spaces(after, limit)])].sort().slice(0, limit)
}

function placesOf(
  file: string,
  { heads, readOnly = false, acceptRollback = false }: SqliteLogStoreOptions,
): SqlitePlaces {
  for (const [name, path] of Object.entries({ file, heads: heads ?? file })) {
    if (typeof path !== 'string' || path === '' || path.includes('\0')) throw new TypeError(`${name}: expected a path`)
  }
  if (file === IN_MEMORY) {
    if (readOnly) throw new TypeError('readOnly: expected a file to read')
    return { logs: file, heads: heads === undefined ? IN_MEMORY : pathOf(heads), acceptRollback }
  }
  if (heads === IN_MEMORY) throw new TypeError('heads: expected a path, as the logs are in a file')
  const logs = resolve(file)
  const places = { logs, heads: heads === undefined ? headsBeside(logs) : resolve(heads), acceptRollback }
  if (places.heads === logs) throw new TypeError('heads: expected another file than that of the logs')
  return places
}

function pathOf(path: string): string {
  return path === IN_MEMORY ? path : resolve(path)
}

/** `relay-heads.db` for `relay.db`. */
function headsBeside(logs: string): string {
  const { dir, name, ext } = parse(logs)
  return join(dir, `${name}-heads${ext}`)
}
