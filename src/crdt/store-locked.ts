import { equalBytes, toUtf8 } from '../bytes.ts'
import {
  decodeStoreLock,
  encodeStoreLock,
  newStoreLock,
  openStoreLock,
  openStoreRow,
  ownStoreSecret,
  type ScryptCost,
  type StoreLock,
  type StoreSecret,
  type StoreSecretType,
  sealStoreRow,
} from '../crypto/store-lock.ts'
import type { Random } from '../environment.ts'
import { hasCode, SealogError } from '../errors.ts'
import { readRow } from './rows.ts'
import type { SecretRows } from './secret-rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'
import type { OwnBatch } from './store-arguments.ts'
import { type StoreSession, sessionStore } from './store-session.ts'
import { Turns } from './turns.ts'

/** Where the lock itself is kept; absent in a store without protection. Not to be seen through a `LockedStore`. */
const LOCK_KEY: Uint8Array = toUtf8('lock')

export interface LockedStoreOptions {
  /** Which rows are sealed. */
  readonly rows: SecretRows
  readonly random: Random
  /** Of passphrases that are set from now on. */
  readonly cost?: ScryptCost
}

/**
 * A store whose secret rows can be sealed under a data key, which a passphrase or a passkey opens. All other rows pass
 * through as they are. Which rows there are, and how long the sealed ones are, remains visible.
 */
export interface LockedStore extends ReplicaStore {
  /** What the open store is protected by; undefined: by nothing. */
  readonly protection: StoreSecretType | undefined
  /** It is protected, and was not unlocked since it was opened: secret rows give ERR_STORE_SEALED. */
  readonly isSealed: boolean
  /** Writes nothing, whatever comes of it. @throws SealogError ERR_PASSPHRASE, ERR_CLOSED; TypeError */
  unlock(secret: StoreSecret): Promise<void>
  /**
   * Seals all secret rows anew, under a fresh data key that opens by `secret` alone: one durable batch, after which
   * everything is sealed so, or nothing has changed. Where it fails with ERR_STORE, only opening the store again shows
   * which; until then secret rows are neither read nor written, since they would be lost under the wrong key.
   * @throws SealogError ERR_STORE_SEALED, ERR_STORE…, ERR_CLOSED; TypeError
   */
  protect(secret: StoreSecret): Promise<void>
  /** Back to clear rows, in the same manner; nothing to do where there is no protection. */
  unprotect(): Promise<void>
}

/** A store whose rows can be protected, over another one, which must not be used beside it. */
export function lockedStore(inner: ReplicaStore, options: LockedStoreOptions): LockedStore {
  let session: LockedSession | undefined

  function current(): LockedSession {
    if (session === undefined) throw new SealogError('ERR_CLOSED', 'the store is not open')
    return session
  }

  /** Of the latest change: settles when it is over. */
  let changing: Promise<unknown> = Promise.resolve()

  /** Changes take effect in the order of their calls, however long each takes to make its lock. */
  function change(makeNext: () => Promise<Settled>): Promise<void> {
    const result = changing.then(async () => {
      current().assertKnown()
      const next = await makeNext()
      await current().change(next)
    })
    changing = result.catch(() => {})
    return result
  }

  return {
    ...sessionStore(async () => {
      const opened = await LockedSession.open(inner, options, () => {
        session = undefined
      })
      session = opened
      return opened
    }),
    get protection() {
      return session?.lock?.method.type
    },
    get isSealed() {
      return session?.isSealed ?? false
    },
    unlock: async secret => current().unlock(secret),
    protect: async given => {
      const secret = ownStoreSecret(given, 'secret')
      const { random, cost } = options
      return change(async () => {
        // It takes a second, during which everybody else goes on.
        const made = await newStoreLock({ secret, random, ...(cost === undefined ? {} : { cost }) })
        return { name: 'open', ...made }
      })
    },
    unprotect: () => change(async () => ({ name: 'none' })),
  }
}

/** In which all rows can be read and written. */
type Settled =
  | { readonly name: 'none' }
  | { readonly name: 'open'; readonly lock: StoreLock; readonly dataKey: Uint8Array }

type Protection =
  | Settled
  | { readonly name: 'sealed'; readonly lock: StoreLock }
  /** A batch that changed it failed in an unknown moment. */
  | { readonly name: 'unknown'; readonly lock: StoreLock | undefined }

class LockedSession implements StoreSession {
  readonly #inner: ReplicaStore
  readonly #options: LockedStoreOptions
  readonly #onClosed: () => void
  /** A change of the protection runs alone: every row is read and written under one and the same. */
  readonly #turns = new Turns()
  #protection: Protection

