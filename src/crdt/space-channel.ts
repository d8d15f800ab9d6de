import type { Environment } from '../environment.ts'
import { asSealogError, SealogError } from '../errors.ts'
import type { DocumentId, SpaceId } from '../ids.ts'
import type { RelayClient } from '../relay/client.ts'
import type { Keys } from '../relay/key-messages.ts'
import type { PushEntry, Sync } from '../relay/log-messages.ts'
import type { SpaceAnswer } from '../relay/messages.ts'
import type { Reject } from '../relay/session-messages.ts'
import type { Batch, PinnedRelay } from '../verify/log.ts'
import { BodyTransfer, inlinePart, type OutgoingEntry } from './body-transfer.ts'
import { type ChannelDeadlines, Deadline } from './channel-deadlines.ts'
import { Conversation, type Opening } from './conversation.ts'
import { type RecordsAnswer, type RecordsRequest, RelayQuestions } from './relay-questions.ts'

export interface SpaceChannelOptions {
  readonly space: SpaceId
  /** The relay that the space is pinned to. */
  readonly relay: PinnedRelay
  readonly client: RelayClient
  readonly environment: Environment
  readonly deadlines: ChannelDeadlines
  readonly opening: () => Opening
  /** Next stretch of the log; called one at a time, in order. What it throws ends in `onFault`. */
  readonly onSync: (message: Sync) => Promise<void>
  /** The relay refused to open the space. @returns whether that was dealt with; otherwise it is a fault */
  readonly onOpenRefused: (error: SealogError) => boolean
  /** What was on its way is lost: the connection ended, or a fault did it. */
  readonly onReset: () => void
  /** Something did not verify or could not be stored. The channel opens anew after a back-off. */
  readonly onFault: (error: SealogError) => void
}

/** A push that is neither refused nor in the log yet. */
interface Pushing {
  /** Undefined as long as what goes ahead of it is on its way. */
  ref: number | undefined
  readonly onRefused: (error: SealogError, position: number) => void
}

/**
 * All that one space says to its relay, and asks of it, while they talk. Knows nothing of what is in a batch, and believes
 * nothing: what comes is for whoever asked to verify.
 */
export class SpaceChannel {
  readonly #options: SpaceChannelOptions
  readonly #conversation: Conversation
  readonly #questions: RelayQuestions
  readonly #bodies: BodyTransfer
  #pushing: Pushing | undefined
  /** Of the answer to the push. */
  readonly #landing: Deadline

