import { actorIdOf, documentIdOf, idBytes, SealogError, type SpaceId, spaceIdOf } from 'sealog/protocol'
import { KEPT_COSIGNED, type LogStore, type StoredSpace, type StoredWrap } from './log-store.ts'
import { plainArray } from './log-store-postgres-arrays.ts'
import type { PostgresDatabase, Statement } from './log-store-postgres-database.ts'

export type PostgresLogs = Pick<
  LogStore,
  | 'readSpace'
  | 'readSize'
  | 'putFloor'
  | 'putCosigned'
  | 'readCosigned'
  | 'readNodes'
  | 'readBody'
  | 'readWrap'
  | 'readWraps'
> & {
  /** The floor is 0. */
  dropFloor(space: SpaceId): Promise<void>
  /** Those with entries, in ascending order. */
  spaces(after: Uint8Array, limit: number): Promise<readonly SpaceId[]>
}

interface SpaceRow {
  readonly kind: 'space'
  readonly value: Uint8Array
  readonly size: number
  readonly bytes: number
  readonly floor: number
  readonly base: Uint8Array | null
}

type StateRow =
  | { readonly kind: 'control'; readonly name: string; readonly value: Uint8Array }
  | { readonly kind: 'document'; readonly document: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: 'actor'; readonly document: Uint8Array; readonly actor: Uint8Array; readonly value: Uint8Array }

