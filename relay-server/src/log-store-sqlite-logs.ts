import type { Database } from 'better-sqlite3'
import { actorIdOf, documentIdOf, idBytes, SealogError, type SpaceId, spaceIdOf } from 'sealog/protocol'
import {
  type Append,
  type AppendUndo,
  KEPT_COSIGNED,
  type LogStore,
  type PlacedMailbox,
  type SpaceSize,
  type StoredMailbox,
  type StoredSpace,
  type StoredWrap,
} from './log-store.ts'
import { assertStored } from './log-store-fence.ts'
import { appendWriter } from './log-store-sqlite-append.ts'
import { choiceReader } from './log-store-sqlite-choice.ts'
import { type EntryRow, plain, selectingEntries, storedEntry, takeEntries } from './log-store-sqlite-rows.ts'
import { undoWriter } from './log-store-sqlite-undo.ts'

type Sync<F> = F extends (...args: infer A) => Promise<infer R> ? (...args: A) => R : never

/** Reads of the logs. */
export type SqliteLogs = {
  readonly [K in Exclude<keyof LogStore & `read${string}`, 'readIdentity' | 'readSpaces' | 'readHead'>]: Sync<
    LogStore[K]
  >
} & {
  spaces(after: Uint8Array, limit: number): readonly SpaceId[]
}

/** Writes of the logs, each to be run in a transaction. */
export interface SqliteLogWrites {
  append(append: Append): void
  undoAppend(undo: AppendUndo): void
  putFloor(space: SpaceId, size: number): void
  clearFloor(space: SpaceId): void
  putCosigned(space: SpaceId, size: number, note: Uint8Array): void
  putMailbox(address: Uint8Array, mailbox: StoredMailbox): boolean
}

interface SpaceRow extends SpaceSize {
  readonly number: number
  readonly frontier: Uint8Array
  readonly base: Uint8Array | null
}

export function sqliteLogs(db: Database): SqliteLogs {
  const selectNumber = db.prepare<[Uint8Array], number>('SELECT number FROM spaces WHERE id = ?').pluck()
  const selectSpace = db.prepare<[Uint8Array], SpaceRow>(
    'SELECT number, size, frontier, bytes, floor, base FROM spaces WHERE id = ?',
  )
  const selectSize = db.prepare<[Uint8Array], SpaceSize>('SELECT size, bytes, floor FROM spaces WHERE id = ?')
  const selectSpaces = db
    .prepare<[Uint8Array, number], Uint8Array>('SELECT id FROM spaces WHERE id > ? AND size > 0 ORDER BY id LIMIT ?')
    .pluck()
  const selectCosigned = db
    .prepare<[number], Uint8Array>('SELECT note FROM cosigned WHERE space = ? ORDER BY size DESC')
    .pluck()
  const selectControl = db
    .prepare<[number], [string, Uint8Array]>('SELECT name, value FROM control_rows WHERE space = ? ORDER BY name')
    .raw()
  const selectDocuments = db
    .prepare<[number], [Uint8Array, Uint8Array]>('SELECT document, value FROM documents WHERE space = ?')
    .raw()
  const selectActors = db
    .prepare<[number], [Uint8Array, Uint8Array, Uint8Array]>(
      'SELECT document, actor, value FROM actors WHERE space = ?',
    )
    .raw()
  const selectEntries = db
    .prepare<[number, number, number, number], EntryRow>(
      selectingEntries('entries.space = ? AND entries.place >= ? AND entries.place < ? ORDER BY entries.place'),
    )
    .raw()
  const readChosen = choiceReader(db)
  const selectLeaf = db
    .prepare<[number, number], Uint8Array>('SELECT hash FROM entries WHERE space = ? AND place = ?')
    .pluck()
  const selectNode = db
    .prepare<[number, number, number], Uint8Array>('SELECT hash FROM nodes WHERE space = ? AND level = ? AND place = ?')
    .pluck()
  const selectBody = db
    .prepare<[number, number, number, number], Uint8Array | null>(
      'SELECT substr(body, ?, ?) FROM bodies WHERE entry = ? << 32 | ?',
    )
    .pluck()
  const selectWraps = db.prepare<[number, number], StoredWrap>(
    'SELECT place AS "index", position, device, wrap FROM wraps WHERE space = ? AND place = ? ORDER BY position',
  )
  const selectWrap = db.prepare<[number, number, number], StoredWrap>(
    'SELECT place AS "index", position, device, wrap FROM wraps WHERE space = ? AND device = ? AND place = ?',
  )
  const selectMailbox = db.prepare<[Uint8Array], StoredMailbox>(
    'SELECT counter, bytes, signature FROM mailboxes WHERE address = ?',
  )
  const selectMailboxes = db.prepare<[Uint8Array, number], PlacedMailbox>(
    'SELECT address, counter, bytes, signature FROM mailboxes WHERE address > ? ORDER BY address LIMIT ?',
  )

  /** Numbers never change, and there are few spaces: one look-up for each. */
  const numbers = new Map<SpaceId, number>()

  function numberOf(id: SpaceId): number {
    const known = numbers.get(id)
    if (known !== undefined) return known
    const number = selectNumber.get(idBytes(id))
    if (number === undefined) return -1
    numbers.set(id, number)
    return number
  }

  /** As of one moment, also beside a process that writes. */
  const readSpace = db.transaction((id: SpaceId): StoredSpace | undefined => {
    const row = selectSpace.get(idBytes(id))
    if (row === undefined || row.size === 0) return undefined
    const { number, size, frontier, bytes, floor, base } = row
    return {
      size,
      frontier: plain(frontier),
      state: {
        control: selectControl.all(number).map(([name, value]) => ({ name, value: plain(value) })),
        documents: selectDocuments.all(number).map(([document, value]) => ({
          document: documentIdOf(document),
          value: plain(value),
        })),
        actors: selectActors.all(number).map(([document, actor, value]) => ({
          document: documentIdOf(document),
          actor: actorIdOf(actor),
          value: plain(value),
        })),
      },
      bytes,
      floor,
      base: base === null ? undefined : plain(base),
    }
  })

  return {
    readSpace: id => readSpace(id),
    readSize: id => selectSize.get(idBytes(id)) ?? { size: 0, bytes: 0, floor: 0 },
    spaces: (after, limit) => selectSpaces.all(after, limit).map(spaceIdOf),
    readChoice: (id, choice, limits) => readChosen(numberOf(id), choice, limits),
    readCosigned: id => selectCosigned.all(numberOf(id)).map(plain),
    readEntries: (id, { from, to, inlineLength, maxBytes }) =>
      takeEntries(selectEntries.iterate(inlineLength, numberOf(id), from, to), maxBytes, storedEntry),
    readNodes(id, places) {
      const space = numberOf(id)
      return places.map(([level, index]) => {
        const hash = level === 0 ? selectLeaf.get(space, index) : selectNode.get(space, level, index)
        if (hash === undefined) throw new SealogError('ERR_STORE_CORRUPT', `no node ${index} on level ${level}`)
        return plain(hash)
      })
    },
    readBody(id, index, offset, length) {
      const part = selectBody.get(offset + 1, length, numberOf(id), index)
      // Of nothing SQLite makes null.
      return part === null ? new Uint8Array(0) : part && plain(part)
    },
    readWrap(id, index, device) {
      const row = selectWrap.get(numberOf(id), device, index)
      return row && { ...row, wrap: plain(row.wrap) }
    },
    readWraps: (id, index) => selectWraps.all(numberOf(id), index).map(row => ({ ...row, wrap: plain(row.wrap) })),
    readMailbox(address) {
      const row = selectMailbox.get(address)
      return row && plainMailbox(row)
    },
    readMailboxes: (after, limit) =>
      selectMailboxes
        .all(after ?? new Uint8Array(0), limit)
        .map(row => ({ address: plain(row.address), ...plainMailbox(row) })),
  }
}

