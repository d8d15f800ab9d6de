import { equalBytes } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import type { Checkpoint } from './checkpoint.ts'
import { appendLeaves, type CompactRange, rootOf } from './compact-range.ts'
import { decodeHeader, entryHash, type Header } from './entry.ts'
import { type Anchor, type Batch, type LogView, withAnchor } from './log.ts'
import { verifyConsistency } from './merkle.ts'

/** A header and the leaf that it is in the log. */
export interface Leaf {
  readonly header: Header
  /** Leaf hash, 32 bytes. */
  readonly hash: Uint8Array
}

/** @throws SealogError ERR_UNEXPECTED unless the batch starts where the replica is; what `decodeHeader` throws */
export function readLeaves(view: LogView, batch: Batch): readonly Leaf[] {
  if (batch.from !== view.range.size) {
    throw new SealogError('ERR_UNEXPECTED', `a batch from ${batch.from}, where ${view.range.size} is next`)
  }
  return batch.entries.map(entry => ({ header: decodeHeader(entry.header), hash: entryHash(entry.header) }))
}

/** A leaf, the size that its author had seen, where that is known, and whether it is a control entry. */
interface Place {
  readonly hash: Uint8Array
  readonly seenSize: number | undefined
  readonly isControl: boolean
}

export function placeOf({ header, hash }: Leaf): Place {
  return { hash, seenSize: header.seenSize, isControl: header.kind === 'control' }
}

interface Extended {
  readonly range: CompactRange
  /** Root at every size of this batch that somebody names. */
  readonly roots: ReadonlyMap<number, Uint8Array>
}

/**
 * The log with these leaves: through every anchor on the way, to the root that the relay signed or to one that the
 * signed one is proven to follow from.
 * @throws SealogError ERR_ROOT_MISMATCH, ERR_PROOF
 */
export function extend(view: LogView, batch: Batch, leaves: readonly Place[], checkpoint: Checkpoint): Extended {
  const size = batch.from + leaves.length
  if (size > checkpoint.size) {
    throw new SealogError('ERR_ROOT_MISMATCH', `entries up to ${size}, but the relay signed ${checkpoint.size}`)
  }
  const { range, roots } = appended(view.range, leaves, sizesNamed(view, batch.from, leaves))
  checkAnchorsMet(view, roots)
  const root = roots.get(size) as Uint8Array
  if (size < checkpoint.size) {
    const { consistency: proof } = batch
    verifyConsistency({ size1: size, root1: root, size2: checkpoint.size, root2: checkpoint.root, proof })
  } else if (!equalBytes(root, checkpoint.root)) {
    throw new SealogError('ERR_ROOT_MISMATCH', `entries do not lead to the root signed for size ${size}`)
  } else if (batch.consistency.length > 0) {
    throw new SealogError('ERR_PROOF', 'a consistency proof where none is due')
  }
  checkNoAnchorContradicts(view, size, checkpoint)
  return { range, roots }
}

/** Sizes of which the root is asked for: by anchors, by what authors had seen, after control entries, at the end. */
function sizesNamed(view: LogView, from: number, leaves: readonly Place[]): ReadonlySet<number> {
  const sizes = new Set(view.anchors.map(anchor => anchor.size))
  for (const [offset, { seenSize, isControl }] of leaves.entries()) {
    if (seenSize !== undefined) sizes.add(seenSize)
    if (isControl) sizes.add(from + offset + 1)
  }
  return sizes.add(from + leaves.length)
}

function appended(start: CompactRange, leaves: readonly Place[], named: ReadonlySet<number>): Extended {
  const hashes = leaves.map(({ hash }) => hash)
  const end = start.size + hashes.length
  const stops = [...named].filter(size => size >= start.size && size <= end).sort((a, b) => a - b)
  const roots = new Map<number, Uint8Array>()
  let range = start
  for (const stop of stops) {
    range = appendLeaves(range, hashes.slice(range.size - start.size, stop - start.size))
    roots.set(stop, rootOf(range))
  }
  return { range, roots }
}

function checkAnchorsMet(view: LogView, roots: ReadonlyMap<number, Uint8Array>): void {
  for (const { size, root } of view.anchors) {
    const actual = roots.get(size)
    if (actual !== undefined && !equalBytes(actual, root)) {
      throw new SealogError('ERR_ROOT_MISMATCH', `entries do not lead to the root known for size ${size}`)
    }
  }
}

/** An anchor at the very size of a checkpoint can be compared before the entries in between are here. */
function checkNoAnchorContradicts(view: LogView, size: number, checkpoint: Checkpoint): void {
  for (const anchor of view.anchors) {
    if (anchor.size > size && anchor.size === checkpoint.size && !equalBytes(anchor.root, checkpoint.root)) {
      throw new SealogError('ERR_ROOT_MISMATCH', `the root signed for size ${anchor.size} is not the one known for it`)
    }
  }
}

/** What later batches must still pass: heads signed before, and this one while its entries are on the way. */
export function anchorsBeyond(
  view: LogView,
  size: number,
  checkpoint: Checkpoint,
  note: Uint8Array,
): readonly Anchor[] {
  const anchors = view.anchors.filter(anchor => anchor.size > size)
  return checkpoint.size > size ? withAnchor(anchors, { size: checkpoint.size, root: checkpoint.root, note }) : anchors
}

/** The log up to and including its latest control entry. */
export function controlRootAfter(
  view: LogView,
  leaves: readonly Leaf[],
  from: number,
  roots: ReadonlyMap<number, Uint8Array>,
): Anchor | undefined {
  const last = leaves.findLastIndex(({ header }) => header.kind === 'control')
  const size = from + last + 1
  return last < 0 ? view.controlRoot : { size, root: roots.get(size) as Uint8Array }
}
