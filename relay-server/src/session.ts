import {
  decodeReplicaMessage,
  encodeMessage,
  type MailboxRequest,
  PROTOCOL_VERSION,
  type ReplicaMessage,
  SealogError,
  type SpaceId,
  type SpaceRequest,
} from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import { MailboxDesk } from './mailbox-desk.ts'
import { requestOf } from './malformed-frame.ts'
import type { SocketEnd } from './meter.ts'
import { CLOSE, type Peer } from './peer.ts'
import { rejectFrame, tellable } from './reject.ts'
import type { LoadedSocket } from './request-load.ts'
import type { SocketPass } from './socket-gate.ts'
import type { SocketSurroundings } from './socket-surroundings.ts'
import { SpaceChannel } from './space-channel.ts'
import type { SpaceRegistry } from './space-registry.ts'
import { Staging, type StagingTotal } from './staging.ts'

/** What the sessions of one relay share. */
export interface SessionSurroundings {
  readonly context: RelayContext
  readonly spaces: SpaceRegistry
  readonly stagingTotal: StagingTotal
  /** Of the client, as text; undefined within one process. */
  readonly address?: string | undefined
}

/** What it means that a connection was ended with this code, unless something else is said. */
const ENDS: Readonly<Record<number, SocketEnd>> = {
  [CLOSE.goingAway]: 'stopping',
  [CLOSE.invalidData]: 'malformed',
  [CLOSE.policy]: 'unauthenticated',
  [CLOSE.tryAgain]: 'slow',
}

/**
 * One connection of a replica, over whatever transport: it greets, keeps the number of requests under way within
 * limits, and hands each to the channel of its space. Whatever comes in is answered with a code or ends the connection.
 */
export class RelaySession implements LoadedSocket {
  readonly #context: RelayContext
  readonly #transport: Peer
  /** The same, for everybody but this session. */
  readonly #peer: Peer
  readonly #socket: SocketSurroundings
  readonly #onEnd: () => void
  readonly #mailboxes: MailboxDesk
  readonly #channels = new Map<SpaceId, SpaceChannel>()
  readonly #underWay = new Set<Promise<void>>()
  readonly #pass: SocketPass
  #cancelTimeout: () => void = () => {}
  #isAuthenticated = false
  /** Since the socket was opened, until somebody authenticates: as they came, in whole frames, and how many of these. */
  #receivedBytes = 0
  #frameBytes = 0
  #frames = 0
  #requestBytes = 0
  #isPaused = false
  #isDraining = false
  #isClosed = false

