import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import type { Batch } from '../verify/log.ts'
import type { LogRecord } from '../verify/records.ts'
import type { ProvenWrap } from '../verify/wraps.ts'

/**
 * The messages between a replica and a relay (protocol.md §7). A `ref` is chosen by the replica, grows with each
 * request on a socket, and comes back in the answer; 0 stands in what the relay sends by itself.
 */
export const PROTOCOL_VERSION = 1
/** Largest frame in either direction, in bytes. */
export const MAX_FRAME_LENGTH: number = 1024 * 1024
/** Most entries in one message. */
export const MAX_BATCH_ENTRIES = 4096
/** Documents that a sparse replica may name when it opens a space. */
export const MAX_WANTS = 4096
/** Longest content of a mailbox, in bytes. */
export const MAX_MAILBOX_LENGTH: number = 256 * 1024
/** Longest token that comes with a genesis, in UTF-16 units. */
export const MAX_ADMISSION_LENGTH = 256
/** Longest advice when to try again, in milliseconds: it comes unsigned, and must not silence a replica for good. */
export const MAX_RETRY_AFTER: number = 60 * 60 * 1000

/** First on every socket, from the relay. */
export interface Welcome {
  readonly type: 'welcome'
  readonly version: number
  readonly name: string
  /** Checkpoint key, 32 bytes. */
  readonly key: Uint8Array
  /** 32 random bytes to sign in `open`. */
  readonly challenge: Uint8Array
}

/** A stretch of the log of one space, in order and without gap on each socket. */
export interface Sync {
  readonly type: 'sync'
  readonly ref: number
  readonly space: SpaceId
  readonly batch: Batch
}

/** A request that was not carried out; for a push: entries before `position` were, the rest were not. */
export interface Reject {
  readonly type: 'reject'
  readonly ref: number
  readonly space: SpaceId
  readonly code: string
  readonly message: string
  readonly position: number
  /** Milliseconds after which to try again; 0: no such advice. */
  readonly retryAfter: number
}

/** A part of a body beyond `INLINE_BODY_LENGTH`, in answer to `get-body`. */
export interface BodyPart {
  readonly type: 'body-part'
  readonly ref: number
  readonly space: SpaceId
  readonly offset: number
  readonly bytes: Uint8Array
}

/** A part of a body was taken, in answer to `put-body`. */
export interface Received {
  readonly type: 'received'
  readonly ref: number
  readonly space: SpaceId
}

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

/** What stands in a mailbox, in answer to `get-mailbox`. */
export interface MailboxContent {
  readonly type: 'mailbox'
  readonly ref: number
  /** The mailbox's Ed25519 key, 32 bytes. */
  readonly address: Uint8Array
  readonly counter: number
  readonly bytes: Uint8Array
  /** As it came with the `put-mailbox`, 64 bytes. */
  readonly signature: Uint8Array
}

/**
 * Wraps of one device, in answer to `get-keys`: from every delivery of these epochs that has one for it and that the
 * relay still has, in the order of the log. Fewer than asked for where the frame ends them.
 */
export interface Keys {
  readonly type: 'keys'
  readonly ref: number
  readonly space: SpaceId
  readonly wraps: readonly DeliveredWrap[]
  /** Epochs up to here are in it, whole. */
  readonly to: number
}

export interface DeliveredWrap extends ProvenWrap {
  readonly epoch: number
  /** Place in the log of the entry that delivered it. */
  readonly index: number
}

/** Authenticates for one space and asks for its log from `from` on, then live. */
export interface Open {
  readonly type: 'open'
  readonly ref: number
  readonly space: SpaceId
  readonly from: number
  /** The device's Ed25519 key, 32 bytes. */
  readonly device: Uint8Array
  /** Over `authenticationInput`, 64 bytes. */
  readonly signature: Uint8Array
  /**
   * Undefined: all bodies, and no tracers, as the replica knows the whole state. Otherwise the documents whose bodies
   * are wanted, and tracers for all; each `get-document` adds its own.
   */
  readonly wants: readonly DocumentId[] | undefined
}

/** Asks for a `sync` with the current note after everything that is on its way. */
export interface Pull {
  readonly type: 'pull'
  readonly ref: number
  readonly space: SpaceId
}

