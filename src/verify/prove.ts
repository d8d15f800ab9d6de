import { EMPTY_ROOT, nodeHash } from './merkle.ts'

/**
 * Hash (32 bytes) of the complete subtree of 2^level leaves that is number `index` of its level, so over the leaves
 * `index · 2^level …`. Only ever asked for subtrees that lie wholly within the tree at hand.
 */
export type NodeAt = (level: number, index: number) => Uint8Array

/** One complete subtree and its hash (32 bytes). */
export type TreeNode = readonly [level: number, index: number, hash: Uint8Array]

/**
 * Audit path of leaf `index` in the tree of the first `size` leaves, from the leaf upwards (RFC 6962 §2.1.1).
 * @returns at most ⌈log₂ size⌉ hashes of 32 bytes
 * @throws TypeError unless 0 ≤ index < size ≤ 2⁵³−1
 */
export function proveInclusion(index: number, size: number, nodeAt: NodeAt): Uint8Array[] {
  assertCount(size, 'size')
  assertCount(index, 'index')
  if (index >= size) throw new TypeError('index: not below size')
  return pathUp(0, index, size, nodeAt)
}

/**
 * Proof that the tree of the first `size1` leaves is how the tree of the first `size2` leaves begins (RFC 6962 §2.1.2).
 * @returns at most ⌈log₂ size2⌉ + 1 hashes of 32 bytes; none where the sizes are equal
 * @throws TypeError unless 1 ≤ size1 ≤ size2 ≤ 2⁵³−1
 */
export function proveConsistency(size1: number, size2: number, nodeAt: NodeAt): Uint8Array[] {
  assertCount(size2, 'size2')
  assertCount(size1, 'size1')
  if (size1 === 0 || size1 > size2) throw new TypeError('size1: not between 1 and size2')
  if (size1 === size2) return []
  // The largest complete subtree that ends where the smaller tree ends; both roots are rebuilt from there.
  let level = 0
  let end = size1
  while (end % 2 === 0) {
    level++
    end /= 2
  }
  const path = pathUp(level, end - 1, size2, nodeAt)
  return end === 1 ? path : [nodeAt(level, end - 1), ...path]
}

/**
 * Root of the tree of the first `size` leaves; of none, SHA-256 of nothing (RFC 6962 §2.1).
 * @returns 32 bytes
 * @throws TypeError unless 0 ≤ size ≤ 2⁵³−1
 */
export function rootAt(size: number, nodeAt: NodeAt): Uint8Array {
  assertCount(size, 'size')
  if (size === 0) return EMPTY_ROOT
  let level = 0
  while (2 ** level < size) level++
  return subtreeRoot(level, 0, size, nodeAt) as Uint8Array
}

/**
 * The complete subtrees that appending one leaf to a tree of `size` leaves brings about, from the leaf itself upwards:
 * what a store has to keep so that every later `NodeAt` question has an answer. `nodeAt` is asked for older ones.
 * @param leafHash 32 bytes
 * @throws TypeError unless 0 ≤ size < 2⁵³−1
 */
export function appendNodes(size: number, leafHash: Uint8Array, nodeAt: NodeAt): TreeNode[] {
  assertCount(size, 'size')
  assertCount(size + 1, 'size')
  const nodes: TreeNode[] = [[0, size, leafHash]]
  let index = size
  let hash = leafHash
  for (let level = 0; index % 2 === 1; level++) {
    hash = nodeHash(nodeAt(level, index - 1), hash)
    index = (index - 1) / 2
    nodes.push([level + 1, index, hash])
  }
  return nodes
}

/** Siblings of the node and of its ancestors, upwards, leaving out those that the tree does not have. */
function pathUp(level: number, index: number, size: number, nodeAt: NodeAt): Uint8Array[] {
  const path: Uint8Array[] = []
  let node = index
  for (let at = level; 2 ** at < size; at++) {
    const sibling = subtreeRoot(at, node % 2 === 0 ? node + 1 : node - 1, size, nodeAt)
    if (sibling !== undefined) path.push(sibling)
    node = Math.floor(node / 2)
  }
  return path
}

/** Hash over the leaves that a subtree has in a tree of `size`; where it is cut off, down the right edge. */
function subtreeRoot(level: number, index: number, size: number, nodeAt: NodeAt): Uint8Array | undefined {
  const width = 2 ** level
  const start = index * width
  if (start >= size) return undefined
  // Not `start + width <= size`: the sum may leave the safe integers.
  if (size - start >= width) return nodeAt(level, index)
  const left = subtreeRoot(level - 1, 2 * index, size, nodeAt) as Uint8Array
  const right = subtreeRoot(level - 1, 2 * index + 1, size, nodeAt)
  return right === undefined ? left : nodeHash(left, right)
}

function assertCount(value: number, argument: string): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`${argument}: expected an integer from 0 to 2⁵³−1`)
}
