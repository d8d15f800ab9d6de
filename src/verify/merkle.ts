import { equalBytes } from '../bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { SealogError } from '../errors.ts'

const LEAF_PREFIX = Uint8Array.of(0)
const NODE_PREFIX = Uint8Array.of(1)
const HASH_LENGTH = 32
/** One hash per bit of the size, and in a consistency proof one to start from. */
const MAX_PROOF = 54

/** Root of the tree without leaves: SHA-256 of nothing (RFC 6962 §2.1). 32 bytes */
export const EMPTY_ROOT: Uint8Array = sha256()

/** SHA-256(0x00 ‖ data), RFC 6962 §2.1. @returns 32 bytes */
export function leafHash(data: Uint8Array): Uint8Array {
  return sha256(LEAF_PREFIX, data)
}

/** SHA-256(0x01 ‖ left ‖ right), RFC 6962 §2.1; both sides have 32 bytes. @returns 32 bytes */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(NODE_PREFIX, left, right)
}

/** The claim that leaf number `index` of the tree with `size` leaves and this `root` is `leafHash`. */
export interface InclusionClaim {
  readonly index: number
  readonly size: number
  /** 32 bytes */
  readonly leafHash: Uint8Array
  /** Hashes of 32 bytes each, from the leaf upwards. */
  readonly proof: readonly Uint8Array[]
  /** 32 bytes */
  readonly root: Uint8Array
}

/**
 * RFC 9162 §2.1.3.2. Sizes reach 2⁵³−1, so the path is followed with divisions: bit operators are 32 bits wide.
 * @throws SealogError ERR_PROOF
 */
export function verifyInclusion({ index, size, leafHash, proof, root }: InclusionClaim): void {
  if (!isCount(index) || !isCount(size) || index >= size) throw refused('inclusion: the index is not in the tree')
  assertHashes('inclusion', [leafHash, root], proof)
  let node = index
  let last = size - 1
  let hash = leafHash
  for (const sibling of proof) {
    if (last === 0) throw refused('inclusion: the proof is too long')
    if (isOdd(node) || node === last) {
      hash = nodeHash(sibling, hash)
      // The last node of a level that has no sibling is its own parent.
      while (!isOdd(node) && node !== 0) {
        node /= 2
        last = half(last)
      }
    } else {
      hash = nodeHash(hash, sibling)
    }
    node = half(node)
    last = half(last)
  }
  if (last !== 0) throw refused('inclusion: the proof is too short')
  if (!equalBytes(hash, root)) throw refused('inclusion: the proof leads to another root')
}

/** The claim that the tree of `size1` leaves with `root1` is how the tree of `size2` leaves with `root2` begins. */
export interface ConsistencyClaim {
  readonly size1: number
  /** 32 bytes */
  readonly root1: Uint8Array
  readonly size2: number
  /** 32 bytes */
  readonly root2: Uint8Array
  /** Hashes of 32 bytes each. */
  readonly proof: readonly Uint8Array[]
}

/**
 * RFC 9162 §2.1.4.2, with 1 ≤ size1 ≤ size2. Every tree extends the empty one, so a claim about size 0 says nothing
 * and is refused: a caller that holds nothing yet has nothing to compare.
 * @throws SealogError ERR_PROOF
 */
export function verifyConsistency({ size1, root1, size2, root2, proof }: ConsistencyClaim): void {
  if (!isCount(size1) || !isCount(size2) || size1 === 0 || size1 > size2) {
    throw refused('consistency: the sizes are not 1 ≤ size1 ≤ size2')
  }
  // Nothing is hashed here, so roots of another length than 32 bytes are merely equal or not.
  if (size1 === size2) {
    if (proof.length !== 0) throw refused('consistency: a proof between equal sizes')
    if (!equalBytes(root1, root2)) throw refused('consistency: two roots for one size')
    return
  }

  assertHashes('consistency', [root1, root2], proof)
  // Where size1 is a power of two, its root is itself a node of the larger tree, and the proof leaves it out.
  const [hash1, hash2] = climb(size1, size2, isPowerOfTwo(size1) ? [root1, ...proof] : proof)
  if (!equalBytes(hash1, root1)) throw refused('consistency: the proof leads to another first root')
  if (!equalBytes(hash2, root2)) throw refused('consistency: the proof leads to another second root')
}

/**
 * Both roots that a consistency proof rebuilds (32 bytes each), whatever anybody claims them to be. Who knows the second
 * root to be true knows then that the first is: no other nodes lead there. Undefined where size1 is a power of two, as
 * such a proof leaves out the first root.
 * @throws SealogError ERR_PROOF unless 1 ≤ size1 < size2 and the proof has the form for them
 */
export function rootsOfConsistency(
  size1: number,
  size2: number,
  proof: readonly Uint8Array[],
): readonly [root1: Uint8Array, root2: Uint8Array] | undefined {
  if (!isCount(size1) || !isCount(size2) || size1 === 0 || size1 >= size2) {
    throw refused('consistency: the sizes are not 1 ≤ size1 < size2')
  }
  assertHashes('consistency', [], proof)
  return isPowerOfTwo(size1) ? undefined : climb(size1, size2, proof)
}

/** RFC 9162 §2.1.4.2, steps 3 to 6, from the first node of `path` to both roots. */
function climb(size1: number, size2: number, path: readonly Uint8Array[]): readonly [Uint8Array, Uint8Array] {
  let node = size1 - 1
  let last = size2 - 1
  while (isOdd(node)) {
    node = half(node)
    last = half(last)
  }
  const [start, ...siblings] = path
  if (start === undefined) throw refused('consistency: the proof is empty')
  let hash1 = start
  let hash2 = start
  for (const sibling of siblings) {
    if (last === 0) throw refused('consistency: the proof is too long')
    if (isOdd(node) || node === last) {
      hash1 = nodeHash(sibling, hash1)
      hash2 = nodeHash(sibling, hash2)
      while (!isOdd(node) && node !== 0) {
        node /= 2
        last = half(last)
      }
    } else {
      hash2 = nodeHash(hash2, sibling)
    }
    node = half(node)
    last = half(last)
  }
  if (last !== 0) throw refused('consistency: the proof is too short')
  return [hash1, hash2]
}

function isPowerOfTwo(value: number): boolean {
  let rest = value
  while (!isOdd(rest)) rest = half(rest)
  return rest === 1
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function isOdd(value: number): boolean {
  return value % 2 === 1
}

function half(value: number): number {
  return Math.floor(value / 2)
}

function assertHashes(what: string, ends: readonly Uint8Array[], proof: readonly Uint8Array[]): void {
  // Refused before anything is hashed: no proof between sizes below 2⁵³ is longer.
  if (proof.length > MAX_PROOF) throw refused(`${what}: the proof is too long`)
  if (![...ends, ...proof].every(hash => hash.length === HASH_LENGTH)) throw refused(`${what}: a hash has not 32 bytes`)
}

function refused(message: string): SealogError {
  return new SealogError('ERR_PROOF', message)
}
