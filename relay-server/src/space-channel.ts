import {
  type ErrorCode,
  encodeMessage,
  hasCode,
  isZero,
  type Push as PushMessage,
  SealogError,
  type SpaceId,
  type SpaceRequest,
  spaceIdOf,
} from 'sealog/protocol'
import { acquireInAttempt } from './attempted-space.ts'
import type { Creation } from './gate.ts'
import type { Push } from './judge.ts'
import { type AdmittedPush, admitPush } from './push-admission.ts'
import { withinBodyLength } from './push-cost.ts'
import { readPush } from './pushed-entry.ts'
import { rejectFrame, tellable } from './reject.ts'
import type { SocketSurroundings } from './socket-surroundings.ts'
import { SpaceDesk } from './space-desk.ts'
import { notOpen, SpaceReading } from './space-reading.ts'
import type { PushOutcome } from './space-request.ts'
import { SpaceRestoring } from './space-restoring.ts'
import type { SpaceSequencer } from './space-sequencer.ts'
import type { Subscription } from './subscription.ts'

/** The code of a refusal; undefined for what was carried out. */
type Verdict = ErrorCode | undefined
/** Waits for what is left of a request once the next one may be served. */
type Rest = () => Promise<Verdict>

/**
 * One space on one socket. Requests are served one after the other, in the order in which they came; a push is served
 * when it stands in line at the sequencer, so that pushes can share a group.
 */
export class SpaceChannel {
  readonly space: SpaceId
  readonly #socket: SocketSurroundings
  readonly #reading: SpaceReading
  readonly #desk: SpaceDesk
  readonly #restoring: SpaceRestoring
  #tail: Promise<unknown> = Promise.resolve()
  #requests = 0
  #opens = 0
  #isClosed = false

  constructor(space: SpaceId, socket: SocketSurroundings) {
    this.space = space
    this.#socket = socket
    this.#reading = new SpaceReading(space, socket)
    this.#desk = new SpaceDesk(space, socket, this.#reading)
    this.#restoring = new SpaceRestoring(space, socket)
  }

  /** For a device that is not removed. */
  get isReading(): boolean {
    return this.#reading.isCurrent
  }

  /** A member has the space open here. */
  get isOfMember(): boolean {
    return this.#reading.isOfMember
  }

  /** Nothing is open and nothing is asked for. */
  get isUnused(): boolean {
    return !this.#reading.isOpen && !this.#restoring.isUnderWay && this.#requests === 0
  }

  /** @returns a promise, never rejected, that is kept when the request is answered */
  async handle(message: SpaceRequest): Promise<void> {
    const { meter, environment } = this.#socket.context
    const begun = environment.now()
    this.#requests++
    if (message.type === 'open') this.#opens++
    const served = this.#tail.then(() => this.#serve(message))
    this.#tail = served
    const rest = await served
    const verdict = await rest()
    if (message.type === 'open') this.#opens--
    this.#requests--
    meter.served(message.type, verdict, (environment.now() - begun) / 1000)
  }

  /** The socket is gone. */
  close(): void {
    this.#isClosed = true
    this.#reading.close()
    this.#restoring.close()
  }

  async #serve(message: SpaceRequest): Promise<Rest> {
    if (this.#isClosed) return async () => undefined
    try {
      return (await this.#dispatch(message)) ?? (async () => undefined)
    } catch (error) {
      const code = this.#reject(message.type === 'leave' ? 0 : message.ref, error)
      return async () => code
    }
  }

  async #dispatch(message: SpaceRequest): Promise<Rest | undefined> {
    switch (message.type) {
      case 'open':
        await this.#reading.open(message)
        return undefined
      case 'pull':
        await this.#reading.pull(message)
        return undefined
      case 'push':
        return this.#push(message)
      case 'put-body':
        if (!this.#restoring.isUnderWay) this.#reading.assertOpen()
        this.#socket.staging.put(message)
        this.#confirm(message.ref)
        return undefined
      case 'get-body':
        await this.#desk.sendBody(message)
        return undefined
      case 'read':
        this.#desk.sendAudit(message)
        return undefined
      case 'skip':
        await this.#desk.sendSkip(message)
        return undefined
      case 'get-document':
        this.#desk.sendDocument(message)
        return undefined
      case 'get-keys':
        this.#desk.sendKeys(message)
        return undefined
      case 'get-chain':
        await this.#desk.sendChain(message)
        return undefined
      case 'cosign':
        await this.#desk.takeCosignature(message)
        this.#confirm(message.ref)
        return undefined
      case 'restore':
        await this.#restoring.take(message)
        this.#confirm(message.ref)
        return undefined
      case 'leave':
        this.#reading.end()
        this.#restoring.end()
        return undefined
    }
  }

  #confirm(ref: number): void {
    this.#socket.peer.send(encodeMessage({ type: 'received', ref, space: this.space }))
  }

  // -- Writing ------------------------------------------------------------------------------------------------------

