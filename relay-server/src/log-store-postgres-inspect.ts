import { parseNote, spaceIdOf } from 'sealog/protocol'
import type { StoreFault } from './log-store.ts'
import type { PostgresDatabase, Run } from './log-store-postgres-database.ts'

/** A schema, and where it is. */
export interface PostgresPart {
  readonly db: PostgresDatabase
  /** Its name, quoted. */
  readonly schema: string
}

/** Tables whose rows belong to a space, by its number. */
export const OF_SPACES = ['entries', 'nodes', 'control_rows', 'documents', 'actors', 'cosigned', 'wraps'] as const

/** So many notes are looked at in one go. */
const PAGE = 1000

interface FaultRow {
  readonly id: Uint8Array | null
  readonly reason: string
}

/** What no other method of the store comes across; each part as it is at one moment. */
export async function inspectPostgres(
  logs: PostgresPart,
  signed: PostgresPart,
  limit: number,
): Promise<readonly StoreFault[]> {
  const faults: StoreFault[] = []
  const collect = async (part: PostgresPart, look: (run: Run, left: number) => Promise<readonly FaultRow[]>) =>
    part.db.alone(async run => {
      await run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
      for (const { id, reason } of await look(run, limit - faults.length)) {
        faults.push({ space: id === null ? undefined : spaceIdOf(id), reason })
      }
      await run('COMMIT')
    })
  await collect(logs, async (run, left) => {
    const rows: FaultRow[] = []
    for (const query of strays(logs.schema)) {
      rows.push(...(await run<FaultRow>(`${query} LIMIT ${Math.max(0, left - rows.length)}`)))
    }
    return [...rows, ...(await wrongNotes(run, logs.schema))].slice(0, left)
  })
  await collect(signed, (run, left) =>
    run<FaultRow>(`SELECT NULL::bytea AS id, 'a head is of no space' AS reason FROM ${signed.schema}.heads
      WHERE octet_length(space) <> 32 LIMIT ${Math.max(0, left)}`),
  )
  return faults
}

/** Nothing but its note says whether the size that a cosigned note is kept under is right. */
async function wrongNotes(run: Run, schema: string): Promise<readonly FaultRow[]> {
  const wrong: FaultRow[] = []
  let last: readonly [number: number, size: number] = [-1, 0]
  for (;;) {
    const rows = await run<{ number: number; id: Uint8Array; size: number; note: Uint8Array }>(
      `SELECT number, id, cosigned.size, note FROM ${schema}.cosigned JOIN ${schema}.spaces ON number = space
        WHERE (space, cosigned.size) > ($1, $2) ORDER BY space, cosigned.size LIMIT ${PAGE}`,
      last,
    )
    for (const { id, size, note } of rows) {
      if (sizeOf(note) !== size) wrong.push({ id, reason: `the cosigned note of ${size} is another` })
    }
    const end = rows.at(-1)
    if (rows.length < PAGE || end === undefined) return wrong
    last = [end.number, end.size]
  }
}

function sizeOf(note: Uint8Array): number | undefined {
  try {
    return parseNote(note).checkpoint.size
  } catch {
    return undefined
  }
}

/** Queries for rows that belong to nothing: of which space, where that is known, and why. */
function strays(schema: string): readonly string[] {
  const ofNoSpace = OF_SPACES.map(
    table => `SELECT NULL::bytea AS id, 'rows of ${table} belong to space number ' || space || ', which is not there' AS reason
      FROM (SELECT DISTINCT space FROM ${schema}.${table}) AS found
      WHERE NOT EXISTS (SELECT 1 FROM ${schema}.spaces WHERE number = found.space)`,
  )
  const wrong = (table: string, reason: string, condition: string): string =>
    `SELECT id, ${reason} AS reason FROM ${schema}.${table} AS found JOIN ${schema}.spaces ON number = space
      WHERE ${condition}`
  return [
    `SELECT NULL::bytea AS id, 'space ' || number || ' has no id' AS reason FROM ${schema}.spaces
      WHERE octet_length(id) <> 32`,
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
