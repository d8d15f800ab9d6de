import { SECRET_ROWS } from './crdt/secret-rows.ts'
import type { ReplicaStore } from './crdt/store.ts'
import { type LockedStore, lockedStore } from './crdt/store-locked.ts'
import { ownStoreSecret, type ScryptCost, type StoreSecret } from './crypto/store-lock.ts'
import type { Random } from './environment.ts'
import { SealogError } from './errors.ts'

/**
 * Opens the store of a replica, and with it what protects its keys. Where that fails, nothing was written, and the store
 * is closed again.
 *
 * A secret for a store without protection is refused rather than ignored: the application means to use a protected
 * store, and this one, which may have been put in the place of its own, has its keys in clear.
 * @throws SealogError ERR_STORE_SEALED, ERR_PASSPHRASE, ERR_STORE…; TypeError
 */
export async function openProtected(
  store: ReplicaStore,
  options: { readonly unlock: StoreSecret | undefined; readonly random: Random; readonly cost: ScryptCost | undefined },
): Promise<LockedStore> {
  const { random, cost } = options
  const unlock = options.unlock === undefined ? undefined : ownStoreSecret(options.unlock, 'unlock')
  const locked = lockedStore(store, { rows: SECRET_ROWS, random, ...(cost === undefined ? {} : { cost }) })
  await locked.open()
  try {
    if (unlock === undefined) assertInClear(locked)
    else await unlockStore(locked, unlock)
  } catch (error) {
    await locked.close()
    throw error
  }
  return locked
}

function assertInClear({ protection }: LockedStore): void {
  if (protection === undefined) return
  const details = { expected: protection }
  throw new SealogError('ERR_STORE_SEALED', `the store is protected by a ${NAMES[protection]}`, { details })
}

async function unlockStore(store: LockedStore, unlock: StoreSecret): Promise<void> {
  if (store.protection === undefined) {
    const details = { reason: 'unprotected' }
    throw new SealogError('ERR_PASSPHRASE', 'the store is not protected: its keys are in clear', { details })
  }
  await store.unlock(unlock)
}

const NAMES: Readonly<Record<NonNullable<LockedStore['protection']>, string>> = {
  passphrase: 'passphrase',
  prf: 'passkey',
}