  async #push(message: PushMessage): Promise<Rest> {
    const { limits } = this.#socket.context
    const entries = readPush(message.entries, hash => this.#socket.staging.find(this.space, hash))
    const push = withinBodyLength(entries, limits.bodyLength)
    const { subscription } = this.#reading.reading ?? {}
    this.#assertMayPush(push)
    return subscription === undefined ? this.#create(message, push) : this.#append(message, push, subscription)
  }

  async #append({ ref }: PushMessage, push: Push, subscription: Subscription): Promise<Rest> {
    const { spaces, context, address } = this.#socket
    const lease = await spaces.acquire(this.space)
    const { sequencer } = lease
    let admitted: AdmittedPush
    try {
      const pusher = { space: this.space, device: subscription.device, address }
      admitted = admitPush(context.gate, pusher, push, sequencer)
    } catch (error) {
      lease.release()
      throw error
    }
    const outcome = sequencer.push(push, { follower: subscription, ref })
    return async () => {
      let landed = 0
      try {
        const result = await outcome
        landed = result.landed
        return await this.#answerPush(ref, push, result, subscription, sequencer)
      } catch (error) {
        return this.#reject(ref, error)
      } finally {
        admitted.landed(landed)
        lease.release()
      }
    }
  }

  /** Of a space that exists already, nobody asks whether it may be created: its acknowledgement may have been lost. */
  async #create({ ref, admission: token }: PushMessage, push: Push): Promise<Rest> {
    const { spaces, context, address } = this.#socket
    const attempt = context.gate.attempt(address)
    const lease = await acquireInAttempt(spaces, attempt, this.space, { address, device: undefined })
    const { sequencer } = lease
    let creation: Creation | undefined
    try {
      const isNew = sequencer.head === undefined && sequencer.behind === undefined
      if (isNew) creation = await context.gate.create({ space: this.space, address, token })
    } catch (error) {
      lease.release()
      throw error
    }
    const outcome = sequencer.push(push)
    return async () => {
      try {
        const result = await outcome
        if (result.landed > 0) attempt.succeeded()
        else creation?.failed()
        return await this.#answerPush(ref, push, result, undefined, sequencer)
      } catch (error) {
        return this.#reject(ref, error)
      } finally {
        lease.release()
      }
    }
  }

  /** A genesis brings its author's keys with it; anything else is for devices that have opened the space. */
  #assertMayPush(push: Push): void {
    const [first] = push
    if (first === undefined) throw new SealogError('ERR_MALFORMED', 'a push without entries')
    if (this.#reading.isOpen) {
      this.#reading.assertOpen()
      return
    }
    if ('fault' in first) throw first.fault
    if (!isZero(first.header.space)) throw notOpen()
    // Judging it reads what the log of the space has: nobody who only knows the id may ask for that.
    if (spaceIdOf(first.hash) !== this.space) {
      throw new SealogError('ERR_INVALID_ENTRY', 'the genesis of another space', { details: { reason: 'space' } })
    }
  }

  /** To a subscription, entries that landed are the answer by themselves. */
  async #answerPush(
    ref: number,
    push: Push,
    { landed, refused }: PushOutcome,
    subscription: Subscription | undefined,
    sequencer: SpaceSequencer,
  ): Promise<Verdict> {
    if (landed > 0) this.#socket.onAuthenticated()
    for (const entry of push.slice(0, landed)) {
      if ('fault' in entry) continue
      this.#socket.staging.forget(this.space, entry.header.bodyHash)
      if (entry.wraps !== undefined) this.#socket.staging.forget(this.space, entry.wraps.hash)
    }
    // Who created the space and asked to open it already gets its entries by that.
    const isUnanswered = subscription === undefined && this.#opens === 0
    if (landed > 0 && isUnanswered) await this.#sendEntries(sequencer, landed, refused === undefined ? ref : 0)
    if (refused === undefined) return undefined
    const { position, error } = refused
    if (hasCode(error, 'ERR_RELAY_INTERNAL')) this.#logFault(error)
    const frame = rejectFrame({ ref, space: this.space, error, position })
    if (subscription === undefined || subscription.hasEnded) this.#socket.peer.send(frame)
    else subscription.refuse(frame)
    return error.code
  }

  /** The first entries of a space, to the socket that just created it. */
  async #sendEntries(sequencer: SpaceSequencer, count: number, ref: number): Promise<void> {
    for (let next = 0; next < count; ) {
      const { batch, end } = await sequencer.readPart(next, count)
      this.#socket.peer.send(encodeMessage({ type: 'sync', ref: next === 0 ? ref : 0, space: this.space, batch }))
      next = end
    }
  }

  // -- Refusals -----------------------------------------------------------------------------------------------------

  #reject(ref: number, cause: unknown): ErrorCode {
    const error = tellable(cause)
    if (error.code === 'ERR_RELAY_INTERNAL') this.#logFault(error)
    this.#socket.peer.send(rejectFrame({ ref, space: this.space, error }))
    return error.code
  }

  #logFault(error: SealogError): void {
    const reason = error.cause instanceof Error ? error.cause.message : error.message
    this.#socket.context.log({ level: 'error', event: 'request-failed', space: this.space, reason })
  }
}
