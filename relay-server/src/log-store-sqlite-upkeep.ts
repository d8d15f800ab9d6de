import type { Database } from 'better-sqlite3'
import { idBytes, type SpaceId } from 'sealog/protocol'
import { type Compaction, KEPT_COSIGNED } from './log-store.ts'

const ROWS_OF_SPACE: readonly string[] = [
  'DELETE FROM entries WHERE space = ?',
  'DELETE FROM bodies WHERE entry BETWEEN ? << 32 AND ? << 32 | 0xffffffff',
  'DELETE FROM nodes WHERE space = ?',
  'DELETE FROM control_rows WHERE space = ?',
  'DELETE FROM documents WHERE space = ?',
  'DELETE FROM actors WHERE space = ?',
  'DELETE FROM cosigned WHERE space = ?',
  'DELETE FROM wraps WHERE space = ?',
  // Its number stays taken: who reads beside may have it in mind.
  "UPDATE spaces SET size = 0, frontier = x'', bytes = 0, floor = 0, base = NULL WHERE number = ?",
]

/** What an operator removes; each to be run in a transaction. */
export interface SqliteUpkeep {
  discard(space: SpaceId, bodies: readonly number[]): void
  remove(space: SpaceId): void
}

/** @param onStatement called before each step; what it throws undoes all of the action */
export function sqliteUpkeep(db: Database, onStatement: (name: string) => void): SqliteUpkeep {
  const selectNumber = db.prepare<[Uint8Array], number>('SELECT number FROM spaces WHERE id = ?').pluck()
  const deleteBody = db
    .prepare<[number, number], number>('DELETE FROM bodies WHERE entry = ? << 32 | ? RETURNING length(body)')
    .pluck()
  const reduceBytes = db.prepare('UPDATE spaces SET bytes = bytes - ? WHERE number = ?')
  const deleteOldCosigned = db.prepare(
    `DELETE FROM cosigned WHERE space = ? AND size NOT IN
       (SELECT size FROM cosigned WHERE space = ? ORDER BY size DESC LIMIT ${KEPT_COSIGNED})`,
  )
  return {
    discard(id, bodies) {
      const space = selectNumber.get(idBytes(id))
      if (space === undefined) return
      for (const place of bodies) {
        onStatement('body')
        reduceBytes.run(deleteBody.get(space, place) ?? 0, space)
      }
      onStatement('cosigned')
      deleteOldCosigned.run(space, space)
      onStatement('commit')
    },
    remove(id) {
      const space = selectNumber.get(idBytes(id))
      if (space === undefined) return
      for (const statement of ROWS_OF_SPACE) {
        onStatement('rows')
        db.prepare(statement).run(...new Array(statement.split('?').length - 1).fill(space))
      }
      onStatement('commit')
    },
  }
}

/** Writes the whole database anew, without what is not used of it. */
export function compact(db: Database): Compaction {
  const before = bytesOf(db)
  // It is made beside the old one first, and may be larger than the memory.
  db.pragma('temp_store = FILE')
  try {
    db.exec('VACUUM')
  } finally {
    db.pragma('temp_store = MEMORY')
  }
  db.pragma('wal_checkpoint(TRUNCATE)')
  return { before, after: bytesOf(db) }
}

function bytesOf(db: Database): number {
  const read = (pragma: string): number => db.pragma(pragma, { simple: true }) as number
  return read('page_count') * read('page_size')
}
