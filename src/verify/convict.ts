import { equalBytes, toHex } from '../bytes.ts'
import { verifySync } from '../crypto/sign.ts'
import {
  type Accused,
  checkpointsEvidence,
  inconsistencyEvidence,
  readOr,
  transitionEvidence,
} from './build-evidence.ts'
import { type Checkpoint, originOf, parseNote, relaySignature } from './checkpoint.ts'
import { appendLeaf, appendLeaves, type CompactRange, rootOf } from './compact-range.ts'
import { decodeHeader, entryHash } from './entry.ts'
import type { PrefixRoot } from './evidence.ts'
import { contradiction, judgeEvidence } from './judge.ts'
import type { Batch, LogView } from './log.ts'
import { rootsOfConsistency } from './merkle.ts'

/** What a replica holds when a batch was refused, or when it heard of a head that does not fit. */
export interface Suspicion {
  /** The view before `batches`: what `advance` was given. */
  readonly view: LogView
  /**
   * Notes by the relay about this space, from wherever: the heads that this replica accepted, the note of an invite,
   * heads that others passed on. Without one about exactly the entries of the view, or an empty view, entries convict
   * nobody, as nothing shows what the relay said came before them. The most important ones first: with those of the
   * batches, 128 are looked at.
   */
  readonly notes: readonly Uint8Array[]
  /** What the relay sent since, in order; the last one was refused. */
  readonly batches: readonly Batch[]
}

/** Each costs a signature. */
const MAX_NOTES = 128
/** What evidence takes along of the notes and prefixes that a batch contradicts: one is enough. */
const ONE = 1

interface KnownNote {
  readonly bytes: Uint8Array
  readonly checkpoint: Checkpoint
}

/**
 * Evidence that the relay contradicted itself, or undefined where what it signed does not show that: then the batch is
 * refused and asked for again, and nobody is frozen (DESIGN §5.5). What is returned was judged by `judgeEvidence` and
 * holds, so that no other path leads to a conviction.
 */
export function convict(suspicion: Suspicion): Uint8Array | undefined {
  for (const evidence of candidates(suspicion)) {
    if (judgeEvidence(evidence).verdict === 'holds') return evidence
  }
  return undefined
}

/**
 * The same where the relay proved that its log goes on from a smaller size, but from another root there than the one
 * that it signed for that size: the proof is bound to the larger note, so it shows what that log had.
 * @param proof consistency proof (RFC 6962 §2.1.2) between the sizes of the two notes, as the relay sent it
 */
export function convictByProof(
  accused: Accused,
  smaller: Uint8Array,
  larger: Uint8Array,
  proof: readonly Uint8Array[],
): Uint8Array | undefined {
  const evidence = readOr(undefined, () => {
    const [a, b] = [parseNote(smaller).checkpoint, parseNote(larger).checkpoint]
    const root = rootInProof(a.size, b, proof)
    return root && inconsistencyEvidence(accused, { smaller, larger, root, proof })
  })
  return evidence !== undefined && judgeEvidence(evidence).verdict === 'holds' ? evidence : undefined
}

/** The small ones first. Nothing here is a verdict, so anything that cannot be read is left out. */
function* candidates({ view, notes, batches }: Suspicion): Generator<Uint8Array> {
  // All parts of a catch-up mostly come with one note.
  const distinct = new Map(
    [...batches.map(batch => batch.note).toReversed(), ...notes].map(bytes => [toHex(bytes), bytes]),
  )
  const known = [...distinct.values()].slice(0, MAX_NOTES).flatMap(bytes => readNote(view, bytes))
  yield* contradictions(view, known)
  const ranges = rangesBefore(view, batches)
  yield* inconsistencies(view, known, batches, ranges)
  const base = known.find(({ checkpoint }) => isAbout(checkpoint, view))
  const areSigned = batches.length > 0 && batches.every(batch => findNote(known, batch.note) !== undefined)
  if (areSigned && (base !== undefined || view.range.size === 0)) {
    const anchors = contradictedBy(view, known, batches).slice(0, ONE)
    // What was accepted before has been held against the log already.
    const prefixes = falseSeen(batches.slice(-1), ranges.slice(-1)).slice(0, ONE)
    yield transitionEvidence(view, base?.bytes, batches, anchors, prefixes)
  }
}

/** Only what the relay signed: else whoever is on the way could have this replica judge pairs of notes for hours. */
function readNote({ relay, space }: LogView, bytes: Uint8Array): readonly KnownNote[] {
  return readOr([], () => {
    const note = parseNote(bytes)
    const signature = relaySignature(note, { name: originOf(relay.name, space), publicKey: relay.key })
    const isSigned = verifySync({ publicKey: relay.key, message: note.text, signature })
    return isSigned ? [{ bytes, checkpoint: note.checkpoint }] : []
  })
}

function findNote(known: readonly KnownNote[], note: Uint8Array): KnownNote | undefined {
  return known.find(({ bytes }) => equalBytes(bytes, note))
}

function isAbout({ size, root }: Checkpoint, { range }: LogView): boolean {
  return size === range.size && equalBytes(root, rootOf(range))
}

// -- Two notes ----------------------------------------------------------------------------------------------------

