import {
  encodeMessage,
  type GetBody,
  type GetDocument,
  INLINE_BODY_LENGTH,
  type Open,
  type Pull,
  SealogError,
  type SpaceId,
} from 'sealog/protocol'
import { authenticate, currentDevice } from './device-authentication.ts'
import { documentFrames } from './log-answers.ts'
import { relayBehind } from './reject.ts'
import type { SocketSurroundings } from './socket-surroundings.ts'
import type { Lease } from './space-registry.ts'
import { Subscription } from './subscription.ts'

interface Reading {
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

  get subscription(): Subscription | undefined {
    return this.#reading?.subscription
  }

  /** The socket is gone. */
  close(): void {
    this.#isClosed = true
    this.end()
  }

  /** Authenticates the device and sends the log from where it is, in the place of what was open. */
  async open(message: Open): Promise<void> {
    this.#socket.assertRoom(this.space)
    const lease = await this.#socket.spaces.acquire(this.space)
    try {
      // What was pushed before on this socket decides too: a join makes its device current.
      await lease.sequencer.idle()
      // Before the device: it may have been admitted in what is lost.
      lease.sequencer.assertLevel()
      // Before the signature: whether an unknown key may be one at all costs milliseconds, and anybody could ask.
      currentDevice(lease.sequencer, message.device)
      await authenticate(this.#socket.context, this.#socket.challenge, message)
      // Before a new note: where entries are lost, a later time under fewer of them must not be signed.
      if (message.from > lease.sequencer.size) throw relayBehind(lease.sequencer.size)
      await lease.sequencer.settle()
      this.#read(message, lease)
    } catch (error) {
      lease.release()
      throw error
    }
  }

  #read({ device, from, wants, ref }: Open, lease: Lease): void {
    const { sequencer } = lease
    const number = currentDevice(sequencer, device)
    const size = sequencer.head?.checkpoint.size ?? 0
    if (from > size) throw relayBehind(size)
    this.end()
    if (this.#isClosed) {
      lease.release()
      return
    }
    const subscription = new Subscription({
      sequencer,
      device: number,
      from,
      wants,
      ref,
      peer: this.#socket.peer,
      onEnd: () => {
        if (this.#reading?.subscription === subscription) this.end()
      },
    })
    this.#reading = { subscription, lease }
    this.#socket.onAuthenticated()
    subscription.start()
  }

  /** With a note that is not older than the limit, after all that came before. */
  async pull({ ref }: Pull): Promise<void> {
    this.assertOpen()
    // A hold of its own: the subscription may end in the meantime.
    const lease = await this.#socket.spaces.acquire(this.space)
    await lease.sequencer.settle()
    lease.release()
    lease.sequencer.assertLevel()
    this.assertOpen().subscription.answer(ref)
  }

  /** @throws SealogError ERR_UNAUTHORIZED */
  assertOpen(): Reading {
    if (this.#reading === undefined) throw notOpen()
    return this.#reading
  }

  end(): void {
    const reading = this.#reading
    this.#reading = undefined
    reading?.subscription.end()
    reading?.lease.release()
  }

  async sendBody({ ref, index, offset }: GetBody): Promise<void> {
    const { sequencer } = this.assertOpen().lease
    const { peer } = this.#socket
    if (index >= (sequencer.head?.checkpoint.size ?? 0)) throw new SealogError('ERR_UNEXPECTED', `no entry ${index}`)
    await peer.drained()
    const bytes = await sequencer.readBody(index, offset, INLINE_BODY_LENGTH)
    if (bytes === undefined) throw new SealogError('ERR_BODY', `the body of entry ${index} is not stored`)
    if (bytes.length === 0 && offset > 0) throw new SealogError('ERR_UNEXPECTED', `the body ends before ${offset}`)
    peer.send(encodeMessage({ type: 'body-part', ref, space: this.space, offset, bytes }))
  }

  /** Runs something for the device that has the space open, which stays in memory even if the reading ends. */
  async holding<T>(run: (lease: Lease, device: number) => Promise<T>): Promise<T> {
    const { device } = this.assertOpen().subscription
    const lease = await this.#socket.spaces.acquire(this.space)
    try {
      lease.sequencer.assertLevel()
      return await run(lease, device)
    } finally {
      lease.release()
    }
  }

  /** Sends what does not depend on where the reader is, as slowly as it is taken. */
  answer(compose: (lease: Lease, device: number) => AsyncIterable<Uint8Array>): Promise<void> {
    const { peer } = this.#socket
    return this.holding(async (lease, device) => {
      for await (const frame of compose(lease, device)) {
        await peer.drained()
        if (this.#isClosed) return
        peer.send(frame)
      }
    })
  }

  /** As of what the reader has when it comes, after which bodies of the document travel too. */
  sendDocument(message: GetDocument): void {
    const { subscription, lease } = this.assertOpen()
    const { context } = this.#socket
    subscription.answerWith(message.ref, position => {
      subscription.want(message.document)
      return documentFrames(context, lease, message, position)
    })
  }
}

export function notOpen(): SealogError {
  return new SealogError('ERR_UNAUTHORIZED', 'the space is not open on this socket')
}
