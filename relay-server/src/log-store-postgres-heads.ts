import { idBytes, SealogError, type SpaceId, spaceIdOf } from 'sealog/protocol'
import type { KeptHead, LogStore } from './log-store.ts'
import { assertHeadIntact } from './log-store-head-checksum.ts'
import type { PostgresDatabase, Statement } from './log-store-postgres-database.ts'
import { columnsOf, type HeadColumns, headDigest } from './log-store-postgres-head-digest.ts'

export type PostgresHeads = Pick<LogStore, 'readHead' | 'putHead' | 'raiseHead'> & {
  /** What was signed is given up: size 0, and the latest time as before. A tombstone stays. */
  forget(space: SpaceId): Promise<void>
  /** Of a space that is removed: nothing is signed for it any more. @param size of what is stored of it */
  bury(space: SpaceId, size: number): Promise<void>
  /** In ascending order. */
  spaces(after: Uint8Array, limit: number): Promise<readonly SpaceId[]>
}

interface HeadRow extends KeptHead {
  readonly checksum: Uint8Array
}

const KEPT = columnsOf('kept')
const NEW: HeadColumns = { ...columnsOf('excluded'), abandoned: KEPT.abandoned }
const IS_TOMBSTONE = `kept.size > 0 AND kept.note = ''::bytea`
/** What follows from a damaged row would get a checksum of its own, and nobody would know of the damage any more. */
const IS_INTACT = `kept.checksum = ${headDigest('kept')}`

/** What the relay signed. Each write is one statement, with the rules of log-store-fence.ts in its condition. */
export function postgresHeads(db: PostgresDatabase, schema: string): PostgresHeads {
  const given = { space: '$1::bytea', size: '$2::bigint', time: '$3::bigint', note: '$4::bytea' }
  const insert = `INSERT INTO ${schema}.heads AS kept (space, size, time, note, latest, checksum)
      VALUES ($1::bytea, $2::bigint, $3::bigint, $4::bytea, $3::bigint,
        ${headDigest({ ...given, latest: '$3::bigint', abandoned: '0::bigint' })})`
  const select: Statement = {
    name: 'head',
    text: `SELECT size, time, note, latest, abandoned, checksum FROM ${schema}.heads WHERE space = $1::bytea`,
  }
  const put: Statement = {
    name: 'put_head',
    text: `${insert}
      ON CONFLICT (space) DO UPDATE SET ${assigning(NEW)}
      WHERE NOT (${IS_TOMBSTONE}) AND excluded.size >= kept.size AND excluded.time >= kept.latest
        AND NOT (excluded.size = kept.size AND excluded.time = kept.time AND excluded.note <> kept.note)
        AND kept.note = coalesce($5::bytea, kept.note) AND ${IS_INTACT}
      RETURNING true AS is_kept`,
  }
  const isLarger = `excluded.size > kept.size AND NOT (${IS_TOMBSTONE})`
  const larger = (column: 'size' | 'time' | 'note'): string =>
    `CASE WHEN ${isLarger} THEN excluded.${column} ELSE kept.${column} END`
  const raised: HeadColumns = {
    ...KEPT,
    size: larger('size'),
    time: larger('time'),
    note: larger('note'),
    latest: 'greatest(kept.latest, excluded.latest)',
  }
  const raise: Statement = {
    name: 'raise_head',
    text: `${insert} ON CONFLICT (space) DO UPDATE SET ${assigning(raised)} WHERE ${IS_INTACT} RETURNING true AS is_kept`,
  }
  const forgotten: HeadColumns = {
    ...KEPT,
    size: '0::bigint',
    time: '0::bigint',
    note: `''::bytea`,
    abandoned: KEPT.latest,
  }
  const forget: Statement = {
    name: 'forget_head',
    text: `UPDATE ${schema}.heads AS kept SET ${assigning(forgotten)}
      WHERE kept.space = $1::bytea AND kept.note <> ''::bytea AND ${IS_INTACT}`,
  }
  // The way out where a row is damaged, too: a tombstone signs nothing, whatever else it says.
  const grave: HeadColumns = { ...KEPT, size: 'greatest(kept.size, $2::bigint, 1)', note: `''::bytea` }
  const bury: Statement = {
    name: 'bury_head',
    text: `INSERT INTO ${schema}.heads AS kept (space, size, time, note, latest, checksum)
      VALUES ($1::bytea, greatest($2::bigint, 1), 0, ''::bytea, 0, ${headDigest({
        space: '$1::bytea',
        size: 'greatest($2::bigint, 1)',
        time: '0::bigint',
        latest: '0::bigint',
        abandoned: '0::bigint',
        note: `''::bytea`,
      })})
      ON CONFLICT (space) DO UPDATE SET ${assigning(grave)}`,
  }
  const selectSpaces: Statement = {
    name: 'spaces_of_heads',
    text: `SELECT space FROM ${schema}.heads WHERE space > $1::bytea ORDER BY space LIMIT $2::bigint`,
  }

  async function readHead(space: SpaceId): Promise<KeptHead | undefined> {
    const [row] = await db.run<HeadRow>(select, [idBytes(space)])
    if (row === undefined) return undefined
    const { checksum, ...head } = row
    assertHeadIntact(space, head, checksum)
    return head
  }

  return {
    readHead,
    async putHead(space, { size, time, note }, after) {
      const rows = await db.run(put, [idBytes(space), size, time, note, after ?? null])
      if (rows.length > 0) return
      // Late, or kept from landing by damage that is to be called so.
      await readHead(space)
      throw new SealogError('ERR_STORE_LOCKED', `a head of ${size} entries that does not follow the one that is kept`)
    },
    async raiseHead(space, { size, time, note }) {
      const rows = await db.run(raise, [idBytes(space), size, time, note])
      if (rows.length === 0) await readHead(space)
    },
    async forget(space) {
      await readHead(space)
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

/** Sets a row to these columns, and its checksum to theirs. */
function assigning(columns: HeadColumns): string {
  const { size, time, latest, abandoned, note } = columns
  return `size = ${size}, time = ${time}, latest = ${latest}, abandoned = ${abandoned}, note = ${note},
        checksum = ${headDigest(columns)}`
}
