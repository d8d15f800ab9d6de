import type { Database } from 'better-sqlite3'
import { idBytes } from 'sealog/protocol'
import { bytesOf } from './append.ts'
import type { Append } from './log-store.ts'
import { assertAppendable, type LogEnding, NO_LOG } from './log-store-fence.ts'
import { plain } from './log-store-sqlite-rows.ts'

/**
 * Writes one append; to be run in a transaction.
 * @param onStatement called before each step; what it throws undoes all of them
 */
export function appendWriter(db: Database, onStatement: (name: string) => void): (append: Append) => void {
  const selectSpace = db.prepare<[Uint8Array], LogEnding & { readonly number: number }>(
    'SELECT number, size, floor, frontier FROM spaces WHERE id = ?',
  )
  const insertSpace = db.prepare(
    'INSERT INTO spaces (id, size, frontier, bytes, floor, base) VALUES (?, ?, ?, ?, 0, ?)',
  )
  const updateSpace = db.prepare(
    'UPDATE spaces SET size = ?, frontier = ?, bytes = bytes + ?, floor = ?, base = ? WHERE number = ?',
  )
  const insertEntry = db.prepare('INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  const insertBody = db.prepare('INSERT INTO bodies VALUES (? << 32 | ?, ?)')
  const deleteBody = db
    .prepare<[number, number], number>('DELETE FROM bodies WHERE entry = ? << 32 | ? RETURNING length(body)')
    .pluck()
  const reduceBytes = db.prepare('UPDATE spaces SET bytes = bytes - ? WHERE number = ?')
  const insertNode = db.prepare('INSERT INTO nodes VALUES (?, ?, ?, ?)')
  const upsertControl = db.prepare(
    'INSERT INTO control_rows VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
  )
  const upsertDocument = db.prepare(
    'INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
  )
  const upsertActor = db.prepare(
    'INSERT INTO actors VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
  )
  const insertWrap = db.prepare('INSERT INTO wraps VALUES (?, ?, ?, ?, ?)')

  return append => {
    const { from, base, entries, nodes, frontier, state, wraps, dropped } = append
    const id = idBytes(append.space)
    const known = selectSpace.get(id)
    assertAppendable(append, known === undefined ? NO_LOG : { ...known, frontier: plain(known.frontier) })
    const size = from + entries.length
    const bytes = bytesOf(append)
    onStatement('space')
    const space = known?.number ?? Number(insertSpace.run(id, size, frontier, bytes, base).lastInsertRowid)
    if (known !== undefined) updateSpace.run(size, frontier, bytes, append.isRestored ? 0 : known.floor, base, space)
    for (const [i, entry] of entries.entries()) {
      onStatement('entry')
      insertEntry.run(
        space,
        from + i,
        entry.header,
        entry.hash,
        entry.signature,
        idBytes(entry.document),
        idBytes(entry.actor),
        entry.seq,
        entry.isControl ? 1 : 0,
        entry.isSnapshot ? 1 : 0,
        entry.seenSize,
        entry.bodyLength,
        entry.replaced,
      )
      if (entry.body === undefined) continue
      onStatement('body')
      insertBody.run(space, from + i, entry.body)
    }
    for (const [level, index, hash] of nodes) {
      onStatement('node')
      insertNode.run(space, level, index, hash)
    }
    for (const { name, value } of state.control) {
      onStatement('control')
      upsertControl.run(space, name, value)
    }
    for (const { document, value } of state.documents) {
      onStatement('document')
      upsertDocument.run(space, idBytes(document), value)
    }
    for (const { document, actor, value } of state.actors) {
      onStatement('actor')
      upsertActor.run(space, idBytes(document), idBytes(actor), value)
    }
    for (const { index, position, device, wrap } of wraps) {
      onStatement('wrap')
      insertWrap.run(space, index, position, device, wrap)
    }
    for (const index of dropped) {
      onStatement('dropped')
      reduceBytes.run(deleteBody.get(space, index) ?? 0, space)
    }
    onStatement('commit')
  }
}
