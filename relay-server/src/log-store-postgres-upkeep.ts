import { idBytes, type SpaceId, spaceIdOf } from 'sealog/protocol'
import { type Compaction, KEPT_COSIGNED, type LogStore, type StoreFault } from './log-store.ts'
import { plainArray } from './log-store-postgres-arrays.ts'
import type { PostgresDatabase } from './log-store-postgres-database.ts'
import type { PostgresHeads } from './log-store-postgres-heads.ts'
import { TABLES } from './log-store-postgres-schema.ts'

export type PostgresUpkeep = Pick<LogStore, 'inspect' | 'discard' | 'removeSpace' | 'compact'>

/** Tables whose rows belong to a space, by its number. */
const OF_SPACES = ['entries', 'nodes', 'control_rows', 'documents', 'actors', 'cosigned', 'wraps'] as const

interface Part {
  readonly db: PostgresDatabase
  /** Quoted. */
  readonly schema: string
}

/** What an operator does with a store now and then. */
export function postgresUpkeep(logs: Part, signed: Part, heads: PostgresHeads): PostgresUpkeep {
  const { db, schema } = logs
  const lockSpace = `SELECT number, size FROM ${schema}.spaces WHERE id = $1 FOR UPDATE`
  interface LockedSpace {
    readonly number: number
    readonly size: number
  }

  return {
    inspect: limit =>
      db.alone(async run => {
        await run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
        const faults: StoreFault[] = []
        for (const check of checks(schema)) {
          if (faults.length >= limit) break
          const rows = await run<{ readonly id: Uint8Array | null; readonly reason: string }>(
            `${check} LIMIT ${limit - faults.length}`,
          )
          for (const { id, reason } of rows) faults.push({ space: id === null ? undefined : spaceIdOf(id), reason })
        }
        await run('COMMIT')
        return faults
      }),

    discard: (space: SpaceId, bodies) =>
      db.transaction(async run => {
        const [row] = await run<LockedSpace>(lockSpace, [idBytes(space)])
        if (row === undefined) return
        await run(
          `WITH found AS (SELECT place, octet_length(body) AS length FROM ${schema}.entries
              WHERE space = $1 AND place = ANY ($2::bigint[]) AND body IS NOT NULL),
            gone AS (UPDATE ${schema}.entries SET body = NULL FROM found
              WHERE space = $1 AND entries.place = found.place)
          UPDATE ${schema}.spaces SET bytes = bytes - (SELECT sum(length)::bigint FROM found)
          WHERE number = $1 AND EXISTS (SELECT 1 FROM found)`,
          [row.number, plainArray(bodies)],
        )
        await run(
          `DELETE FROM ${schema}.cosigned WHERE space = $1 AND size IN (SELECT size FROM ${schema}.cosigned
            WHERE space = $1 ORDER BY size DESC OFFSET ${KEPT_COSIGNED})`,
          [row.number],
        )
      }),

    removeSpace: space =>
      db.transaction(async run => {
        // Nobody appends from here on. The tombstone stands by itself, whatever becomes of the rest.
        const [row] = await run<LockedSpace>(lockSpace, [idBytes(space)])
        await heads.bury(space, row?.size ?? 0)
        if (row === undefined) return
        await run(`SELECT set_config('statement_timeout', '0', true)`)
        for (const table of OF_SPACES) await run(`DELETE FROM ${schema}.${table} WHERE space = $1`, [row.number])
        await run(`DELETE FROM ${schema}.spaces WHERE number = $1`, [row.number])
      }),

    async compact() {
      const parts = [await vacuum(logs, TABLES.logs), await vacuum(signed, TABLES.heads)]
      const sum = (of: keyof Compaction): number => parts.reduce((total, part) => total + part[of], 0)
      return { before: sum('before'), after: sum('after') }
    },
  }
}

/** Reading and writing go on meanwhile, so room within the tables is made free for new rows rather than given back. */
function vacuum({ db, schema }: Part, tables: readonly string[]): Promise<Compaction> {
  const names = tables.map(table => `${schema}.${table}`)
  return db.alone(async run => {
    const size = async (): Promise<number> => {
      // The rows and indexes, those of long values included; the maps of free room beside them grow by the search for it.
      const [row] = await run<{ readonly size: number }>(
        `WITH named AS (SELECT oid, reltoastrelid FROM pg_class WHERE oid = ANY ($1::text[]::regclass[])),
          filled AS (SELECT oid FROM named UNION ALL SELECT reltoastrelid FROM named WHERE reltoastrelid <> 0)
        SELECT coalesce(sum(pg_relation_size(oid)), 0)::bigint AS size
        FROM (SELECT oid FROM filled
          UNION ALL SELECT indexrelid FROM pg_index JOIN filled ON indrelid = oid) AS relations (oid)`,
        [names],
      )
      return row?.size ?? 0
    }
    const before = await size()
    await run(`VACUUM (ANALYZE) ${names.join(', ')}`)
    return { before, after: await size() }
  })
}

/** Queries for rows that belong to nothing: of which space, where that is known, and why. */
function checks(schema: string): readonly string[] {
  const ofNoSpace = OF_SPACES.map(
    table => `SELECT NULL::bytea AS id, 'rows of ${table} belong to space number ' || space || ', which is not there' AS reason
      FROM (SELECT DISTINCT space FROM ${schema}.${table}) AS found
      WHERE NOT EXISTS (SELECT 1 FROM ${schema}.spaces WHERE number = found.space)`,
  )
  const wrong = (table: string, reason: string, condition: string): string =>
    `SELECT id, ${reason} AS reason FROM ${schema}.${table} AS found JOIN ${schema}.spaces ON number = space
      WHERE ${condition}`
  return [
    ...ofNoSpace,
    wrong('entries', `'an entry at ' || place || ', behind the end'`, 'place < 0 OR place >= spaces.size'),
    wrong(
      'nodes',
      `'a node ' || place || ' on level ' || level || ', of no complete subtree'`,
      // A level beyond the length of a number has no nodes, and its power of 2 would take long to work out.
      `CASE WHEN level BETWEEN 1 AND 52 AND place >= 0
        THEN (place::numeric + 1) * (1::bigint << level::int) > spaces.size ELSE true END`,
    ),
    wrong(
      'cosigned',
      `'a cosigned note of ' || found.size || ' entries'`,
      'found.size < 1 OR found.size > spaces.size',
    ),
    wrong(
      'wraps',
      `'a wrap of entry ' || place || ', which is not there'`,
      `NOT EXISTS (SELECT 1 FROM ${schema}.entries WHERE entries.space = found.space AND entries.place = found.place)`,
    ),
  ]
}
