/** How fast something may go on, and how much of it at once. */
export interface Rate {
  readonly perSecond: number
  /** What a full bucket holds. */
  readonly capacity: number
}

/** So much per second, and what comes together in `burst` milliseconds at once; undefined for 0: no limit. */
export function rateOf(perSecond: number, burst: number): Rate | undefined {
  return perSecond > 0 ? { perSecond, capacity: Math.max(1, (perSecond * burst) / 1000) } : undefined
}

/** So many at once, and as many again in each hour; undefined for 0: no limit. */
export function hourlyRate(perHour: number): Rate | undefined {
  return perHour > 0 ? { perSecond: perHour / 3600, capacity: perHour } : undefined
}

/**
 * What one party has left of its rate. It may overdraw, so that a request larger than the bucket passes at some point,
 * and pays for it afterwards: by no more than the bucket holds, so that nobody waits longer than it takes to fill.
 * Times are Unix milliseconds; a clock that goes back adds nothing.
 */
export class TokenBucket {
  #balance: number
  #time: number

  constructor({ capacity }: Rate, now: number) {
    this.#balance = capacity
    this.#time = now
  }

  /** Milliseconds until something may be taken; 0: now. */
  wait(rate: Rate, now: number): number {
    this.#fill(rate, now)
    return this.#balance > 0 ? 0 : Math.floor((-this.#balance / rate.perSecond) * 1000) + 1
  }

  /**
   * Whether or not there is enough: who asks first decides by `wait`.
   * @returns what was taken: less than the amount where that is beyond what may be overdrawn
   */
  take(amount: number, rate: Rate, now: number): number {
    this.#fill(rate, now)
    const before = this.#balance
    this.#balance = Math.max(-rate.capacity, before - amount)
    return before - this.#balance
  }

  /** What was taken and not used. */
  giveBack(amount: number, { capacity }: Rate): void {
    this.#balance = Math.min(capacity, this.#balance + amount)
  }

  /** A full bucket is as good as a new one. */
  isFull(rate: Rate, now: number): boolean {
    this.#fill(rate, now)
    return this.#balance >= rate.capacity
  }

  #fill({ perSecond, capacity }: Rate, now: number): void {
    const elapsed = Math.max(0, now - this.#time)
    this.#time = Math.max(this.#time, now)
    this.#balance = Math.min(capacity, this.#balance + (elapsed * perSecond) / 1000)
  }
}
