import { Client } from 'pg'
import { type Environment, platformEnvironment, SealogError, type SpaceId } from 'sealog/protocol'
import type { GrowthListener, LogStore } from './log-store.ts'
import {
  headsSchema,
  type OpenPostgresStore,
  openPostgresStore,
  type PostgresSettings,
} from './log-store-postgres-open.ts'
import { assertSchemaName } from './log-store-postgres-schema.ts'

export interface PostgresLogStoreOptions {
  /** `postgres://user:password@host:port/database`, with the parameters of `pg`, as `sslmode=verify-full`. */
  readonly url: string
  /** Where the logs are; what was signed is in `<schema>_heads`. At most 48 of a–z, 0–9 and _. Default `sealog`. */
  readonly schema?: string
  /** Of another database for what was signed, so that no backup of the logs sets it back. Default: the same. */
  readonly heads?: string
  /** At most so many for statements, and one more to listen. Default 10; as many again where `heads` is elsewhere. */
  readonly connections?: number
  /** For one statement, in milliseconds. Default 30,000. */
  readonly timeout?: number
  /** For a connection to be there, in milliseconds. Default 10,000. */
  readonly connectTimeout?: number
  /** The listening connection is tried this often, in milliseconds. Default 15,000. */
  readonly heartbeat?: number
  /** For looking at a store beside the relays that use it: nothing is made or changed. Default false. */
  readonly readOnly?: boolean
  /**
   * For restoring and cleaning up: `open` rejects with ERR_STORE_LOCKED while any other process writes to the store, and
   * none can for as long as it is open. Takes one connection, whatever `connections` says. Default false.
   */
  readonly exclusive?: boolean
  /** Goes on where what was signed is missing, though logs are there: the last resort of an operator. Default false. */
  readonly acceptRollback?: boolean
  /** Takes a server with `fsync = off`, which loses what it confirmed when its machine crashes. Default false. */
  readonly acceptVolatile?: boolean
  /** Timers; default: the platform's. */
  readonly environment?: Environment
}

const READ_ONLY = 'the store was opened for reading only'

/**
 * A relay's store in PostgreSQL 13 or later, for any number of processes at once. Makes its schemas where they are not
 * there, which takes the right to create schemas; after that, the rights on them are enough.
 *
 * Connections must be the relay's own for as long as they last: settings, prepared statements and LISTEN belong to
 * them. A pooler between them that shares connections by transaction or by statement, as PgBouncer may, does not work.
 *
 * Whoever writes holds an advisory lock of the database, shared with others or alone (`exclusive`), on each connection.
 *
 * Confirmed is what is on the disk of the server, and on that of its synchronous standbys where there are any. A
 * standby that is promoted without having been synchronous lacks what came last: with `heads` in another database this
 * is recognised, and members give it back.
 * @throws TypeError
 */
