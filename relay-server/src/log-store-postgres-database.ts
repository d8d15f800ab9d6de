import { type ClientBase, type ClientConfig, Pool, type PoolClient } from 'pg'
import { SealogError } from 'sealog/protocol'
import { postgresError } from './log-store-postgres-errors.ts'
import { type StoreLock, takeStoreLock } from './log-store-postgres-lock.ts'
import { prepareSession, type SessionOptions } from './log-store-postgres-session.ts'

/** Beyond its own limit the server is given so long to say that it ended a statement, in milliseconds. */
const GRACE = 5000
/** An idle connection is kept so long, in milliseconds. */
const IDLE_TIMEOUT = 60_000
/** After so long without traffic the operating system asks whether the other side is there, in milliseconds. */
const KEEP_ALIVE_DELAY = 10_000
/** What the pool says to whoever waited for longer than `connectionTimeoutMillis` while all its connections were in use. */
const NO_FREE_CONNECTION = 'timeout exceeded when trying to connect'
/** The longest that a timer takes, in milliseconds. */
const NO_TIMEOUT = 2 ** 31 - 1

/** A statement that each connection prepares once, by its name. */
export interface Statement {
  readonly name: string
  readonly text: string
}

export type Run = <Row>(statement: Statement | string, values?: readonly unknown[]) => Promise<readonly Row[]>

export interface PostgresDatabase {
  /** @throws SealogError as `LogStore` says */
  run<Row>(statement: Statement, values?: readonly unknown[]): Promise<readonly Row[]>
  /** On one connection, which takes any time that it needs and is not used again. */
  alone<T>(action: (run: Run) => Promise<T>): Promise<T>
  /** All in one transaction, with all or none of its effects. */
  transaction<T>(action: (run: Run) => Promise<T>): Promise<T>
  /** The same, of statements that take any time that they need. */
  longTransaction<T>(action: (run: Run) => Promise<T>): Promise<T>
  /** Is this the number of a server process that works for this database's connections? */
  isOwn(process: number): boolean
  /** All calls must have ended. */
  close(): Promise<void>
}

export interface DatabaseOptions extends SessionOptions {
  readonly url: string
  readonly connections: number
  /** In milliseconds, for a connection to be there. */
  readonly connectTimeout: number
  /** That every connection takes; undefined for reading beside whoever writes. */
  readonly lock: StoreLock | undefined
}

/** Connections to one database: made when they are needed, and made anew when they broke. */
export function postgresDatabase(options: DatabaseOptions): PostgresDatabase {
  const processes = new Set<number>()
  const pool = new Pool({
    ...connectionConfig(options),
    max: options.connections,
    // Who holds a store alone holds it by one connection, also where it computes for minutes without a question.
    idleTimeoutMillis: options.lock?.isExclusive === true ? 0 : IDLE_TIMEOUT,
    async onConnect(client) {
      await prepareSession(text => client.query(text), options)
      if (options.lock !== undefined) await takeStoreLock((text, values) => client.query(text, values), options.lock)
    },
  })
  // An idle connection that breaks leaves the pool, one in use fails its statement: nothing else is to be done.
  pool.on('error', () => {})
  pool.on('connect', client => {
    client.on('error', () => {})
    processes.add(processOf(client))
  })
  pool.on('remove', client => processes.delete(processOf(client)))

  /** Waits in line. @throws SealogError ERR_STORE with reason `busy` where nothing was free in time: nothing is done then */
  async function connected(): Promise<PoolClient> {
    try {
      return await pool.connect()
    } catch (cause) {
      if (!(cause instanceof Error) || cause.message !== NO_FREE_CONNECTION) throw cause
      const details = { reason: 'busy' }
      throw new SealogError('ERR_STORE', 'all connections to the database are in use', { cause, details })
    }
  }

  async function use<T>(action: (client: PoolClient) => Promise<T>, isLast = false): Promise<T> {
    let client: PoolClient | undefined
    try {
      client = await connected()
      const result = await action(client)
      client.release(isLast)
      return result
    } catch (error) {
      // Statements that come late are not errors, so there are few; and in what state it is now nobody needs to know.
      client?.release(true)
      throw postgresError(error)
    }
  }

  return {
    run: (statement, values = []) =>
      use(async client => (await client.query({ ...statement, values: [...values] })).rows as never),
    alone: action =>
      use(async client => {
        const run = runner(client, NO_TIMEOUT)
        await run(`SELECT set_config(name, '0', false)
          FROM unnest('{statement_timeout,lock_timeout,idle_in_transaction_session_timeout}'::text[]) AS name`)
        return action(run)
      }, true),
    transaction: action =>
      use(async client => {
        const run = runner(client)
        await run('BEGIN')
        const result = await action(run)
        await run('COMMIT')
        return result
      }),
    longTransaction: action =>
      use(async client => {
        const run = runner(client, NO_TIMEOUT)
        await run('BEGIN')
        await run(`SELECT set_config('statement_timeout', '0', true)`)
        const result = await action(run)
        await run('COMMIT')
        return result
      }),
    isOwn: process => processes.has(process),
    close: () => pool.end(),
  }
}

/** What every connection is made with. */
export function connectionConfig({ url, timeout, connectTimeout }: DatabaseOptions): ClientConfig {
  return {
    connectionString: url,
    fallback_application_name: 'sealog-relay',
    connectionTimeoutMillis: connectTimeout,
    query_timeout: timeout + GRACE,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY,
    types: { getTypeParser: parserOf as NonNullable<ClientConfig['types']>['getTypeParser'] },
  }
}

function runner(client: PoolClient, timeout?: number): Run {
  return async (statement, values) => {
    const query = typeof statement === 'string' ? { text: statement } : statement
    const limit = timeout === undefined ? {} : { query_timeout: timeout }
    return (await client.query({ ...query, ...(values && { values: [...values] }), ...limit })).rows as never
  }
}

/** The number of the server's process for this connection. */
function processOf(client: ClientBase): number {
  return (client as { readonly processID?: number }).processID ?? -1
}

/** How what a row holds comes out of its text, by the OID of its type. */
function parserOf(type: number): (text: string) => unknown {
  switch (type) {
    case 16:
      return text => text === 't'
    case 17:
      return parseBytes
    case 20:
    case 21:
    case 23:
      return parseInteger
    default:
      return text => text
  }
}

function parseBytes(text: string): Uint8Array {
  const bytes = Buffer.from(text.slice(2), 'hex')
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function parseInteger(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new SealogError('ERR_STORE_CORRUPT', 'a number beyond what is ever stored')
  return value
}
