import { type Rate, TokenBucket } from './token-bucket.ts'

/** Members of one space that are told apart; who is forgotten beyond it begins with a full share. */
const MAX_MEMBERS = 1024
/** Whoever took something in this time counts among those who share, in milliseconds. */
const ACTIVE_TIME = 10_000

interface Share {
  readonly bucket: TokenBucket
  time: number
}

/**
 * The rate of one space, shared among its members. As long as there is enough for all, everyone takes as much as they
 * like. Once the common bucket is empty, the rate is divided by the number of members who were active lately, and who
 * stays below that part goes on: whoever takes all there is stops nobody but themselves. Together they never take more
 * than twice the rate of the space. Devices of one member share one part, as a member may add devices.
 */
export class SpaceShare {
  readonly #rate: Rate
  readonly #common: TokenBucket
  /** By member, the one active last at the end. */
  readonly #shares = new Map<string, Share>()

  constructor(rate: Rate, now: number) {
    this.#rate = rate
    this.#common = new TokenBucket(rate, now)
  }

  /** Milliseconds until this member may take something; 0: now. */
  wait(member: string, now: number): number {
    const common = this.#common.wait(this.#rate, now)
    if (common === 0) return 0
    const share = this.#shares.get(member)
    return share === undefined ? 0 : Math.min(common, share.bucket.wait(this.#part(now), now))
  }

  take(member: string, amount: number, now: number): void {
    this.#common.take(amount, this.#rate, now)
    const known = this.#shares.get(member)
    this.#shares.delete(member)
    const share = known ?? { bucket: new TokenBucket(this.#part(now), now), time: now }
    share.time = now
    this.#shares.set(member, share)
    share.bucket.take(amount, this.#part(now), now)
    for (const oldest of this.#shares.keys()) {
      if (this.#shares.size <= MAX_MEMBERS) break
      this.#shares.delete(oldest)
    }
  }

  /** What was taken for entries that did not land. */
  giveBack(member: string, amount: number, now: number): void {
    this.#common.giveBack(amount, this.#rate)
    this.#shares.get(member)?.bucket.giveBack(amount, this.#part(now))
  }

  /** Nothing is known here that a new one would not know. */
  isFull(now: number): boolean {
    if (!this.#common.isFull(this.#rate, now)) return false
    return [...this.#shares.values()].every(({ bucket }) => bucket.isFull(this.#part(now), now))
  }

  #part(now: number): Rate {
    let active = 0
    for (const { time } of this.#shares.values()) if (now - time < ACTIVE_TIME) active++
    const members = Math.max(1, active)
    return { perSecond: this.#rate.perSecond / members, capacity: this.#rate.capacity / members }
  }
}
