import { hasCode, type Open, type Pull, SealogError, type SpaceId, toHex } from 'sealog/protocol'
import { mayHaveContent } from './content-rights.ts'
import { authenticate, deviceOf } from './device-authentication.ts'
import { relayBehind, removedDevice } from './reject.ts'
import type { SocketSurroundings } from './socket-surroundings.ts'
import { deviceKey } from './space-loads.ts'
import type { Lease } from './space-registry.ts'
import { Subscription } from './subscription.ts'

/** A space as a socket has it open. */
export interface Reading {
  readonly subscription: Subscription
  readonly lease: Lease
}

/** What one socket reads of one space: nothing before a device of the space has authenticated. */
export class SpaceReading {
  readonly space: SpaceId
  readonly #socket: SocketSurroundings
  #reading: Reading | undefined
  #isClosed = false

  constructor(space: SpaceId, socket: SocketSurroundings) {
    this.space = space
    this.#socket = socket
  }

  get isOpen(): boolean {
    return this.#reading !== undefined
  }

  /** A device of the space has it open that was not removed from it. */
  get isCurrent(): boolean {
    return this.#reading?.subscription.isEnding === false
  }

  /** Open for a device that may have the content, so not for one that waits for approval. */
  get isOfMember(): boolean {
    return this.#reading !== undefined && isForContent(this.#reading)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Undefined where nothing is open. */
  get reading(): Reading | undefined {
    return this.#reading
  }

  /** The socket is gone. */
  close(): void {
    this.#isClosed = true
    this.end()
  }

  /** Authenticates the device and sends the log from where it is, in the place of what was open. */
  async open(message: Open): Promise<void> {
    this.#socket.assertRoom(this.space)
    // Before the space is looked for: made-up ones cost the relay a look into its store.
    const attempt = this.#socket.context.gate.attempt(this.#socket.address)
    try {
      await this.#open(message)
      attempt.succeeded()
    } catch (error) {
      const isStranger = hasCode(error, 'ERR_UNKNOWN_SPACE') || hasCode(error, 'ERR_UNAUTHORIZED')
      if (!isStranger) attempt.succeeded()
      throw error
    }
  }

  async #open(message: Open): Promise<void> {
    const { spaces, context, challenge, address } = this.#socket
    const device = deviceKey(this.space, toHex(message.device))
    let lease = await spaces.acquire(this.space, { address, device })
    try {
      // What was pushed before decides too, here or in another process: a join makes its device current.
      await lease.sequencer.level()
      // Before the device: it may have been admitted in what is lost.
      lease.sequencer.assertLevel()
      // Before the signature: whether an unknown key may be one at all costs milliseconds, and anybody could ask.
      const { number } = deviceOf(lease.sequencer, message.device)
      await authenticate(context, challenge, message)
      context.gate.loads.charge(device, lease.loaded)
      // Before a new note: where entries are lost, a later time under fewer of them must not be signed.
      if (message.from > lease.sequencer.size) throw relayBehind(lease.sequencer.size)
      await lease.sequencer.settle(number)
      lease = this.#counted(lease)
      this.#read(message, lease)
    } catch (error) {
      lease.release()
      throw error
    }
  }

  /** The same hold, which counts for the socket as long as it lasts. @throws SealogError ERR_LIMIT */
  #counted(lease: Lease): Lease {
    const leave = this.#socket.hold(this.space, () => lease.weight.bytes)
    return {
      ...lease,
      release() {
        leave()
        lease.release()
      },
    }
  }

  #read({ device, from, wants, ref }: Open, lease: Lease): void {
    const { sequencer } = lease
    const { number, removed } = deviceOf(sequencer, device)
    const size = sequencer.head?.checkpoint.size ?? 0
    if (from > size) throw relayBehind(size)
    const { gate } = this.#socket.context
    // Whoever is level reads nothing but what is new; who reads it all over and over has to wait.
    if (from < size) gate.read(this.space, number, 0)
    this.end()
    if (this.#isClosed) {
      lease.release()
      return
    }
    const subscription = new Subscription({
      sequencer,
      device: number,
      from,
      removedAt: removed?.index,
      wants,
      ref,
      peer: this.#socket.peer,
      onRead: bytes => gate.sent(this.space, number, bytes),
      onEnd: () => {
        if (this.#reading?.subscription !== subscription) return
        // A device that was told of its removal hears that again, whatever it asks, until it opens as another one.
        if (subscription.isEnding) lease.release()
        else this.end()
      },
    })
    this.#reading = { subscription, lease }
    this.#socket.onAuthenticated()
    subscription.start()
  }

  /** With a note that is not older than the limit, after all that came before. */
  async pull({ ref }: Pull): Promise<void> {
    const { subscription } = this.assertOpen()
    // A hold of its own: the subscription may end in the meantime.
    const lease = await this.#socket.spaces.acquire(this.space)
    try {
      await lease.sequencer.settle(subscription.device)
    } finally {
      lease.release()
    }
    lease.sequencer.assertLevel()
    this.assertOpen().subscription.answer(ref)
  }

  /** @throws SealogError ERR_UNAUTHORIZED; ERR_REMOVED for a device that only learns that it was removed */
  assertOpen(): Reading {
    if (this.#reading === undefined) throw notOpen()
    if (this.#reading.subscription.isEnding) throw removedDevice()
    return this.#reading
  }

  /** The same for what is about content. @throws SealogError ERR_UNAUTHORIZED, ERR_REMOVED */
  assertContent(): Reading {
    const reading = this.assertOpen()
    if (isForContent(reading)) return reading
    throw new SealogError('ERR_UNAUTHORIZED', 'content is for members')
  }

  end(): void {
    const reading = this.#reading
    this.#reading = undefined
    reading?.subscription.end()
    reading?.lease.release()
  }
}

/** May its device have the content, as things stand? */
export function isForContent({ subscription, lease }: Reading): boolean {
  const { state } = lease.sequencer
  return state !== undefined && mayHaveContent(state.control, subscription.device)
}

export function notOpen(): SealogError {
  return new SealogError('ERR_UNAUTHORIZED', 'the space is not open on this socket')
}
