import { createHash } from 'node:crypto'
import {
  decodeControlBody,
  entryHash,
  equalBytes,
  type Header,
  INLINE_BODY_LENGTH,
  type SpaceId,
} from 'sealog/protocol'
import type { Report } from './fsck-finding.ts'
import type { LogStore, StoredEntry, StoredWrap } from './log-store.ts'

/** Where a stored entry stands, and who hears what is wrong with it. */
export interface EntryPlace {
  readonly store: LogStore
  readonly space: SpaceId
  readonly index: number
  readonly report: Report
}

/** What can be said of an entry without the log before it: its hash, and what stands beside it so that it is found. */
export function checkColumns({ space, index: entry, report }: EntryPlace, stored: StoredEntry, header: Header): void {
  if (!equalBytes(entryHash(stored.header), stored.hash)) {
    report({ checked: 'entry', space, entry, reason: 'the header has another hash' })
  }
  const isSame =
    stored.document === header.document &&
    stored.seq === header.seq &&
    stored.seenSize === header.seenSize &&
    stored.bodyLength === header.bodyLength &&
    stored.isControl === (header.kind === 'control') &&
    stored.isSnapshot === (header.kind === 'snapshot')
  if (!isSame) report({ checked: 'columns', space, entry, reason: 'its columns are not those of its header' })
}

/**
 * Holds the body against the header that commits to it, a part at a time.
 * @returns its stored length; undefined where it is not stored
 */
export async function checkBody(
  { store, space, index: entry, report }: EntryPlace,
  stored: StoredEntry,
  header: Header,
): Promise<number | undefined> {
  const hash = createHash('sha256')
  let length = 0
  let part = stored.body ?? (await store.readBody(space, entry, 0, INLINE_BODY_LENGTH))
  if (part === undefined) return undefined
  for (;;) {
    hash.update(part)
    length += part.length
    // What came with the entry is all of it; a part that is not full is the last one.
    if (stored.body !== undefined || part.length < INLINE_BODY_LENGTH) break
    part = (await store.readBody(space, entry, length, INLINE_BODY_LENGTH)) ?? new Uint8Array(0)
  }
  const isRight = length === header.bodyLength && equalBytes(hash.digest(), header.bodyHash)
  if (!isRight) report({ checked: 'body', space, entry, reason: 'the body is not the one that its header commits to' })
  return length
}

/** Does this control entry come with wraps, if they are stored? What does not decode is for the reducer to refuse. */
export function delivers(body: Uint8Array): boolean {
  try {
    const { type } = decodeControlBody(body)
    return type === 'rotate' || type === 'repair'
  } catch {
    return false
  }
}

/** One after the other; undefined where there are none. */
export function joinWraps(wraps: readonly StoredWrap[]): Uint8Array | undefined {
  if (wraps.length === 0) return undefined
  const bytes = new Uint8Array(wraps.reduce((sum, { wrap }) => sum + wrap.length, 0))
  let offset = 0
  for (const { wrap } of wraps) {
    bytes.set(wrap, offset)
    offset += wrap.length
  }
  return bytes
}
