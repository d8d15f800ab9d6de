import { SealogError, type SpaceId } from 'sealog/protocol'

/** A connection, or the key of an address. */
type Holder = object | string

interface Held {
  /** How often this holder has it open. */
  times: number
  /** In bytes, by now. */
  readonly weight: () => number
}

/** Milliseconds after which to try again, as others of the same holder may have ended by then. */
const RETRY_AFTER = 30_000

/**
 * How much memory the spaces take that one holder keeps open. What several have open is divided among them, so that
 * opening the same ones from two places makes room for no more than two may have, and a space that many read costs each
 * of them next to nothing. The largest one does not count, so that any space can be opened, however large, whatever else is
 * open within the limit and in whichever order; and nobody loses what is open because others have left it, but then opens
 * nothing more.
 */
export class HeldSpaces {
  readonly #limit: number
  readonly #whose: string
  readonly #byHolder = new Map<Holder, Map<SpaceId, Held>>()
  /** How many holders a space has. */
  readonly #holders = new Map<SpaceId, number>()

  /** @param limit in bytes, besides the largest one; 0: none @param whose for the refusal */
  constructor(limit: number, whose: string) {
    this.#limit = limit
    this.#whose = whose
  }

  /**
   * @param holder undefined: nobody who is counted
   * @param weight of the space in memory, in bytes, whenever it is asked for
   * @returns to be called when it is not held any more; once is enough
   * @throws SealogError ERR_LIMIT
   */
  hold(holder: Holder | undefined, space: SpaceId, weight: () => number): () => void {
    if (holder === undefined || this.#limit === 0) return () => {}
    const spaces = this.#byHolder.get(holder) ?? new Map<SpaceId, Held>()
    const known = spaces.get(space)
    if (known === undefined) this.#assertRoom(spaces, space, weight())
    const held = known ?? { times: 0, weight }
    held.times++
    spaces.set(space, held)
    this.#byHolder.set(holder, spaces)
    if (known === undefined) this.#holders.set(space, this.#holdersOf(space) + 1)
    let isHeld = true
    return () => {
      if (isHeld) this.#release(holder, spaces, space, held)
      isHeld = false
    }
  }

  #assertRoom(spaces: ReadonlyMap<SpaceId, Held>, space: SpaceId, weight: number): void {
    let largest = weight / (this.#holdersOf(space) + 1)
    let bytes = largest
    for (const [other, held] of spaces) {
      const share = held.weight() / this.#holdersOf(other)
      bytes += share
      largest = Math.max(largest, share)
    }
    if (bytes - largest <= this.#limit) return
    throw new SealogError('ERR_LIMIT', `the spaces that one ${this.#whose} keeps open are too large`, {
      details: { limit: this.#limit, retryAfter: RETRY_AFTER },
    })
  }

  #release(holder: Holder, spaces: Map<SpaceId, Held>, space: SpaceId, held: Held): void {
    held.times--
    if (held.times > 0) return
    spaces.delete(space)
    if (spaces.size === 0) this.#byHolder.delete(holder)
    const left = this.#holdersOf(space) - 1
    if (left > 0) this.#holders.set(space, left)
    else this.#holders.delete(space)
  }

  #holdersOf(space: SpaceId): number {
    return this.#holders.get(space) ?? 0
  }
}
