import { SealogError } from '../../errors.ts'

/** Why the guard refused something: stable, machine-readable, without content. */
export type GuardReason =
  // framing
  | 'truncated' // bytes end in the middle of something, or a length points past the end
  | 'trailing-bytes'
  | 'integer' // LEB128 with a shorter spelling, or outside the range of its field
  | 'magic'
  | 'checksum'
  | 'chunk-type'
  | 'chunk-count'
  | 'inflate' // not a raw deflate stream (RFC 1951)
  // limits
  | 'too-large'
  | 'too-many-changes'
  | 'too-many-ops'
  | 'too-many-predecessors'
  | 'too-many-actors'
  | 'too-many-dependencies'
  | 'too-deep'
  | 'key-length'
  | 'message-length'
  // change metadata
  | 'actor' // a change of another actor than the entry's
  | 'actor-table'
  | 'seq'
  | 'counter' // an op counter of zero, beyond 2³¹−1, or not the one that follows the causal past
  | 'time'
  | 'dependencies'
  | 'previous' // the actor's previous change is not a direct dependency
  | 'extra'
  // columns
  | 'columns' // unknown, repeated, out of order, empty or missing
  | 'encoding' // runs that the one canonical encoding would have written otherwise
  | 'rows' // columns of different lengths
  | 'utf8'
  | 'permutation'
  // operations
  | 'action'
  | 'value'
  | 'key'
  | 'denied-key'
  | 'object'
  | 'element'
  | 'predecessor'
  | 'mark'

/** What an op points to: one operation id. `actor` is in hex. */
export interface OpReference {
  readonly actor: string
  readonly counter: number
}

/** The object that an op belongs to; `undefined` is the root map. */
export type ObjectReference = OpReference | undefined

/** A map key, or the list element that an op updates. */
export type KeyReference = string | OpReference

export type ObjectKind = 'map' | 'list' | 'text'

export interface PastObject {
  readonly kind: ObjectKind
  /** 1 for an object in the root map, and one more than its parent's for any other. */
  readonly depth: number
}

/**
 * What a change may refer to outside its own entry: the operations in the causal past of its dependencies.
 * Answers must depend on the log alone, so that all replicas give the same verdict.
 */
export interface CausalPast {
  /** The largest op counter in this past; 0 where it is empty. */
  readonly maxOp: number
  object(reference: OpReference): PastObject | undefined
  /** Is `reference` an op that inserted an element into `object`? */
  element(object: ObjectReference, reference: OpReference): boolean
  /** Is `reference` an op on exactly this key of this object that left something to replace (not a deletion)? */
  predecessor(object: ObjectReference, key: KeyReference, reference: OpReference): boolean
}

export interface GuardLimits {
  /** Bytes handed in. */
  readonly maxBytes: number
  /** Bytes after inflation, over all columns. */
  readonly maxInflated: number
  readonly maxChanges: number
  /** Operations over all changes. */
  readonly maxOps: number
  /** Predecessors over all operations. */
  readonly maxPredecessors: number
  /** Actors that one chunk mentions. */
  readonly maxActors: number
  /** Dependencies that one change, or one bundle from outside itself, has. */
  readonly maxDependencies: number
  /** UTF-8 bytes of a map key or mark name. */
  readonly maxKeyBytes: number
  readonly maxMessageBytes: number
  /** Objects in objects: Automerge takes seconds at a thousand, and a stack overflow at two. */
  readonly maxDepth: number
}

/**
 * Limits of one `changes` entry. A paste of 1 MB of text, one op per character, is inside; a body of 64 MiB holds the
 * largest payload, padded.
 */
export const DEFAULT_LIMITS: GuardLimits = {
  maxBytes: 60 * 1024 * 1024,
  maxInflated: 60 * 1024 * 1024,
  maxChanges: 65_536,
  maxOps: 1_100_000,
  maxPredecessors: 2_200_000,
  maxActors: 4_096,
  maxDependencies: 4_096,
  maxKeyBytes: 4_096,
  maxMessageBytes: 65_536,
  maxDepth: 128,
}

/** Limits of a whole document: a snapshot, an import, a local file. */
export const DOCUMENT_LIMITS: GuardLimits = {
  ...DEFAULT_LIMITS,
  maxBytes: 256 * 1024 * 1024,
  maxInflated: 1024 * 1024 * 1024,
  maxChanges: 16_777_216,
  maxOps: 33_554_432,
  maxPredecessors: 67_108_864,
  maxActors: 65_536,
  maxDependencies: 65_536,
}

/** Automerge keeps counters in 32 bits and panics beyond; one bit is left as headroom for what replicas add themselves. */
export const MAX_COUNTER: number = 2 ** 31 - 1

/**
 * The map keys and mark names that no document may contain. `__proto__` would set the prototype of the object that
 * an application sees (measured on Automerge 3.5.0: `doc.isAdmin === true`); every other name becomes an own property.
 */
const DENIED_KEYS: ReadonlySet<string> = new Set(['__proto__'])

export function isDeniedKey(key: string): boolean {
  return DENIED_KEYS.has(key)
}

/** @throws SealogError ERR_GUARD, always */
export function refuse(reason: GuardReason, what: string): never {
  throw new SealogError('ERR_GUARD', `${reason}: ${what}`, { details: { reason } })
}
