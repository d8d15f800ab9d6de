import type { SigningKey } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import { asSealogError, SealogError } from '../errors.ts'
import type { DocumentId, SpaceId } from '../ids.ts'
import { authenticationInput } from '../relay/authentication.ts'
import type { RelayClient } from '../relay/client.ts'
import type { Session } from '../relay/client-events.ts'
import type { PushEntry, Sync } from '../relay/log-messages.ts'
import type { SpaceAnswer } from '../relay/messages.ts'
import { retryDelay } from '../relay/retry-delay.ts'
import type { Reject } from '../relay/session-messages.ts'
import { type PinnedRelay, sameRelay } from '../verify/log.ts'
import { type ChannelDeadlines, Deadline } from './channel-deadlines.ts'
import { rejection } from './rejection.ts'

/** Delay before a space is opened again after something did not verify, in milliseconds; doubles up to the last. */
const FIRST_RETRY = 200
const LAST_RETRY = 30_000
/** Stands for no request; never in a message. */
const NO_REF = -1

/** What a replica says when it opens a space on a connection. */
export interface Opening {
  readonly signer: SigningKey
  /** Size of the log that it has. */
  readonly from: number
  /** The entry that begins the space, where the relay may not have it yet. */
  readonly genesis: PushEntry | undefined
  /** Goes with the genesis. */
  readonly admission: string | undefined
  /** Documents that a sparse replica wants the bodies of; undefined for a full one. */
  readonly wants: readonly DocumentId[] | undefined
}

export interface ConversationOptions {
  readonly space: SpaceId
  /** The relay that the space is pinned to. */
  readonly relay: PinnedRelay
  readonly client: RelayClient
  readonly environment: Environment
  readonly deadlines: ChannelDeadlines
  readonly opening: () => Opening
  /** Next stretch of the log; called one at a time, in order. What it throws ends in `onFault`. */
  readonly onSync: (message: Sync) => Promise<void>
  /** Is this the answer to something else that was asked? Called as it comes in, not in turn. */
  readonly onAnswer: (message: Exclude<SpaceAnswer, Reject>) => boolean
  /** Was it something else that the relay refused? */
  readonly onRefusal: (error: SealogError, reject: Reject) => boolean
  /** The relay refused to open the space. @returns whether that was dealt with; otherwise it is a fault */
  readonly onOpenRefused: (error: SealogError) => boolean
  /** What was on its way is lost: the connection ended, or a fault did it. */
  readonly onReset: (cause: SealogError) => void
  /** Something did not verify or could not be stored. The space is opened anew after a back-off. */
  readonly onFault: (error: SealogError) => void
}

/**
 * When a space and its relay talk (protocol.md 8.2, 8.10): opening, one thing at a time, signs of life, and starting over
 * when the connection is lost or something is wrong.
 */
export class Conversation {
  readonly #options: ConversationOptions
  #session: Session | undefined
  /** Grows whenever messages and tasks under way lose their meaning. */
  #generation = 0
  #openRef = NO_REF
  #genesisRef = NO_REF
  #live = false
  #stopped = true
  #retries = 0
  #queue: Promise<void> = Promise.resolve()
  #cancelRetry: () => void = () => {}
  /** Of the next sign of life. */
  readonly #heartbeat: Deadline
  readonly #barriers = new Map<number, { resolve(): void; reject(error: SealogError): void }>()

  constructor(options: ConversationOptions) {
    this.#options = options
    this.#heartbeat = new Deadline(options.environment)
  }

  /** The relay answered the opening, and nothing went wrong since. */
  get isLive(): boolean {
    return this.#live
  }

  start(): void {
    if (!this.#stopped) return
    this.#stopped = false
    this.#options.client.attach(this.#options.space, {
      onUp: session => {
        this.#session = session
        if (sameRelay(session.relay, this.#options.relay)) this.open()
        else this.fault(new SealogError('ERR_RELAY_IDENTITY', 'the relay is not the one of this space'))
      },
      onMessage: message => this.#onMessage(message),
      onDown: cause => this.#down(cause),
    })
  }

  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#options.client.detach(this.#options.space)
    this.#down(undefined)
  }

  /** Resolves when the task under way, if any, has ended. */
  async idle(): Promise<void> {
    await this.#queue
  }

