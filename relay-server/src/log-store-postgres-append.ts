import { idBytes, SealogError } from 'sealog/protocol'
import type { Append } from './log-store.ts'
import { assertAppendForm } from './log-store-fence.ts'
import { bytesArray, plainArray } from './log-store-postgres-arrays.ts'
import type { PostgresDatabase, Statement } from './log-store-postgres-database.ts'

/**
 * One group commit is one statement, and so one transaction and one round trip. Its fence is the row of the space: it is
 * changed only where it has the expected size and frontier and the floor allows it, and everything else is inserted for as many rows
 * as the fence gave back, one or none. Of two processes that append at one place, the later waits for the row, finds it
 * changed (PostgreSQL evaluates the condition again on the row as it then is), and inserts nothing.
 */
export function postgresAppend(db: PostgresDatabase, schema: string): (append: Append) => Promise<void> {
  const create: Statement = { name: 'append_first', text: appending(schema, creatingFence(schema)) }
  const extend: Statement = { name: 'append', text: appending(schema, extendingFence(schema)) }
  const lock: Statement = {
    name: 'lock_space',
    text: `SELECT number FROM ${schema}.spaces WHERE id = $1 FOR UPDATE`,
  }

  return async append => {
    assertAppendForm(append)
    const statement = append.from === 0 ? create : extend
    const values = valuesOf(append)
    const isDropping = append.dropped.some(place => place < append.from)
    const rows = isDropping
      ? // How long the dropped bodies are must be read after the row of the space is locked.
        await db.transaction(async run => {
          await run(lock, [idBytes(append.space)])
          return run(statement, values)
        })
      : await db.run(statement, values)
    if (rows.length === 0) {
      throw new SealogError(
        'ERR_STORE_LOCKED',
        `the log has not got these ${append.from} entries, or is below its floor`,
      )
    }
  }
}

/** $1 id, $2 size before, $3 size after, $4 frontier, $5 bytes that are added, $6 restored?, $7 earlier bodies to drop, $34 frontier before. */
const extendingFence = (schema: string): string => `
  UPDATE ${schema}.spaces SET size = $3::bigint, frontier = $4::bytea, base = $34::bytea, ${CHANGED_FLOOR},
    bytes = bytes + $5::bigint - (
      SELECT coalesce(sum(octet_length(body)), 0)::bigint FROM ${schema}.entries
      WHERE space = number AND place = ANY ($7::bigint[]))
  WHERE id = $1::bytea AND size = $2::bigint AND frontier = $34::bytea AND ${ALLOWED_BY_FLOOR}
  RETURNING number`

/** The row may be there, without entries: as long as they are lost it keeps the floor. */
const creatingFence = (schema: string): string => `
  INSERT INTO ${schema}.spaces (id, size, frontier, bytes, floor, base)
  SELECT $1::bytea, $3::bigint, $4::bytea, $5::bigint, 0, $34::bytea
  WHERE $2::bigint = 0 AND cardinality($7::bigint[]) = 0
  ON CONFLICT (id) DO UPDATE SET size = excluded.size, frontier = excluded.frontier, bytes = excluded.bytes,
    base = excluded.base, ${CHANGED_FLOOR}
  WHERE spaces.size = 0 AND ${ALLOWED_BY_FLOOR}
  RETURNING number`

const CHANGED_FLOOR = 'floor = CASE WHEN $6::boolean THEN 0 ELSE spaces.floor END'
const ALLOWED_BY_FLOOR = '(spaces.size >= spaces.floor OR ($6::boolean AND $3::bigint >= spaces.floor))'

