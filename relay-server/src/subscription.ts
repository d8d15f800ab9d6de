import { type DocumentId, encodeMessage, hasCode, MAX_WANTS, SealogError } from 'sealog/protocol'
import type { Broadcast } from './broadcast.ts'
import type { Follower } from './followers.ts'
import { CLOSE, type Peer } from './peer.ts'
import { rejectFrame, removedDevice, tellable } from './reject.ts'
import type { SpaceSequencer } from './space-sequencer.ts'

/** Answers that wait for a reader: one that asks for more and takes none is done with. */
const MAX_OWED = 1024

/** Composes an answer for a reader that has the first `position` entries and knows their state. */
type AnswerAt = (position: number) => AsyncIterable<Uint8Array>

interface OwedAnswer {
  readonly ref: number
  readonly answerAt: AnswerAt
  readonly onSent: (bytes: number) => void
  /** Entries that the reader is to have before. */
  readonly due: number
}

/** What is still owed to the reader once it has all entries: the answer to a request, or a refusal. */
type Owed = { readonly ref: number; readonly answerAt?: undefined } | OwedAnswer | { readonly frame: Uint8Array }

export interface SubscriptionOptions {
  readonly sequencer: SpaceSequencer
  /** Number of the device that reads. */
  readonly device: number
  /** The first entry that the reader does not have. */
  readonly from: number
  /** Index of the entry that removed the device, where one did. */
  readonly removedAt?: number | undefined
  /** Undefined: all bodies and no tracers. Otherwise the documents whose bodies are wanted, and tracers. */
  readonly wants: readonly DocumentId[] | undefined
  /** Of the request to open, which the first message answers. */
  readonly ref: number
  readonly peer: Peer
  /** So many bytes were read, or sent, for this reader alone. */
  readonly onRead: (bytes: number) => void
  /** Called once when the subscription ends by itself. */
  readonly onEnd: () => void
}

/**
 * One reader of one space on one socket. It sends the log without gap or overlap from where the reader is: entry by
 * entry from the store while it lags, as slowly as the reader takes it, and what others get too once it is level. A
 * sparse reader always gets parts of its own, with the bodies that it wants and the tracers that it needs.
 */
export class Subscription implements Follower {
  readonly device: number
  readonly #options: SubscriptionOptions
  readonly #owed: Owed[] = []
  readonly #wants: Set<DocumentId> | undefined
  #firstRef: number | undefined
  #position: number
  /** Where the device's right to read ends. */
  #limit: number | undefined
  /** Request under which the reader is told that its right has ended. */
  readonly #noticeRef: number
  #isCatchingUp = false
  #hasEnded = false

  constructor(options: SubscriptionOptions) {
    const { device, from, removedAt, ref } = options
    this.device = device
    this.#options = options
    this.#position = from
    this.#limit = removedAt === undefined ? undefined : removedAt + 1
    this.#noticeRef = removedAt === undefined ? 0 : ref
    // Who has the entry that removed it already is owed no other answer than the notice.
    this.#firstRef = this.#limit === undefined || from < this.#limit ? ref : undefined
    this.#wants = options.wants && new Set(options.wants)
  }

