import {
  type Cosign,
  encodeMessage,
  type GetBody,
  type GetChain,
  type GetDocument,
  type GetKeys,
  hasCode,
  INLINE_BODY_LENGTH,
  type Open,
  type Pull,
  type Read,
  SealogError,
  type Skip,
  type SpaceId,
} from 'sealog/protocol'
import { mayHaveContent } from './content-rights.ts'
import { authenticate, deviceOf } from './device-authentication.ts'
import { chainFrames, documentFrames, keyFrames, skipFrames } from './log-answers.ts'
import { relayBehind, removedDevice } from './reject.ts'
import type { SocketSurroundings } from './socket-surroundings.ts'
import type { Lease } from './space-registry.ts'
import { Subscription } from './subscription.ts'

/** What a skip costs, in bytes as if they were sent: a read of the control entries, and proofs. */
const SKIP_COST: number = 16 * 1024
/** What a cosignature costs, likewise: a signature to verify, and a write. */
const COSIGN_COST: number = 64 * 1024
/** What it costs to go over one entry on the way to an older state, likewise. */
const REWOUND_COST = 256

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

  /** A device of the space has it open that was not removed from it. */
  get isCurrent(): boolean {
    return this.#reading?.subscription.isEnding === false
  }

  /** Open for a device that may have the content, so not for one that waits for approval. */
  get isOfMember(): boolean {
    return this.#reading !== undefined && this.#mayHaveContent(this.#reading)
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
    const lease = await this.#socket.spaces.acquire(this.space)
    try {
      // What was pushed before decides too, here or in another process: a join makes its device current.
      await lease.sequencer.level()
      // Before the device: it may have been admitted in what is lost.
      lease.sequencer.assertLevel()
      // Before the signature: whether an unknown key may be one at all costs milliseconds, and anybody could ask.
      deviceOf(lease.sequencer, message.device)
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
    this.assertOpen()
    // A hold of its own: the subscription may end in the meantime.
    const lease = await this.#socket.spaces.acquire(this.space)
    await lease.sequencer.settle()
    lease.release()
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
    if (this.#mayHaveContent(reading)) return reading
    throw new SealogError('ERR_UNAUTHORIZED', 'content is for members')
  }

  #mayHaveContent({ subscription, lease }: Reading): boolean {
    const { state } = lease.sequencer
    return state !== undefined && mayHaveContent(state.control, subscription.device)
  }

  end(): void {
    const reading = this.#reading
    this.#reading = undefined
    reading?.subscription.end()
    reading?.lease.release()
  }

  async sendBody({ ref, index, offset }: GetBody): Promise<void> {
    const reading = this.#reading
    if (reading === undefined) throw notOpen()
    const { sequencer } = reading.lease
    const { peer } = this.#socket
    if (index >= (sequencer.head?.checkpoint.size ?? 0)) throw new SealogError('ERR_UNEXPECTED', `no entry ${index}`)
    if (!this.#mayHaveContent(reading) && (reading.subscription.isEnding || !(await sequencer.isControl(index)))) {
      // As for a body that is lost: a replica goes on without, and takes what else there is in the same message.
      throw new SealogError('ERR_BODY', 'content is for members')
    }
    const { gate } = this.#socket.context
    gate.read(this.space, reading.subscription.device)
    await peer.drained()
    const bytes = await sequencer.readBody(index, offset, INLINE_BODY_LENGTH)
    if (bytes === undefined) throw new SealogError('ERR_BODY', `the body of entry ${index} is not stored`)
    if (bytes.length === 0 && offset > 0) throw new SealogError('ERR_UNEXPECTED', `the body ends before ${offset}`)
    gate.sent(this.space, reading.subscription.device, bytes.length)
    peer.send(encodeMessage({ type: 'body-part', ref, space: this.space, offset, bytes }))
  }

  /** Runs something for the device that has the space open, which stays in memory even if the reading ends. */
  async holding<T>(run: (lease: Lease, device: number) => Promise<T>): Promise<T> {
    this.assertOpen()
    const lease = await this.#socket.spaces.acquire(this.space)
    try {
      lease.sequencer.assertLevel()
      // Its right to ask may have ended in the meantime.
      const { device } = this.assertOpen().subscription
      return await run(lease, device)
    } finally {
      lease.release()
    }
  }

  /** Sends what does not depend on where the reader is, as slowly as it is taken. */
  answer(compose: (lease: Lease, device: number) => AsyncIterable<Uint8Array>): Promise<void> {
    const { peer, context } = this.#socket
    return this.holding(async (lease, device) => {
      for await (const frame of compose(lease, device)) {
        await peer.drained()
        if (this.#isClosed) return
        context.gate.sent(this.space, device, frame.length)
        peer.send(frame)
      }
    })
  }

  /** In line with everything else that the reader gets. */
  sendAudit({ ref, from, to }: Read): void {
    const { subscription } = this.assertOpen()
    this.#socket.context.gate.read(this.space, subscription.device)
    subscription.audit(ref, from, to)
  }

  /** To a size that may be long ago, whose state has to be found again. */
  async sendSkip(message: Skip): Promise<void> {
    const { subscription, lease } = this.assertOpen()
    const { context } = this.#socket
    const { size } = lease.sequencer
    const distance = message.at === 0 ? 0 : Math.max(0, Math.min(message.at, size - message.at))
    context.gate.read(this.space, subscription.device, SKIP_COST + distance * REWOUND_COST)
    await this.answer((held, device) => skipFrames(context, held, device, message))
  }

  /** Written durably, one for all sizes: whoever brings them all the time has to wait like a reader. */
  async takeCosignature(message: Cosign): Promise<void> {
    const { subscription } = this.assertOpen()
    this.#socket.context.gate.read(this.space, subscription.device, COSIGN_COST)
    await this.holding((lease, device) => lease.cosignatures.take(message, device))
  }

  async sendChain(message: GetChain): Promise<void> {
    const { subscription } = this.assertContent()
    const { context } = this.#socket
    context.gate.read(this.space, subscription.device)
    await this.answer(lease => chainFrames(context, lease, message))
  }

  /** As of what the reader has when it comes, after which bodies of the document travel too. */
  sendDocument(message: GetDocument): void {
    const { subscription, lease } = this.assertContent()
    const { context } = this.#socket
    context.gate.read(this.space, subscription.device)
    subscription.answerWith(message.ref, position => {
      subscription.want(message.document)
      return documentFrames(context, lease, message, position)
    })
  }

  /** As of what the reader has when it comes: it knows of every delivery that is in it. */
  sendKeys(message: GetKeys): void {
    const { subscription, lease } = this.assertOpen()
    subscription.answerWith(message.ref, position => keyFrames(lease, subscription.device, message, position))
  }
}

export function notOpen(): SealogError {
  return new SealogError('ERR_UNAUTHORIZED', 'the space is not open on this socket')
}