const appending = (schema: string, fence: string): string => `
  WITH fence AS (${fence}),
  entry AS (
    INSERT INTO ${schema}.entries (space, place, header, hash, signature, document, actor, seq, is_control, is_snapshot,
      seen_size, body_length, replaced, body)
    SELECT number, $2::bigint + i - 1, header, hash, signature, document, actor, seq, is_control, is_snapshot,
      seen_size, body_length, replaced, body
    FROM fence, unnest($8::bytea[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bigint[],
      $14::boolean[], $15::boolean[], $16::bigint[], $17::bigint[], $18::bytea[], $19::bytea[]) WITH ORDINALITY
      AS given (header, hash, signature, document, actor, seq, is_control, is_snapshot, seen_size, body_length,
        replaced, body, i)),
  node AS (
    INSERT INTO ${schema}.nodes (space, level, place, hash)
    SELECT number, level, place, hash
    FROM fence, unnest($20::bigint[], $21::bigint[], $22::bytea[]) AS given (level, place, hash)),
  control AS (
    INSERT INTO ${schema}.control_rows (space, name, value)
    SELECT number, name, value FROM fence, unnest($23::text[], $24::bytea[]) AS given (name, value)
    ON CONFLICT (space, name) DO UPDATE SET value = excluded.value),
  document AS (
    INSERT INTO ${schema}.documents (space, document, value)
    SELECT number, document, value FROM fence, unnest($25::bytea[], $26::bytea[]) AS given (document, value)
    ON CONFLICT (space, document) DO UPDATE SET value = excluded.value),
  actor AS (
    INSERT INTO ${schema}.actors (space, document, actor, value)
    SELECT number, document, actor, value
    FROM fence, unnest($27::bytea[], $28::bytea[], $29::bytea[]) AS given (document, actor, value)
    ON CONFLICT (space, document, actor) DO UPDATE SET value = excluded.value),
  wrap AS (
    INSERT INTO ${schema}.wraps (space, place, position, device, wrap)
    SELECT number, place, position, device, wrap
    FROM fence, unnest($30::bigint[], $31::bigint[], $32::bigint[], $33::bytea[])
      AS given (place, position, device, wrap)),
  dropped AS (
    UPDATE ${schema}.entries SET body = NULL FROM fence
    WHERE space = fence.number AND place = ANY ($7::bigint[]))
  SELECT number FROM fence`

function valuesOf(append: Append): readonly unknown[] {
  const { from, entries, nodes, state, wraps } = append
  const { control, documents, actors } = state
  // The statement does not see its own entries: of them, what is dropped is not stored in the first place.
  const dropped = new Set(append.dropped)
  const bodies = entries.map(({ body }, i) => (dropped.has(from + i) ? undefined : body))
  const lengths = [
    ...entries.map(({ header, signature }) => header.length + signature.length),
    ...bodies.map(body => body?.length ?? 0),
    ...wraps.map(({ wrap }) => wrap.length),
  ]
  return [
    idBytes(append.space),
    from,
    from + entries.length,
    append.frontier,
    lengths.reduce((sum, length) => sum + length, 0),
    append.isRestored,
    plainArray(append.dropped.filter(place => place < from)),
    bytesArray(entries.map(entry => entry.header)),
    bytesArray(entries.map(entry => entry.hash)),
    bytesArray(entries.map(entry => entry.signature)),
    bytesArray(entries.map(entry => idBytes(entry.document))),
    bytesArray(entries.map(entry => idBytes(entry.actor))),
    plainArray(entries.map(entry => entry.seq)),
    plainArray(entries.map(entry => entry.isControl)),
    plainArray(entries.map(entry => entry.isSnapshot)),
    plainArray(entries.map(entry => entry.seenSize)),
    plainArray(entries.map(entry => entry.bodyLength)),
    bytesArray(entries.map(entry => entry.replaced)),
    bytesArray(bodies),
    plainArray(nodes.map(([level]) => level)),
    plainArray(nodes.map(([, index]) => index)),
    bytesArray(nodes.map(([, , hash]) => hash)),
    control.map(row => row.name),
    bytesArray(control.map(row => row.value)),
    bytesArray(documents.map(row => idBytes(row.document))),
    bytesArray(documents.map(row => row.value)),
    bytesArray(actors.map(row => idBytes(row.document))),
    bytesArray(actors.map(row => idBytes(row.actor))),
    bytesArray(actors.map(row => row.value)),
    plainArray(wraps.map(row => row.index)),
    plainArray(wraps.map(row => row.position)),
    plainArray(wraps.map(row => row.device)),
    bytesArray(wraps.map(row => row.wrap)),
    append.base,
  ]
}
