import type { ActorId, ControlRow, DocumentId, SpaceId, TreeNode } from 'sealog/protocol'

/** One entry as the relay keeps it: what travels, and what answers are composed from without decoding it again. */
export interface StoredEntry {
  /** Encoded header, the Merkle leaf byte for byte. */
  readonly header: Uint8Array
  /** Its leaf hash, 32 bytes. */
  readonly hash: Uint8Array
  /** 64 bytes. */
  readonly signature: Uint8Array
  readonly document: DocumentId
  readonly actor: ActorId
  /** In the actor's chain: `seq` of the header. */
  readonly seq: number
  readonly isControl: boolean
  readonly isSnapshot: boolean
  /** What the author had seen: `seenSize` of the header. */
  readonly seenSize: number
  readonly bodyLength: number
  /** Undefined in an answer of `readEntries` where it is long, and where it is not stored. */
  readonly body: Uint8Array | undefined
  /** The records of the state that this entry replaced, see replaced.ts: with them, older states are found again. */
  readonly replaced: Uint8Array
}

/** An entry and its place in the log. */
export interface PlacedEntry extends StoredEntry {
  readonly index: number
}

/** Which entries to read, out of the order of the log's stretches; all bounds are indices unless said otherwise. */
export type EntryChoice =
  /** Control entries of `from … to−1`. */
  | { readonly kind: 'control'; readonly from: number; readonly to: number }
  /** Entries of one document in `from … to−1`. */
  | { readonly kind: 'document'; readonly document: DocumentId; readonly from: number; readonly to: number }
  /** Of each actor that has a row in this document's state, the latest entry below an index. */
  | { readonly kind: 'latest'; readonly document: DocumentId; readonly below: number; readonly from: number }
  /** A stretch of one actor's chain, both bounds included, by `seq`. */
  | { readonly kind: 'chain'; readonly actor: ActorId; readonly from: number; readonly to: number }

/** How much of a choice to read at once. */
export interface ReadLimits {
  readonly inlineLength: number
  readonly maxBytes: number
}

/** Rows of the state after the stored entries, encoded as `sealog/protocol` does. */
export interface StateRows {
  /** `controlRows`; in an append those that it changes or adds. */
  readonly control: readonly ControlRow[]
  readonly documents: readonly { readonly document: DocumentId; readonly value: Uint8Array }[]
  readonly actors: readonly { readonly document: DocumentId; readonly actor: ActorId; readonly value: Uint8Array }[]
}

/** What an entry delivers to one device: it travels beside the log, and stands in none of its hashes but one. */
export interface StoredWrap {
  /** Place in the log of the entry that delivers it. */
  readonly index: number
  /** Place among the wraps of that entry. */
  readonly position: number
  /** Number of the device that it is for. */
  readonly device: number
  /** 1,168 bytes. */
  readonly wrap: Uint8Array
}

/** A signed checkpoint of a space. */
export interface StoredHead {
  readonly size: number
  /** Unix time in milliseconds, as in the note. */
  readonly time: number
  /** The whole signed note. */
  readonly note: Uint8Array
}

/** What this relay has signed of a space. */
export interface KeptHead extends StoredHead {
  /** The latest time of any note that it signed, Unix time in milliseconds: at least `time`. */
  readonly latest: number
  /** Notes up to this time that are about more than is stored were given up by the operator; 0: none. */
  readonly abandoned: number
}

/** All that a relay must know to go on with a space, besides its head. */
export interface StoredSpace {
  /** Number of stored entries. */
  readonly size: number
  /** `encodeRange` of the compact range over them. */
  readonly frontier: Uint8Array
  readonly state: StateRows
  /** Bytes of all headers, signatures, wraps and bodies that are stored; of a superseded snapshot the body is not. */
  readonly bytes: number
  /** So many entries were signed once: while there are fewer, nothing is appended but what restores them. 0: no such. */
  readonly floor: number
  /**
   * `Append.base` of the last append. A relay appends to what it has signed, so whatever is not signed came with that
   * one. Undefined where it is not known, as of what a former version stored.
   */
  readonly base: Uint8Array | undefined
}

/** How large a space is. */
export interface SpaceSize {
  readonly size: number
  readonly bytes: number
  readonly floor: number
}

/** One group commit. */
export interface Append {
  readonly space: SpaceId
  /** Number of entries that are stored already. 0 creates the space. */
  readonly from: number
  /** `encodeRange` of the compact range over these: what is stored must be this very log. */
  readonly base: Uint8Array
  /** With their bodies; at least one. */
  readonly entries: readonly StoredEntry[]
  /** The complete subtrees of level 1 and above that these entries bring about. */
  readonly nodes: readonly TreeNode[]
  /** `encodeRange` of the compact range over all entries, these included. */
  readonly frontier: Uint8Array
  /** The rows that these entries change or add. */
  readonly state: StateRows
  /** What these entries deliver: of each all wraps, in order, or none where they were lost with it. */
  readonly wraps: readonly StoredWrap[]
  /** Entries, earlier ones or of these, whose bodies are not stored from now on: superseded snapshots. */
  readonly dropped: readonly number[]
  /** These entries were lost and are given back: they reach at least the floor, and with them it is no more. */
  readonly isRestored: boolean
}

