import type { Environment } from '../environment.ts'
import { asSealogError, SealogError } from '../errors.ts'
import type { SpaceId } from '../ids.ts'
import { type PinnedRelay, sameRelay } from '../verify/log.ts'
import type { ChannelEvents, Session, VisitorEvents } from './client-events.ts'
import { decodeRelayMessage, encodeMessage } from './message-codec.ts'
import { PROTOCOL_VERSION, type RelayMessage, type ReplicaMessage } from './messages.ts'
import { jittered } from './retry-delay.ts'
import type { Connection, Transport } from './transport.ts'

/** Back-off between attempts to connect: doubles from the first to the last of these, in milliseconds, jittered. */
const FIRST_DELAY = 200
const LAST_DELAY = 30_000
/** A connection that has not said `welcome` by then is given up, in milliseconds. */
const WELCOME_TIMEOUT = 15_000

export type ConnectionState = 'offline' | 'connecting' | 'online'

export interface RelayClientOptions {
  readonly transport: Transport
  readonly environment: Environment
  readonly url: string
  /** What the relay must be; undefined at first contact. */
  readonly pinned: PinnedRelay | undefined
  /** `pinned` is what an invite says, not what this replica has met. Default false. */
  readonly isClaim?: boolean
  /** Must keep the relay's identity durably; called once, at first contact. */
  readonly pin: (relay: PinnedRelay) => Promise<void>
  readonly onState: (state: ConnectionState, cause: SealogError | undefined) => void
}

/** One connection to one relay, kept up as long as somebody needs it, shared by several spaces. */
export class RelayClient {
  readonly url: string
  readonly #options: RelayClientOptions
  readonly #channels = new Map<SpaceId, ChannelEvents>()
  readonly #visitors = new Set<VisitorEvents>()
  #pinned: PinnedRelay | undefined
  #isClaim: boolean
  #connection: Connection | undefined
  #session: Session | undefined
  #state: ConnectionState = 'offline'
  #attempts = 0
  /** The last connection was given up for what came over it. */
  #wasUseless = false
  #nextRef = 1
  #closed = false
  /** For the next attempt. */
  #waiting = false
  #cancelTimer: () => void = () => {}
  readonly #identityWaiters = new Set<{ resolve(relay: PinnedRelay): void; reject(error: SealogError): void }>()

