/** `strict`: on the disk when the promise resolves. `relaxed`: atomic, but a power cut may take it back. */
export type Durability = 'strict' | 'relaxed'

export type StoreRow = readonly [key: Uint8Array, value: Uint8Array]

/** One durable batch: all of it or nothing. */
export interface StoreBatch {
  /** Of several values for one key the last one wins. */
  readonly puts: readonly StoreRow[]
  /** Keys that need not exist, and that must not stand in `puts`. */
  readonly deletes: readonly Uint8Array[]
  /** Default `strict`. */
  readonly durability?: Durability
}

/** Most bytes of a key; the least is 1. */
export const MAX_KEY_LENGTH: number = 512
/** Most bytes of a value, 2²⁷ (128 MiB): what SQLite and every browser's IndexedDB hold without special care. */
export const MAX_VALUE_LENGTH: number = 2 ** 27

/**
 * Where a replica keeps keys, state, documents and outbox: an ordered map of byte keys to byte values.
 *
 * Contract (checked by `storeContract` of `sealog/testing`):
 * - keys have 1 … 512 bytes, values 0 … 2²⁷, prefixes 0 … 512; all are copied at the call, never aliased; anything else
 *   rejects with a `TypeError` and changes nothing;
 * - `commit` is atomic, and commits take effect in the order of the calls, awaited or not; each stands or fails alone;
 * - a `get` or `scan` sees every commit that was called before it, and of each batch all or nothing;
 * - after a `commit` that rejected, the open store reads as before the call. If the code was `ERR_STORE`, the disk failed
 *   in an unknown moment: a later `open` may find the batch, whole, or not at all;
 * - one writer at a time: a second `open` of the same place rejects with `ERR_STORE_LOCKED` until the first is closed
 *   or its process has died; a store that is already open refuses to be opened again in the same way;
 * - what was committed is there after `close` and `open`, through this store or another one over the same place;
 * - failures are `SealogError`s: `ERR_STORE_FULL` for quota or disk, `ERR_STORE_SCHEMA`, `ERR_STORE_CORRUPT`,
 *   `ERR_STORE_LOCKED`, `ERR_CLOSED` before `open` and after `close`, else `ERR_STORE`. A store that has lost its disk or
 *   its lock goes on failing until it is closed and opened again.
 */
export interface ReplicaStore {
  /** Takes the writer's lock and prepares the schema. After a failure it may be tried again. */
  open(): Promise<void>
  get(key: Uint8Array): Promise<Uint8Array | undefined>
  /** All pairs whose key starts with `prefix` (empty: all there are), in ascending order of key bytes. */
  scan(prefix: Uint8Array): Promise<readonly StoreRow[]>
  commit(batch: StoreBatch): Promise<void>
  /** Takes no more calls, waits for those under way, releases the lock; idempotent. */
  close(): Promise<void>
}
