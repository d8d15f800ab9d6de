import type { LogStore, PlacedMailbox, StoredMailbox } from './log-store.ts'
import type { PostgresDatabase, Statement } from './log-store-postgres-database.ts'

export type PostgresMailboxes = Pick<LogStore, 'putMailbox' | 'readMailbox' | 'readMailboxes'>

export function postgresMailboxes(db: PostgresDatabase, schema: string): PostgresMailboxes {
  const put: Statement = {
    name: 'put_mailbox',
    text: `INSERT INTO ${schema}.mailboxes AS kept (address, counter, bytes, signature)
      VALUES ($1::bytea, $2::bigint, $3::bytea, $4::bytea)
      ON CONFLICT (address) DO UPDATE
      SET counter = excluded.counter, bytes = excluded.bytes, signature = excluded.signature
      WHERE excluded.counter > kept.counter
      RETURNING true AS is_kept`,
  }
  const select: Statement = {
    name: 'mailbox',
    text: `SELECT counter, bytes, signature FROM ${schema}.mailboxes WHERE address = $1::bytea`,
  }
  const selectAll: Statement = {
    name: 'mailboxes',
    text: `SELECT address, counter, bytes, signature FROM ${schema}.mailboxes
      WHERE address > $1::bytea ORDER BY address LIMIT $2::bigint`,
  }

  return {
    async putMailbox(address, { counter, bytes, signature }) {
      return (await db.run(put, [address, counter, bytes, signature])).length > 0
    },
    async readMailbox(address) {
      return (await db.run<StoredMailbox>(select, [address]))[0]
    },
    readMailboxes: (after, limit) => db.run<PlacedMailbox>(selectAll, [after ?? new Uint8Array(0), limit]),
  }
}
