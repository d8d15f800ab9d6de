import { encodeMessage, hasCode, SealogError } from 'sealog/protocol'
import type { Broadcast } from './broadcast.ts'
import type { Peer } from './peer.ts'
import { rejectFrame } from './reject.ts'
import type { Follower, SpaceSequencer } from './space-sequencer.ts'

/** What is still owed to the reader once it has all entries: the answer to a request, or a refusal. */
type Owed = { readonly ref: number } | { readonly frame: Uint8Array }

export interface SubscriptionOptions {
  readonly sequencer: SpaceSequencer
  /** Number of the device that reads. */
  readonly device: number
  /** The first entry that the reader does not have. */
  readonly from: number
  /** Of the request to open, which the first message answers. */
  readonly ref: number
  readonly peer: Peer
  /** Called once when the subscription ends by itself. */
  readonly onEnd: () => void
}

/**
 * One reader of one space on one socket. It sends the log without gap or overlap from where the reader is: entry by
 * entry from the store while it lags, as slowly as the reader takes it, and what others get too once it is level.
 */
export class Subscription implements Follower {
  readonly device: number
  readonly #options: SubscriptionOptions
  readonly #owed: Owed[] = []
  #firstRef: number | undefined
  #position: number
  /** Where the device's right to read ends. */
  #limit: number | undefined
  #isCatchingUp = false
  #hasEnded = false

  constructor(options: SubscriptionOptions) {
    this.device = options.device
    this.#options = options
    this.#position = options.from
    this.#firstRef = options.ref
  }

  start(): void {
    this.#options.sequencer.follow(this)
    this.#catchUp()
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** Answers request `ref` with the current note, after all that comes before. */
  answer(ref: number): void {
    this.#owed.push({ ref })
    this.#catchUp()
  }

  /** Sends a refusal after all entries so far. */
  refuse(frame: Uint8Array): void {
    this.#owed.push({ frame })
    this.#catchUp()
  }

  onRemoved(index: number): void {
    this.#limit = index + 1
  }

  onAppended(broadcast: Broadcast | undefined, refs: readonly number[]): void {
    if (this.#hasEnded) return
    const isLevel = !this.#isCatchingUp && this.#limit === undefined && broadcast?.from === this.#position
    const rest = isLevel ? this.#relayOn(broadcast, refs) : refs
    for (const ref of rest) this.#owed.push({ ref })
    if (!isLevel || rest.length > 0) this.#catchUp()
  }

  /** No more is sent. */
  end(): void {
    this.#hasEnded = true
    this.#owed.length = 0
    this.#options.sequencer.unfollow(this)
  }

  #relayOn(broadcast: Broadcast, refs: readonly number[]): readonly number[] {
    const [ref, ...rest] = refs
    for (const frame of ref === undefined ? broadcast.frames() : broadcast.framesWithRef(ref)) {
      this.#options.peer.send(frame)
    }
    this.#position = broadcast.to
    return rest
  }

  #catchUp(): void {
    if (this.#isCatchingUp || this.#hasEnded) return
    this.#isCatchingUp = true
    this.#sendAll()
      .catch(error => this.#giveUp(error))
      .finally(() => {
        this.#isCatchingUp = false
      })
  }

  async #sendAll(): Promise<void> {
    while (!this.#hasEnded) {
      await this.#options.peer.drained()
      if (this.#hasEnded) return
      const size = this.#options.sequencer.head?.checkpoint.size ?? 0
      const limit = Math.min(size, this.#limit ?? size)
      if (this.#position < limit || this.#firstRef !== undefined) await this.#sendPart(limit)
      else if (this.#limit !== undefined) throw new SealogError('ERR_UNAUTHORIZED', 'the device was removed')
      else if (this.#owed.length > 0) await this.#sendOwed()
      else return
    }
  }

  async #sendOwed(): Promise<void> {
    const owed = this.#owed.shift()
    if (owed === undefined) return
    if ('frame' in owed) {
      this.#options.peer.send(owed.frame)
      return
    }
    this.#firstRef = owed.ref
    await this.#sendPart(this.#position)
  }

  async #sendPart(limit: number): Promise<void> {
    const { sequencer, peer } = this.#options
    const { batch, end } = await sequencer.readPart(this.#position, limit)
    if (this.#hasEnded) return
    const ref = this.#firstRef ?? 0
    this.#firstRef = undefined
    this.#position = end
    peer.send(encodeMessage({ type: 'sync', ref, space: sequencer.space, batch }))
  }

  #giveUp(cause: unknown): void {
    if (this.#hasEnded) return
    const known = hasCode(cause, 'ERR_UNAUTHORIZED') || hasCode(cause, 'ERR_RELAY_STORAGE')
    const error = known ? cause : new SealogError('ERR_RELAY_INTERNAL', 'the log cannot be sent', { cause })
    this.#options.peer.send(rejectFrame({ ref: 0, space: this.#options.sequencer.space, error }))
    this.end()
    this.#options.onEnd()
  }
}
