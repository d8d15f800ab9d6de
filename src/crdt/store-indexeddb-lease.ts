import type { Environment } from '../environment.ts'
import type { WriterLock } from './store-indexeddb-lock.ts'

/** Clock and timer of a lease. */
export type LeaseEnvironment = Pick<Environment, 'now' | 'schedule'>

/** After this many milliseconds without renewal a lease is free: its page has crashed, or sleeps. */
const LEASE_MS = 5_000
const RENEW_MS = 1_500
/** Text sorts below all binary keys in IndexedDB, so this row appears in no scan. */
const LEASE_KEY = 'writer'

/** The number of the latest writer, and until when (Unix time, milliseconds) nobody may succeed it. */
interface Lease {
  readonly generation: number
  readonly expires: number
}

/**
 * Takes a lease that is written in the database itself, for platforms without Web Locks. Two writers may at worst both
 * believe that they hold it (one slept, its lease ran out); every commit of the elder then fails at the fence, inside
 * its own transaction, so nothing can be corrupted.
 * @param openRows the object store, in a new readwrite transaction
 * @param onLost called when a renewal finds a successor
 * @returns undefined when somebody else's lease is in force
 */
export async function takeLease(
  openRows: () => IDBObjectStore,
  { now, schedule }: LeaseEnvironment,
  onLost: () => void,
): Promise<WriterLock | undefined> {
  const taken = await changeLease(openRows, ({ generation, expires }) => {
    const left = expires - now()
    // An end further away than any lease is long was set by a clock that has since been put back.
    const inForce = left > 0 && left <= LEASE_MS
    return inForce ? undefined : { generation: generation + 1, expires: now() + LEASE_MS }
  })
  if (taken === undefined) return undefined
  const { generation } = taken
  let released = false
  let cancelRenewal: () => void = () => undefined

  function extend(expires: number): Promise<Lease | undefined> {
    return changeLease(openRows, lease => (lease.generation === generation ? { generation, expires } : undefined))
  }

  function renewLater(): void {
    if (released) return
    cancelRenewal = schedule(RENEW_MS, () => {
      // A renewal that fails is tried again; if meanwhile the lease runs out, there is still the fence.
      extend(now() + LEASE_MS).then(lease => (lease === undefined ? onLost() : renewLater()), renewLater)
    })
  }

  renewLater()
  return {
    fence: (rows, write, refuse) => {
      readLease(rows, lease => (lease.generation === generation ? write() : refuse()))
    },
    release: async () => {
      released = true
      cancelRenewal()
      // If this fails, the lease runs out by itself.
      await extend(0).catch(() => undefined)
    },
  }
}

/** Replaces the lease by what `next` makes of it. @returns the new lease; undefined if `next` let the old one stand */
function changeLease(
  openRows: () => IDBObjectStore,
  next: (lease: Lease) => Lease | undefined,
): Promise<Lease | undefined> {
  return new Promise((resolve, reject) => {
    const rows = openRows()
    let changed: Lease | undefined
    rows.transaction.oncomplete = () => resolve(changed)
    rows.transaction.onabort = () => reject(rows.transaction.error)
    readLease(rows, lease => {
      changed = next(lease)
      if (changed !== undefined) rows.put(changed, LEASE_KEY)
    })
  })
}

function readLease(rows: IDBObjectStore, then: (lease: Lease) => void): void {
  const request: IDBRequest<Lease | undefined> = rows.get(LEASE_KEY)
  request.onsuccess = () => then(request.result ?? { generation: 0, expires: 0 })
}
