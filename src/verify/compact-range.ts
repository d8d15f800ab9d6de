import { asArray, asBytes, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import { EMPTY_ROOT, nodeHash } from './merkle.ts'

/** A size up to 2⁵³−1 has at most this many bits, and a range one hash per set bit. */
const MAX_HASHES = 53
const MAX_ENCODED = 16 + MAX_HASHES * 34

/**
 * All that is needed of the leaves `0 … size−1` to append more of them and to know the root: the hashes (32 bytes) of
 * the complete subtrees that cover them, left to right, so largest first; one for each set bit of `size`.
 */
export interface CompactRange {
  readonly size: number
  readonly hashes: readonly Uint8Array[]
}

/** The range without leaves. */
export const emptyRange: CompactRange = { size: 0, hashes: [] }

/** @param leafHash 32 bytes */
export function appendLeaf(range: CompactRange, leafHash: Uint8Array): CompactRange {
  return appendLeaves(range, [leafHash])
}

/**
 * Costs one hash per leaf on average and copies the range once, however many leaves there are.
 * @param leafHashes 32 bytes each
 * @throws TypeError on a hash of another length, or beyond 2⁵³−1 leaves
 */
export function appendLeaves(range: CompactRange, leafHashes: Iterable<Uint8Array>): CompactRange {
  const hashes = [...range.hashes]
  let size = range.size
  for (const leafHash of leafHashes) {
    if (leafHash.length !== 32) throw new TypeError('leafHash: expected 32 bytes')
    if (size === Number.MAX_SAFE_INTEGER) throw new TypeError('range: expected fewer than 2⁵³−1 leaves')
    let hash = leafHash
    // Each trailing one bit of the size is a subtree as large as the one just completed: they merge, like a carry.
    for (let index = size; index % 2 === 1; index = (index - 1) / 2) hash = nodeHash(hashes.pop() as Uint8Array, hash)
    hashes.push(hash)
    size++
  }
  return { size, hashes }
}

/** Root of the tree of these leaves (RFC 6962 §2.1). @returns 32 bytes */
export function rootOf(range: CompactRange): Uint8Array {
  return range.hashes.length === 0 ? EMPTY_ROOT : range.hashes.reduceRight((right, left) => nodeHash(left, right))
}

/** `[size: uint, hashes: [* bstr .size 32]]` in deterministic CBOR. */
export function encodeRange(range: CompactRange): Uint8Array {
  return encodeCbor([range.size, range.hashes])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT */
export function decodeRange(bytes: Uint8Array): CompactRange {
  const [size, list] = asTuple(decodeCbor(bytes, MAX_ENCODED), 2, 'range')
  const leaves = asUint(size, 'range.size')
  const hashes = asArray(list, MAX_HASHES, 'range.hashes').map(hash => asBytes(hash, 32, 'range.hashes'))
  if (hashes.length !== countOnes(leaves)) {
    throw new SealogError('ERR_MALFORMED', 'range.hashes: expected one hash for each set bit of the size')
  }
  return { size: leaves, hashes }
}

function countOnes(value: number): number {
  let ones = 0
  for (let rest = value; rest > 0; rest = Math.floor(rest / 2)) ones += rest % 2
  return ones
}
