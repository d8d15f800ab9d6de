import { idBytes, type SpaceId } from 'sealog/protocol'
import { type Compaction, KEPT_COSIGNED, type LogStore } from './log-store.ts'
import { plainArray } from './log-store-postgres-arrays.ts'
import type { PostgresHeads } from './log-store-postgres-heads.ts'
import { inspectPostgres, OF_SPACES, type PostgresPart } from './log-store-postgres-inspect.ts'
import { TABLES } from './log-store-postgres-schema.ts'

export type PostgresUpkeep = Pick<LogStore, 'inspect' | 'discard' | 'removeSpace' | 'compact'>

/** What an operator does with a store now and then. */
export function postgresUpkeep(logs: PostgresPart, signed: PostgresPart, heads: PostgresHeads): PostgresUpkeep {
  const { db, schema } = logs
  const lockSpace = `SELECT number, size FROM ${schema}.spaces WHERE id = $1 FOR UPDATE`
  const selectSize = {
    name: 'size_to_remove',
    text: `SELECT size FROM ${schema}.spaces WHERE id = $1::bytea`,
  }
  interface LockedSpace {
    readonly number: number
    readonly size: number
  }

  return {
    inspect: limit => inspectPostgres(logs, signed, limit),

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

    async removeSpace(space) {
      const [known] = await db.run<Pick<LockedSpace, 'size'>>(selectSize, [idBytes(space)])
      // The tombstone stands by itself, whatever becomes of the rest: nothing is signed from here on.
      await heads.bury(space, known?.size ?? 0)
      await db.longTransaction(async run => {
        const [row] = await run<LockedSpace>(lockSpace, [idBytes(space)])
        if (row === undefined) return
        for (const table of OF_SPACES) await run(`DELETE FROM ${schema}.${table} WHERE space = $1`, [row.number])
        await run(`DELETE FROM ${schema}.spaces WHERE number = $1`, [row.number])
      })
    },

    async compact() {
      const parts = [await vacuum(logs, TABLES.logs), await vacuum(signed, TABLES.heads)]
      const sum = (of: keyof Compaction): number => parts.reduce((total, part) => total + part[of], 0)
      return { before: sum('before'), after: sum('after') }
    },
  }
}

/** Reading and writing go on meanwhile, so room within the tables is made free for new rows rather than given back. */
function vacuum({ db, schema }: PostgresPart, tables: readonly string[]): Promise<Compaction> {
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
