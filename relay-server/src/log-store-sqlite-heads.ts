import type { Database } from 'better-sqlite3'
import { idBytes, type SpaceId, spaceIdOf } from 'sealog/protocol'
import type { KeptHead, StoredHead } from './log-store.ts'
import { abandonedHead, assertHeadAdvances, isTombstone, raisedHead, tombstone } from './log-store-fence.ts'
import { plain } from './log-store-sqlite-rows.ts'

/** What the relay signed. The actions that write are to be run in a transaction. */
export interface SqliteHeads {
  read(space: SpaceId): KeptHead | undefined
  put(space: SpaceId, head: StoredHead, after?: Uint8Array): void
  raise(space: SpaceId, head: StoredHead): void
  forget(space: SpaceId): void
  /** @param size of what is stored */
  bury(space: SpaceId, size: number): void
  spaces(after: Uint8Array, limit: number): readonly SpaceId[]
}

/** @param onStatement called before each step; what it throws undoes all of them */
export function sqliteHeads(db: Database, onStatement: (name: string) => void): SqliteHeads {
  const select = db.prepare<[Uint8Array], KeptHead>(
    'SELECT size, time, latest, abandoned, note FROM heads WHERE space = ?',
  )
  const upsert = db.prepare(
    `INSERT INTO heads (space, size, time, latest, abandoned, note) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
     SET size = excluded.size, time = excluded.time, latest = excluded.latest,
       abandoned = excluded.abandoned, note = excluded.note`,
  )
  const selectSpaces = db
    .prepare<[Uint8Array, number], Uint8Array>('SELECT space FROM heads WHERE space > ? ORDER BY space LIMIT ?')
    .pluck()

  function read(space: SpaceId): KeptHead | undefined {
    const row = select.get(idBytes(space))
    return row && { ...row, note: plain(row.note) }
  }

  function write(space: SpaceId, { size, time, latest, abandoned, note }: KeptHead): void {
    onStatement('head')
    upsert.run(idBytes(space), size, time, latest, abandoned, note)
    onStatement('commit')
  }

  return {
    read,
    put(space, head, after) {
      const before = read(space)
      assertHeadAdvances(head, before, after)
      write(space, { ...head, latest: head.time, abandoned: before?.abandoned ?? 0 })
    },
    raise: (space, head) => write(space, raisedHead(head, read(space))),
    forget(space) {
      const head = read(space)
      if (head !== undefined && !isTombstone(head)) write(space, abandonedHead(head))
    },
    bury: (space, size) => write(space, tombstone(read(space), size)),
    spaces: (after, limit) => selectSpaces.all(after, limit).map(spaceIdOf),
  }
}
