import type { SpaceId } from 'sealog/protocol'
import type { LogStore } from './log-store.ts'

/** Spaces read at once. */
const PAGE = 1000
/** A number that is older is found out anew, in milliseconds: other processes create spaces too. */
const COUNT_AGE = 60_000

/** How many spaces a relay has, as of a minute ago at most and with those that were created here since. */
export class SpaceCount {
  readonly #store: Pick<LogStore, 'readSpaces'>
  readonly #now: () => number
  #counting: Promise<number> | undefined
  #time = 0
  /** Created here since, or about to be. */
  #taken = 0

  constructor(store: Pick<LogStore, 'readSpaces'>, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /** Counts one more, where there are fewer than `limit`. @returns whether there were @throws what the store throws */
  async take(limit: number): Promise<boolean> {
    const counted = await this.#current()
    if (counted + this.#taken >= limit) return false
    this.#taken++
    return true
  }

  /** One that was counted did not come about. */
  giveBack(): void {
    this.#taken--
  }

  #current(): Promise<number> {
    const isOld = this.#now() - this.#time > COUNT_AGE
    if (this.#counting !== undefined && !isOld) return this.#counting
    this.#time = this.#now()
    this.#taken = 0
    const counting = this.#count()
    this.#counting = counting
    counting.catch(() => {
      if (this.#counting === counting) this.#counting = undefined
    })
    return counting
  }

  async #count(): Promise<number> {
    let count = 0
    let last: SpaceId | undefined
    for (;;) {
      const page = await this.#store.readSpaces(last, PAGE)
      count += page.length
      if (page.length < PAGE) return count
      last = page.at(-1)
    }
  }
}
