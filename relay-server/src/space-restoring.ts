import { hasCode, type Restore, type SpaceId } from 'sealog/protocol'
import { acquireInAttempt } from './attempted-space.ts'
import { addressKey } from './client-address.ts'
import type { Restoration } from './restoration.ts'
import type { Restorer } from './restoration-places.ts'
import type { SocketSurroundings } from './socket-surroundings.ts'
import type { Lease } from './space-registry.ts'

/** What one socket gives back of one space, where this relay has lost it: see `Restoration`. */
export class SpaceRestoring {
  readonly #space: SpaceId
  readonly #socket: SocketSurroundings
  readonly #by: Restorer
  #restoration: Restoration | undefined
  /** Lets go of the space; undefined where nothing holds it. */
  #leave: (() => void) | undefined
  #isClosed = false

  constructor(space: SpaceId, socket: SocketSurroundings) {
    this.#space = space
    this.#socket = socket
    this.#by = { address: addressKey(socket.address) }
  }

  /** More parts are to come. */
  get isUnderWay(): boolean {
    return this.#restoration !== undefined
  }

  /** Takes one part from whoever brings it. @throws SealogError as `Restoration.take` */
  async take(message: Restore): Promise<void> {
    const { spaces, context, address, staging, onAuthenticated } = this.#socket
    const attempt = context.gate.attempt(address)
    const lease = await acquireInAttempt(spaces, attempt, this.#space, { address, device: undefined })
    let isKept = false
    try {
      // The space may have been read anew since the part before: what was kept of that one is of no use any more.
      if (this.#restoration !== lease.restoration) this.end()
      this.#restoration = lease.restoration
      await lease.restoration.take(message, this.#by, hash => staging.find(this.#space, hash))
      attempt.succeeded()
      onAuthenticated()
      if (!message.more || this.#isClosed) this.end()
      else isKept = this.#keep(lease)
    } catch (error) {
      this.end()
      throw error
    } finally {
      if (!isKept) lease.release()
    }
  }

  /**
   * Between two parts nobody else may hold the space: without a hold, what was brought of it would go with the space when
   * others need the room. It counts as a space that is open here, and where there is no room for one, it is not kept.
   * @returns whether the lease is kept
   */
  #keep(lease: Lease): boolean {
    if (this.#leave !== undefined) return false
    try {
      const uncount = this.#socket.hold(this.#space, () => lease.weight.bytes)
      this.#leave = () => {
        uncount()
        lease.release()
      }
      return true
    } catch (error) {
      if (!hasCode(error, 'ERR_LIMIT')) throw error
      return false
    }
  }

  /** Gives up what is under way. */
  end(): void {
    this.#restoration?.end(this.#by)
    this.#restoration = undefined
    this.#leave?.()
    this.#leave = undefined
  }

  /** The socket is gone. */
  close(): void {
    this.#isClosed = true
    this.end()
  }
}
