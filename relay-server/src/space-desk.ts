import {
  type Cosign,
  encodeMessage,
  type GetBody,
  type GetChain,
  type GetDocument,
  type GetKeys,
  INLINE_BODY_LENGTH,
  type Read,
  SealogError,
  type Skip,
  type SpaceId,
} from 'sealog/protocol'
import { auditFrames, chainFrames, documentFrames, keyFrames, REWOUND_COST, skipFrames } from './log-answers.ts'
import type { SocketSurroundings } from './socket-surroundings.ts'
import { isForContent, notOpen, type Reading } from './space-reading.ts'
import type { Lease } from './space-registry.ts'

/** What a skip costs, in bytes as if they were sent: a read of the control entries, and proofs. */
const SKIP_COST: number = 16 * 1024
/** What a cosignature costs, likewise: a signature to verify, and a write. */
const COSIGN_COST: number = 64 * 1024

/** What one socket may do in one space, as it is whenever it is asked: see `SpaceReading`. */
interface ReadingRight {
  readonly isClosed: boolean
  readonly reading: Reading | undefined
  /** @throws SealogError ERR_UNAUTHORIZED, ERR_REMOVED */
  assertOpen(): Reading
  /** @throws SealogError ERR_UNAUTHORIZED, ERR_REMOVED */
  assertContent(): Reading
}

/**
 * What a device asks for beside the log that it follows: bodies, stretches of old entries, documents, chains, keys, and
 * that its cosignature be kept. Each costs some of what the device may read, before it is served.
 */
export class SpaceDesk {
  readonly #space: SpaceId
  readonly #socket: SocketSurroundings
  readonly #right: ReadingRight

  constructor(space: SpaceId, socket: SocketSurroundings, right: ReadingRight) {
    this.#space = space
    this.#socket = socket
    this.#right = right
  }

  async sendBody({ ref, index, offset }: GetBody): Promise<void> {
    const { reading } = this.#right
    if (reading === undefined) throw notOpen()
    const { sequencer } = reading.lease
    const { peer } = this.#socket
    if (index >= (sequencer.head?.checkpoint.size ?? 0)) throw new SealogError('ERR_UNEXPECTED', `no entry ${index}`)
    if (!isForContent(reading) && (reading.subscription.isEnding || !(await sequencer.isControl(index)))) {
      // As for a body that is lost: a replica goes on without, and takes what else there is in the same message.
      throw new SealogError('ERR_BODY', 'content is for members')
    }
    const { gate } = this.#socket.context
    gate.read(this.#space, reading.subscription.device)
    await peer.drained()
    const bytes = await sequencer.readBody(index, offset, INLINE_BODY_LENGTH)
    if (bytes === undefined) throw new SealogError('ERR_BODY', `the body of entry ${index} is not stored`)
    if (bytes.length === 0 && offset > 0) throw new SealogError('ERR_UNEXPECTED', `the body ends before ${offset}`)
    gate.sent(this.#space, reading.subscription.device, bytes.length)
    peer.send(encodeMessage({ type: 'body-part', ref, space: this.#space, offset, bytes }))
  }

  /** Where the reader stands in the log does not matter for it; but it comes in turn, so that notes never go back. */
  sendAudit(message: Read): void {
    const { subscription, lease } = this.#right.assertOpen()
    const { context } = this.#socket
    subscription.answerWith(
      message.ref,
      position => auditFrames(context, lease, subscription.device, message, position),
      isPaid,
    )
  }

  /** To a size that may be long ago, whose state has to be found again. */
  async sendSkip(message: Skip): Promise<void> {
    const { subscription, lease } = this.#right.assertOpen()
    const { context } = this.#socket
    const { size } = lease.sequencer
    const distance = message.at === 0 ? 0 : Math.max(0, Math.min(message.at, size - message.at))
    context.gate.read(this.#space, subscription.device, SKIP_COST + distance * REWOUND_COST)
    await this.#answer((held, device) => skipFrames(context, held, device, message))
  }

  /** Written durably, one for all sizes: whoever brings them all the time has to wait like a reader. */
  async takeCosignature(message: Cosign): Promise<void> {
    const { subscription } = this.#right.assertOpen()
    this.#socket.context.gate.read(this.#space, subscription.device, COSIGN_COST)
    await this.#holding((lease, device) => lease.cosignatures.take(message, device))
  }

  async sendChain(message: GetChain): Promise<void> {
    const { subscription } = this.#right.assertContent()
    const { context } = this.#socket
    context.gate.read(this.#space, subscription.device)
    await this.#answer(lease => chainFrames(context, lease, message))
  }

  /** As of what the reader has when it comes, after which bodies of the document travel too. */
  sendDocument(message: GetDocument): void {
    const { subscription, lease } = this.#right.assertContent()
    const { context } = this.#socket
    context.gate.read(this.#space, subscription.device)
    subscription.answerWith(message.ref, position => {
      subscription.want(message.document)
      return documentFrames(context, lease, message, position)
    })
  }

  /** As of what the reader has when it comes: it knows of every delivery that is in it. */
  sendKeys(message: GetKeys): void {
    const { subscription, lease } = this.#right.assertOpen()
    const { context } = this.#socket
    subscription.answerWith(
      message.ref,
      position => keyFrames(context, lease, subscription.device, message, position),
      isPaid,
    )
  }

  /** Runs something for the device that has the space open, which stays in memory even if the reading ends. */
  async #holding<T>(run: (lease: Lease, device: number) => Promise<T>): Promise<T> {
    this.#right.assertOpen()
    const lease = await this.#socket.spaces.acquire(this.#space)
    try {
      lease.sequencer.assertLevel()
      // Its right to ask may have ended in the meantime.
      const { device } = this.#right.assertOpen().subscription
      return await run(lease, device)
    } finally {
      lease.release()
    }
  }

  /** Sends what does not depend on where the reader is, as slowly as it is taken. */
  #answer(compose: (lease: Lease, device: number) => AsyncIterable<Uint8Array>): Promise<void> {
    const { peer, context } = this.#socket
    return this.#holding(async (lease, device) => {
      for await (const frame of compose(lease, device)) {
        await peer.drained()
        if (this.#right.isClosed) return
        context.gate.sent(this.#space, device, frame.length)
        peer.send(frame)
      }
    })
  }
}

/** What a reader was charged for before it was made costs nothing more when it is sent. */
function isPaid(): void {}
