import type { Database } from 'better-sqlite3'
import { idBytes, type SpaceId, spaceIdOf } from 'sealog/protocol'
import type { KeptHead, StoredHead } from './log-store.ts'
import { abandonedHead, assertHeadAdvances, isTombstone, raisedHead, tombstone } from './log-store-fence.ts'
import { assertHeadIntact, headChecksum } from './log-store-head-checksum.ts'
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
  const select = db.prepare<[Uint8Array], KeptHead & { readonly checksum: Uint8Array }>(
    'SELECT size, time, latest, abandoned, note, checksum FROM heads WHERE space = ?',
  )
  const upsert = db.prepare(
    `INSERT INTO heads (space, size, time, latest, abandoned, note, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET size = excluded.size, time = excluded.time, latest = excluded.latest,
       abandoned = excluded.abandoned, note = excluded.note, checksum = excluded.checksum`,
  )
  const selectSpaces = db
    .prepare<[Uint8Array, number], Uint8Array>('SELECT space FROM heads WHERE space > ? ORDER BY space LIMIT ?')
    .pluck()

  function rowOf(space: SpaceId): { readonly head: KeptHead; readonly checksum: Uint8Array } | undefined {
    const row = select.get(idBytes(space))
    if (row === undefined) return undefined
    const { checksum, note, ...numbers } = row
    return { head: { ...numbers, note: plain(note) }, checksum: plain(checksum) }
  }

  function read(space: SpaceId): KeptHead | undefined {
    const row = rowOf(space)
    if (row !== undefined) assertHeadIntact(space, row.head, row.checksum)
    return row?.head
  }

  function write(space: SpaceId, head: KeptHead): void {
    const { size, time, latest, abandoned, note } = head
    onStatement('head')
    upsert.run(idBytes(space), size, time, latest, abandoned, note, headChecksum(idBytes(space), head))
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
    // The way out where a row is damaged, too: a tombstone signs nothing, whatever else it says.
    bury: (space, size) => write(space, tombstone(rowOf(space)?.head, size)),
    spaces: (after, limit) => selectSpaces.all(after, limit).map(spaceIdOf),
  }
}
