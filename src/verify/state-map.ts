import {
  assertKey,
  bitAt,
  EMPTY,
  type HashValue,
  hashOf,
  innerNode,
  leafNode,
  type StateNode,
  sameKey,
  stubNode,
  unknownPart,
} from './state-node.ts'

/**
 * An immutable map from keys of 32 bytes to values, committed to by one hash (DESIGN §5.2): a compressed sparse Merkle
 * tree with leaf = SHA-256(0x00 ‖ key ‖ hashValue(value)), inner = SHA-256(0x01 ‖ left ‖ right), nothing = 32 zero
 * bytes; a subtree with one leaf is that leaf. The root depends on the entries, not on how they came about.
 *
 * An update copies the path and shares the rest. The map may be *partial*: where it has only the hash of a subtree
 * (a stub), whatever would need the inside throws ERR_PROOF with reason `stub`.
 *
 * Keys and values are kept by reference and must not change afterwards.
 */
export interface StateMap<T> {
  readonly hashValue: HashValue<T>
  readonly root: StateNode<T>
}

/** @param hashValue must commit to all of a value, with 32 bytes */
export function emptyMap<T>(hashValue: HashValue<T>): StateMap<T> {
  return { hashValue, root: EMPTY }
}

/** A map of which nothing is known but its root (32 bytes). */
export function stubMap<T>(root: Uint8Array, hashValue: HashValue<T>): StateMap<T> {
  if (root.length !== 32) throw new TypeError('root: expected 32 bytes')
  return { hashValue, root: stubNode(root) }
}

/** @returns 32 bytes; of the empty map, zero bytes */
export function mapRoot<T>(map: StateMap<T>): Uint8Array {
  return hashOf(map.root, map.hashValue)
}

/**
 * The value at a key of 32 bytes, or undefined where the map has none.
 * @throws SealogError ERR_PROOF where this part of the map is not known
 */
export function getAt<T>(map: StateMap<T>, key: Uint8Array): T | undefined {
  assertKey(key)
  let node = map.root
  for (let depth = 0; node.kind === 'inner'; depth++) node = bitAt(key, depth) === 0 ? node.left : node.right
  if (node.kind === 'empty') return undefined
  if (node.kind === 'stub') throw unknownPart('this part of the state map is not known')
  if (!sameKey(node, key)) return undefined
  if (node.kind === 'bare') throw unknownPart('this value of the state map is not known')
  return node.value
}

/**
 * The map with this value at this key (32 bytes).
 * @throws SealogError ERR_PROOF where this part of the map is not known
 */
export function setAt<T>(map: StateMap<T>, key: Uint8Array, value: T): StateMap<T> {
  assertKey(key)
  return withRoot(map, setNode(map.root, key, value, 0))
}

/**
 * The map without this key (32 bytes); the same map where it has none.
 * @throws SealogError ERR_PROOF where this part of the map is not known, or where what is next to the key is a stub:
 * whether that is a leaf decides what takes the place of their parent, so `prune` must have named the key removable
 */
export function deleteAt<T>(map: StateMap<T>, key: Uint8Array): StateMap<T> {
  assertKey(key)
  return withRoot(map, deleteNode(map.root, key, 0))
}

/** Number of entries. @throws SealogError ERR_PROOF on a partial map */
export function mapSize<T>(map: StateMap<T>): number {
  if (Number.isNaN(map.root.count)) throw unknownPart('parts of the state map are not known')
  return map.root.count
}

/** All entries, by ascending key. @throws SealogError ERR_PROOF at the first one that is not known */
export function* entriesOf<T>(map: StateMap<T>): Generator<readonly [key: Uint8Array, value: T], void, undefined> {
  const ahead: StateNode<T>[] = [map.root]
  for (let node = ahead.pop(); node !== undefined; node = ahead.pop()) {
    if (node.kind === 'inner') ahead.push(node.right, node.left)
    else if (node.kind === 'leaf') yield [node.key, node.value]
    else if (node.kind !== 'empty') throw unknownPart('parts of the state map are not known')
  }
}

function withRoot<T>(map: StateMap<T>, root: StateNode<T>): StateMap<T> {
  return root === map.root ? map : { hashValue: map.hashValue, root }
}

function setNode<T>(node: StateNode<T>, key: Uint8Array, value: T, depth: number): StateNode<T> {
  switch (node.kind) {
    case 'empty':
      return leafNode(key, value)
    case 'stub':
      throw unknownPart('this part of the state map is not known')
    case 'inner': {
      const child = bitAt(key, depth) === 0 ? node.left : node.right
      const updated = setNode(child, key, value, depth + 1)
      if (updated === child) return node
      return child === node.left ? innerNode(updated, node.right) : innerNode(node.left, updated)
    }
    case 'leaf':
    case 'bare': {
      if (!sameKey(node, key)) return fork(node, leafNode(key, value), depth)
      return node.kind === 'leaf' && node.value === value ? node : leafNode(key, value)
    }
  }
}

/** The subtree of two leaves with different keys: inner nodes down to the first bit in which these differ. */
function fork<T>(
  present: StateNode<T> & { readonly key: Uint8Array },
  added: StateNode<T> & { readonly key: Uint8Array },
  depth: number,
): StateNode<T> {
  let split = depth
  while (bitAt(present.key, split) === bitAt(added.key, split)) split++
  let node = bitAt(added.key, split) === 0 ? innerNode<T>(added, present) : innerNode<T>(present, added)
  while (split > depth) {
    split--
    node = bitAt(added.key, split) === 0 ? innerNode<T>(node, EMPTY) : innerNode<T>(EMPTY, node)
  }
  return node
}

function deleteNode<T>(node: StateNode<T>, key: Uint8Array, depth: number): StateNode<T> {
  switch (node.kind) {
    case 'empty':
      return node
    case 'stub':
      throw unknownPart('this part of the state map is not known')
    case 'inner': {
      const child = bitAt(key, depth) === 0 ? node.left : node.right
      const updated = deleteNode(child, key, depth + 1)
      if (updated === child) return node
      return child === node.left ? join(updated, node.right) : join(node.left, updated)
    }
    case 'leaf':
    case 'bare':
      return sameKey(node, key) ? EMPTY : node
  }
}

/** The canonical parent of two nodes: a single leaf, or nothing, moves up. */
function join<T>(left: StateNode<T>, right: StateNode<T>): StateNode<T> {
  const only = left.kind === 'empty' ? right : right.kind === 'empty' ? left : undefined
  if (only === undefined || only.kind === 'inner') return innerNode(left, right)
  if (only.kind === 'stub') throw unknownPart('the neighbour of a removed key is not known')
  return only
}