function plainMailbox({ counter, bytes, signature }: StoredMailbox): StoredMailbox {
  return { counter, bytes: plain(bytes), signature: plain(signature) }
}

/** @param onStatement called before each step; what it throws undoes all of the action */
export function sqliteLogWrites(db: Database, onStatement: (name: string) => void): SqliteLogWrites {
  const selectSpace = db.prepare<[Uint8Array], Pick<SpaceRow, 'number' | 'size'>>(
    'SELECT number, size FROM spaces WHERE id = ?',
  )
  const upsertFloor = db.prepare(
    `INSERT INTO spaces (id, size, frontier, bytes, floor) VALUES (?, 0, x'', 0, ?)
     ON CONFLICT (id) DO UPDATE SET floor = max(floor, excluded.floor) WHERE excluded.floor > size`,
  )
  const clearFloor = db.prepare('UPDATE spaces SET floor = 0 WHERE id = ?')
  const upsertCosigned = db.prepare(
    'INSERT INTO cosigned VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET note = excluded.note',
  )
  const deleteOldCosigned = db.prepare(
    `DELETE FROM cosigned WHERE space = ? AND size NOT IN
       (SELECT size FROM cosigned WHERE space = ? ORDER BY size DESC LIMIT ${KEPT_COSIGNED})`,
  )
  const upsertMailbox = db.prepare(
    `INSERT INTO mailboxes VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET counter = excluded.counter, bytes = excluded.bytes, signature = excluded.signature
     WHERE excluded.counter > mailboxes.counter`,
  )
  return {
    append: appendWriter(db, onStatement),
    undoAppend: undoWriter(db, onStatement),
    putFloor(id, size) {
      onStatement('floor')
      upsertFloor.run(idBytes(id), size)
      onStatement('commit')
    },
    clearFloor(id) {
      onStatement('floor')
      clearFloor.run(idBytes(id))
      onStatement('commit')
    },
    putCosigned(id, size, note) {
      const space = selectSpace.get(idBytes(id))
      assertStored(size, space?.size ?? 0)
      onStatement('cosigned')
      upsertCosigned.run(space?.number, size, note)
      onStatement('old')
      deleteOldCosigned.run(space?.number, space?.number)
      onStatement('commit')
    },
    putMailbox(address, { counter, bytes, signature }) {
      onStatement('mailbox')
      const { changes } = upsertMailbox.run(address, counter, bytes, signature)
      onStatement('commit')
      return changes > 0
    },
  }
}
