import { type Rate, TokenBucket } from './token-bucket.ts'

/** Buckets in one table. Who is forgotten beyond it begins with a full one. */
const MAX_BUCKETS = 16_384
/** Buckets looked at whenever one is added: full ones go, so that a table empties by itself. */
const SWEPT = 2

/** One bucket for each key, all of one rate: of addresses, of devices. Bounded, whatever keys come. */
export class BucketTable {
  readonly #rate: Rate | undefined
  readonly #now: () => number
  readonly #max: number
  /** The one used last at the end. */
  readonly #buckets = new Map<string, TokenBucket>()

  /** @param rate undefined: no limit, and nothing is kept */
  constructor(rate: Rate | undefined, now: () => number, max: number = MAX_BUCKETS) {
    this.#rate = rate
    this.#now = now
    this.#max = max
  }

  get size(): number {
    return this.#buckets.size
  }

  /** Milliseconds until this key may take something; 0: now. @param key undefined: nobody who is counted */
  wait(key: string | undefined): number {
    const rate = this.#rate
    if (rate === undefined || key === undefined) return 0
    return this.#buckets.get(key)?.wait(rate, this.#now()) ?? 0
  }

  /** @returns what was taken, which may be less: see `TokenBucket.take` */
  take(key: string | undefined, amount: number): number {
    const rate = this.#rate
    if (rate === undefined || key === undefined || amount === 0) return 0
    const now = this.#now()
    const bucket = this.#buckets.get(key) ?? new TokenBucket(rate, now)
    const taken = bucket.take(amount, rate, now)
    this.#buckets.delete(key)
    this.#makeRoom(rate, now)
    this.#buckets.set(key, bucket)
    return taken
  }

  giveBack(key: string | undefined, amount: number): void {
    if (this.#rate !== undefined && key !== undefined) this.#buckets.get(key)?.giveBack(amount, this.#rate)
  }

  #makeRoom(rate: Rate, now: number): void {
    let seen = 0
    for (const [key, bucket] of this.#buckets) {
      const isOver = this.#buckets.size >= this.#max
      if (!isOver && seen++ >= SWEPT) break
      if (isOver || bucket.isFull(rate, now)) this.#buckets.delete(key)
    }
  }
}