function* contradictions(accused: Accused, known: readonly KnownNote[]): Generator<Uint8Array> {
  for (const [at, a] of known.entries()) {
    for (const b of known.slice(at + 1)) {
      if (contradiction(a.checkpoint, b.checkpoint) !== undefined) {
        yield checkpointsEvidence(accused, [a.bytes, b.bytes])
      }
    }
  }
}

/** A relay that goes over to another log sends proofs that are sound in that one: they show what it had there. */
function* inconsistencies(
  accused: Accused,
  known: readonly KnownNote[],
  batches: readonly Batch[],
  ranges: readonly CompactRange[],
): Generator<Uint8Array> {
  for (const [at, batch] of batches.entries()) {
    const size = (ranges[at]?.size ?? 0) + batch.entries.length
    const larger = findNote(known, batch.note)
    const smaller = known.find(({ checkpoint }) => checkpoint.size === size)
    if (larger === undefined || smaller === undefined || larger.checkpoint.size <= size) continue
    const root = rootInProof(size, larger.checkpoint, batch.consistency)
    if (root === undefined || equalBytes(root, smaller.checkpoint.root)) continue
    yield inconsistencyEvidence(accused, {
      smaller: smaller.bytes,
      larger: larger.bytes,
      root,
      proof: batch.consistency,
    })
  }
}

/** The root at `size` that a proof shows, if it leads to the larger one at all. */
function rootInProof(
  size: number,
  larger: { readonly size: number; readonly root: Uint8Array },
  proof: readonly Uint8Array[],
): Uint8Array | undefined {
  return readOr(undefined, () => {
    const roots = rootsOfConsistency(size, larger.size, proof)
    return roots !== undefined && equalBytes(roots[1], larger.root) ? roots[0] : undefined
  })
}

// -- Entries ------------------------------------------------------------------------------------------------------

/** The log before each batch. */
function rangesBefore(view: LogView, batches: readonly Batch[]): readonly CompactRange[] {
  const ranges: CompactRange[] = []
  let { range } = view
  for (const { entries } of batches) {
    ranges.push(range)
    range = appendLeaves(
      range,
      entries.map(entry => entryHash(entry.header)),
    )
  }
  return ranges
}

/** Notes that say something else of a size than the entries that lead there. */
function contradictedBy(view: LogView, known: readonly KnownNote[], batches: readonly Batch[]): readonly Uint8Array[] {
  const roots = new Map<number, Uint8Array>()
  const named = new Set(known.map(({ checkpoint }) => checkpoint.size))
  let { range } = view
  for (const { header } of batches.flatMap(batch => batch.entries)) {
    range = appendLeaf(range, entryHash(header))
    if (named.has(range.size)) roots.set(range.size, rootOf(range))
  }
  const others = known.filter(({ checkpoint: { size, root } }) => !equalBytes(roots.get(size) ?? root, root))
  return others.map(({ bytes }) => bytes)
}

/**
 * Roots of the log that an author is said not to have seen, as far as they can be proven from what is at hand: from the
 * compact range before a batch, or by the proof that came for that size if it shows another root.
 */
function falseSeen(batches: readonly Batch[], ranges: readonly CompactRange[]): readonly PrefixRoot[] {
  return batches.flatMap((batch, at) => {
    const range = ranges[at]
    if (range === undefined) return []
    return batch.entries.flatMap(({ header }) => {
      const seen = readSeen(header)
      if (seen === undefined || seen.size === 0 || seen.size >= range.size) return []
      const prefix = prefixOfRange(range, seen.size) ?? prefixInProof(range, seen.size, batch)
      return prefix === undefined || equalBytes(prefix.root, seen.root) ? [] : [prefix]
    })
  })
}

function readSeen(bytes: Uint8Array): { readonly size: number; readonly root: Uint8Array } | undefined {
  return readOr(undefined, () => {
    const { seenSize, seenRoot } = decodeHeader(bytes)
    return { size: seenSize, root: seenRoot }
  })
}

function prefixInProof(range: CompactRange, size: number, { seenProofs }: Batch): PrefixRoot | undefined {
  const proof = seenProofs.find(item => item.size === size)?.proof
  if (proof === undefined) return undefined
  const root = rootInProof(size, { size: range.size, root: rootOf(range) }, proof)
  return root && { size, root, end: range.size, proof }
}

/**
 * Some sizes are cuts between two subtrees of a compact range: their root and its proof are at hand. The tree is nested
 * to the right, so what follows the cut is the one sibling on that side, and the subtrees before the last one are
 * those on the left, upwards.
 */
function prefixOfRange(range: CompactRange, size: number): PrefixRoot | undefined {
  let before = 0
  let rest = range.size
  for (const at of range.hashes.keys()) {
    let width = 1
    while (2 * width <= rest) width *= 2
    before += width
    rest -= width
    if (before > size) return undefined
    if (before < size) continue
    const hashes = range.hashes.slice(0, at + 1)
    const sibling = rootOf({ size: rest, hashes: range.hashes.slice(at + 1) })
    const [last, ...left] = hashes.toReversed()
    const proof = last === undefined || left.length === 0 ? [sibling] : [last, sibling, ...left]
    return { size, root: rootOf({ size, hashes }), end: range.size, proof }
  }
  return undefined
}
