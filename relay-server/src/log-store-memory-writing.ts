import { decodeRange } from 'sealog/protocol'
import type { Append, AppendUndo } from './log-store.ts'
import { assertUndoable } from './log-store-fence.ts'
import type { MemorySpace } from './log-store-memory-reading.ts'

export function emptySpace(): MemorySpace {
  return {
    entries: [],
    nodes: new Map(),
    documents: new Map(),
    actors: new Map(),
    cosigned: new Map(),
    control: new Map(),
    wraps: new Map(),
    frontier: new Uint8Array(0),
    bytes: 0,
    floor: 0,
    base: undefined,
  }
}

/** An append that was found to fit. */
export function applyAppend(space: MemorySpace, append: Append): void {
  const { base, entries, nodes, frontier, state, wraps, dropped } = append
  space.base = base
  space.entries.push(...entries)
  if (append.isRestored) space.floor = 0
  for (const { header, signature, body } of entries)
    space.bytes += header.length + signature.length + (body?.length ?? 0)
  for (const { wrap } of wraps) space.bytes += wrap.length
  for (const [level, index, hash] of nodes) space.nodes.set(`${level}/${index}`, hash)
  for (const { document, value } of state.documents) space.documents.set(document, value)
  for (const row of state.actors) space.actors.set(`${row.document}/${row.actor}`, row)
  space.frontier = frontier
  for (const { name, value } of state.control) space.control.set(name, value)
  for (const row of wraps) space.wraps.set(row.index, [...(space.wraps.get(row.index) ?? []), row])
  dropBodies(space, dropped)
}

export function dropBodies(space: MemorySpace, bodies: readonly number[]): void {
  for (const index of bodies) {
    const entry = space.entries[index]
    if (entry === undefined) continue
    space.bytes -= entry.body?.length ?? 0
    space.entries[index] = { ...entry, body: undefined }
  }
}

/** @throws SealogError ERR_STORE_LOCKED */
export function applyUndo(space: MemorySpace, undo: AppendUndo): void {
  assertUndoable(undo, space.entries.length > 0 ? space : undefined)
  const { size } = decodeRange(undo.base)
  for (const { header, signature, body } of space.entries.splice(size)) {
    space.bytes -= header.length + signature.length + (body?.length ?? 0)
  }
  for (const [index, rows] of [...space.wraps]) {
    if (index < size) continue
    for (const { wrap } of rows) space.bytes -= wrap.length
    space.wraps.delete(index)
  }
  for (const place of [...space.nodes.keys()]) {
    const [level = 0, index = 0] = place.split('/').map(Number)
    if ((index + 1) * 2 ** level > size) space.nodes.delete(place)
  }
  for (const noteSize of [...space.cosigned.keys()]) if (noteSize > size) space.cosigned.delete(noteSize)
  for (const rows of [space.control, space.documents, space.actors]) rows.clear()
  for (const { name, value } of undo.state.control) space.control.set(name, value)
  for (const { document, value } of undo.state.documents) space.documents.set(document, value)
  for (const row of undo.state.actors) space.actors.set(`${row.document}/${row.actor}`, row)
  space.frontier = undo.base
  space.base = undefined
  space.floor = Math.max(space.floor, undo.floor)
}
