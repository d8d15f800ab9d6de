import { compareBytes, equalBytes } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { mapRoot, type StateMap } from './state-map.ts'
import {
  assertKey,
  bareNode,
  bitAt,
  type HashValue,
  hashOf,
  innerNode,
  type LeafNode,
  leafNode,
  type StateNode,
  sameKey,
  stubNode,
  unknownPart,
  valueHashOf,
} from './state-node.ts'

/** One key of a proof; sorted by key, the keys of a subtree stand together. */
interface Wanted {
  readonly key: Uint8Array
  readonly removable: boolean
}

/** A subtree cut down to what is wanted, and whether removals could leave nothing of it. */
interface Pruned<T> {
  readonly node: StateNode<T>
  readonly removable: boolean
}

/**
 * A multiproof: the partial map with the same root in which the given keys (32 bytes each) can be read and set, present
 * or absent, and the removable ones deleted too. Absence shows as the empty place, or as the bare leaf that stands on
 * the key's path. Everything else is stubs.
 * @param removable may repeat keys; costs up to 64 bytes more for each, as what is next to it is opened one level
 * @throws SealogError ERR_PROOF where the map itself lacks a part that the proof needs
 */
export function prune<T>(
  map: StateMap<T>,
  keys: Iterable<Uint8Array>,
  removable: Iterable<Uint8Array> = [],
): StateMap<T> {
  const wanted: Wanted[] = []
  for (const key of keys) wanted.push({ key, removable: false })
  for (const key of removable) wanted.push({ key, removable: true })
  for (const { key } of wanted) assertKey(key)
  wanted.sort((a, b) => compareBytes(a.key, b.key))
  return { hashValue: map.hashValue, root: pruneNode(map.root, wanted, 0, map.hashValue).node }
}

/**
 * Fills stubs of a partial map from a pruned tree of the same map.
 * @param mergeValue where both know the value of a key: the fuller of two values with the same hash, for values that
 * are partial themselves; by default the one at hand
 * @throws SealogError ERR_PROOF where the roots differ
 */
export function mergePruned<T>(
  map: StateMap<T>,
  pruned: StateMap<T>,
  mergeValue: (mine: T, theirs: T) => T = mine => mine,
): StateMap<T> {
  // Equal roots are equal trees, node for node, as far as both know them. Everything below rests on this line.
  if (!equalBytes(mapRoot(map), mapRoot(pruned))) {
    throw new SealogError('ERR_PROOF', 'the pruned tree is of another state map', { details: { reason: 'root' } })
  }
  const root = mergeNode(map.root, pruned.root, map.hashValue, mergeValue)
  return root === map.root ? map : { hashValue: map.hashValue, root }
}

function pruneNode<T>(
  node: StateNode<T>,
  wanted: readonly Wanted[],
  depth: number,
  hashValue: HashValue<T>,
): Pruned<T> {
  if (node.kind === 'empty') return { node, removable: true }
  if (wanted.length === 0) return { node: stubNode(hashOf(node, hashValue)), removable: false }
  switch (node.kind) {
    case 'stub':
      throw unknownPart('this part of the state map is not known')
    case 'leaf':
    case 'bare': {
      const matches = wanted.filter(({ key }) => sameKey(node, key))
      const removable = matches.some(match => match.removable)
      if (matches.length === 0) return { node: bareNode(node.key, valueHashOf(node, hashValue)), removable }
      if (node.kind === 'bare') throw unknownPart('this value of the state map is not known')
      return { node, removable }
    }
    case 'inner': {
      const middle = firstOnTheRight(wanted, depth)
      const toTheLeft = wanted.slice(0, middle)
      const toTheRight = wanted.slice(middle)
      const left = pruneNode(node.left, toTheLeft, depth + 1, hashValue)
      const right = pruneNode(node.right, toTheRight, depth + 1, hashValue)
      return {
        node: innerNode(
          mayVanish(right, toTheRight) && toTheLeft.length === 0 ? opened(node.left, hashValue) : left.node,
          mayVanish(left, toTheLeft) && toTheRight.length === 0 ? opened(node.right, hashValue) : right.node,
        ),
        removable: left.removable && right.removable,
      }
    }
  }
}

/** Could removing wanted keys empty this subtree, so that a leaf next to it would have to move up? */
function mayVanish<T>(pruned: Pruned<T>, wanted: readonly Wanted[]): boolean {
  return pruned.removable && wanted.some(({ removable }) => removable)
}

/** Shows, in a way that the hash confirms, whether a subtree is a leaf or an inner node. */
function opened<T>(node: StateNode<T>, hashValue: HashValue<T>): StateNode<T> {
  switch (node.kind) {
    case 'empty':
    case 'bare':
      return node
    case 'leaf':
      return bareNode(node.key, valueHashOf(node, hashValue))
    case 'inner':
      return innerNode<T>(stubNode(hashOf(node.left, hashValue)), stubNode(hashOf(node.right, hashValue)))
    case 'stub':
      throw unknownPart('the neighbour of a removable key is not known')
  }
}

/** Index of the first key, of sorted ones that share `depth` bits, whose next bit is 1. */
function firstOnTheRight(wanted: readonly Wanted[], depth: number): number {
  let low = 0
  let high = wanted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (bitAt((wanted[middle] as Wanted).key, depth) === 0) low = middle + 1
    else high = middle
  }
  return low
}

function mergeNode<T>(
  mine: StateNode<T>,
  theirs: StateNode<T>,
  hashValue: HashValue<T>,
  mergeValue: (mine: T, theirs: T) => T,
): StateNode<T> {
  if (mine === theirs || theirs.kind === 'stub') return mine
  if (mine.kind === 'stub') return theirs
  if (mine.kind === 'inner' && theirs.kind === 'inner') {
    const left = mergeNode(mine.left, theirs.left, hashValue, mergeValue)
    const right = mergeNode(mine.right, theirs.right, hashValue, mergeValue)
    return left === mine.left && right === mine.right ? mine : innerNode(left, right)
  }
  if (mine.kind === 'leaf' && theirs.kind === 'leaf') return mergeLeaf(mine, theirs, hashValue, mergeValue)
  if (mine.kind === 'bare' && theirs.kind === 'leaf') return theirs
  if (theirs.kind === 'bare' && (mine.kind === 'leaf' || mine.kind === 'bare')) return mine
  throw new SealogError('ERR_PROOF', 'the pruned tree has another shape', { details: { reason: 'shape' } })
}

function mergeLeaf<T>(
  mine: LeafNode<T>,
  theirs: LeafNode<T>,
  hashValue: HashValue<T>,
  mergeValue: (mine: T, theirs: T) => T,
): StateNode<T> {
  const value = mergeValue(mine.value, theirs.value)
  if (value === mine.value) return mine
  const merged = leafNode(mine.key, value)
  if (!equalBytes(hashOf(merged, hashValue), hashOf(mine, hashValue))) {
    throw new SealogError('ERR_PROOF', 'the merged value has another hash', { details: { reason: 'value' } })
  }
  return merged
}