  /** @param onEnd called once, when the connection is closed from either side */
  constructor({ context, spaces, stagingTotal, address }: SessionSurroundings, peer: Peer, onEnd: () => void) {
    this.#context = context
    this.#transport = peer
    this.#peer = this.#bounded(peer)
    this.#onEnd = onEnd
    this.#socket = {
      context,
      spaces,
      peer: this.#peer,
      staging: new Staging(context.limits, stagingTotal),
      address,
      challenge: context.environment.random(32),
      onAuthenticated: () => this.#onAuthenticated(),
      assertRoom: space => this.#assertRoom(space),
      hold: (space, weight) => context.gate.hold(this, address, space, weight),
    }
    this.#mailboxes = new MailboxDesk(this.#socket)
    this.#pass = context.gate.enter(address, () => {
      this.close(CLOSE.tryAgain, 'too many connections without a device', 'unauthenticated')
    })
  }

  /** Greets. The socket then has a limited time to open or create a space. */
  start(): void {
    const { name, signingKey, environment, limits } = this.#context
    const { challenge } = this.#socket
    const key = signingKey.publicKey
    this.#peer.send(encodeMessage({ type: 'welcome', version: PROTOCOL_VERSION, name, key, challenge }))
    this.#cancelTimeout = environment.schedule(limits.authenticationTime, () => {
      this.close(CLOSE.policy, 'no space was opened in time')
    })
  }

  /**
   * Bytes came in, before they make up a frame: a transport that tells keeps strangers from filling memory with frames
   * that never end.
   * @returns whether they may be read on at all
   */
  onReceived(bytes: number): boolean {
    if (this.#isAuthenticated) return true
    this.#receivedBytes += bytes
    this.#assertModest()
    return !this.#isClosed
  }

  /** Takes one frame from the replica. */
  onFrame(frame: Uint8Array): void {
    if (this.#isClosed || this.#isDraining || !this.#admits(frame)) return
    let message: ReplicaMessage
    try {
      message = decodeReplicaMessage(frame)
    } catch (error) {
      this.#refuse(frame, tellable(error))
      return
    }
    this.#track(isOfMailbox(message) ? this.#handleMailbox(message) : this.#handle(message), frame.length)
  }

  /** The connection is gone. */
  onClose(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#cancelTimeout()
    for (const channel of this.#channels.values()) channel.close()
    this.#channels.clear()
    this.#socket.staging.clear()
    this.#context.gate.load.forget(this)
    this.#pass.release()
    this.#onEnd()
  }

  /** @param why for the meter; default: what the code means */
  close(code: number, reason: string, why: SocketEnd = ENDS[code] ?? 'internal'): void {
    if (this.#isClosed) return
    this.#context.meter.socketEnded(why)
    this.#transport.close(code, reason)
    this.onClose()
  }

  /** Takes no more requests, and resolves when those under way are answered. */
  async drain(): Promise<void> {
    this.#isDraining = true
    await this.settle()
  }

  /** Resolves when no request is under way. */
  async settle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay)
  }

  async #handle(message: SpaceRequest): Promise<void> {
    const { space } = message
    const channel = this.#channels.get(space) ?? new SpaceChannel(space, this.#socket)
    this.#channels.set(space, channel)
    try {
      await channel.handle(message)
    } catch (error) {
      // A fault of the relay's own that no answer covers: this connection must not go on as if nothing had happened.
      this.#context.log({ level: 'error', event: 'connection-failed', space, reason: String(error) })
      this.close(CLOSE.internal, 'the relay failed')
    }
    if (channel.isUnused && this.#channels.get(space) === channel) this.#channels.delete(space)
  }

  /** Behind what came before on this socket, as that may be what opens a space. */
  async #handleMailbox(message: MailboxRequest): Promise<void> {
    await Promise.all(this.#underWay)
    if (this.#isClosed) return
    const isMember = [...this.#channels.values()].some(channel => channel.isOfMember)
    await this.#mailboxes.handle(message, isMember)
  }

  /** Counts a request until it is answered; from a socket with too many of them nothing is read in the meantime. */
  #track(request: Promise<void>, length: number): void {
    const { load } = this.#context.gate
    this.#requestBytes += length
    load.add(length)
    const tracked = request.finally(() => {
      this.#requestBytes -= length
      this.#underWay.delete(tracked)
      load.remove(length)
      this.balance()
    })
    this.#underWay.add(tracked)
    this.balance()
  }

  /** Reads on, or not, as it stands by now. */
  balance(): void {
    const { limits, gate } = this.#context
    if (this.#isClosed) return
    const isOwnFull =
      this.#underWay.size >= limits.requestsPerSocket || this.#requestBytes >= limits.requestBytesPerSocket
    // A socket without requests may always bring one: it must not wait for those of others for ever.
    const waits = gate.load.isFull && this.#requestBytes > 0
    if (waits) gate.load.wait(this)
    const isFull = isOwnFull || waits
    if (isFull === this.#isPaused) return
    this.#isPaused = isFull
    if (isFull) this.#peer.pause()
    else this.#peer.resume()
  }

  /** Nobody who reads too slowly fills the relay's memory: such a socket ends, and resumes where it was by opening anew. */
  #bounded(peer: Peer): Peer {
    const send = (frame: Uint8Array): void => {
      if (this.#isClosed) return
      peer.send(frame)
      if (peer.buffered() > this.#context.limits.sendBytesPerSocket) this.close(CLOSE.tryAgain, 'reading too slowly')
    }
    return {
      send,
      buffered: () => peer.buffered(),
      drained: () => peer.drained(),
      pause: () => peer.pause(),
      resume: () => peer.resume(),
      close: (code, reason) => this.close(code, reason),
    }
  }

  #onAuthenticated(): void {
    this.#cancelTimeout()
    this.#isAuthenticated = true
    this.#pass.authenticated()
  }

  /** May a stranger, if it still is one, bring this frame too? If not, the connection ends. */
  #admits(frame: Uint8Array): boolean {
    if (this.#isAuthenticated) return true
    this.#frameBytes += frame.length
    this.#frames++
    this.#assertModest()
    return !this.#isClosed
  }

  #assertModest(): void {
    const isModest =
      this.#frames <= this.#context.limits.unauthenticatedRequests &&
      this.#pass.received(Math.max(this.#receivedBytes, this.#frameBytes))
    if (!isModest) this.close(CLOSE.policy, 'too much without a device')
  }

  #assertRoom(space: SpaceId): void {
    const limit = this.#context.limits.spacesPerSocket
    const others = [...this.#channels.values()].filter(channel => channel.isReading && channel.space !== space)
    if (others.length < limit) return
    throw new SealogError('ERR_LIMIT', `${others.length} spaces are open on this socket`, { details: { limit } })
  }

  /** A frame that is no request: refused if it says which one it was meant to be, else the end of the connection. */
  #refuse(frame: Uint8Array, error: SealogError): void {
    const request = requestOf(frame)
    if (request === undefined) this.close(CLOSE.invalidData, error.code)
    else this.#peer.send(rejectFrame({ ...request, error }))
  }
}

function isOfMailbox(message: ReplicaMessage): message is MailboxRequest {
  return message.type === 'put-mailbox' || message.type === 'get-mailbox'
}