  constructor(options: RelayClientOptions) {
    this.url = options.url
    this.#options = options
    this.#pinned = options.pinned
    this.#isClaim = options.isClaim === true
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** Connects at once where the relay was never met; else that happens as soon as somebody listens. */
  start(): void {
    this.#update()
  }

  /** What the relay must be; undefined before first contact. */
  get pinned(): PinnedRelay | undefined {
    return this.#pinned
  }

  /** Nobody listens, and the identity was only claimed, never met. */
  get isIdleClaim(): boolean {
    return this.#isClaim && this.#listeners.length === 0
  }

  /** Resolves with the relay's identity: at once where it is pinned, else at first contact. @throws SealogError ERR_CLOSED */
  identified(): Promise<PinnedRelay> {
    if (this.#pinned !== undefined) return Promise.resolve(this.#pinned)
    this.#update()
    return new Promise((resolve, reject) => this.#identityWaiters.add({ resolve, reject }))
  }

  /** Routes messages of `space` to `events`; `onUp` follows, at once if the connection is up already. */
  attach(space: SpaceId, events: ChannelEvents): void {
    this.#channels.set(space, events)
    if (this.#session !== undefined) events.onUp(this.#session)
    this.#update()
  }

  detach(space: SpaceId): void {
    if (!this.#channels.delete(space)) return
    this.send({ type: 'leave', space })
    this.#update()
  }

  /**
   * Keeps the connection up for a request that belongs to no space; `onUp` follows, at once if the connection is up
   * already. @returns a function that ends it
   */
  visit(events: VisitorEvents): () => void {
    if (this.#closed) {
      events.onClosed()
      return () => {}
    }
    this.#visitors.add(events)
    if (this.#session !== undefined) events.onUp(this.#session)
    this.#update()
    return () => {
      if (this.#visitors.delete(events)) this.#update()
    }
  }

  nextRef(): number {
    return this.#nextRef++
  }

  /** Sends if the connection is up; what is lost with it is asked for again by whoever needs it. */
  send(message: ReplicaMessage): void {
    if (this.#session !== undefined) this.#connection?.send(encodeMessage(message))
  }

  /** Drops the connection and connects again after a back-off. */
  reconnect(cause: SealogError): void {
    this.#drop(cause)
  }

  /** Tries again at once, if it waits for the next attempt. */
  wake(): void {
    if (!this.#isWanted || this.#connection !== undefined) return
    this.#cancelTimer()
    this.#connect()
  }

  close(): void {
    this.#closed = true
    this.#drop(undefined)
    for (const { reject } of this.#identityWaiters) reject(new SealogError('ERR_CLOSED', 'the replica was closed'))
    this.#identityWaiters.clear()
    const visitors = [...this.#visitors]
    this.#visitors.clear()
    for (const events of visitors) events.onClosed()
  }

  get #listeners(): readonly (ChannelEvents | VisitorEvents)[] {
    return [...this.#channels.values(), ...this.#visitors]
  }

  /** Somebody listens, or the relay is yet to be met. */
  get #isWanted(): boolean {
    return !this.#closed && (this.#listeners.length > 0 || this.#pinned === undefined)
  }

  /** Connects where that is wanted, and hangs up where nobody listens any more. */
  #update(): void {
    if (!this.#isWanted) {
      if (this.#state !== 'offline') this.#drop(undefined)
    } else if (this.#state === 'offline' && !this.#waiting) this.#connect()
  }

  #connect(): void {
    this.#waiting = false
    this.#setState('connecting', undefined)
    const events = {
      onOpen: () => {},
      onFrame: (frame: Uint8Array) => this.#onFrame(connection, frame),
      onClose: (cause: SealogError | undefined) => {
        if (this.#connection === connection) this.#drop(cause ?? new SealogError('ERR_OFFLINE', 'connection closed'))
      },
    }
    let connection: Connection
    try {
      connection = this.#options.transport.connect(this.url, events)
    } catch (error) {
      return this.#drop(asSealogError(error, 'ERR_OFFLINE', 'the platform does not connect to this address'))
    }
    this.#connection = connection
    this.#cancelTimer = this.#options.environment.schedule(WELCOME_TIMEOUT, () => {
      if (this.#connection === connection) this.#drop(new SealogError('ERR_OFFLINE', 'the relay does not answer'))
    })
  }

  #onFrame(connection: Connection, frame: Uint8Array): void {
    if (this.#connection !== connection) return
    try {
      const message = decodeRelayMessage(frame)
      if (message.type === 'welcome') this.#onWelcome(connection, message)
      else if (this.#session === undefined) throw new SealogError('ERR_UNEXPECTED', `${message.type} before welcome`)
      else this.#deliver(message)
    } catch (error) {
      this.#drop(asSealogError(error, 'ERR_MALFORMED', 'unusable frame'))
    }
  }

  #deliver(message: Exclude<RelayMessage, { type: 'welcome' }>): void {
    if (message.type !== 'mailbox') {
      const channel = this.#channels.get(message.space)
      if (channel !== undefined) return channel.onMessage(message)
      if (message.type !== 'reject' && message.type !== 'received') return
    }
    for (const visitor of [...this.#visitors]) visitor.onMessage(message)
  }

  #onWelcome(connection: Connection, welcome: Extract<RelayMessage, { type: 'welcome' }>): void {
    if (this.#session !== undefined) throw new SealogError('ERR_UNEXPECTED', 'a second welcome')
    if (welcome.version !== PROTOCOL_VERSION)
      throw new SealogError('ERR_UPGRADE', `protocol version ${welcome.version}`)
    const relay: PinnedRelay = { name: welcome.name, key: welcome.key }
    const pinned = this.#pinned
    if (pinned !== undefined && !sameRelay(pinned, relay)) {
      throw new SealogError('ERR_RELAY_IDENTITY', 'the relay is not the one that was pinned', {
        details: { expected: pinned.name, actual: relay.name },
      })
    }
    const session: Session = { relay, challenge: welcome.challenge }
    if (pinned !== undefined) {
      this.#isClaim = false
      return this.#up(session)
    }
    this.#options.pin(relay).then(
      () => {
        this.#pinned = relay
        for (const { resolve } of this.#identityWaiters) resolve(relay)
        this.#identityWaiters.clear()
        if (this.#connection !== connection) return
        this.#up(session)
        this.#update()
      },
      error => {
        if (this.#connection !== connection) return
        this.#drop(asSealogError(error, 'ERR_STORE', 'the identity of the relay could not be kept'))
      },
    )
  }

  #up(session: Session): void {
    this.#cancelTimer()
    this.#session = session
    // A relay whose frames were of no use last time has yet to show that it is well.
    if (!this.#wasUseless) this.#attempts = 0
    this.#setState('online', undefined)
    for (const events of this.#listeners) events.onUp(session)
  }

  #drop(cause: SealogError | undefined): void {
    this.#cancelTimer()
    this.#waiting = false
    this.#wasUseless = cause !== undefined && cause.code !== 'ERR_OFFLINE'
    const connection = this.#connection
    const wasUp = this.#session !== undefined
    this.#connection = undefined
    this.#session = undefined
    connection?.close()
    if (wasUp) for (const events of this.#listeners) events.onDown(cause)
    this.#setState('offline', cause)
    if (!this.#isWanted) return
    this.#waiting = true
    this.#cancelTimer = this.#options.environment.schedule(this.#delay(), () => this.#connect())
  }

  #delay(): number {
    const full = Math.min(LAST_DELAY, FIRST_DELAY * 2 ** this.#attempts)
    this.#attempts++
    return jittered(this.#options.environment, full)
  }

  #setState(state: ConnectionState, cause: SealogError | undefined): void {
    if (this.#state === state && cause === undefined) return
    this.#state = state
    this.#options.onState(state, cause)
  }
}
