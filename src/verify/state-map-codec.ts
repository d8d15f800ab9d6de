import { concat, isZero } from '../bytes.ts'
import { asArray, asBytes, asTuple, type Cbor, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import type { StateMap } from './state-map.ts'
import {
  bareNode,
  bitAt,
  EMPTY,
  type HashValue,
  innerNode,
  leafNode,
  MAX_DEPTH,
  type StateNode,
  stubNode,
} from './state-node.ts'

/*
 * A pruned tree is a flat list of its nodes in pre-order, left before right:
 *
 *   pruned = [* node]
 *   node   = 0                              ; empty
 *          / 1                              ; inner; its left and right subtrees follow
 *          / bstr .size 32                  ; stub: the hash
 *          / bstr .size 64                  ; bare leaf: key ‖ value hash
 *          / [key: bstr .size 32, value: bstr]
 */
const EMPTY_ITEM = 0
const INNER_ITEM = 1

/** How to read a pruned tree, and how much of it to accept. */
export interface PrunedCodec<T> {
  readonly hashValue: HashValue<T>
  /** Reads what `encodeValue` wrote; whatever it throws is passed on. */
  readonly decodeValue: (bytes: Uint8Array, key: Uint8Array) => T
  /** Largest encoding in bytes; by default 1 MiB. */
  readonly maxLength?: number
  /** Most nodes; by default 65,536. */
  readonly maxNodes?: number
}

/**
 * Deterministic CBOR of a partial (or full) map.
 * @param encodeValue the value, or as much of it as the reader needs to hash it
 */
export function encodePruned<T>(map: StateMap<T>, encodeValue: (value: T, key: Uint8Array) => Uint8Array): Uint8Array {
  const items: Cbor[] = []
  const write = (node: StateNode<T>): void => {
    switch (node.kind) {
      case 'empty':
        items.push(EMPTY_ITEM)
        return
      case 'stub':
        items.push(node.hash)
        return
      case 'bare':
        items.push(concat(node.key, node.valueHash))
        return
      case 'leaf':
        items.push([node.key, encodeValue(node.value, node.key)])
        return
      case 'inner':
        items.push(INNER_ITEM)
        write(node.left)
        write(node.right)
    }
  }
  write(map.root)
  return encodeCbor(items)
}

/**
 * Reads a pruned tree. It proves nothing until its `mapRoot` was compared with a root that is trusted.
 *
 * The tree must have the one form that its entries allow: every leaf where its key belongs, and no inner node with
 * fewer than two leaves below as far as one can see. So a key that is present cannot be made to look absent by a leaf
 * that stands in its way.
 * @throws SealogError ERR_LIMIT, ERR_MALFORMED for an encoding, ERR_PROOF for a tree that no map has
 */
export function decodePruned<T>(bytes: Uint8Array, codec: PrunedCodec<T>): StateMap<T> {
  const { hashValue, decodeValue, maxLength = 1 << 20, maxNodes = 1 << 16 } = codec
  // A node is one item, or two in a third. What has many more is not even read: there is memory to lose.
  const maxItems = Math.max(3 * maxNodes + 1, 1 << 16)
  const items = asArray(decodeCbor(bytes, maxLength, maxItems), maxNodes, 'pruned')
  /** The way from the root to the node being read, a bit for each level. */
  const path = new Uint8Array(MAX_DEPTH)
  let position = 0

  const checkPlace = (key: Uint8Array, depth: number): void => {
    for (let at = 0; at < depth; at++) {
      if (bitAt(key, at) !== path[at]) throw impossible('misplaced', 'a leaf where its key does not belong')
    }
  }

  const readInner = (depth: number): StateNode<T> => {
    if (depth === MAX_DEPTH) throw impossible('depth', 'a path longer than a key')
    path[depth] = 0
    const left = read(depth + 1)
    path[depth] = 1
    const right = read(depth + 1)
    if (isLone(left, right) || isLone(right, left))
      throw impossible('shape', 'an inner node with fewer than two leaves')
    return innerNode(left, right)
  }

  const read = (depth: number): StateNode<T> => {
    const item = items[position++]
    if (item === EMPTY_ITEM) return EMPTY
    if (item === INNER_ITEM) return readInner(depth)
    if (item instanceof Uint8Array) {
      if (item.length === 32) return readStub(item)
      const [key, valueHash] = halves(asBytes(item, 64, 'pruned node'))
      checkPlace(key, depth)
      return bareNode(key, valueHash)
    }
    const [keyItem, value] = asTuple(item, 2, 'pruned node')
    const key = asBytes(keyItem, 32, 'pruned key')
    if (!(value instanceof Uint8Array)) throw new SealogError('ERR_MALFORMED', 'pruned value: expected bytes')
    checkPlace(key, depth)
    return leafNode(key, decodeValue(value, key))
  }

  const root = read(0)
  if (position !== items.length) throw new SealogError('ERR_MALFORMED', 'pruned: nodes after the last')
  return { hashValue, root }
}

/** Nothing on one side and at most one leaf on the other: would have to be that leaf, or empty. */
function isLone<T>(side: StateNode<T>, other: StateNode<T>): boolean {
  return side.kind === 'empty' && (other.kind === 'empty' || other.kind === 'leaf' || other.kind === 'bare')
}

function readStub<T>(hash: Uint8Array): StateNode<T> {
  if (isZero(hash)) throw new SealogError('ERR_MALFORMED', 'pruned stub: the hash of nothing is written as empty')
  return stubNode(hash)
}

function halves(bytes: Uint8Array): readonly [key: Uint8Array, valueHash: Uint8Array] {
  return [bytes.slice(0, 32), bytes.slice(32)]
}

function impossible(reason: string, message: string): SealogError {
  return new SealogError('ERR_PROOF', `pruned tree: ${message}`, { details: { reason } })
}
