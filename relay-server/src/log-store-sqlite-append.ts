import type { Database } from 'better-sqlite3'
import { idBytes } from 'sealog/protocol'
import type { Append } from './log-store.ts'
import { assertAppendable } from './log-store-fence.ts'

/**
 * Writes one group commit, as one transaction.
 * @param onStatement called before each step; what it throws undoes all of them
 */
export function appendWriter(db: Database, onStatement: (name: string) => void): (append: Append) => void {
  const selectSpace = db.prepare<[Uint8Array], { readonly number: number; readonly size: number }>(
    'SELECT number, size FROM spaces WHERE id = ?',
  )
  const insertSpace = db.prepare('INSERT INTO spaces (id, size, frontier) VALUES (?, ?, ?)')
  const updateSpace = db.prepare('UPDATE spaces SET size = ?, frontier = ? WHERE number = ?')
  const insertEntry = db.prepare('INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  const insertBody = db.prepare('INSERT INTO bodies VALUES (?, ?, ?)')
  const deleteBody = db.prepare('DELETE FROM bodies WHERE space = ? AND place = ?')
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

  return db.transaction((append: Append) => {
    const { from, entries, nodes, frontier, state, wraps, dropped } = append
    const known = selectSpace.get(idBytes(append.space))
    assertAppendable(append, known?.size ?? 0)
    const size = from + entries.length
    onStatement('space')
    const space = known?.number ?? insertSpace.run(idBytes(append.space), size, frontier).lastInsertRowid
    if (known !== undefined) updateSpace.run(size, frontier, space)
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
      deleteBody.run(space, index)
    }
    onStatement('commit')
  })
}
