import { actorIdOf, documentIdOf } from 'sealog/protocol'
import type { PlacedEntry, StoredEntry } from './log-store.ts'

const ENTRY_COLUMNS: string =
  'entries.place, header, hash, signature, document, actor, seq, is_control, is_snapshot, seen_size, body_length, ' +
  'replaced, body'

/**
 * A query for rows of entries; its first parameter is the length of the longest body to read along.
 * @param by an index to use: the planner knows no statistics, and would go through the whole log
 */
export function selectingEntries(where: string, by?: string): string {
  return `SELECT ${ENTRY_COLUMNS} FROM entries ${by === undefined ? '' : `INDEXED BY ${by}`} LEFT JOIN bodies
    ON bodies.entry = entries.space << 32 | entries.place AND body_length <= ? WHERE ${where}`
}

export type EntryRow = [
  place: number,
  header: Uint8Array,
  hash: Uint8Array,
  signature: Uint8Array,
  document: Uint8Array,
  actor: Uint8Array,
  seq: number,
  isControl: number,
  isSnapshot: number,
  seenSize: number,
  bodyLength: number,
  replaced: Uint8Array,
  body: Uint8Array | null,
]

/** Entries in the order of the rows, as many as fit into `maxBytes`, one at least. */
export function takeEntries<T extends StoredEntry>(
  rows: Iterable<EntryRow>,
  maxBytes: number,
  read: (row: EntryRow) => T,
): readonly T[] {
  const entries: T[] = []
  let bytes = 0
  for (const row of rows) {
    const entry = read(row)
    bytes += entry.header.length + entry.signature.length + (entry.body?.length ?? 0)
    if (entries.length > 0 && bytes > maxBytes) break
    entries.push(entry)
  }
  return entries
}

export function placedEntry(row: EntryRow): PlacedEntry {
  return { ...storedEntry(row), index: row[0] }
}

export function storedEntry(row: EntryRow): StoredEntry {
  const [, header, hash, signature, document, actor, seq, isControl, isSnapshot, seenSize, bodyLength, replaced, body] =
    row
  return {
    header: plain(header),
    hash: plain(hash),
    signature: plain(signature),
    document: documentIdOf(document),
    actor: actorIdOf(actor),
    seq,
    isControl: isControl === 1,
    isSnapshot: isSnapshot === 1,
    seenSize,
    bodyLength,
    body: body === null ? undefined : plain(body),
    replaced: plain(replaced),
  }
}

/** SQLite hands out Node's own kind of bytes, each in a buffer of its own. */
export function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
