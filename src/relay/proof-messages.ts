import {
  actorId,
  bytesUpTo,
  documentId,
  type Format,
  flag,
  listOf,
  maybe,
  record,
  spaceId,
  uint,
  uintUpTo,
} from '../format.ts'
import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import type { LogRecord } from '../verify/records.ts'
import { MAX_BATCH_ENTRIES, MAX_FRAME_LENGTH } from './message-limits.ts'
import { header, inlineBody, type MessageFormat, proof, signature } from './message-parts.ts'

/** Sizes from which one fast-forward is proven: those of all anchors, and of the replica itself. */
const MAX_PROVEN_SIZES = 512

/**
 * Asks, on an open space, for what a fast-forward of the log as a whole needs (DESIGN §5.4): to the size `at`, whose
 * note the replica has; or, with 0, to the largest checkpoint that enough other members have cosigned.
 */
export interface Skip {
  readonly type: 'skip'
  readonly ref: number
  readonly space: SpaceId
  readonly at: number
  /** The first control entry that the replica does not have: of all entries below, it has the control state. */
  readonly from: number
  /** Distinct members other than the one who asks, for `at` 0. */
  readonly attestations: number
  /** Sizes from which to prove consistency. */
  readonly prove: readonly number[]
}

export const skip: MessageFormat<Skip> = record({
  ref: uint,
  space: spaceId,
  at: uint,
  from: uint,
  attestations: uint,
  prove: listOf(MAX_PROVEN_SIZES, uint),
})

/**
 * Asks, on an open space, for one document as it is when the answer comes: its state, the latest header of each actor,
 * a snapshot, and what it does not cover. From then on its bodies are wanted.
 */
export interface GetDocument {
  readonly type: 'get-document'
  readonly ref: number
  readonly space: SpaceId
  readonly document: DocumentId
  /** 0: with the latest snapshot; 1: with the one before it; 2: with none, all entries from the first. */
  readonly snapshot: number
}

export const getDocument: MessageFormat<GetDocument> = record({
  ref: uint,
  space: spaceId,
  document: documentId,
  snapshot: uintUpTo(2),
})

/** Asks for a stretch of one actor's chain, with bodies. */
export interface GetChain {
  readonly type: 'get-chain'
  readonly ref: number
  readonly space: SpaceId
  readonly document: DocumentId
  readonly actor: ActorId
  /** First and last `seq`. */
  readonly from: number
  readonly to: number
}

export const getChain: MessageFormat<GetChain> = record({
  ref: uint,
  space: spaceId,
  document: documentId,
  actor: actorId,
  from: uint,
  to: uint,
})

/**
 * Single entries of the log with what proves them, in answer to `skip`, `get-document` and `get-chain`: in parts, one
 * right behind the other, up to the one that says that there are no more.
 */
export interface Records {
  readonly type: 'records'
  readonly ref: number
  readonly space: SpaceId
  /** Goes together with those of the other parts: see verify/records.ts. */
  readonly head: Uint8Array
  readonly records: readonly LogRecord[]
  readonly more: boolean
}

const logRecord: Format<LogRecord> = record({
  index: uint,
  header,
  signature: maybe(signature),
  body: inlineBody,
  inclusion: proof,
})

export const records: MessageFormat<Records> = record({
  ref: uint,
  space: spaceId,
  head: bytesUpTo(MAX_FRAME_LENGTH),
  records: listOf(MAX_BATCH_ENTRIES, logRecord),
  more: flag,
})

/** Asks for headers, signatures and tracers from `from` to at most `to`, as a `sync` with this `ref`: for an audit. */
export interface Read {
  readonly type: 'read'
  readonly ref: number
  readonly space: SpaceId
  readonly from: number
  readonly to: number
}

export const read: MessageFormat<Read> = record({ ref: uint, space: spaceId, from: uint, to: uint })
