import { once } from 'node:events'
import { Client, type ClientConfig, type QueryConfig } from 'pg'
import { type Environment, parseSpaceId, type SpaceId } from 'sealog/protocol'
import type { GrowthListener } from './log-store.ts'
import type { PostgresDatabase, Statement } from './log-store-postgres-database.ts'
import { postgresError } from './log-store-postgres-errors.ts'
import { type StoreLock, takeStoreLock } from './log-store-postgres-lock.ts'
import { prepareSession, type SessionOptions } from './log-store-postgres-session.ts'

/** The first attempt to connect again comes after so long, each further one after twice the time, in milliseconds. */
const FIRST_DELAY = 100
const LONGEST_DELAY = 10_000
/** A connection that is not needed any more has so long to end, in milliseconds. */
const GOODBYE = 1000

export interface AnnouncementOptions {
  readonly config: ClientConfig
  readonly session: SessionOptions
  /** As every connection of the store takes it: this one stays while the others end where nothing is asked for. */
  readonly lock: StoreLock | undefined
  /** Name of the channel, at most 63 bytes. */
  readonly channel: string
  /** The connection is tried this often, in milliseconds. */
  readonly heartbeat: number
  readonly environment: Environment
}

export interface PostgresAnnouncements {
  announce(space: SpaceId): Promise<void>
  /** Rejects where the first connection fails; later ones are made anew for as long as it takes. */
  start(): Promise<void>
  stop(): Promise<void>
}

/**
 * Hears by LISTEN what other processes announce by NOTIFY, on a connection of its own. A connection says nothing while
 * nothing grows, so it is tried at intervals: one that is dead without a word is found. Whatever was announced while
 * there was none is unknown, and `listener` is told so.
 */
export function postgresAnnouncements(
  db: PostgresDatabase,
  options: AnnouncementOptions,
  listener: GrowthListener,
): PostgresAnnouncements {
  const { config, session, lock, channel, heartbeat, environment } = options
  const notify: Statement = { name: 'announce', text: 'SELECT pg_notify($1::text, $2::text)' }
  let isStarted = false
  let isStopped = false
  let delay = FIRST_DELAY
  let client: Client | undefined
  let cancel: () => void = () => {}

  async function connect(): Promise<void> {
    const next = new Client(config)
    client = next
    next.on('error', () => {})
    // Breaking, ending and failing to connect all come to this, once.
    next.once('end', () => {
      client = undefined
      cancel()
      if (isStarted && !isStopped) reconnectLater()
    })
    next.on('notification', ({ processId, payload }) => {
      const space = announcedSpace(payload)
      if (space !== undefined && !db.isOwn(processId) && !isStopped) listener(space)
    })
    try {
      await next.connect()
      await prepareSession(text => next.query(text), session)
      if (lock !== undefined) await takeStoreLock((text, values) => next.query(text, values), lock)
      await next.query(`LISTEN "${channel}"`)
    } catch (error) {
      breakOff(next)
      throw postgresError(error)
    }
    delay = FIRST_DELAY
    beatLater(next)
  }

  function beatLater(of: Client): void {
    cancel = environment.schedule(heartbeat, () => {
      // The definitions of the types leave out that a limit may be given with a query.
      const beat: QueryConfig & ClientConfig = { text: 'SELECT 1', query_timeout: heartbeat }
      of.query(beat).then(
        () => {
          if (client === of && !isStopped) beatLater(of)
        },
        () => breakOff(of),
      )
    })
  }

  function reconnectLater(): void {
    cancel = environment.schedule(delay, () => {
      delay = Math.min(2 * delay, LONGEST_DELAY)
      connect().then(
        () => listener(undefined),
        () => {},
      )
    })
  }

  return {
    async announce(space) {
      await db.run(notify, [channel, space])
    },
    async start() {
      await connect()
      isStarted = true
    },
    async stop() {
      isStopped = true
      cancel()
      const last = client
      if (last === undefined) return
      const ended = once(last, 'end')
      // A goodbye, where anybody is there to hear it.
      cancel = environment.schedule(GOODBYE, () => breakOff(last))
      last.end().catch(() => {})
      await ended
    },
  }
}

/** Without waiting for the other side. */
function breakOff(client: Client): void {
  client.connection.stream.destroy()
}

/** Other programs may use the channel's name: what is no space is nothing of ours. */
function announcedSpace(payload: string | undefined): SpaceId | undefined {
  try {
    return parseSpaceId(payload ?? '')
  } catch {
    return undefined
  }
}
