import { idBytes, SealogError, type SpaceId, spaceIdOf } from 'sealog/protocol'
import type { KeptHead, LogStore } from './log-store.ts'
import type { PostgresDatabase, Statement } from './log-store-postgres-database.ts'

export type PostgresHeads = Pick<LogStore, 'readHead' | 'putHead' | 'raiseHead'> & {
  /** What was signed is given up: size 0, and the latest time as before. A tombstone stays. */
  forget(space: SpaceId): Promise<void>
  /** Of a space that is removed: nothing is signed for it any more. @param size of what is stored of it */
  bury(space: SpaceId, size: number): Promise<void>
  /** In ascending order. */
  spaces(after: Uint8Array, limit: number): Promise<readonly SpaceId[]>
}

/** What the relay signed. Each write is one statement, with the rules of log-store-fence.ts in its condition. */
export function postgresHeads(db: PostgresDatabase, schema: string): PostgresHeads {
  const isTombstone = `kept.size > 0 AND kept.note = ''::bytea`
  const isLarger = `excluded.size > kept.size AND NOT (${isTombstone})`
  const select: Statement = {
    name: 'head',
    text: `SELECT size, time, note, latest, abandoned FROM ${schema}.heads WHERE space = $1::bytea`,
  }
  const put: Statement = {
    name: 'put_head',
    text: `INSERT INTO ${schema}.heads AS kept (space, size, time, note, latest)
      VALUES ($1::bytea, $2::bigint, $3::bigint, $4::bytea, $3::bigint)
      ON CONFLICT (space) DO UPDATE
      SET size = excluded.size, time = excluded.time, note = excluded.note, latest = excluded.latest
      WHERE NOT (${isTombstone}) AND excluded.size >= kept.size AND excluded.time >= kept.latest
        AND NOT (excluded.size = kept.size AND excluded.time = kept.time AND excluded.note <> kept.note)
        AND kept.note = coalesce($5::bytea, kept.note)
      RETURNING true AS is_kept`,
  }
  const raise: Statement = {
    name: 'raise_head',
    text: `INSERT INTO ${schema}.heads AS kept (space, size, time, note, latest)
      VALUES ($1::bytea, $2::bigint, $3::bigint, $4::bytea, $3::bigint)
      ON CONFLICT (space) DO UPDATE SET
        size = CASE WHEN ${isLarger} THEN excluded.size ELSE kept.size END,
        time = CASE WHEN ${isLarger} THEN excluded.time ELSE kept.time END,
        note = CASE WHEN ${isLarger} THEN excluded.note ELSE kept.note END,
        latest = greatest(kept.latest, excluded.latest)`,
  }
  const forget: Statement = {
    name: 'forget_head',
    text: `UPDATE ${schema}.heads SET size = 0, time = 0, note = ''::bytea, abandoned = latest
      WHERE space = $1::bytea AND note <> ''::bytea`,
  }
  const bury: Statement = {
    name: 'bury_head',
    text: `INSERT INTO ${schema}.heads AS kept (space, size, time, note, latest)
      VALUES ($1::bytea, greatest($2::bigint, 1), 0, ''::bytea, 0)
      ON CONFLICT (space) DO UPDATE SET size = greatest(kept.size, excluded.size), note = excluded.note`,
  }
  const selectSpaces: Statement = {
    name: 'spaces_of_heads',
    text: `SELECT space FROM ${schema}.heads WHERE space > $1::bytea ORDER BY space LIMIT $2::bigint`,
  }

  return {
    async readHead(space) {
      return (await db.run<KeptHead>(select, [idBytes(space)]))[0]
    },
    async putHead(space, { size, time, note }, after) {
      const rows = await db.run(put, [idBytes(space), size, time, note, after ?? null])
      if (rows.length > 0) return
      throw new SealogError('ERR_STORE_LOCKED', `a head of ${size} entries that does not follow the one that is kept`)
    },
    async raiseHead(space, { size, time, note }) {
      await db.run(raise, [idBytes(space), size, time, note])
    },
    async forget(space) {
      await db.run(forget, [idBytes(space)])
    },
    async bury(space, size) {
      await db.run(bury, [idBytes(space), size])
    },
    async spaces(after, limit) {
      const rows = await db.run<{ readonly space: Uint8Array }>(selectSpaces, [after, limit])
      return rows.map(row => spaceIdOf(row.space))
    },
  }
}
