import { decodeRange, idBytes, SealogError } from 'sealog/protocol'
import type { AppendUndo } from './log-store.ts'
import { bytesArray } from './log-store-postgres-arrays.ts'
import type { PostgresDatabase } from './log-store-postgres-database.ts'

/** Takes the last append of a space back, in one transaction, where it is this one. */
export function postgresUndo(db: PostgresDatabase, schema: string): (undo: AppendUndo) => Promise<void> {
  const lock = `SELECT number FROM ${schema}.spaces
    WHERE id = $1::bytea AND size > 0 AND frontier = $2::bytea AND base = $3::bytea FOR UPDATE`
  // What goes is read by the statement that updates the row, before it is gone.
  const shorten = `UPDATE ${schema}.spaces SET size = $2::bigint, frontier = $3::bytea, base = NULL,
      floor = greatest(floor, $4::bigint),
      bytes = bytes
        - (SELECT coalesce(sum(octet_length(header) + octet_length(signature) + coalesce(octet_length(body), 0)), 0)::bigint
            FROM ${schema}.entries WHERE space = $1::bigint AND place >= $2::bigint)
        - (SELECT coalesce(sum(octet_length(wrap)), 0)::bigint
            FROM ${schema}.wraps WHERE space = $1::bigint AND place >= $2::bigint)
    WHERE number = $1::bigint`
  const removals: readonly string[] = [
    `DELETE FROM ${schema}.entries WHERE space = $1::bigint AND place >= $2::bigint`,
    `DELETE FROM ${schema}.wraps WHERE space = $1::bigint AND place >= $2::bigint`,
    `DELETE FROM ${schema}.nodes WHERE space = $1::bigint AND (place + 1) << level::int > $2::bigint`,
    `DELETE FROM ${schema}.cosigned WHERE space = $1::bigint AND size > $2::bigint`,
  ]
  const states: readonly string[] = ['control_rows', 'documents', 'actors'].map(
    table => `DELETE FROM ${schema}.${table} WHERE space = $1::bigint`,
  )

  return undo =>
    // All rows of the state are written anew.
    db.longTransaction(async run => {
      const [row] = await run<{ readonly number: number }>(lock, [idBytes(undo.space), undo.frontier, undo.base])
      if (row === undefined) throw new SealogError('ERR_STORE_LOCKED', 'the last append was another')
      const { number } = row
      const { size } = decodeRange(undo.base)
      const { control, documents, actors } = undo.state
      await run(shorten, [number, size, undo.base, undo.floor])
      for (const removal of removals) await run(removal, [number, size])
      for (const removal of states) await run(removal, [number])
      await run(
        `INSERT INTO ${schema}.control_rows (space, name, value)
          SELECT $1::bigint, name, value FROM unnest($2::text[], $3::bytea[]) AS given (name, value)`,
        [number, control.map(each => each.name), bytesArray(control.map(each => each.value))],
      )
      await run(
        `INSERT INTO ${schema}.documents (space, document, value)
          SELECT $1::bigint, document, value FROM unnest($2::bytea[], $3::bytea[]) AS given (document, value)`,
        [
          number,
          bytesArray(documents.map(each => idBytes(each.document))),
          bytesArray(documents.map(each => each.value)),
        ],
      )
      await run(
        `INSERT INTO ${schema}.actors (space, document, actor, value)
          SELECT $1::bigint, document, actor, value
          FROM unnest($2::bytea[], $3::bytea[], $4::bytea[]) AS given (document, actor, value)`,
        [
          number,
          bytesArray(actors.map(each => idBytes(each.document))),
          bytesArray(actors.map(each => idBytes(each.actor))),
          bytesArray(actors.map(each => each.value)),
        ],
      )
    })
}
