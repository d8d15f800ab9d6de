import { type Environment, idBytes, SealogError, type SpaceId } from 'sealog/protocol'
import type { GrowthListener, LogStore, StoredIdentity } from './log-store.ts'
import { postgresAnnouncements } from './log-store-postgres-announcements.ts'
import { postgresAppend } from './log-store-postgres-append.ts'
import { connectionConfig, type DatabaseOptions, postgresDatabase } from './log-store-postgres-database.ts'
import { postgresEntries } from './log-store-postgres-entries.ts'
import { postgresHeads } from './log-store-postgres-heads.ts'
import { assertHeadsBelong, postgresIdentity } from './log-store-postgres-identity.ts'
import { postgresLogs } from './log-store-postgres-logs.ts'
import { postgresMailboxes } from './log-store-postgres-mailboxes.ts'
import { prepareSchema } from './log-store-postgres-schema.ts'
import { postgresUndo } from './log-store-postgres-undo.ts'
import { postgresUpkeep } from './log-store-postgres-upkeep.ts'

export interface PostgresSettings {
  readonly schema: string
  /** URL of the database of the heads, where it is another. */
  readonly heads: string | undefined
  readonly heartbeat: number
  readonly acceptRollback: boolean
  readonly environment: Environment
  readonly database: DatabaseOptions
}

/** Everything of a `LogStore` that takes a database. */
export type OpenPostgresStore = Omit<LogStore, 'isShared' | 'open' | 'onGrown'>

/** Name of the schema for what was signed. */
export function headsSchema(schema: string): string {
  return `${schema}_heads`
}

/** It may be the same one by another name: so the locks of the two are different ones, as nobody gets one twice. */
function databaseOfHeads({ database, schema }: PostgresSettings, url: string): DatabaseOptions {
  return { ...database, url, lock: database.lock && { ...database.lock, schemas: [headsSchema(schema)] } }
}

/**
 * Connects, prepares both schemas and compares whose they are.
 * @throws SealogError ERR_STORE, ERR_STORE_SCHEMA, ERR_STORE_CORRUPT
 */
export async function openPostgresStore(
  settings: PostgresSettings,
  listener: GrowthListener,
): Promise<OpenPostgresStore> {
  const { database, schema, heads: headsUrl, acceptRollback } = settings
  const logs = { db: postgresDatabase(database), schema: `"${schema}"` }
  const headsDb = headsUrl === undefined ? logs.db : postgresDatabase(databaseOfHeads(settings, headsUrl))
  const signed = { db: headsDb, schema: `"${headsSchema(schema)}"` }
  const announcements = postgresAnnouncements(
    logs.db,
    {
      config: connectionConfig(database),
      session: database,
      lock: database.lock,
      channel: schema,
      heartbeat: settings.heartbeat,
      environment: settings.environment,
    },
    listener,
  )
  const identity = postgresIdentity(logs.db, logs.schema)
  const headsIdentity = postgresIdentity(signed.db, signed.schema)
  const heads = postgresHeads(signed.db, signed.schema)
  const { spaces, dropFloor, ...stored } = postgresLogs(logs.db, logs.schema)

  async function close(): Promise<void> {
    await announcements.stop()
    await logs.db.close()
    if (headsDb !== logs.db) await headsDb.close()
  }

  async function prepare(): Promise<void> {
    await prepareSchema(logs.db, schema, 'logs', database.readOnly)
    await prepareSchema(headsDb, headsSchema(schema), 'heads', database.readOnly)
    const owner = await identity.read()
    const signer = await headsIdentity.read()
    assertHeadsBelong(owner, signer, acceptRollback)
    if (owner !== undefined && signer === undefined && !database.readOnly) await headsIdentity.write(owner)
    // Nobody looks at a store that is only read, or that nobody else writes to, for what grows meanwhile.
    if (!database.readOnly && database.lock?.isExclusive !== true) await announcements.start()
  }

  /** The heads first: logs of a relay without heads are refused. */
  async function writeIdentity(written: StoredIdentity): Promise<void> {
    if ((await identity.read()) === undefined) {
      if (!(await headsIdentity.write(written))) assertHeadsBelong(written, await headsIdentity.read(), false)
      if (await identity.write(written)) return
    }
    throw new SealogError('ERR_STORE_LOCKED', 'the store has an owner')
  }

  async function readSpaces(after: SpaceId | undefined, limit: number): Promise<readonly SpaceId[]> {
    const behind = after === undefined ? new Uint8Array(0) : idBytes(after)
    const [filled, withHeads] = await Promise.all([spaces(behind, limit), heads.spaces(behind, limit)])
    return [...new Set([...filled, ...withHeads])].sort().slice(0, limit)
  }

  /** The floor first: below it, with no head that says why, nothing could be appended any more. */
  async function acceptSpaceRollback(space: SpaceId): Promise<void> {
    await dropFloor(space)
    await heads.forget(space)
  }

  try {
    await prepare()
  } catch (error) {
    await close()
    throw error
  }
  return {
    ...stored,
    ...postgresEntries(logs.db, logs.schema),
    ...postgresMailboxes(logs.db, logs.schema),
    ...postgresUpkeep(logs, signed, heads),
    readIdentity: () => identity.read(),
    writeIdentity,
    readSpaces,
    append: postgresAppend(logs.db, logs.schema),
    undoAppend: postgresUndo(logs.db, logs.schema),
    readHead: heads.readHead,
    putHead: heads.putHead,
    raiseHead: heads.raiseHead,
    acceptRollback: acceptSpaceRollback,
    announce: announcements.announce,
    close,
  }
}
