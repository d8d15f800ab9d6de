/** The right to write one database, held. */
export interface WriterLock {
  /**
   * Present where holding the lock does not by itself exclude others. To be called first in every readwrite
   * transaction: it goes on with `write`, inside the transaction, if the lock is still ours, else with `refuse`.
   */
  readonly fence?: (rows: IDBObjectStore, write: () => void, refuse: () => void) => void
  /** Never rejects. */
  release(): Promise<void>
}

/**
 * Takes an exclusive Web Lock, which the browser releases when the page goes, however it goes.
 * @param onLost called if another page steals the lock
 * @returns undefined when somebody else holds it
 */
export function takeWebLock(locks: LockManager, name: string, onLost: () => void): Promise<WriterLock | undefined> {
  return new Promise((resolve, reject) => {
    let held = false
    const request: Promise<unknown> = locks.request(name, { ifAvailable: true }, async lock => {
      if (lock === null) return resolve(undefined)
      held = true
      await new Promise<void>(letGo => {
        const release = async (): Promise<void> => {
          letGo()
          // Only when the request has settled will the next one who asks find the lock free.
          await request.catch(() => undefined)
        }
        resolve({ release })
      })
    })
    request.catch(error => (held ? onLost() : reject(error)))
  })
}