/** What is stored of spaces, one entry or all of them apart. */
export function postgresLogs(db: PostgresDatabase, schema: string): PostgresLogs {
  const number = `(SELECT number FROM ${schema}.spaces WHERE id = $1::bytea)`
  // One statement sees one state of the database, so the rows belong together.
  const selectSpace: Statement = {
    name: 'space',
    text: `WITH space AS MATERIALIZED (SELECT * FROM ${schema}.spaces WHERE id = $1::bytea AND size > 0)
      SELECT 'space' AS kind, frontier AS value, NULL AS name, NULL::bytea AS document, NULL::bytea AS actor,
        size, bytes, floor, base FROM space
      UNION ALL SELECT 'control', value, name, NULL, NULL, NULL, NULL, NULL, NULL
        FROM space JOIN ${schema}.control_rows ON space = number
      UNION ALL SELECT 'document', value, NULL, document, NULL, NULL, NULL, NULL, NULL
        FROM space JOIN ${schema}.documents ON space = number
      UNION ALL SELECT 'actor', value, NULL, document, actor, NULL, NULL, NULL, NULL
        FROM space JOIN ${schema}.actors ON space = number`,
  }
  const selectSize: Statement = {
    name: 'size',
    text: `SELECT size, bytes, floor FROM ${schema}.spaces WHERE id = $1::bytea`,
  }
  const selectSpaces: Statement = {
    name: 'spaces',
    text: `SELECT id FROM ${schema}.spaces WHERE size > 0 AND id > $1::bytea ORDER BY id LIMIT $2::bigint`,
  }
  const raiseFloor: Statement = {
    name: 'raise_floor',
    text: `INSERT INTO ${schema}.spaces (id, size, frontier, bytes, floor)
      SELECT $1::bytea, 0, ''::bytea, 0, $2::bigint WHERE $2::bigint > 0
      ON CONFLICT (id) DO UPDATE SET floor = greatest(spaces.floor, excluded.floor)
      WHERE excluded.floor > spaces.size`,
  }
  const dropFloor: Statement = {
    name: 'drop_floor',
    text: `UPDATE ${schema}.spaces SET floor = 0 WHERE id = $1::bytea AND floor > 0`,
  }
  const putCosigned: Statement = {
    name: 'put_cosigned',
    text: `WITH space AS (SELECT number FROM ${schema}.spaces WHERE id = $1::bytea AND size >= $2::bigint AND $2 > 0),
      larger AS (SELECT count(*) AS count FROM space JOIN ${schema}.cosigned ON space = number WHERE size > $2),
      put AS (
        INSERT INTO ${schema}.cosigned (space, size, note)
        SELECT number, $2, $3::bytea FROM space, larger WHERE count < ${KEPT_COSIGNED}
        ON CONFLICT (space, size) DO UPDATE SET note = excluded.note),
      old AS (
        DELETE FROM ${schema}.cosigned USING space, larger WHERE space = number AND count < ${KEPT_COSIGNED}
          AND size IN (SELECT size FROM space JOIN ${schema}.cosigned ON space = number WHERE size <> $2
            ORDER BY size DESC OFFSET ${KEPT_COSIGNED - 1}))
      SELECT number FROM space`,
  }
  const selectCosigned: Statement = {
    name: 'cosigned',
    text: `SELECT note FROM ${schema}.cosigned WHERE space = ${number} ORDER BY size DESC LIMIT ${KEPT_COSIGNED}`,
  }
  const selectNodes: Statement = {
    name: 'nodes',
    text: `SELECT CASE wanted.level
          WHEN 0 THEN (SELECT hash FROM ${schema}.entries WHERE space = number AND place = wanted.place)
          ELSE (SELECT hash FROM ${schema}.nodes
            WHERE space = number AND nodes.level = wanted.level AND place = wanted.place) END AS hash
      FROM unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY AS wanted (level, place, i), ${number} AS space
      ORDER BY i`,
  }
  const selectBody: Statement = {
    name: 'body',
    text: `SELECT substr(body, $3::int + 1, $4::int) AS body FROM ${schema}.entries
      WHERE space = ${number} AND place = $2::bigint`,
  }
  const wrapColumns = 'place AS index, position, device, wrap'
  const selectWrap: Statement = {
    name: 'wrap',
    text: `SELECT ${wrapColumns} FROM ${schema}.wraps
      WHERE space = ${number} AND device = $3::bigint AND place = $2::bigint`,
  }
  const selectWraps: Statement = {
    name: 'wraps',
    text: `SELECT ${wrapColumns} FROM ${schema}.wraps WHERE space = ${number} AND place = $2::bigint ORDER BY position`,
  }

  return {
    async readSpace(space) {
      return storedSpace(await db.run<SpaceRow | StateRow>(selectSpace, [idBytes(space)]))
    },
    async readSize(space) {
      const [row] = await db.run<{ size: number; bytes: number; floor: number }>(selectSize, [idBytes(space)])
      return row === undefined ? { size: 0, bytes: 0, floor: 0 } : { ...row }
    },
    async spaces(after, limit) {
      const rows = await db.run<{ readonly id: Uint8Array }>(selectSpaces, [after, limit])
      return rows.map(row => spaceIdOf(row.id))
    },
    async putFloor(space, size) {
      await db.run(raiseFloor, [idBytes(space), size])
    },
    async dropFloor(space) {
      await db.run(dropFloor, [idBytes(space)])
    },
    async putCosigned(space, size, note) {
      const rows = await db.run(putCosigned, [idBytes(space), size, note])
      if (rows.length === 0) throw new SealogError('ERR_STORE_LOCKED', `a note of ${size}, where fewer are stored`)
    },
    async readCosigned(space) {
      return (await db.run<{ readonly note: Uint8Array }>(selectCosigned, [idBytes(space)])).map(row => row.note)
    },
    async readNodes(space, places) {
      if (places.length === 0) return db.run(selectNodes, [idBytes(space), '{}', '{}'])
      const [levels, indices] = [places.map(([level]) => level), places.map(([, index]) => index)]
      const values = [idBytes(space), plainArray(levels), plainArray(indices)]
      const rows = await db.run<{ readonly hash: Uint8Array | null }>(selectNodes, values)
      return places.map(([level, index], i) => {
        const hash = rows[i]?.hash
        if (hash == null) throw new SealogError('ERR_STORE_CORRUPT', `no node ${index} on level ${level}`)
        return hash
      })
    },
    async readBody(space, index, offset, length) {
      const values = [idBytes(space), index, offset, length]
      const [row] = await db.run<{ readonly body: Uint8Array | null }>(selectBody, values)
      return row?.body ?? undefined
    },
    async readWrap(space, index, device) {
      return (await db.run<StoredWrap>(selectWrap, [idBytes(space), index, device]))[0]
    },
    readWraps: (space, index) => db.run<StoredWrap>(selectWraps, [idBytes(space), index]),
  }
}

function storedSpace(rows: readonly (SpaceRow | StateRow)[]): StoredSpace | undefined {
  const control: { name: string; value: Uint8Array }[] = []
  const documents: StoredSpace['state']['documents'][number][] = []
  const actors: StoredSpace['state']['actors'][number][] = []
  let space: SpaceRow | undefined
  for (const row of rows) {
    switch (row.kind) {
      case 'space':
        space = row
        break
      case 'control':
        control.push({ name: row.name, value: row.value })
        break
      case 'document':
        documents.push({ document: documentIdOf(row.document), value: row.value })
        break
      case 'actor':
        actors.push({ document: documentIdOf(row.document), actor: actorIdOf(row.actor), value: row.value })
        break
    }
  }
  if (space === undefined) return undefined
  const { size, value: frontier, bytes, floor, base } = space
  return { size, frontier, state: { control, documents, actors }, bytes, floor, base: base ?? undefined }
}
