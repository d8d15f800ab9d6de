import {
  type CompactRange,
  type PrefixProof,
  proveConsistency,
  proveInclusion,
  rootAt,
  SealogError,
  type SpaceId,
} from 'sealog/protocol'
import type { LogStore } from './log-store.ts'
import { withNodes } from './tree-reader.ts'

/** Nodes are read for so many proofs at a time. */
const PROOFS_AT_ONCE = 256
/** Sizes from which one answer proves consistency: with proofs of a kilobyte, what its head can hold. */
const MAX_PREFIXES = 32_768

/**
 * That the logs of these sizes are how the one of `size` entries begins; each size once, 0 and `size` itself left out.
 * @param sizes at most `size`
 * @throws SealogError ERR_LIMIT for more than one answer can carry
 */
export async function provePrefixes(
  store: LogStore,
  space: SpaceId,
  sizes: Iterable<number>,
  size: number,
): Promise<readonly PrefixProof[]> {
  const wanted = [...new Set(sizes)].filter(each => each > 0 && each < size).sort((a, b) => a - b)
  if (wanted.length > MAX_PREFIXES) {
    const details = { limit: MAX_PREFIXES }
    throw new SealogError('ERR_LIMIT', `an answer with ${wanted.length} consistency proofs`, { details })
  }
  const proofs: PrefixProof[] = []
  for (let start = 0; start < wanted.length; start += PROOFS_AT_ONCE) {
    const some = wanted.slice(start, start + PROOFS_AT_ONCE)
    const made = await withNodes(store, space, nodeAt => some.map(each => proveConsistency(each, size, nodeAt)))
    for (const [i, each] of some.entries()) proofs.push({ size: each, proof: made[i] ?? [] })
  }
  return proofs
}

/** Inclusion proofs of entries in the log of `size`, in the order of `indices`, all below `size`. */
export function proveEntries(
  store: LogStore,
  space: SpaceId,
  indices: readonly number[],
  size: number,
): Promise<readonly (readonly Uint8Array[])[]> {
  return withNodes(store, space, nodeAt => indices.map(index => proveInclusion(index, size, nodeAt)))
}

/** Root of the first `size` entries, 32 bytes. */
export function readRoot(store: LogStore, space: SpaceId, size: number): Promise<Uint8Array> {
  return withNodes(store, space, nodeAt => rootAt(size, nodeAt))
}

/** The compact range of the first `size` entries: a complete subtree for each set bit, the largest first. */
export function readRange(store: LogStore, space: SpaceId, size: number): Promise<CompactRange> {
  return withNodes(store, space, nodeAt => {
    const hashes: Uint8Array[] = []
    let end = size
    for (let level = 0; end > 0; level++) {
      if (end % 2 === 1) hashes.unshift(nodeAt(level, end - 1))
      end = Math.floor(end / 2)
    }
    return { size, hashes }
  })
}