  private constructor(inner: ReplicaStore, options: LockedStoreOptions, onClosed: () => void, protection: Protection) {
    this.#inner = inner
    this.#options = options
    this.#onClosed = onClosed
    this.#protection = protection
  }

  static async open(inner: ReplicaStore, options: LockedStoreOptions, onClosed: () => void): Promise<LockedSession> {
    await inner.open()
    try {
      const row = await inner.get(LOCK_KEY)
      const protection: Protection =
        row === undefined ? { name: 'none' } : { name: 'sealed', lock: readRow('lock', () => decodeStoreLock(row)) }
      return new LockedSession(inner, options, onClosed, protection)
    } catch (error) {
      await inner.close()
      throw error
    }
  }

  get lock(): StoreLock | undefined {
    return this.#protection.name === 'none' ? undefined : this.#protection.lock
  }

  get isSealed(): boolean {
    return this.#protection.name === 'sealed'
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#turns.shared(async () => {
      if (isLock(key)) return undefined
      const value = await this.#inner.get(key)
      return value && this.#open([key, value])[1]
    })
  }

  scan(prefix: Uint8Array): Promise<readonly StoreRow[]> {
    return this.#turns.shared(async () => {
      const rows = await this.#inner.scan(prefix)
      return rows.filter(([key]) => !isLock(key)).map(row => this.#open(row))
    })
  }

  commit({ puts, deletes, durability }: OwnBatch): Promise<void> {
    return this.#turns.shared(async () => {
      if (deletes.some(isLock) || puts.some(([key]) => isLock(key))) {
        throw new SealogError('ERR_STORE', 'the row of the lock is nobody else’s', { retryable: false })
      }
      await this.#inner.commit({ puts: puts.map(row => this.#seal(row, this.#protection)), deletes, durability })
    })
  }

  close(): Promise<void> {
    return this.#turns.alone(() => {
      this.#onClosed()
      return this.#inner.close()
    })
  }

  async unlock(secret: StoreSecret): Promise<void> {
    const sealed = this.#protection
    if (sealed.name !== 'sealed') return
    const { lock } = sealed
    const dataKey = await openStoreLock(lock, secret)
    if (this.#protection === sealed) this.#protection = { name: 'open', lock, dataKey }
  }

  /** Secret rows can be read and written. @throws SealogError ERR_STORE_SEALED, ERR_STORE */
  assertKnown(): void {
    if (this.#protection.name === 'sealed') {
      const details = { expected: this.#protection.lock.method.type }
      throw new SealogError('ERR_STORE_SEALED', 'the store is protected, and was not unlocked', { details })
    }
    if (this.#protection.name === 'unknown') {
      const message = 'whether the protection of the store was changed shows when it is opened again'
      throw new SealogError('ERR_STORE', message, { retryable: false })
    }
  }

  change(next: Settled): Promise<void> {
    return this.#turns.alone(async () => {
      this.assertKnown()
      if (this.#protection.name === 'none' && next.name === 'none') return
      const rows = (await this.#options.rows.load(this.#inner)).map(row => this.#open(row))
      const puts = rows.map(row => this.#seal(row, next))
      if (next.name === 'open') puts.push([LOCK_KEY, encodeStoreLock(next.lock)])
      try {
        await this.#inner.commit({ puts, deletes: next.name === 'open' ? [] : [LOCK_KEY], durability: 'strict' })
      } catch (error) {
        if (mayHaveHappened(error)) this.#protection = { name: 'unknown', lock: this.lock }
        throw error
      }
      this.#protection = next
    })
  }

  #open(row: StoreRow): StoreRow {
    const [key, value] = row
    if (!this.#options.rows.has(key)) return row
    this.assertKnown()
    const protection = this.#protection
    if (protection.name !== 'open') return row
    return [key, readRow('sealed row', () => openStoreRow(protection.dataKey, key, value))]
  }

  #seal(row: StoreRow, protection: Protection): StoreRow {
    const [key, value] = row
    if (!this.#options.rows.has(key)) return row
    this.assertKnown()
    return protection.name === 'open' ? [key, sealStoreRow(protection.dataKey, key, value, this.#options.random)] : row
  }
}

function isLock(key: Uint8Array): boolean {
  return equalBytes(key, LOCK_KEY)
}

/** A batch that was refused with any other code is not there, nor will it be (see `ReplicaStore`). */
function mayHaveHappened(error: unknown): boolean {
  return !(error instanceof TypeError) && (!(error instanceof SealogError) || hasCode(error, 'ERR_STORE'))
}
