import {
  authenticationInput,
  encodeMessage,
  equalBytes,
  type GetBody,
  hasCode,
  INLINE_BODY_LENGTH,
  isZero,
  type Open,
  type Pull,
  type Push as PushMessage,
  type ReplicaMessage,
  SealogError,
  type SpaceId,
  spaceIdOf,
} from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import type { Push } from './judge.ts'
import type { Peer } from './peer.ts'
import { readPush } from './pushed-entry.ts'
import { rejectFrame, tellable } from './reject.ts'
import type { Lease, SpaceRegistry } from './space-registry.ts'
import type { PushOutcome, SpaceSequencer } from './space-sequencer.ts'
import type { Staging } from './staging.ts'
import { Subscription } from './subscription.ts'

/** What a socket gives to its channels. */
export interface SocketSurroundings {
  readonly context: RelayContext
  readonly spaces: SpaceRegistry
  readonly peer: Peer
  readonly staging: Staging
  /** What devices sign on this socket, 32 bytes. */
  readonly challenge: Uint8Array
  /** The socket has opened or created a space. */
  readonly onAuthenticated: () => void
  /** @throws SealogError ERR_LIMIT where the socket has as many open spaces as it may */
  readonly assertRoom: (space: SpaceId) => void
}

/** Waits for what is left of a request once the next one may be served. */
type Rest = () => Promise<void>

interface Reading {
  readonly subscription: Subscription
  readonly lease: Lease
}

/**
 * One space on one socket. Requests are served one after the other, in the order in which they came; a push is served
 * when it stands in line at the sequencer, so that pushes can share a group.
 */
export class SpaceChannel {
  readonly space: SpaceId
  readonly #socket: SocketSurroundings
  #reading: Reading | undefined
  #tail: Promise<unknown> = Promise.resolve()
  #requests = 0
  #opens = 0
  #isClosed = false

  constructor(space: SpaceId, socket: SocketSurroundings) {
    this.space = space
    this.#socket = socket
  }

  get isReading(): boolean {
    return this.#reading !== undefined
  }

  /** Nothing is open and nothing is asked for. */
  get isUnused(): boolean {
    return this.#reading === undefined && this.#requests === 0
  }

  /** @returns a promise, never rejected, that is kept when the request is answered */
  async handle(message: ReplicaMessage): Promise<void> {
    this.#requests++
    if (message.type === 'open') this.#opens++
    const served = this.#tail.then(() => this.#serve(message))
    this.#tail = served
    const rest = await served
    await rest?.()
    if (message.type === 'open') this.#opens--
    this.#requests--
  }

  /** The socket is gone. */
  close(): void {
    this.#isClosed = true
    this.#endReading()
  }

  async #serve(message: ReplicaMessage): Promise<Rest | undefined> {
    if (this.#isClosed) return undefined
    try {
      return await this.#dispatch(message)
    } catch (error) {
      this.#reject(message.type === 'leave' ? 0 : message.ref, error)
      return undefined
    }
  }

