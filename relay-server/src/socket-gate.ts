import { MAX_FRAME_LENGTH } from 'sealog/protocol'
import type { Limits } from './limits.ts'
import type { SocketRefusal } from './meter.ts'

/** What one socket may draw on the common allowance: a frame, and what travels with it. */
const MAX_DRAWN: number = 2 * MAX_FRAME_LENGTH

/** One socket's place, to be released once. */
export interface SocketPass {
  /** Bytes came in, `total` of them by now. @returns false where they are more than it may send */
  received(total: number): boolean
  /** Somebody has authenticated, or gave back what the relay had lost: no more of these limits. */
  authenticated(): void
  release(): void
}

/**
 * Counts sockets, in total, by address, and those on which nobody has authenticated. The latter are for strangers:
 * there are only so many, the oldest makes way, and what they may send before the relay knows them is bounded each and
 * together, so that they never hold more of the relay's memory than that.
 */
export class SocketGate {
  readonly #limits: Limits
  readonly #byAddress = new Map<string, number>()
  /** How each is ended; the oldest first. */
  readonly #strangers = new Map<SocketPass, () => void>()
  #sockets = 0
  /** Bytes that strangers have sent beyond their own allowance. */
  #drawn = 0

  constructor(limits: Limits) {
    this.#limits = limits
  }

  /** Why another socket may not be opened from there, if so. @param key of `addressKey` */
  refusal(key: string | undefined): SocketRefusal | undefined {
    const { sockets, socketsPerAddress } = this.#limits
    if (this.#sockets >= sockets) return 'full'
    if (key === undefined || socketsPerAddress === 0) return undefined
    return (this.#byAddress.get(key) ?? 0) >= socketsPerAddress ? 'address' : undefined
  }

  /** @param end ends the socket, where it has to make way for another; `release` follows */
  enter(key: string | undefined, end: () => void): SocketPass {
    const { unauthenticatedSockets, unauthenticatedBytes, unauthenticatedTotal } = this.#limits
    let drawn = 0
    let isStranger = true
    let isReleased = false
    const draw = (amount: number): void => {
      this.#drawn += amount - drawn
      drawn = amount
    }
    const pass: SocketPass = {
      received: total => {
        if (!isStranger) return true
        const needed = Math.max(0, total - unauthenticatedBytes)
        if (needed > MAX_DRAWN || this.#drawn - drawn + needed > unauthenticatedTotal) return false
        draw(needed)
        return true
      },
      authenticated: () => {
        isStranger = false
        draw(0)
        this.#strangers.delete(pass)
      },
      release: () => {
        if (isReleased) return
        isReleased = true
        pass.authenticated()
        this.#sockets--
        this.#leave(key)
      },
    }
    this.#sockets++
    if (key !== undefined) this.#byAddress.set(key, (this.#byAddress.get(key) ?? 0) + 1)
    this.#strangers.set(pass, end)
    for (const [oldest, endOldest] of this.#strangers) {
      if (this.#strangers.size <= unauthenticatedSockets || oldest === pass) break
      this.#strangers.delete(oldest)
      endOldest()
    }
    return pass
  }

  #leave(key: string | undefined): void {
    if (key === undefined) return
    const left = (this.#byAddress.get(key) ?? 1) - 1
    if (left > 0) this.#byAddress.set(key, left)
    else this.#byAddress.delete(key)
  }
}
