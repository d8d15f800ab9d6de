import { actorIdOf, documentIdOf, idBytes, type SpaceId } from 'sealog/protocol'
import type { LogStore, PlacedEntry, ReadLimits } from './log-store.ts'
import type { PostgresDatabase, Statement } from './log-store-postgres-database.ts'

/** So many entries are looked at in one go, at most. */
const PAGE = 1024

const COLUMNS =
  'place, header, hash, signature, document, actor, seq, is_control, is_snapshot, seen_size, body_length, replaced'

interface EntryRow {
  readonly place: number
  readonly header: Uint8Array
  readonly hash: Uint8Array
  readonly signature: Uint8Array
  readonly document: Uint8Array
  readonly actor: Uint8Array
  readonly seq: number
  readonly is_control: boolean
  readonly is_snapshot: boolean
  readonly seen_size: number
  readonly body_length: number
  readonly replaced: Uint8Array
  readonly body: Uint8Array | null
}

export type PostgresEntries = Pick<LogStore, 'readEntries' | 'readChoice'>

/** Reads entries, each kind of choice by an index of its own, and no more of them than are wanted. */
export function postgresEntries(db: PostgresDatabase, schema: string): PostgresEntries {
  /**
   * $1 id, $2 length of the longest body to read along, $3 bytes that are left, $4 first page?, $5 … what is chosen.
   * The sum is over the lengths only: of bodies that are stored apart, being long, nothing is read before it is clear
   * that they fit.
   */
  const selecting = (name: string, by: 'place' | 'seq', from: string): Statement => ({
    name,
    text: `SELECT ${COLUMNS}, body FROM (
        SELECT page.*, row_number() OVER so_far AS number,
          sum(octet_length(header) + octet_length(signature) + coalesce(octet_length(body), 0)) OVER so_far AS total
        FROM (SELECT ${COLUMNS}, CASE WHEN body_length <= $2::bigint THEN body END AS body FROM ${from}
          ORDER BY ${by} LIMIT ${PAGE}) AS page
        WINDOW so_far AS (ORDER BY ${by} ROWS UNBOUNDED PRECEDING)) AS chosen
      WHERE total <= $3::bigint OR (number = 1 AND $4::boolean) ORDER BY ${by}`,
  })
  const number = `(SELECT number FROM ${schema}.spaces WHERE id = $1::bytea)`
  const entriesWhere = (condition: string): string => `${schema}.entries WHERE space = ${number} AND ${condition}`

  const selectRange = selecting('entries', 'place', entriesWhere('place >= $5::bigint AND place < $6::bigint'))
  const selectControl = selecting(
    'entries_of_control',
    'place',
    entriesWhere('is_control AND place >= $5::bigint AND place < $6::bigint'),
  )
  const selectDocument = selecting(
    'entries_of_document',
    'place',
    entriesWhere('place >= $5::bigint AND place < $6::bigint AND document = $7::bytea'),
  )
  const selectChain = selecting(
    'entries_of_chain',
    'seq',
    entriesWhere('seq >= $5::bigint AND seq <= $6::bigint AND actor = $7::bytea'),
  )
  // One look-up for each actor, not one for each entry: from the end of the chain back to the first below the bound.
  const selectLatest = selecting(
    'entries_latest',
    'place',
    `(SELECT entries.* FROM ${schema}.actors CROSS JOIN LATERAL (
        SELECT * FROM ${schema}.entries
        WHERE space = actors.space AND actor = actors.actor AND place < $6::bigint ORDER BY seq DESC LIMIT 1) AS entries
      WHERE actors.space = ${number} AND actors.document = $7::bytea AND entries.place >= $5::bigint) AS latest`,
  )

  async function read(
    space: SpaceId,
    statement: Statement,
    { inlineLength, maxBytes }: ReadLimits,
    bounds: { readonly from: number; readonly to: number; readonly of?: Uint8Array; readonly by?: 'seq' },
  ): Promise<readonly PlacedEntry[]> {
    const entries: PlacedEntry[] = []
    // Without a bound: more than there can be, as a number that the database has.
    let left = Math.min(maxBytes, Number.MAX_SAFE_INTEGER)
    let { from } = bounds
    for (;;) {
      const isFirst = entries.length === 0
      const values = [idBytes(space), inlineLength, left, isFirst, from, bounds.to, ...(bounds.of ? [bounds.of] : [])]
      const rows = await db.run<EntryRow>(statement, values)
      for (const row of rows) {
        entries.push(placedEntry(row))
        left -= row.header.length + row.signature.length + (row.body?.length ?? 0)
      }
      const last = entries.at(-1)
      // A page that is not full was ended by the sum, or by the end of what there is.
      if (rows.length < PAGE || last === undefined || left <= 0) return entries
      from = (bounds.by === 'seq' ? last.seq : last.index) + 1
    }
  }

  return {
    async readEntries(space, range) {
      const entries = await read(space, selectRange, range, range)
      return entries.map(({ index, ...entry }) => entry)
    },
    readChoice(space, choice, limits) {
      const { from } = choice
      switch (choice.kind) {
        case 'control':
          return read(space, selectControl, limits, { from, to: choice.to })
        case 'document':
          return read(space, selectDocument, limits, { from, to: choice.to, of: idBytes(choice.document) })
        case 'chain':
          return read(space, selectChain, limits, { from, to: choice.to, of: idBytes(choice.actor), by: 'seq' })
        case 'latest':
          return read(space, selectLatest, limits, { from, to: choice.below, of: idBytes(choice.document) })
      }
    },
  }
}

function placedEntry(row: EntryRow): PlacedEntry {
  return {
    index: row.place,
    header: row.header,
    hash: row.hash,
    signature: row.signature,
    document: documentIdOf(row.document),
    actor: actorIdOf(row.actor),
    seq: row.seq,
    isControl: row.is_control,
    isSnapshot: row.is_snapshot,
    seenSize: row.seen_size,
    bodyLength: row.body_length,
    body: row.body ?? undefined,
    replaced: row.replaced,
  }
}
