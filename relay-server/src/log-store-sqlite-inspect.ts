import type { Database } from 'better-sqlite3'
import { parseNote, type SpaceId, spaceIdOf } from 'sealog/protocol'
import type { StoreFault } from './log-store.ts'
import { codeOf, isFault } from './log-store-sqlite-errors.ts'
import { plain } from './log-store-sqlite-rows.ts'

/** Rows that belong to nothing: queries of the number of a space, and what is wrong with it. */
const STRAYS: readonly string[] = [
  ...['entries', 'nodes', 'control_rows', 'documents', 'actors', 'cosigned', 'wraps'].map(
    table => `SELECT space, 'rows of ${table} are of no space' FROM ${table}
      WHERE space NOT IN (SELECT number FROM spaces)`,
  ),
  `SELECT space, 'entry ' || place || ' is not of the log, which has ' || size FROM entries JOIN spaces ON number = space
    WHERE place < 0 OR place >= size`,
  `SELECT entry >> 32, 'body ' || (entry & 0xffffffff) || ' is of no entry' FROM bodies WHERE NOT EXISTS
    (SELECT 1 FROM entries WHERE space = bodies.entry >> 32 AND place = bodies.entry & 0xffffffff)`,
  `SELECT space, 'wrap ' || position || ' at ' || place || ' is of no entry' FROM wraps WHERE NOT EXISTS
    (SELECT 1 FROM entries WHERE entries.space = wraps.space AND entries.place = wraps.place)`,
  // A level beyond 52 would make the shift overflow, and no log is so long.
  `SELECT space, 'node ' || place || ' on level ' || level || ' is not of the tree' FROM nodes JOIN spaces ON number = space
    WHERE level < 1 OR level > 52 OR place < 0 OR place > size OR (place + 1) << level > size`,
  `SELECT space, 'a cosigned note of ' || cosigned.size || ', where there are ' || spaces.size FROM cosigned
    JOIN spaces ON number = space WHERE cosigned.size < 1 OR cosigned.size > spaces.size`,
]

/** Damage of the file and its indexes, broken constraints, and the strays; at most `limit` of them. */
export function inspectLogs(db: Database, limit: number): readonly StoreFault[] {
  return asOfNow(db, () => {
    const faults = [...damageOf(db, 'logs', limit)]
    const ids = new Map<number, Uint8Array>()
    const seek = (search: () => void): void => {
      try {
        search()
      } catch (error) {
        faults.push({ space: undefined, reason: reasonOf(error) })
      }
    }
    const note = (number: number, reason: string): void => {
      faults.push({ space: spaceOf(ids.get(number)), reason })
    }
    seek(() => {
      for (const [number, id] of db.prepare<[], [number, Uint8Array]>('SELECT number, id FROM spaces').raw().all()) {
        ids.set(number, id)
        if (id.length !== 32) note(number, `space ${number} has no id`)
      }
    })
    for (const query of STRAYS) {
      seek(() => {
        const select = db.prepare<[number], [number, string]>(`${query} LIMIT ?`).raw()
        for (const [number, reason] of select.all(limit)) note(number, reason)
      })
    }
    seek(() => {
      const select = db.prepare<[], [number, number, Uint8Array]>('SELECT space, size, note FROM cosigned').raw()
      for (const [number, size, bytes] of select.iterate()) {
        if (sizeOf(plain(bytes)) !== size) note(number, `the cosigned note of ${size} is another`)
      }
    })
    return faults.slice(0, limit)
  })
}

export function inspectHeads(db: Database, limit: number): readonly StoreFault[] {
  return asOfNow(db, () => {
    const faults = [...damageOf(db, 'heads', limit)]
    try {
      const ids = db.prepare<[], Uint8Array>('SELECT space FROM heads WHERE length(space) <> 32').pluck().all()
      for (const _ of ids) faults.push({ space: undefined, reason: 'a head is of no space' })
    } catch (error) {
      faults.push({ space: undefined, reason: reasonOf(error) })
    }
    return faults.slice(0, limit)
  })
}

/** As of one moment, beside a process that writes. Of a damaged database it can be that nothing can be committed. */
function asOfNow<T>(db: Database, look: () => T): T {
  db.exec('BEGIN')
  try {
    return look()
  } finally {
    if (db.inTransaction) db.exec('ROLLBACK')
  }
}

function damageOf(db: Database, what: string, limit: number): readonly StoreFault[] {
  try {
    const lines = db.pragma(`integrity_check(${limit})`) as readonly { readonly integrity_check: string }[]
    return lines
      .map(line => line.integrity_check)
      .filter(line => line !== 'ok')
      .map(line => ({ space: undefined, reason: `${what}: ${line}` }))
  } catch (error) {
    return [{ space: undefined, reason: `${what}: ${reasonOf(error)}` }]
  }
}

/** Of damage so bad that it cannot be looked through. @throws whatever is none */
function reasonOf(error: unknown): string {
  if (!isFault(error)) throw error
  return error instanceof Error ? error.message : codeOf(error)
}

function spaceOf(id: Uint8Array | undefined): SpaceId | undefined {
  return id?.length === 32 ? spaceIdOf(id) : undefined
}

function sizeOf(note: Uint8Array): number | undefined {
  try {
    return parseNote(note).checkpoint.size
  } catch {
    return undefined
  }
}
