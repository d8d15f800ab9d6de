import {
  type ActorId,
  type Batch,
  type BatchEntry,
  INLINE_BODY_LENGTH,
  MAX_BATCH_ENTRIES,
  MAX_BODY_LENGTH,
  MAX_FRAME_LENGTH,
  proveConsistency,
  type SpaceId,
} from 'sealog/protocol'
import type { LogStore, StoredEntry } from './log-store.ts'
import type { SignedHead } from './signed-head.ts'
import { withNodes } from './tree-reader.ts'

/** A stretch of the log that one message carries, with all its proofs. */
export interface SyncPart {
  readonly batch: Batch
  /** Where the next part begins. */
  readonly end: number
}

/** Room for what a message holds besides entries and proofs of `seen`: note, consistency proof, framing. */
const FRAME_OVERHEAD = 4096
/** Bodies too long to travel in it that one message leads to: a reader holds all of them before it can apply any. */
const LARGE_BODIES = MAX_BODY_LENGTH
/** CBOR around one entry: array, three byte strings and their optional fields. */
const ENTRY_OVERHEAD = 24
const SIGNATURE_LENGTH = 64
const HASH_IN_PROOF = 34

/** The stretch from `from` towards `limit`, as much as fits; without entries where `from` is `limit`. */
export async function readPart(
  store: LogStore,
  space: SpaceId,
  from: number,
  limit: number,
  head: SignedHead,
): Promise<SyncPart> {
  const to = Math.min(limit, from + MAX_BATCH_ENTRIES)
  const maxBytes = budgetOf(head)
  const range = { from, to, inlineLength: INLINE_BODY_LENGTH, maxBytes }
  return makePart(store, space, from, to > from ? await store.readEntries(space, range) : [], head)
}

/** The first part of `entries`, which stand in the log from `from` on, as much of them as fits. */
export async function makePart(
  store: LogStore,
  space: SpaceId,
  from: number,
  entries: readonly StoredEntry[],
  head: SignedHead,
): Promise<SyncPart> {
  const fitting = fittingEntries(from, entries, budgetOf(head))
  const end = from + fitting.length
  const { size } = head.checkpoint
  const seenSizes = seenBefore(from, fitting)
  const proofs = await withNodes(store, space, nodeAt => ({
    seen: seenSizes.map(seenSize => ({ size: seenSize, proof: proveConsistency(seenSize, from, nodeAt) })),
    consistency: end > 0 ? proveConsistency(end, size, nodeAt) : [],
  }))
  const batch: Batch = {
    from,
    entries: coveredEntries(fitting),
    seenProofs: proofs.seen,
    note: head.note,
    consistency: proofs.consistency,
  }
  return { batch, end }
}

function budgetOf(head: SignedHead): number {
  return MAX_FRAME_LENGTH - FRAME_OVERHEAD - head.note.length
}

function fittingEntries(from: number, entries: readonly StoredEntry[], budget: number): readonly StoredEntry[] {
  const proofLength = (Math.ceil(Math.log2(from + 1)) + 2) * HASH_IN_PROOF
  const seen = new Set<number>([0])
  let length = 0
  let large = 0
  for (const [count, entry] of entries.entries()) {
    length += entry.header.length + SIGNATURE_LENGTH + (inlineBody(entry)?.length ?? 0) + ENTRY_OVERHEAD
    if (entry.seenSize < from && !seen.has(entry.seenSize)) length += proofLength
    seen.add(entry.seenSize)
    if (entry.bodyLength > INLINE_BODY_LENGTH) large += entry.bodyLength
    const isFull = length > budget || large > LARGE_BODIES || count >= MAX_BATCH_ENTRIES
    if (count > 0 && isFull) return entries.slice(0, count)
  }
  return entries
}

/** What authors had seen before this part begins: the reader knows no root there, so each takes a proof. */
function seenBefore(from: number, entries: readonly StoredEntry[]): readonly number[] {
  const sizes = new Set<number>()
  for (const { seenSize } of entries) if (seenSize > 0 && seenSize < from) sizes.add(seenSize)
  return [...sizes]
}

/** A signature covers what is before it in its chain: the last of each actor is enough, and control entries have all. */
function coveredEntries(entries: readonly StoredEntry[]): readonly BatchEntry[] {
  const covered = new Set<ActorId>()
  const batch: BatchEntry[] = []
  for (const entry of entries.toReversed()) {
    const isDue = entry.isControl || !covered.has(entry.actor)
    covered.add(entry.actor)
    batch.push({ header: entry.header, signature: isDue ? entry.signature : undefined, body: inlineBody(entry) })
  }
  return batch.reverse()
}

function inlineBody(entry: StoredEntry): Uint8Array | undefined {
  return entry.bodyLength <= INLINE_BODY_LENGTH ? entry.body : undefined
}
