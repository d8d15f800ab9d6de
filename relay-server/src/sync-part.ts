import {
  type ActorId,
  type Batch,
  type BatchEntry,
  INLINE_BODY_LENGTH,
  isZero,
  MAX_BATCH_ENTRIES,
  MAX_BODY_LENGTH,
  MAX_FRAME_LENGTH,
  MAX_TRACER_LENGTH,
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
  /** Those of the batch. */
  readonly entries: readonly StoredEntry[]
  /** Bytes that had to be read to find an older state for its tracer. */
  readonly rewound?: number
}

/** Room for what a message holds besides entries and proofs of `seen`: note, consistency proof, framing. */
const FRAME_OVERHEAD = 4096
/** Bodies too long to travel in it that one message leads to: a reader holds all of them before it can apply any. */
const LARGE_BODIES = MAX_BODY_LENGTH
/** CBOR around one entry: array, three byte strings and their optional fields. */
const ENTRY_OVERHEAD = 24
const SIGNATURE_LENGTH = 64
const HASH_IN_PROOF = 34

/** What a part is made for: whose bodies travel in it, and whether its reader needs tracers. */
interface PartShape {
  /** Does the body of this entry travel, if it is not too long? */
  readonly carries: (entry: StoredEntry) => boolean
  /**
   * The tracer of entries that stand in the log from `from` on, at least one; absent: the reader knows the state. It is
   * not asked for the first entries of the log, as there is no state before them.
   */
  readonly tracerOf?: (from: number, entries: readonly StoredEntry[]) => Promise<Uint8Array>
}

/** For readers of everything. Snapshots are left out for them too: long, rarely needed, and to be had one by one. */
const FULL_SHAPE: PartShape = { carries: entry => !entry.isSnapshot }

/** The stretch from `from` towards `limit`, as much as fits; without entries where `from` is `limit`. */
export async function readPart(
  store: LogStore,
  space: SpaceId,
  from: number,
  limit: number,
  head: SignedHead,
  shape: PartShape = FULL_SHAPE,
): Promise<SyncPart> {
  const to = Math.min(limit, from + MAX_BATCH_ENTRIES)
  const maxBytes = budgetOf(head)
  // Bodies that do not travel would only be read to count against what fits.
  const inlineLength = shape === FULL_SHAPE ? INLINE_BODY_LENGTH : -1
  const range = { from, to, inlineLength, maxBytes }
  return makePart(store, space, from, to > from ? await store.readEntries(space, range) : [], head, shape)
}

/**
 * The first part of `entries`, which stand in the log from `from` on, as much of them as fits. Bodies that they lack and
 * the shape asks for are read from the store.
 */
export async function makePart(
  store: LogStore,
  space: SpaceId,
  from: number,
  entries: readonly StoredEntry[],
  head: SignedHead,
  shape: PartShape = FULL_SHAPE,
): Promise<SyncPart> {
  const { fitting, tracer } = await fittingPart(from, entries, budgetOf(head), shape)
  const end = from + fitting.length
  const { size } = head.checkpoint
  const seenSizes = seenBefore(from, fitting)
  const proofs = await withNodes(store, space, nodeAt => ({
    seen: seenSizes.map(seenSize => ({ size: seenSize, proof: proveConsistency(seenSize, from, nodeAt) })),
    consistency: end > 0 ? proveConsistency(end, size, nodeAt) : [],
  }))
  const batch: Batch = {
    from,
    entries: coveredEntries(await withBodies(store, space, from, fitting, shape)),
    seenProofs: proofs.seen,
    note: head.note,
    consistency: proofs.consistency,
    tracer,
  }
  return { batch, end, entries: fitting }
}

/** As many of the entries as fit together with their tracer. A tracer of one entry is a few paths, and always fits. */
async function fittingPart(
  from: number,
  entries: readonly StoredEntry[],
  budget: number,
  shape: PartShape,
): Promise<{ readonly fitting: readonly StoredEntry[]; readonly tracer: Uint8Array | undefined }> {
  let fitting = coveredPrefix(fittingEntries(from, entries, budget, shape))
  if (shape.tracerOf === undefined || from === 0 || fitting.length === 0) return { fitting, tracer: undefined }
  for (;;) {
    const tracer = await shape.tracerOf(from, fitting)
    const isRoom = fittingEntries(from, fitting, budget - tracer.length, shape).length === fitting.length
    if ((isRoom && tracer.length <= MAX_TRACER_LENGTH) || fitting.length === 1) return { fitting, tracer }
    fitting = coveredPrefix(fitting.slice(0, Math.ceil(fitting.length / 2)))
  }
}

/**
 * An entry that was lost and given back may lack a signature that a later one of its chain makes up for
 * (restored-tail.ts): a part does not end between the two, if it can end before.
 */
function coveredPrefix(entries: readonly StoredEntry[]): readonly StoredEntry[] {
  const uncovered = new Set<ActorId>()
  let end = 0
  for (const [i, { actor, signature }] of entries.entries()) {
    if (isZero(signature)) uncovered.add(actor)
    else uncovered.delete(actor)
    if (uncovered.size === 0) end = i + 1
  }
  return end === 0 || end === entries.length ? entries : entries.slice(0, end)
}

function budgetOf(head: SignedHead): number {
  return MAX_FRAME_LENGTH - FRAME_OVERHEAD - head.note.length
}

function fittingEntries(
  from: number,
  entries: readonly StoredEntry[],
  budget: number,
  { carries }: PartShape,
): readonly StoredEntry[] {
  const proofLength = (Math.ceil(Math.log2(from + 1)) + 2) * HASH_IN_PROOF
  const seen = new Set<number>([0])
  let length = 0
  let large = 0
  for (const [count, entry] of entries.entries()) {
    const bodyLength = carries(entry) ? entry.bodyLength : 0
    const isLarge = bodyLength > INLINE_BODY_LENGTH
    length += entry.header.length + SIGNATURE_LENGTH + (isLarge ? 0 : bodyLength) + ENTRY_OVERHEAD
    if (entry.seenSize < from && !seen.has(entry.seenSize)) length += proofLength
    seen.add(entry.seenSize)
    if (isLarge) large += bodyLength
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
    batch.push({ header: entry.header, signature: isDue ? entry.signature : undefined, body: entry.body })
  }
  return batch.reverse()
}

async function withBodies(
  store: LogStore,
  space: SpaceId,
  from: number,
  entries: readonly StoredEntry[],
  { carries }: PartShape,
): Promise<readonly StoredEntry[]> {
  return Promise.all(
    entries.map(async (entry, offset) => {
      if (!carries(entry) || entry.bodyLength > INLINE_BODY_LENGTH) return { ...entry, body: undefined }
      if (entry.body !== undefined) return entry
      return { ...entry, body: await store.readBody(space, from + offset, 0, INLINE_BODY_LENGTH) }
    }),
  )
}