  constructor(options: SpaceChannelOptions) {
    this.#options = options
    this.#questions = new RelayQuestions(options.space, options.client)
    this.#bodies = new BodyTransfer(options.space, this.#questions)
    this.#landing = new Deadline(options.environment)
    this.#conversation = new Conversation({
      ...options,
      onAnswer: message => this.#onAnswer(message),
      onRefusal: (error, reject) => this.#onRefusal(error, reject),
      onReset: cause => {
        this.landed()
        this.#questions.abandon(cause)
        options.onReset()
      },
    })
  }

  // -- When it talks ----------------------------------------------------------------------------------------------

  /** The relay answered the opening, and nothing went wrong since. */
  get isLive(): boolean {
    return this.#conversation.isLive
  }

  start(): void {
    this.#conversation.start()
  }

  stop(): void {
    this.#conversation.stop()
  }

  /** Resolves when the task under way, if any, has ended. */
  idle(): Promise<void> {
    return this.#conversation.idle()
  }

  /** Says anew who this is and from where on it wants the log; whatever was under way is dropped. */
  open(): void {
    this.#conversation.open()
  }

  /** Something did not verify or could not be stored: the space is opened anew after a back-off. */
  fault(error: SealogError): void {
    this.#conversation.fault(error)
  }

  /** A batch was verified and kept: the conversation is sound. */
  sound(message: Sync): void {
    this.#conversation.sound(message)
  }

  /** Runs `task` after everything that came before it, unless the conversation starts over meanwhile. */
  enqueue(task: () => Promise<void>): void {
    this.#conversation.enqueue(task)
  }

  /** A function that tells whether the conversation has started over since now. */
  guard(): () => boolean {
    return this.#conversation.guard()
  }

  /** Resolves when everything the relay had when this was called is applied. @throws SealogError ERR_OFFLINE */
  barrier(): Promise<void> {
    return this.#conversation.barrier()
  }

  // -- Writing ----------------------------------------------------------------------------------------------------

  /**
   * Sends entries, large bodies ahead of them, one push at a time. That they were accepted shows in the log, of which
   * `landed` is to tell.
   * @param onRefused called after everything accepted before has been applied; also where what goes ahead is refused
   */
  async push(entries: readonly OutgoingEntry[], onRefused: Pushing['onRefused']): Promise<void> {
    const over = this.guard()
    const pushing: Pushing = { ref: undefined, onRefused }
    this.#pushing = pushing
    this.#awaitLanding(pushing)
    for (const [position, entry] of entries.entries()) {
      try {
        await this.#bodies.putAhead(entry)
      } catch (error) {
        if (!over()) this.#pushRefused(pushing, asSealogError(error, 'ERR_OFFLINE', 'push failed'), position)
        return
      }
    }
    if (over()) return
    const { client, space } = this.#options
    pushing.ref = client.nextRef()
    client.send({ type: 'push', ref: pushing.ref, space, entries: entries.map(inlinePart) })
  }

  /** All entries of the push are in the log. */
  landed(): void {
    this.#pushing = undefined
    this.#landing.clear()
  }

  #pushRefused(pushing: Pushing, error: SealogError, position: number): void {
    if (this.#pushing === pushing) this.landed()
    this.enqueue(async () => pushing.onRefused(error, position))
  }

  /**
   * A relay that answers all else, and not this, must not keep what waits behind it for ever: on a new connection the log
   * shows whether the entries landed. What has come by then is looked at first.
   */
  #awaitLanding(pushing: Pushing): void {
    const { client, deadlines } = this.#options
    this.#landing.set(deadlines.push, () =>
      this.enqueue(async () => {
        if (this.#pushing !== pushing) return
        client.reconnect(new SealogError('ERR_OFFLINE', 'the relay does not answer a push'))
      }),
    )
  }

  // -- Reading ----------------------------------------------------------------------------------------------------

  /** The wraps of this device in epochs `from … to`; unverified. @throws SealogError what the relay answers */
  async keys(from: number, to: number): Promise<Keys> {
    const answer = await this.#questions.ask(ref => ({ type: 'get-keys', ref, space: this.#options.space, from, to }))
    if (answer.type !== 'keys') throw new SealogError('ERR_UNEXPECTED', 'no keys in the answer')
    return answer
  }

  /** The start of an entry's body, at most `INLINE_BODY_LENGTH` bytes; unverified. @throws SealogError ERR_BODY */
  bodyStart(index: number): Promise<Uint8Array> {
    return this.#bodies.part(index, 0)
  }

  /** The whole body of an entry; unverified. @throws SealogError ERR_BODY where the relay does not serve it */
  body(index: number, length: number): Promise<Uint8Array> {
    return this.#bodies.whole(index, length)
  }

  /** The same; undefined where the relay does not have it. */
  bodyIfServed(index: number, length: number): Promise<Uint8Array | undefined> {
    return this.#bodies.ifServed(index, length)
  }

  /**
   * The batch with the bodies that were too long to travel in it; unverified like the rest.
   * @param isWanted documents whose bodies are wanted
   * @throws SealogError ERR_LIMIT for more than one message may announce
   */
  withLargeBodies(batch: Batch, isWanted: (document: DocumentId) => boolean): Promise<Batch> {
    return this.#bodies.completed(batch, isWanted)
  }

  /** Entries out of the middle of the log; unverified. @throws SealogError what the relay answers, ERR_LIMIT */
  records(request: RecordsRequest): Promise<RecordsAnswer> {
    return this.#questions.records(request)
  }

  /**
   * The same, handled in its turn: after everything that came before the answer on this connection, and before
   * everything that comes behind it. So a document arrives exactly as of the view.
   */
  recordsInTurn(
    request: RecordsRequest,
    onAnswer: (answer: RecordsAnswer) => Promise<void>,
    onRefused: (error: SealogError) => void,
  ): void {
    const over = this.guard()
    this.#questions.collect(
      request,
      answer => this.enqueue(() => onAnswer(answer)),
      error => {
        if (!over()) this.enqueue(async () => onRefused(error))
      },
    )
  }

  /** A stretch of headers, from the log as the relay has it by now; unverified. */
  read(from: number, to: number): Promise<Batch> {
    return this.#questions.stretch(from, to)
  }

  /** Hands over a note with an own cosignature. */
  async cosign(note: Uint8Array): Promise<void> {
    await this.#questions.ask(ref => ({ type: 'cosign', ref, space: this.#options.space, note }))
  }

  /** Gives the relay back what it lost; each part is a frame of its own. */
  async restore(note: Uint8Array, from: number, entries: readonly PushEntry[], more: boolean): Promise<void> {
    const { space } = this.#options
    await this.#questions.ask(ref => ({ type: 'restore', ref, space, note, from, entries, more }))
  }

  // -- Answers ----------------------------------------------------------------------------------------------------

  #onAnswer(message: Exclude<SpaceAnswer, Reject>): boolean {
    if (!this.#questions.answered(message)) return false
    // The answer to a push comes behind these: as long as they come, it may be on its way.
    if (this.#pushing !== undefined && this.#landing.isSet) this.#awaitLanding(this.#pushing)
    return true
  }

  #onRefusal(error: SealogError, { ref, position }: Reject): boolean {
    if (this.#questions.refused(ref, error)) return true
    const pushing = this.#pushing
    if (pushing === undefined || pushing.ref !== ref) return false
    this.#pushRefused(pushing, error, position)
    return true
  }
}