  async #dispatch(message: ReplicaMessage): Promise<Rest | undefined> {
    switch (message.type) {
      case 'open':
        await this.#open(message)
        return undefined
      case 'pull':
        await this.#pull(message)
        return undefined
      case 'push':
        return this.#push(message)
      case 'put-body':
        this.#assertReading()
        this.#socket.staging.put(message)
        this.#socket.peer.send(encodeMessage({ type: 'received', ref: message.ref, space: this.space }))
        return undefined
      case 'get-body':
        await this.#getBody(message)
        return undefined
      case 'leave':
        this.#endReading()
        return undefined
    }
  }

  // -- Reading ------------------------------------------------------------------------------------------------------

  async #open(message: Open): Promise<void> {
    this.#socket.assertRoom(this.space)
    const lease = await this.#socket.spaces.acquire(this.space)
    try {
      // What was pushed before on this socket decides too: a join makes its device current.
      await lease.sequencer.settle()
      // Before the signature: whether an unknown key may be one at all costs milliseconds, and anybody could ask.
      currentDevice(lease.sequencer, message.device)
      await this.#authenticate(message)
      this.#read(message, lease)
    } catch (error) {
      lease.release()
      throw error
    }
  }

  async #authenticate({ device, signature }: Open): Promise<void> {
    const { context, challenge } = this.#socket
    const relay = { name: context.name, key: context.signingKey.publicKey }
    const input = authenticationInput(relay, challenge, this.space, device)
    const holds = await context.verifier.verify({ publicKey: device, message: input, signature })
    if (!holds) throw new SealogError('ERR_UNAUTHORIZED', 'the signature over the challenge does not verify')
  }

  #read({ device, from, ref }: Open, lease: Lease): void {
    const { sequencer } = lease
    const number = currentDevice(sequencer, device)
    const size = sequencer.head?.checkpoint.size ?? 0
    if (from > size) throw new SealogError('ERR_UNEXPECTED', `the log has ${size} entries, not ${from}`)
    this.#endReading()
    if (this.#isClosed) {
      lease.release()
      return
    }
    const subscription = new Subscription({
      sequencer,
      device: number,
      from,
      ref,
      peer: this.#socket.peer,
      onEnd: () => {
        if (this.#reading?.subscription === subscription) this.#endReading()
      },
    })
    this.#reading = { subscription, lease }
    this.#socket.onAuthenticated()
    subscription.start()
  }

  async #pull({ ref }: Pull): Promise<void> {
    this.#assertReading()
    // A hold of its own: the subscription may end in the meantime.
    const lease = await this.#socket.spaces.acquire(this.space)
    await lease.sequencer.settle()
    lease.release()
    this.#assertReading().subscription.answer(ref)
  }

  #assertReading(): Reading {
    if (this.#reading === undefined) throw notOpen()
    return this.#reading
  }

  #endReading(): void {
    const reading = this.#reading
    this.#reading = undefined
    reading?.subscription.end()
    reading?.lease.release()
  }

  async #getBody({ ref, index, offset }: GetBody): Promise<void> {
    const { sequencer } = this.#assertReading().lease
    const { peer } = this.#socket
    if (index >= (sequencer.head?.checkpoint.size ?? 0)) throw new SealogError('ERR_UNEXPECTED', `no entry ${index}`)
    await peer.drained()
    const bytes = await sequencer.readBody(index, offset, INLINE_BODY_LENGTH)
    if (bytes === undefined) throw new SealogError('ERR_BODY', `the body of entry ${index} is not stored`)
    if (bytes.length === 0 && offset > 0) throw new SealogError('ERR_UNEXPECTED', `the body ends before ${offset}`)
    peer.send(encodeMessage({ type: 'body-part', ref, space: this.space, offset, bytes }))
  }

  // -- Writing ------------------------------------------------------------------------------------------------------

  async #push(message: PushMessage): Promise<Rest> {
    const push = readPush(message.entries, hash => this.#socket.staging.find(this.space, hash))
    const subscription = this.#reading?.subscription
    this.#assertMayPush(push)
    const lease = await this.#socket.spaces.acquire(this.space)
    const origin = subscription && { follower: subscription, ref: message.ref }
    const outcome = lease.sequencer.push(push, origin)
    return async () => {
      try {
        await this.#answerPush(message.ref, push, await outcome, subscription, lease.sequencer)
      } catch (error) {
        this.#reject(message.ref, error)
      } finally {
        lease.release()
      }
    }
  }

  /** A genesis brings its author's keys with it; anything else is for devices that have opened the space. */
  #assertMayPush(push: Push): void {
    const [first] = push
    if (first === undefined) throw new SealogError('ERR_MALFORMED', 'a push without entries')
    if (this.#reading !== undefined) return
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
  ): Promise<void> {
    if (landed > 0) this.#socket.onAuthenticated()
    for (const entry of push.slice(0, landed)) {
      if ('header' in entry) this.#socket.staging.forget(this.space, entry.header.bodyHash)
    }
    // Who created the space and asked to open it already gets its entries by that.
    const isUnanswered = subscription === undefined && this.#opens === 0
    if (landed > 0 && isUnanswered) await this.#sendEntries(sequencer, landed, refused === undefined ? ref : 0)
    if (refused === undefined) return
    const { position, error } = refused
    if (hasCode(error, 'ERR_RELAY_INTERNAL')) this.#logFault(error)
    const frame = rejectFrame({ ref, space: this.space, error, position })
    if (subscription === undefined || subscription.hasEnded) this.#socket.peer.send(frame)
    else subscription.refuse(frame)
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

  #reject(ref: number, cause: unknown): void {
    const error = tellable(cause)
    if (error.code === 'ERR_RELAY_INTERNAL') this.#logFault(error)
    this.#socket.peer.send(rejectFrame({ ref, space: this.space, error }))
  }

  #logFault(error: SealogError): void {
    const reason = error.cause instanceof Error ? error.cause.message : error.message
    this.#socket.context.log({ level: 'error', event: 'request-failed', space: this.space, reason })
  }
}

/** @throws SealogError ERR_UNKNOWN_SPACE, ERR_UNAUTHORIZED */
function currentDevice({ state }: SpaceSequencer, signing: Uint8Array): number {
  if (state === undefined) throw new SealogError('ERR_UNKNOWN_SPACE', 'no such space here')
  for (const [number, device] of state.control.devices) {
    if (device.removed === undefined && equalBytes(device.signing, signing)) return number
  }
  throw new SealogError('ERR_UNAUTHORIZED', 'not a current device of the space')
}

function notOpen(): SealogError {
  return new SealogError('ERR_UNAUTHORIZED', 'the space is not open on this socket')
}
