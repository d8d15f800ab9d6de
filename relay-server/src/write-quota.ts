import { SealogError, type SpaceId } from 'sealog/protocol'
import { BucketTable } from './bucket-table.ts'
import type { Limits } from './limits.ts'
import type { PushCost } from './push-cost.ts'
import { SpaceShare } from './space-share.ts'
import { hourlyRate, type Rate, rateOf } from './token-bucket.ts'

/** Spaces whose rate is counted; who is forgotten beyond it begins with a full one. */
const MAX_SPACES = 4096

/** Who pushes, and where. */
export interface Writer {
  readonly space: SpaceId
  /** Number of the device. */
  readonly device: number
  readonly member: string
  /** Of `addressKey`. */
  readonly address: string | undefined
}

/** A push that was let in. */
export interface PushPass {
  /** To be called once, when it is done. @param entries that landed @param bytes of these */
  done(entries: number, bytes: number): void
}

/** The rates of one space; undefined where there is no limit. */
interface Shares {
  readonly entries: SpaceShare | undefined
  readonly bytes: SpaceShare | undefined
}

/**
 * How fast, and how much, is written: by one device, from one address, into one space. What a device or an address
 * pushes counts whether or not it lands, as judging it is the work; what a space takes counts where it does.
 *
 * Relief (see `pushCost`) is bounded by the control entries of its own device alone: neither a full space, nor a busy
 * one, nor a busy address keeps anybody from ending somebody else's rights.
 */
export class WriteQuota {
  readonly #limits: Limits
  readonly #now: () => number
  readonly #entryRate: Rate | undefined
  readonly #byteRate: Rate | undefined
  /** By space, the one used last at the end. */
  readonly #spaces = new Map<SpaceId, Shares>()
  /** Bytes on their way into the store. */
  readonly #pending = new Map<SpaceId, number>()
  readonly #deviceEntries: BucketTable
  readonly #deviceBytes: BucketTable
  readonly #deviceControls: BucketTable
  readonly #addressEntries: BucketTable
  readonly #addressBytes: BucketTable

  constructor(limits: Limits, now: () => number) {
    const { burstTime } = limits
    const table = (rate: Rate | undefined): BucketTable => new BucketTable(rate, now)
    this.#limits = limits
    this.#now = now
    this.#entryRate = rateOf(limits.entriesPerSpace, burstTime)
    this.#byteRate = rateOf(limits.bytesPerSpace, burstTime)
    this.#deviceEntries = table(rateOf(limits.entriesPerDevice, burstTime))
    this.#deviceBytes = table(rateOf(limits.bytesPerDevice, burstTime))
    this.#deviceControls = table(hourlyRate(limits.controlsPerDevice))
    this.#addressEntries = table(rateOf(limits.entriesPerAddress, burstTime))
    this.#addressBytes = table(rateOf(limits.bytesPerAddress, burstTime))
  }

  /**
   * @param stored bytes of the space in the store
   * @throws SealogError ERR_QUOTA where the space is full, ERR_RATE_LIMITED where it goes too fast
   */
  admit(writer: Writer, cost: PushCost, stored: number): PushPass {
    const { space, device, address } = writer
    const key = `${space}/${device}`
    if (!cost.isRelief) {
      this.#assertFits(space, cost, stored)
      assertNoWait(this.#deviceEntries.wait(key), 'of one device')
      assertNoWait(this.#deviceBytes.wait(key), 'of one device')
      assertNoWait(this.#addressEntries.wait(address), 'from one address')
      assertNoWait(this.#addressBytes.wait(address), 'from one address')
    }
    if (cost.controls > 0) assertNoWait(this.#deviceControls.wait(key), 'about members and keys from one device')
    const shares = cost.isRelief ? undefined : this.#sharesOf(space)
    if (shares !== undefined) assertNoWait(this.#waitFor(shares, writer.member), 'in one space')
    this.#deviceControls.take(key, cost.controls)
    this.#deviceEntries.take(key, cost.entries)
    this.#deviceBytes.take(key, cost.bytes)
    this.#addressEntries.take(address, cost.entries)
    this.#addressBytes.take(address, cost.bytes)
    return this.#pass(writer, cost, shares)
  }

  #pass({ space, member }: Writer, cost: PushCost, shares: Shares | undefined): PushPass {
    const now = this.#now()
    shares?.entries?.take(member, cost.entries, now)
    shares?.bytes?.take(member, cost.bytes, now)
    this.#addPending(space, cost.bytes)
    return {
      done: (entries, bytes) => {
        const end = this.#now()
        this.#addPending(space, -cost.bytes)
        shares?.entries?.giveBack(member, cost.entries - entries, end)
        shares?.bytes?.giveBack(member, cost.bytes - bytes, end)
      },
    }
  }

  #assertFits(space: SpaceId, { bytes }: PushCost, stored: number): void {
    const { spaceBytes } = this.#limits
    const pending = this.#pending.get(space) ?? 0
    if (spaceBytes === 0 || stored + pending + bytes <= spaceBytes) return
    throw new SealogError('ERR_QUOTA', `the space may take ${spaceBytes} bytes at this relay`, {
      details: { limit: spaceBytes },
    })
  }

  #addPending(space: SpaceId, bytes: number): void {
    const pending = (this.#pending.get(space) ?? 0) + bytes
    if (pending > 0) this.#pending.set(space, pending)
    else this.#pending.delete(space)
  }

  #waitFor({ entries, bytes }: Shares, member: string): number {
    const now = this.#now()
    return Math.max(entries?.wait(member, now) ?? 0, bytes?.wait(member, now) ?? 0)
  }

  #sharesOf(space: SpaceId): Shares {
    const now = this.#now()
    const known = this.#spaces.get(space)
    this.#spaces.delete(space)
    const shares = known ?? {
      entries: this.#entryRate && new SpaceShare(this.#entryRate, now),
      bytes: this.#byteRate && new SpaceShare(this.#byteRate, now),
    }
    const [oldest] = this.#spaces
    if (oldest !== undefined && (this.#spaces.size >= MAX_SPACES || isFull(oldest[1], now))) {
      this.#spaces.delete(oldest[0])
    }
    this.#spaces.set(space, shares)
    return shares
  }
}

function isFull({ entries, bytes }: Shares, now: number): boolean {
  return (entries?.isFull(now) ?? true) && (bytes?.isFull(now) ?? true)
}

/** @throws SealogError ERR_RATE_LIMITED unless there is nothing to wait for */
export function assertNoWait(milliseconds: number, whose: string): void {
  if (milliseconds === 0) return
  throw new SealogError('ERR_RATE_LIMITED', `too much ${whose} at once`, { details: { retryAfter: milliseconds } })
}
