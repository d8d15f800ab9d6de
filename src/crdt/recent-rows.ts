import { toUtf8 } from '../bytes.ts'
import { asBytes, asBytesUpTo, asOptional, asTuple, decodeCbor, encodeCbor, optional } from '../codec.ts'
import type { SpaceId } from '../ids.ts'
import { INLINE_BODY_LENGTH, MAX_HEADER_LENGTH } from '../verify/entry.ts'
import type { Batch, BatchEntry } from '../verify/log.ts'
import { lastPart, ordinal, readRow } from './rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

/** So many of the last entries are kept as they came, so that a relay that lost them can have them back. */
const RECENT = 256

/** All rows of a log of this size: what comes behind a skip does not go on from there. */
export function recentKeys(space: SpaceId, size: number): readonly Uint8Array[] {
  const first = Math.max(0, size - RECENT)
  return Array.from({ length: size - first }, (_, i) => recentKey(space, first + i))
}

/** What a batch changes in these rows, so that the last ones stay. */
export function recentRows(
  space: SpaceId,
  { from, entries }: Batch,
): { readonly puts: readonly StoreRow[]; readonly deletes: readonly Uint8Array[] } {
  const size = from + entries.length
  const first = Math.max(from, size - RECENT)
  const puts = entries
    .slice(first - from)
    .map((entry, i): StoreRow => [recentKey(space, first + i), encodeEntry(entry)])
  const deletes: Uint8Array[] = []
  for (let index = Math.max(0, from - RECENT); index < Math.min(from, size - RECENT); index++) {
    deletes.push(recentKey(space, index))
  }
  return { puts, deletes }
}

/** The entries from `from` on, or undefined where not all of them are kept. */
export async function loadRecent(
  store: ReplicaStore,
  space: SpaceId,
  from: number,
  size: number,
): Promise<readonly BatchEntry[] | undefined> {
  const rows = await store.scan(toUtf8(`space/${space}/recent/`))
  const entries = rows
    .filter(([key]) => Number.parseInt(lastPart(key), 16) >= from)
    .map(([, value]) => readRow('recent entry', () => decodeEntry(value)))
  return entries.length === size - from ? entries : undefined
}

function recentKey(space: SpaceId, index: number): Uint8Array {
  return toUtf8(`space/${space}/recent/${ordinal(index)}`)
}

function encodeEntry({ header, signature, body }: BatchEntry): Uint8Array {
  // A large body is not kept twice: the relay goes without it, and whoever has it may still supply it.
  const kept = body !== undefined && body.length <= INLINE_BODY_LENGTH ? body : undefined
  return encodeCbor([header, optional(signature, bytes => bytes), optional(kept, bytes => bytes)])
}

function decodeEntry(bytes: Uint8Array): BatchEntry {
  const fields = asTuple(decodeCbor(bytes, 2 * INLINE_BODY_LENGTH), 3, 'recent entry')
  return {
    header: asBytesUpTo(fields[0], MAX_HEADER_LENGTH, 'header'),
    signature: asOptional(fields[1], 'signature', (item, what) => asBytes(item, 64, what)),
    body: asOptional(fields[2], 'body', (item, what) => asBytesUpTo(item, INLINE_BODY_LENGTH, what)),
  }
}
