import type { ActorId, DocumentId, SpaceId, TreeNode } from 'sealog/protocol'

/** One entry as the relay keeps it: what travels, and what answers are composed from without decoding it again. */
export interface StoredEntry {
  /** Encoded header, the Merkle leaf byte for byte. */
  readonly header: Uint8Array
  /** Its leaf hash, 32 bytes. */
  readonly hash: Uint8Array
  /** 64 bytes. */
  readonly signature: Uint8Array
  readonly actor: ActorId
  readonly isControl: boolean
  /** What the author had seen: `seenSize` of the header. */
  readonly seenSize: number
  readonly bodyLength: number
  /** Undefined in an answer of `readEntries` where it is long, and where it is not stored. */
  readonly body: Uint8Array | undefined
}

/** Rows of the state after the stored entries, encoded as `sealog/protocol` does. */
export interface StateRows {
  /** `encodeControlState`; undefined in an append that leaves it as it was. */
  readonly control: Uint8Array | undefined
  readonly documents: readonly { readonly document: DocumentId; readonly value: Uint8Array }[]
  readonly actors: readonly { readonly document: DocumentId; readonly actor: ActorId; readonly value: Uint8Array }[]
}

/** The latest signed checkpoint of a space. */
export interface StoredHead {
  readonly size: number
  /** Unix time in milliseconds, as in the note. */
  readonly time: number
  /** The whole signed note. */
  readonly note: Uint8Array
}

/** All that a relay must know to go on with a space. */
export interface StoredSpace {
  /** Number of stored entries. */
  readonly size: number
  /** `encodeRange` of the compact range over them. */
  readonly frontier: Uint8Array
  readonly state: StateRows
  /** Undefined where the relay stopped before it signed the first entry. */
  readonly head: StoredHead | undefined
}

/** One group commit. */
export interface Append {
  readonly space: SpaceId
  /** Number of entries that are stored already. 0 creates the space. */
  readonly from: number
  /** With their bodies; at least one. */
  readonly entries: readonly StoredEntry[]
  /** The complete subtrees of level 1 and above that these entries bring about. */
  readonly nodes: readonly TreeNode[]
  /** `encodeRange` of the compact range over all entries, these included. */
  readonly frontier: Uint8Array
  /** The rows that these entries change or add. */
  readonly state: StateRows
}

/** A stretch of a log to read. */
export interface EntryRange {
  readonly from: number
  /** Behind the last. */
  readonly to: number
  /** Bodies longer than this are left out. */
  readonly inlineLength: number
  /** Reading stops before the sum of header, signature and body lengths exceeds this; one entry always comes. */
  readonly maxBytes: number
}

/** Whose store this is; written once. */
export interface StoredIdentity {
  readonly name: string
  /** Public checkpoint key, 32 bytes. */
  readonly key: Uint8Array
}

/**
 * Where a relay keeps the logs of its spaces.
 *
 * Contract (checked by `logStoreContract` of `sealog-relay/testing`):
 * - `append` is one transaction: entries, bodies, nodes, frontier and state rows are all stored or none is. When it
 *   resolves, they survive a crash of the process and of the machine. So is, and does, `putHead`;
 * - an `append` whose `from` is not the number of stored entries rejects with ERR_STORE_LOCKED and changes nothing. This
 *   fences off a second process that took over the space: the one that comes late learns it before it signs anything;
 * - a `putHead` that goes back in size or time, or that is ahead of the stored entries, rejects likewise;
 * - calls for one space come one after the other, except reads, which may come at any time and see every `append` that
 *   resolved before them. Calls for different spaces come as they like;
 * - entries and nodes never change once they are stored, so a read of what is below a signed size needs no transaction;
 * - bytes that are handed in are not changed afterwards by anyone, nor are bytes that are handed out;
 * - failures are `SealogError`s: ERR_STORE_FULL, ERR_STORE_LOCKED, ERR_STORE_CORRUPT, ERR_STORE_SCHEMA, ERR_CLOSED before
 *   `open` and after `close`, else ERR_STORE. After an `append` or `putHead` that failed in any other way than
 *   ERR_STORE_LOCKED, whether it took effect is known only after the space is read anew.
 */
export interface LogStore {
  /** Takes hold of the place and prepares the schema. */
  open(): Promise<void>
  readIdentity(): Promise<StoredIdentity | undefined>
  /** @throws SealogError ERR_STORE_LOCKED where there is one already */
  writeIdentity(identity: StoredIdentity): Promise<void>
  /** @returns undefined for a space without entries */
  readSpace(space: SpaceId): Promise<StoredSpace | undefined>
  append(append: Append): Promise<void>
  putHead(space: SpaceId, head: StoredHead): Promise<void>
  /** In order, from `range.from` on; fewer than asked for where `maxBytes` or the log ends them. */
  readEntries(space: SpaceId, range: EntryRange): Promise<readonly StoredEntry[]>
  /**
   * The hashes (32 bytes) of complete subtrees, in the order of `places`; level 0 are the leaf hashes.
   * @throws SealogError ERR_STORE_CORRUPT for one that is not stored
   */
  readNodes(
    space: SpaceId,
    places: readonly (readonly [level: number, index: number])[],
  ): Promise<readonly Uint8Array[]>
  /** At most `length` bytes of a body from `offset` on; undefined where the body is not stored. */
  readBody(space: SpaceId, index: number, offset: number, length: number): Promise<Uint8Array | undefined>
  /** Waits for calls under way; idempotent. */
  close(): Promise<void>
}
