import { equalBytes, isZero } from '../bytes.ts'
import { sha256, ZERO_32 } from '../crypto/hash.ts'
import { SealogError } from '../errors.ts'

/** Keys have 32 bytes, so no path is longer. */
export const MAX_DEPTH = 256

/** What a leaf's value is committed by: 32 bytes that cover all of it. */
export type HashValue<T> = (value: T) => Uint8Array

/**
 * A node of the state map (DESIGN §5.2). Immutable but for `hash`, which is filled in when it is first asked for.
 * `count` is the number of leaves below, NaN where a stub hides it.
 *
 * Canonical form, which makes the root a function of the entries alone: a subtree without leaves is `empty`, with one
 * leaf *is* that leaf, with more is `inner`. So no `inner` is next to nothing but has a leaf or nothing below.
 */
export type StateNode<T> = EmptyNode | LeafNode<T> | BareNode | InnerNode<T> | StubNode

interface EmptyNode {
  readonly kind: 'empty'
  readonly count: number
  /** 32 zero bytes */
  readonly hash: Uint8Array
}

export interface LeafNode<T> {
  readonly kind: 'leaf'
  readonly count: number
  hash: Uint8Array | undefined
  readonly key: Uint8Array
  readonly value: T
}

/** A leaf of which only the commitment to its value is at hand: shows that other keys of its subtree are absent. */
interface BareNode {
  readonly kind: 'bare'
  readonly count: number
  readonly hash: Uint8Array
  readonly key: Uint8Array
  readonly valueHash: Uint8Array
}

interface InnerNode<T> {
  readonly kind: 'inner'
  readonly count: number
  hash: Uint8Array | undefined
  readonly left: StateNode<T>
  readonly right: StateNode<T>
}

/** A leaf or an inner node, unknown which, of which only the hash is at hand. */
interface StubNode {
  readonly kind: 'stub'
  readonly count: number
  readonly hash: Uint8Array
}

const LEAF_PREFIX = Uint8Array.of(0)
const INNER_PREFIX = Uint8Array.of(1)

export const EMPTY: EmptyNode = { kind: 'empty', count: 0, hash: ZERO_32 }

export function leafNode<T>(key: Uint8Array, value: T): LeafNode<T> {
  return { kind: 'leaf', count: 1, hash: undefined, key, value }
}

export function bareNode(key: Uint8Array, valueHash: Uint8Array): BareNode {
  return { kind: 'bare', count: 1, hash: sha256(LEAF_PREFIX, key, valueHash), key, valueHash }
}

export function innerNode<T>(left: StateNode<T>, right: StateNode<T>): InnerNode<T> {
  return { kind: 'inner', count: left.count + right.count, hash: undefined, left, right }
}

/** The hash of nothing is written as nothing. */
export function stubNode(hash: Uint8Array): StubNode | EmptyNode {
  return isZero(hash) ? EMPTY : { kind: 'stub', count: Number.NaN, hash }
}

/** Hash of a node, 32 bytes; computed once for each node. */
export function hashOf<T>(node: StateNode<T>, hashValue: HashValue<T>): Uint8Array {
  switch (node.kind) {
    case 'leaf':
      node.hash ??= sha256(LEAF_PREFIX, node.key, valueHashOf(node, hashValue))
      return node.hash
    case 'inner':
      node.hash ??= sha256(INNER_PREFIX, hashOf(node.left, hashValue), hashOf(node.right, hashValue))
      return node.hash
    default:
      return node.hash
  }
}

/** What a leaf commits its value by. @throws TypeError where `hashValue` gives another length than 32 bytes */
export function valueHashOf<T>(node: LeafNode<T> | BareNode, hashValue: HashValue<T>): Uint8Array {
  if (node.kind === 'bare') return node.valueHash
  const valueHash = hashValue(node.value)
  if (valueHash.length !== 32) throw new TypeError('hashValue: expected a hash of 32 bytes')
  return valueHash
}

/** Bit number `depth` of a key, from the most significant bit of the first byte: 0 goes left, 1 right. */
export function bitAt(key: Uint8Array, depth: number): number {
  return ((key[depth >> 3] as number) >> (7 - (depth & 7))) & 1
}

export function sameKey(node: LeafNode<unknown> | BareNode, key: Uint8Array): boolean {
  return equalBytes(node.key, key)
}

/** @throws TypeError */
export function assertKey(key: Uint8Array): void {
  if (key.length !== 32) throw new TypeError('key: expected 32 bytes')
}

/** Raised where an answer would need a part of the map that this tree does not have. */
export function unknownPart(message: string): SealogError {
  return new SealogError('ERR_PROOF', message, { details: { reason: 'stub' } })
}