  /** Says anew who this is and from where on it wants the log; whatever was under way is dropped. */
  open(): void {
    this.#reset(undefined)
    const session = this.#session
    if (session === undefined || this.#stopped || !sameRelay(session.relay, this.#options.relay)) return
    const generation = this.#generation
    const { client, space } = this.#options
    const { signer, from, genesis, admission, wants } = this.#options.opening()
    if (genesis !== undefined) {
      this.#genesisRef = client.nextRef()
      client.send({ type: 'push', ref: this.#genesisRef, space, entries: [genesis], admission })
    }
    const input = authenticationInput(session.relay, session.challenge, space, signer.publicKey)
    signer.sign(input).then(
      signature => {
        if (generation !== this.#generation) return
        this.#openRef = client.nextRef()
        client.send({ type: 'open', ref: this.#openRef, space, from, device: signer.publicKey, signature, wants })
        this.#awaitCheckpoint()
      },
      error => {
        if (generation === this.#generation) this.fault(asSealogError(error, 'ERR_KEY', 'cannot sign'))
      },
    )
  }

  /**
   * Something did not verify or could not be stored: nothing of it was kept. The space is opened anew after a
   * back-off: what a relay says once is no more than a problem that is shown.
   */
  fault(error: SealogError): void {
    if (this.#stopped) return
    const { environment, client, space } = this.#options
    client.send({ type: 'leave', space })
    this.#reset(error)
    const full = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** this.#retries++)
    this.#cancelRetry = environment.schedule(retryDelay(environment, full, error), () => this.open())
    this.#options.onFault(error)
  }

  /** A batch was verified and kept: the conversation is sound. */
  sound(message: Sync): void {
    this.#retries = 0
    this.#barriers.get(message.ref)?.resolve()
    this.#barriers.delete(message.ref)
  }

  /** Runs `task` after everything that came before it, unless the conversation starts over meanwhile. */
  enqueue(task: () => Promise<void>): void {
    const generation = this.#generation
    this.#queue = this.#queue.then(async () => {
      if (generation !== this.#generation) return
      try {
        await task()
      } catch (error) {
        if (generation === this.#generation) this.fault(asSealogError(error, 'ERR_STORE', 'sync failed'))
      }
    })
  }

  /** A function that tells whether the conversation has started over since now. */
  guard(): () => boolean {
    const generation = this.#generation
    return () => generation !== this.#generation
  }

  #down(cause: SealogError | undefined): void {
    this.#session = undefined
    this.#reset(cause)
  }

  #reset(cause: SealogError | undefined): void {
    this.#generation++
    this.#live = false
    this.#openRef = NO_REF
    this.#genesisRef = NO_REF
    this.#cancelRetry()
    this.#heartbeat.clear()
    const offline = cause ?? new SealogError('ERR_OFFLINE', 'connection closed')
    const waiting = [...this.#barriers.values()]
    this.#barriers.clear()
    for (const { reject } of waiting) reject(offline)
    this.#options.onReset(offline)
  }

  /** Resolves when everything the relay had when this was called is applied. @throws SealogError ERR_OFFLINE */
  barrier(): Promise<void> {
    if (!this.#live) return Promise.reject(new SealogError('ERR_OFFLINE', 'not connected'))
    return new Promise((resolve, reject) => {
      const { client, space } = this.#options
      const ref = client.nextRef()
      this.#barriers.set(ref, { resolve, reject })
      client.send({ type: 'pull', ref, space })
    })
  }

  // -- What the relay says ----------------------------------------------------------------------------------------

  #onMessage(message: SpaceAnswer): void {
    if (message.type === 'reject') return this.#onReject(message, rejection(message))
    if (this.#live) this.#awaitQuiet()
    if (!this.#options.onAnswer(message) && message.type === 'sync') this.#onSync(message)
  }

  #onSync(message: Sync): void {
    // What still comes of an opening that was given up is not for this one.
    if (!this.#live && message.ref !== this.#openRef) return
    this.#live = true
    this.#awaitQuiet()
    this.enqueue(() => this.#options.onSync(message))
  }

  #onReject(reject: Reject, error: SealogError): void {
    const { ref } = reject
    if (this.#options.onRefusal(error, reject)) return
    if (this.#barriers.has(ref)) {
      this.fault(error)
    } else if (ref === this.#genesisRef) {
      // The genesis may have arrived before, its acknowledgement not: then the log will show it.
      if (error.code !== 'ERR_SPACE_EXISTS') this.fault(error)
    } else if (ref === this.#openRef && error.code !== 'ERR_REMOVED') {
      if (!this.#options.onOpenRefused(error)) this.fault(error)
    } else if (error.code === 'ERR_REMOVED') {
      // What led to it came before, and is looked at first.
      this.enqueue(async () => {
        if (!this.#options.onOpenRefused(error)) this.fault(error)
      })
    } else if (ref === 0 && this.#live) this.fault(error)
  }

  #awaitQuiet(): void {
    this.#heartbeat.set(this.#options.deadlines.quiet, () => {
      this.#awaitCheckpoint()
      this.barrier().catch(() => {})
    })
  }

  #awaitCheckpoint(): void {
    this.#heartbeat.set(this.#options.deadlines.checkpoint, () => {
      this.#options.client.reconnect(new SealogError('ERR_OFFLINE', 'the relay no longer answers'))
    })
  }
}