export function postgresLogStore(options: PostgresLogStoreOptions): LogStore {
  const { schema = 'sealog', readOnly = false, exclusive = false, environment = platformEnvironment() } = options
  assertUrl(options.url, 'url')
  if (options.heads !== undefined) assertUrl(options.heads, 'heads')
  assertSchemaName(schema)
  if (exclusive && readOnly) throw new TypeError('exclusive: expected false, as the store is only read')
  const ownSchemas = options.heads === undefined ? [schema, headsSchema(schema)] : [schema]
  const settings: PostgresSettings = {
    schema,
    heads: options.heads,
    heartbeat: wholeNumber(options.heartbeat ?? 15_000, 'heartbeat'),
    acceptRollback: options.acceptRollback ?? false,
    environment,
    database: {
      url: options.url,
      connections: exclusive ? 1 : wholeNumber(options.connections ?? 10, 'connections'),
      timeout: wholeNumber(options.timeout ?? 30_000, 'timeout'),
      connectTimeout: wholeNumber(options.connectTimeout ?? 10_000, 'connectTimeout'),
      readOnly,
      lock: readOnly ? undefined : { schemas: ownSchemas, isExclusive: exclusive },
      acceptVolatile: options.acceptVolatile ?? false,
    },
  }
  const listeners = new Set<GrowthListener>()
  const underWay = new Set<Promise<unknown>>()
  let opening: Promise<OpenPostgresStore> | undefined
  let store: OpenPostgresStore | undefined
  let closing: Promise<void> | undefined

  /** Every call goes through here, so that `close` can wait for it. */
  function use<T>(action: (store: OpenPostgresStore) => Promise<T>): Promise<T> {
    if (store === undefined) return Promise.reject(new SealogError('ERR_CLOSED', 'the store is not open'))
    const call = action(store)
    underWay.add(call)
    const done = (): void => void underWay.delete(call)
    call.then(done, done)
    return call
  }

  function write<T>(action: (store: OpenPostgresStore) => Promise<T>): Promise<T> {
    return use(at => (readOnly ? Promise.reject(new SealogError('ERR_READ_ONLY', READ_ONLY)) : action(at)))
  }

  function announceGrowth(space: SpaceId | undefined): void {
    for (const listener of listeners) listener(space)
  }

  async function end(): Promise<void> {
    let last = store
    store = undefined
    listeners.clear()
    if (last === undefined) {
      last = await opening?.catch(() => undefined)
      store = undefined
    }
    await Promise.allSettled(underWay)
    await last?.close()
    opening = undefined
  }

  return {
    isShared: !exclusive,
    async open() {
      if (opening !== undefined) throw new SealogError('ERR_STORE_LOCKED', 'the store is open already')
      opening = openPostgresStore(settings, announceGrowth)
      try {
        store = await opening
      } catch (error) {
        opening = undefined
        throw error
      }
    },
    readIdentity: () => use(at => at.readIdentity()),
    writeIdentity: identity => write(at => at.writeIdentity(identity)),
    readSpace: space => use(at => at.readSpace(space)),
    readSize: space => use(at => at.readSize(space)),
    readSpaces: (after, limit) => use(at => at.readSpaces(after, limit)),
    append: append => write(at => at.append(append)),
    undoAppend: undo => write(at => at.undoAppend(undo)),
    putFloor: (space, size) => write(at => at.putFloor(space, size)),
    readHead: space => use(at => at.readHead(space)),
    putHead: (space, head, after) => write(at => at.putHead(space, head, after)),
    raiseHead: (space, head) => write(at => at.raiseHead(space, head)),
    acceptRollback: space => write(at => at.acceptRollback(space)),
    announce: space => write(at => at.announce(space)),
    onGrown(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    readChoice: (...args) => use(at => at.readChoice(...args)),
    putCosigned: (...args) => write(at => at.putCosigned(...args)),
    readCosigned: space => use(at => at.readCosigned(space)),
    readEntries: (space, range) => use(at => at.readEntries(space, range)),
    readNodes: (space, places) => use(at => at.readNodes(space, places)),
    readBody: (...args) => use(at => at.readBody(...args)),
    readWrap: (...args) => use(at => at.readWrap(...args)),
    readWraps: (space, index) => use(at => at.readWraps(space, index)),
    putMailbox: (address, mailbox) => write(at => at.putMailbox(address, mailbox)),
    readMailbox: address => use(at => at.readMailbox(address)),
    readMailboxes: (after, limit) => use(at => at.readMailboxes(after, limit)),
    inspect: limit => use(at => at.inspect(limit)),
    discard: (space, bodies) => write(at => at.discard(space, bodies)),
    removeSpace: space => write(at => at.removeSpace(space)),
    compact: () => write(at => at.compact()),
    close() {
      closing ??= end().finally(() => {
        closing = undefined
      })
      return closing
    },
  }
}

function assertUrl(url: string, argument: string): void {
  try {
    if (/^postgres(ql)?:\/\//.test(url) && new Client({ connectionString: url })) return
  } catch {
    // What it says may contain the password.
  }
  throw new TypeError(`${argument}: expected postgres://…`)
}

function wholeNumber(value: number, argument: string): number {
  if (!Number.isSafeInteger(value) || value < 1 || value >= 2 ** 31)
    throw new TypeError(`${argument}: expected a whole number from 1 on`)
  return value
}