  start(): void {
    this.#options.sequencer.follow(this)
    this.#catchUp()
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** The device was removed: what is left for it is the log up to there, and the notice. */
  get isEnding(): boolean {
    return this.#limit !== undefined
  }

  /** Answers request `ref` with the current note, after all that comes before. */
  answer(ref: number): void {
    this.#owe({ ref })
    this.#catchUp()
  }

  /** Sends a refusal after all entries so far. */
  refuse(frame: Uint8Array): void {
    this.#owe({ frame })
    this.#catchUp()
  }

  /**
   * Answers request `ref` by frames of its own, once the reader has every entry that there was when it asked: a log that
   * grows faster than it is sent must not keep it waiting for ever. From the call of `answerAt`, which gets the number
   * of entries sent, to the last of its frames nothing else of the log is sent: the reader's view is exactly there when
   * it reads them. Frames go as slowly as the reader takes them. What `answerAt`
   * throws, at once or later, becomes the refusal of `ref`; nobody asks it where the subscription ends before.
   * @param onSent with the length of each frame; default: it counts as read for this reader
   */
  answerWith(ref: number, answerAt: AnswerAt, onSent: (bytes: number) => void = this.#options.onRead): void {
    this.#owe({ ref, answerAt, onSent, due: this.#end() })
    this.#catchUp()
  }

  /**
   * From the next entry that is sent on, bodies of this document travel to a sparse reader. Called within `answerAt`,
   * that is right behind the position of the answer. Of more documents than `MAX_WANTS` none do: a reader that has so
   * many asks for their bodies one by one.
   */
  want(document: DocumentId): void {
    if (this.#wants !== undefined && this.#wants.size < MAX_WANTS) this.#wants.add(document)
  }

  #owe(owed: Owed): void {
    if (this.#owed.length < MAX_OWED) {
      this.#owed.push(owed)
      return
    }
    this.#owed.length = 0
    this.end()
    this.#options.onEnd()
    this.#options.peer.close(CLOSE.tryAgain, 'reading too slowly')
  }

  onRemoved(index: number): void {
    this.#limit = index + 1
  }

  onAppended(broadcast: Broadcast | undefined, refs: readonly number[]): void {
    if (this.#hasEnded) return
    const { sequencer } = this.#options
    const takesShared = this.#wants === undefined && sequencer.sharesContent(this.device)
    const isLevel = takesShared && !this.#isCatchingUp && broadcast?.from === this.#position
    const rest = isLevel ? this.#relayOn(broadcast, refs) : refs
    for (const ref of rest) this.#owe({ ref })
    if (!isLevel || rest.length > 0) this.#catchUp()
  }

  onFailed(error: SealogError): void {
    this.#giveUp(error)
  }

  /** Nothing more of the log is sent; refusals that waited for it still are. */
  end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#options.sequencer.unfollow(this)
    for (const owed of this.#owed) if ('frame' in owed) this.#options.peer.send(owed.frame)
    this.#owed.length = 0
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
    void this.#run()
  }

  async #run(): Promise<void> {
    try {
      while (!this.#hasEnded && this.#hasWork()) {
        await this.#options.peer.drained()
        if (!this.#hasEnded) await this.#sendNext()
      }
    } catch (error) {
      this.#giveUp(error)
    }
    // In the same step as the last look for work, or something new could slip in between the two.
    this.#isCatchingUp = false
  }

  #hasWork(): boolean {
    const isLevel = this.#position >= this.#end() && this.#firstRef === undefined
    return !isLevel || this.#limit !== undefined || this.#owed.length > 0
  }

  /** Behind the last entry that may be sent by now. */
  #end(): number {
    const size = this.#options.sequencer.head?.checkpoint.size ?? 0
    return Math.min(size, this.#limit ?? size)
  }

  async #sendNext(): Promise<void> {
    const end = this.#end()
    if (this.#isDue(this.#owed[0])) return this.#sendOwed()
    if (this.#position < end || this.#firstRef !== undefined) await this.#sendPart(end)
    else if (this.#limit !== undefined) throw removedDevice()
    else await this.#sendOwed()
  }

  #isDue(owed: Owed | undefined): boolean {
    if (owed === undefined || !('due' in owed) || this.#firstRef !== undefined) return false
    return this.#limit === undefined && owed.due <= this.#position
  }

  async #sendOwed(): Promise<void> {
    const owed = this.#owed.shift()
    if (owed === undefined) return
    if ('frame' in owed) {
      this.#options.peer.send(owed.frame)
      return
    }
    if (owed.answerAt !== undefined) return this.#sendAnswer(owed)
    this.#firstRef = owed.ref
    await this.#sendPart(this.#position)
  }

  async #sendAnswer({ ref, answerAt, onSent }: OwedAnswer): Promise<void> {
    const { sequencer, peer } = this.#options
    try {
      for await (const frame of answerAt(this.#position)) {
        await peer.drained()
        if (this.#hasEnded) return
        onSent(frame.length)
        peer.send(frame)
      }
    } catch (cause) {
      if (!this.#hasEnded) peer.send(rejectFrame({ ref, space: sequencer.space, error: tellable(cause) }))
    }
  }

  async #sendPart(limit: number): Promise<void> {
    const { sequencer, peer } = this.#options
    const reader = { device: this.device, wants: this.#wants }
    const { batch, end, rewound = 0 } = await sequencer.readPart(this.#position, limit, reader)
    if (this.#hasEnded) return
    const ref = this.#firstRef ?? this.#nextRef(end)
    this.#firstRef = undefined
    this.#position = end
    const frame = encodeMessage({ type: 'sync', ref, space: sequencer.space, batch })
    this.#options.onRead(rewound + frame.length)
    peer.send(frame)
  }

  /** A message that brings the reader level answers the request that waits for just that. */
  #nextRef(end: number): number {
    const [owed] = this.#owed
    if (end < this.#end() || owed === undefined || 'frame' in owed || owed.answerAt !== undefined) return 0
    this.#owed.shift()
    return owed.ref
  }

  #giveUp(cause: unknown): void {
    if (this.#hasEnded) return
    const { peer, sequencer, onEnd } = this.#options
    const known = hasCode(cause, 'ERR_REMOVED') || hasCode(cause, 'ERR_RELAY_STORAGE')
    const error = known ? cause : new SealogError('ERR_RELAY_INTERNAL', 'the log cannot be sent', { cause })
    const refs = this.#owed.flatMap(owed => ('ref' in owed ? [owed.ref] : []))
    this.end()
    for (const ref of [...refs, this.#noticeRef]) peer.send(rejectFrame({ ref, space: sequencer.space, error }))
    onEnd()
  }
}
