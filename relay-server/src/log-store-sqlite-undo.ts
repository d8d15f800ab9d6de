import type { Database } from 'better-sqlite3'
import { decodeRange, idBytes } from 'sealog/protocol'
import type { AppendUndo } from './log-store.ts'
import { assertUndoable } from './log-store-fence.ts'
import { plain } from './log-store-sqlite-rows.ts'

/** Of the number `@space`, what goes from the place `@from` on. */
const BYTES = `SELECT
  (SELECT coalesce(sum(length(header) + length(signature)), 0) FROM entries WHERE space = @space AND place >= @from) +
  (SELECT coalesce(sum(length(body)), 0) FROM bodies WHERE entry BETWEEN @space << 32 | @from AND @space << 32 | 0xffffffff) +
  (SELECT coalesce(sum(length(wrap)), 0) FROM wraps WHERE space = @space AND place >= @from)`

const REMOVALS: readonly string[] = [
  'DELETE FROM entries WHERE space = @space AND place >= @from',
  'DELETE FROM bodies WHERE entry BETWEEN @space << 32 | @from AND @space << 32 | 0xffffffff',
  'DELETE FROM wraps WHERE space = @space AND place >= @from',
  'DELETE FROM nodes WHERE space = @space AND (place + 1) << level > @from',
  'DELETE FROM cosigned WHERE space = @space AND size > @from',
  'DELETE FROM control_rows WHERE space = @space',
  'DELETE FROM documents WHERE space = @space',
  'DELETE FROM actors WHERE space = @space',
]

interface Gone {
  readonly space: number
  readonly from: number
}

interface SpaceRow {
  readonly number: number
  readonly frontier: Uint8Array
  readonly base: Uint8Array | null
}

/**
 * Takes one append back; to be run in a transaction.
 * @param onStatement called before each step; what it throws undoes all of them
 */
export function undoWriter(db: Database, onStatement: (name: string) => void): (undo: AppendUndo) => void {
  const selectSpace = db.prepare<[Uint8Array], SpaceRow>(
    'SELECT number, frontier, base FROM spaces WHERE id = ? AND size > 0',
  )
  return undo => {
    const row = selectSpace.get(idBytes(undo.space))
    const stored = row && { frontier: plain(row.frontier), base: row.base === null ? undefined : plain(row.base) }
    assertUndoable(undo, stored)
    const number = row?.number ?? 0
    const { size } = decodeRange(undo.base)
    const gone = { space: number, from: size }
    const bytes = db.prepare<[Gone], number>(BYTES).pluck().get(gone) ?? 0
    for (const removal of REMOVALS) {
      onStatement('removal')
      db.prepare(removal).run(gone)
    }
    onStatement('state')
    const { control, documents, actors } = undo.state
    for (const { name, value } of control)
      db.prepare('INSERT INTO control_rows VALUES (?, ?, ?)').run(number, name, value)
    const insertDocument = db.prepare('INSERT INTO documents VALUES (?, ?, ?)')
    for (const { document, value } of documents) insertDocument.run(number, idBytes(document), value)
    const insertActor = db.prepare('INSERT INTO actors VALUES (?, ?, ?, ?)')
    for (const { document, actor, value } of actors) insertActor.run(number, idBytes(document), idBytes(actor), value)
    onStatement('space')
    db.prepare(
      `UPDATE spaces SET size = ?, frontier = ?, bytes = bytes - ?, floor = max(floor, ?), base = NULL WHERE number = ?`,
    ).run(size, undo.base, bytes, undo.floor, number)
    onStatement('commit')
  }
}
