import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { SealogError } from 'sealog/protocol'
import type { Settings } from './config-settings.ts'
import { isPostgresUrl, type StorePlace } from './config-values.ts'
import type { LogStore } from './log-store.ts'
import { sqliteLogStore } from './log-store-sqlite.ts'

const DATABASE = 'relay.db'
const KEY = 'relay.key'

export type StoreSettings = Pick<
  Settings,
  'data' | 'store' | 'storeConnections' | 'heads' | 'schema' | 'key' | 'acceptVolatile'
>

export function databaseFileOf(data: string): string {
  return join(data, DATABASE)
}

export function keyFileOf(data: string): string {
  return join(data, KEY)
}

/** @throws SealogError ERR_STORE */
export function createFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new SealogError('ERR_STORE', `the data folder cannot be used: ${reason}`, { cause })
  }
}

/** @throws TypeError where no place is named */
export function storePlaceOf({ data, store }: StoreSettings): StorePlace {
  if (store !== undefined) return store
  if (data !== undefined) return { kind: 'sqlite', file: databaseFileOf(data) }
  throw new TypeError('--data is missing')
}

/** Beside the database where nothing else is said: there it is looked for first. */
export function keyPlaceOf(settings: StoreSettings): string {
  if (settings.key !== undefined) return settings.key
  if (settings.data !== undefined) return keyFileOf(settings.data)
  if (settings.store?.kind === 'sqlite') return keyFileOf(dirname(settings.store.file))
  throw new TypeError('--data is missing: the folder of the key')
}

interface StoreUse {
  /** Only to be read from, beside a relay that serves from it. Default false. */
  readonly readOnly?: boolean
  /** No relay may serve from it meanwhile; of a SQLite file that is always so, where it is written to. Default false. */
  readonly exclusive?: boolean
  readonly acceptRollback?: boolean
}

/**
 * The store of these settings, not open yet.
 * @throws TypeError; SealogError ERR_STORE
 */
export async function storeOf(
  settings: StoreSettings,
  { acceptRollback = false, readOnly = false, exclusive = false }: StoreUse,
): Promise<LogStore> {
  const place = storePlaceOf(settings)
  const { heads, schema, storeConnections, acceptVolatile } = settings
  if (place.kind === 'sqlite') {
    if (heads !== undefined && isPostgresUrl(heads)) throw new TypeError('--heads: expected a file, as the logs are')
    if (schema !== undefined) throw new TypeError('--schema: only a PostgreSQL database has one')
    if (!readOnly) createFolder(dirname(place.file))
    return sqliteLogStore(place.file, { acceptRollback, readOnly, ...(heads === undefined ? {} : { heads }) })
  }
  if (heads !== undefined && !isPostgresUrl(heads)) throw new TypeError('--heads: expected a URL, as --store is')
  // Loaded where it is wanted: a relay on SQLite starts without it.
  const { postgresLogStore } = await import('./log-store-postgres.ts')
  return postgresLogStore({
    url: place.url,
    readOnly,
    exclusive,
    acceptRollback,
    acceptVolatile,
    connections: storeConnections,
    ...(schema === undefined ? {} : { schema }),
    ...(heads === undefined ? {} : { heads }),
  })
}
