import { equalBytes, SealogError } from 'sealog/protocol'
import type { StoredIdentity } from './log-store.ts'
import type { PostgresDatabase, Statement } from './log-store-postgres-database.ts'

export interface PostgresIdentity {
  read(): Promise<StoredIdentity | undefined>
  /** @returns whether there was none */
  write(identity: StoredIdentity): Promise<boolean>
}

/** Whose a schema is. */
export function postgresIdentity(db: PostgresDatabase, schema: string): PostgresIdentity {
  const select: Statement = {
    name: `identity of ${schema}`,
    text: `SELECT name, key FROM ${schema}.identity`,
  }
  const insert: Statement = {
    name: `write identity of ${schema}`,
    text: `INSERT INTO ${schema}.identity (name, key) VALUES ($1::text, $2::bytea)
      ON CONFLICT DO NOTHING RETURNING true AS is_written`,
  }
  return {
    async read() {
      return (await db.run<StoredIdentity>(select))[0]
    },
    async write({ name, key }) {
      return (await db.run(insert, [name, key])).length > 0
    },
  }
}

/**
 * The signed heads must be there as long as logs are: without them, whether entries were lost is not known.
 * @throws SealogError ERR_STORE_CORRUPT
 */
export function assertHeadsBelong(
  logs: StoredIdentity | undefined,
  heads: StoredIdentity | undefined,
  acceptRollback: boolean,
): void {
  // Logs that are gone while the heads are there are recognised space by space.
  if (logs === undefined) return
  if (heads === undefined) {
    if (acceptRollback) return
    throw new SealogError('ERR_STORE_CORRUPT', 'what the relay signed is missing, and so it could contradict itself', {
      details: { reason: 'heads' },
    })
  }
  if (logs.name === heads.name && equalBytes(logs.key, heads.key)) return
  throw new SealogError('ERR_STORE_CORRUPT', `the signed heads are those of another relay, ${heads.name}`, {
    details: { reason: 'other-heads' },
  })
}
