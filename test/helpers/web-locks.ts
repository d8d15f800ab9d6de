type Grant = (lock: Lock | null) => unknown

/** As much of the Web Locks API as the IndexedDB store uses, with a lock that can be stolen. */
export class FakeWebLocks {
  readonly #holders = new Map<string, (error: unknown) => void>()

  async request(name: string, options: LockOptions, grant: Grant): Promise<unknown> {
    await Promise.resolve()
    if (options.ifAvailable !== true) throw new Error('this fake has no queue')
    if (this.#holders.has(name)) return grant(null)
    try {
      return await new Promise((resolve, reject) => {
        this.#holders.set(name, reject)
        Promise.resolve(grant({ name, mode: 'exclusive' })).then(resolve, reject)
      })
    } finally {
      // A browser frees a lock in another process than the page's.
      await new Promise(resolve => setTimeout(resolve, 2))
      this.#holders.delete(name)
    }
  }

  steal(name: string): void {
    this.#holders.get(name)?.(new DOMException('stolen', 'AbortError'))
  }
}