/** The last append of a space, to be taken back. */
export interface AppendUndo {
  readonly space: SpaceId
  /** `encodeRange` of the compact range over all that is stored, that append included. */
  readonly frontier: Uint8Array
  /** What it was made on (`StoredSpace.base`), and what is left. */
  readonly base: Uint8Array
  /** All rows of the state as they were then. */
  readonly state: StateRows
  /** So many entries were signed: it becomes the floor, where that is not larger. */
  readonly floor: number
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

/** So many cosigned notes of a space are kept. */
export const KEPT_COSIGNED = 8

/** What stands in a mailbox, as its owner put it there. */
export interface StoredMailbox {
  readonly counter: number
  readonly bytes: Uint8Array
  /** 64 bytes. */
  readonly signature: Uint8Array
}

/** A mailbox and where it is. */
export interface PlacedMailbox extends StoredMailbox {
  /** Public key, 32 bytes. */
  readonly address: Uint8Array
}

/** Something that is wrong with what is stored, as far as the store itself can tell. */
export interface StoreFault {
  /** Whose rows these are; undefined where that is not known, or it is about all of the store. */
  readonly space: SpaceId | undefined
  /** For people. */
  readonly reason: string
}

/** Bytes that a store takes on its medium. */
export interface Compaction {
  readonly before: number
  readonly after: number
}

/** Whose store this is; written once. */
export interface StoredIdentity {
  readonly name: string
  /** Public checkpoint key, 32 bytes. */
  readonly key: Uint8Array
}

/** Hears that a space has grown in another process; without a space: announcements may have been missed. */
export type GrowthListener = (space: SpaceId | undefined) => void

/**
 * Where a relay keeps the logs of its spaces, and, apart from them, what it has signed. Several processes of one relay
 * may use a shared store at once; any of them may end at any moment.
 *
 * Contract (checked by `logStoreContract` of `sealog-relay/testing`):
 * - `append` is one transaction: entries, bodies, nodes, frontier, state rows and wraps are all stored or none is. When
 *   it resolves, they survive a crash of the process and of the machine. So are, and do, all other calls that write;
 * - an `append` whose `from` is not the number of stored entries, or whose `base` is not their frontier, rejects with
 *   ERR_STORE_LOCKED and changes nothing, in whatever order and however close together processes call it: of two for one
 *   place exactly one lands, and none on top of another log than the one that it was judged on. So does one below the
 *   floor, unless it `isRestored` and reaches it; where it does, the floor is 0 from then on;
 * - heads are kept apart: what sets the entries back, as the restoration of a backup does, leaves the heads. So a head
 *   may be ahead of the stored entries;
 * - a `putHead` that goes back in size, or behind the latest time of all, rejects with ERR_STORE_LOCKED and changes
 *   nothing; so does another note of the same size and time, and one that follows another note than the kept one. A
 *   process that signs late, or on top of what it does not know, learns it before anyone sees it;
 * - a `putCosigned` that is ahead of the stored entries rejects with ERR_STORE_LOCKED;
 * - of two contents of a mailbox the one with the larger counter stays, and of two with the same the first, in whatever
 *   order and however close together they are put;
 * - reads may come at any time, and see every write that resolved before them, in whatever process;
 * - entries and nodes never change once they are stored, except that bodies go (`Append.dropped`), so a read of what is
 *   below a signed size needs no transaction;
 * - bytes that are handed in are not changed afterwards by anyone, nor are bytes that are handed out;
 * - failures are `SealogError`s: ERR_STORE_FULL, ERR_STORE_LOCKED, ERR_STORE_CORRUPT, ERR_STORE_SCHEMA, ERR_CLOSED before
 *   `open` and after `close`, else ERR_STORE. After a write that failed in any other way than ERR_STORE_LOCKED, whether
 *   it took effect is known only after the space is read anew. ERR_STORE with reason `busy` says that the store had no
 *   time for the call, and did nothing. A store that cannot tell what of its medium is durable,
 *   as after an error of the disk, fails every call until it is opened again.
 */
export interface LogStore {
  /** May other processes append to the same spaces? */
  readonly isShared: boolean
  /** Takes hold of the place and prepares the schema. */
  open(): Promise<void>
  readIdentity(): Promise<StoredIdentity | undefined>
  /** @throws SealogError ERR_STORE_LOCKED where there is one already */
  writeIdentity(identity: StoredIdentity): Promise<void>
  /** @returns undefined for a space without entries */
  readSpace(space: SpaceId): Promise<StoredSpace | undefined>
  /** All 0 for a space without entries. */
  readSize(space: SpaceId): Promise<SpaceSize>
  /** Spaces that have entries or a head, in ascending order of their ids, those behind `after`; fewer than `limit` only at the end. */
  readSpaces(after: SpaceId | undefined, limit: number): Promise<readonly SpaceId[]>
  append(append: Append): Promise<void>
  /**
   * Takes the last append back, with the wraps and cosigned notes that are about it, in one transaction: for the operator,
   * where it stands in the way of what was signed. Superseded snapshots that it dropped stay dropped. What the one before
   * it was made on is not known any more, so there is nothing further to take back.
   * @throws SealogError ERR_STORE_LOCKED where what is stored is not this log, or the last append was not made on this base
   */
  undoAppend(undo: AppendUndo): Promise<void>
  /** Nothing is appended any more to fewer than `size` entries, but what restores them. Keeps a larger floor. */
  putFloor(space: SpaceId, size: number): Promise<void>
  readHead(space: SpaceId): Promise<KeptHead | undefined>
  /**
   * Keeps what is about to be shown.
   * @param after the note that it follows: where a head is kept, it must have this one; default: any
   */
  putHead(space: SpaceId, head: StoredHead, after?: Uint8Array): Promise<void>
  /** Keeps what turns out to have been signed earlier, where it is larger than the head; and its time, where that is later. */
  raiseHead(space: SpaceId, head: StoredHead): Promise<void>
  /**
   * Forgets that more than is stored was signed: the last resort of an operator whose entries nobody can give back. The
   * head is then of size 0, with an empty note and the latest time as before, which is the time up to which notes are
   * abandoned; and the floor is 0.
   */
  acceptRollback(space: SpaceId): Promise<void>
  /** Tells the other processes that a space has grown. It may be lost, and costs nobody anything but time if it is. */
  announce(space: SpaceId): Promise<void>
  /** @returns stops it */
  onGrown(listener: GrowthListener): () => void
  /**
   * In the order of the log (a chain: by `seq`), from the choice's `from` on; fewer than there are where `maxBytes`
   * ends them, but one at least.
   */
  readChoice(space: SpaceId, choice: EntryChoice, limits: ReadLimits): Promise<readonly PlacedEntry[]>
  /** Keeps a note that members have cosigned in the place of the one of the same size, and the eight of largest size. */
  putCosigned(space: SpaceId, size: number, note: Uint8Array): Promise<void>
  /** The cosigned notes that are kept, the largest first. */
  readCosigned(space: SpaceId): Promise<readonly Uint8Array[]>
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
  /** What the entry at `index` delivered to this device; undefined where it is not stored. */
  readWrap(space: SpaceId, index: number, device: number): Promise<StoredWrap | undefined>
  /** All that the entry at `index` delivered, by position; empty where it is not stored. */
  readWraps(space: SpaceId, index: number): Promise<readonly StoredWrap[]>
  /**
   * Keeps this in the place of what stands in the mailbox, where its counter is larger.
   * @param address public key, 32 bytes
   * @returns whether it was; if not, nothing changed
   */
  putMailbox(address: Uint8Array, mailbox: StoredMailbox): Promise<boolean>
  /** @param address public key, 32 bytes @returns undefined where nothing was ever put */
  readMailbox(address: Uint8Array): Promise<StoredMailbox | undefined>
  /** In ascending order of their addresses, those behind `after`; fewer than `limit` only at the end. */
  readMailboxes(after: Uint8Array | undefined, limit: number): Promise<readonly PlacedMailbox[]>
  /**
   * Looks for what no other method comes across: damage of the medium and of indexes, and rows that belong to nothing,
   * as those behind the end of a log do. Reads everything; a store that has not got any such thing finds none.
   * @returns at most `limit`
   */
  inspect(limit: number): Promise<readonly StoreFault[]>
  /** Removes these bodies, where they are stored, and cosigned notes beyond those that are kept. */
  discard(space: SpaceId, bodies: readonly number[]): Promise<void>
  /**
   * Removes all that is stored of a space. Before that, its head becomes a tombstone: of the largest size that was
   * stored or signed, with an empty note and the latest time as before. As no signature stands for it, a relay neither
   * serves the space again nor lets anybody restore it, and signs nothing that could contradict what it once signed.
   * A tombstone stays one, `acceptRollback` included. May be repeated.
   */
  removeSpace(space: SpaceId): Promise<void>
  /** Gives room that is not used back to the medium. May take long, and as much room again meanwhile. */
  compact(): Promise<Compaction>
  /** Waits for calls under way; idempotent. */
  close(): Promise<void>
}
