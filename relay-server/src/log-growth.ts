import type { StoredEntry } from './log-store.ts'

/** Entries that came since they were last taken. */
export interface Growth {
  /** The last of them; more than fit one group are left to be read one by one. */
  readonly entries: readonly StoredEntry[]
  readonly isWhole: boolean
}

/** Gathers what a log grows by until it is shown: no more than one group of it is kept in memory. */
export class GrowthBuffer {
  readonly #limit: number
  #entries: StoredEntry[] = []
  #isWhole = true

  /** @param limit entries that are kept, at most */
  constructor(limit: number) {
    this.#limit = limit
  }

  add(entries: readonly StoredEntry[]): void {
    this.#entries.push(...entries)
    if (this.#entries.length <= this.#limit) return
    this.#entries = []
    this.#isWhole = false
  }

  take(): Growth {
    const growth = { entries: this.#entries, isWhole: this.#isWhole }
    this.#entries = []
    this.#isWhole = true
    return growth
  }
}
