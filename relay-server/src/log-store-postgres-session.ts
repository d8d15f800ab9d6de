import { SealogError } from 'sealog/protocol'

/** PostgreSQL 13, as it numbers its versions. */
const OLDEST_VERSION = 130_000
/** To wait for a row or a table that another process holds, in milliseconds. */
const LOCK_TIMEOUT = 10_000

export interface SessionOptions {
  /** For one statement, in milliseconds. */
  readonly timeout: number
  readonly readOnly: boolean
  readonly acceptVolatile: boolean
}

interface Session {
  readonly fsync: string
  readonly standby: boolean
  readonly version: number
}

/**
 * Sets everything that statements rely on, whatever the settings of the role, the database or the server are, and looks
 * whether the server keeps what it confirms. Once for each connection: the server may have come back with other settings.
 * @throws SealogError ERR_STORE
 */
export async function prepareSession(
  query: (text: string) => Promise<{ readonly rows: readonly unknown[] }>,
  options: SessionOptions,
): Promise<void> {
  const { timeout, readOnly, acceptVolatile } = options
  const settings: readonly (readonly [name: string, value: string | number])[] = [
    ['statement_timeout', timeout],
    ['lock_timeout', Math.min(timeout, LOCK_TIMEOUT)],
    ['idle_in_transaction_session_timeout', timeout],
    ['default_transaction_isolation', 'read committed'],
    ['default_transaction_read_only', readOnly ? 'on' : 'off'],
    ['bytea_output', 'hex'],
    ['client_min_messages', 'warning'],
    // Everything else is named with its schema.
    ['search_path', 'pg_catalog'],
    // Every statement has one plan, and it goes by an index: old statistics of a table that has grown since, or of a
    // space that is unlike the others, must not lead to one that reads all of it.
    ['plan_cache_mode', 'force_generic_plan'],
    ['enable_seqscan', 'off'],
    ['enable_hashjoin', 'off'],
    ['enable_mergejoin', 'off'],
    ['jit', 'off'],
  ]
  const set = settings.map(([name, value]) => `set_config('${name}', '${value}', false)`)
  const { rows } = await query(
    `SELECT current_setting('fsync') AS fsync, pg_is_in_recovery() AS standby,
       current_setting('server_version_num')::int AS version,
       set_config('synchronous_commit',
         CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
       ${set.join(', ')}`,
  )
  const { fsync, standby, version } = rows[0] as Session
  refuseIf(version < OLDEST_VERSION, 'version', `PostgreSQL ${version} is too old, 13 is the oldest that will do`)
  // Reads there come late, and writes nowhere.
  refuseIf(standby, 'standby', 'the database is a standby')
  refuseIf(
    fsync !== 'on' && !acceptVolatile,
    'fsync',
    'the server runs with fsync = off: what it confirms does not survive a crash of its machine',
  )
}

function refuseIf(condition: boolean, reason: string, message: string): void {
  if (condition) throw new SealogError('ERR_STORE', message, { details: { reason } })
}