/** Appends entries, all in one transaction up to the first that is refused. A genesis creates the space. */
export interface Push {
  readonly type: 'push'
  readonly ref: number
  readonly space: SpaceId
  /** A body beyond `INLINE_BODY_LENGTH` was put before and is undefined here. */
  readonly entries: readonly PushEntry[]
  /** With a genesis: what a relay that does not let everybody create spaces asks for. */
  readonly admission?: string | undefined
}

export interface PushEntry {
  readonly header: Uint8Array
  readonly signature: Uint8Array
  readonly body: Uint8Array | undefined
  /**
   * Of an entry that delivers the secret of an epoch: hash (32 bytes) of all its wraps, one after the other, which were
   * put before. Undefined for any other.
   */
  readonly wraps?: Uint8Array | undefined
}

/** Uploads a part of a large body ahead of the push that needs it. Parts come in order. */
export interface PutBody {
  readonly type: 'put-body'
  readonly ref: number
  readonly space: SpaceId
  readonly hash: Uint8Array
  readonly length: number
  readonly offset: number
  readonly bytes: Uint8Array
}

/** Asks for a part of a large body. */
export interface GetBody {
  readonly type: 'get-body'
  readonly ref: number
  readonly space: SpaceId
  readonly index: number
  readonly offset: number
}

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

/**
 * Asks for the wraps that epochs `from … to` hold for the device that is authenticated; what lies beyond the epoch in
 * force is left out. Answered by `keys`.
 */
export interface GetKeys {
  readonly type: 'get-keys'
  readonly ref: number
  readonly space: SpaceId
  readonly from: number
  readonly to: number
}

/** Asks for headers, signatures and tracers from `from` to at most `to`, as a `sync` with this `ref`: for an audit. */
export interface Read {
  readonly type: 'read'
  readonly ref: number
  readonly space: SpaceId
  readonly from: number
  readonly to: number
}

/** Hands over a note of the relay with a cosignature of the device that is authenticated; answered by `received`. */
export interface Cosign {
  readonly type: 'cosign'
  readonly ref: number
  readonly space: SpaceId
  readonly note: Uint8Array
}

/**
 * Gives back the end of the log to a relay that lost it, which it tells by ERR_RELAY_BEHIND with the size it has as
 * position (DESIGN §5.5). All parts together must lead to the note, which the relay itself signed. Each part is
 * answered by `received`.
 */
export interface Restore {
  readonly type: 'restore'
  readonly ref: number
  readonly space: SpaceId
  readonly note: Uint8Array
  readonly from: number
  readonly entries: readonly PushEntry[]
  readonly more: boolean
}

/**
 * Leaves sealed bytes in a mailbox, in the place of what stood there with a smaller counter. Like every request of no
 * space it is answered by `received` or `reject` with the address in the place of the space.
 */
export interface PutMailbox {
  readonly type: 'put-mailbox'
  readonly ref: number
  /** The mailbox's Ed25519 key, 32 bytes. */
  readonly address: Uint8Array
  readonly counter: number
  /** At most `MAX_MAILBOX_LENGTH` of them. */
  readonly bytes: Uint8Array
  /** By the mailbox's key over `putMailboxInput`, 64 bytes. */
  readonly signature: Uint8Array
}

/** Asks for what stands in a mailbox; whoever asks needs its key, and no space. */
export interface GetMailbox {
  readonly type: 'get-mailbox'
  readonly ref: number
  /** The mailbox's Ed25519 key, 32 bytes. */
  readonly address: Uint8Array
  /** By the mailbox's key over `getMailboxInput`, 64 bytes. */
  readonly signature: Uint8Array
}

/** No more of this space on this socket. */
export interface Leave {
  readonly type: 'leave'
  readonly space: SpaceId
}

/** What a relay says of a space. */
export type SpaceAnswer = Sync | Reject | BodyPart | Received | Records | Keys
/** What a relay answers to a `MailboxRequest`. */
export type MailboxAnswer = MailboxContent | Reject | Received
export type RelayMessage = Welcome | SpaceAnswer | MailboxAnswer
/** What a replica asks of a space. */
export type SpaceRequest =
  | Open
  | Pull
  | Push
  | PutBody
  | GetBody
  | Skip
  | GetDocument
  | GetChain
  | GetKeys
  | Read
  | Cosign
  | Restore
  | Leave
export type MailboxRequest = PutMailbox | GetMailbox
export type ReplicaMessage = SpaceRequest | MailboxRequest
export type Message = RelayMessage | ReplicaMessage
