import { setTimeout as sleep } from 'node:timers/promises'
import {
  appendLeaves,
  authenticationInput,
  type Batch,
  type CompactRange,
  decodeRelayMessage,
  emptyRange,
  encodeMessage,
  entryHash,
  equalBytes,
  type PinnedRelay,
  parseNote,
  type Reject,
  type ReplicaMessage,
  rootOf,
  type SigningKey,
  type SpaceId,
  sameRelay,
  verifyConsistency,
  type Welcome,
} from 'sealog/protocol'
import { type RawData, WebSocket } from 'ws'
import type { Tell } from './events.ts'
import { bytesOf } from './exchange.ts'
import type { LightChain, Sealed } from './light-chain.ts'

/** A connection on which nothing comes for so long is given up, in milliseconds. */
const SILENCE = 5000
/** Longest pause before the next attempt to connect, in milliseconds: few moments of a relay go unused. */
const RETRY = 100
const MAX_GROUP = 4
const MAX_BODY = 600
/** One in so many requests asks for a fresh note instead of writing. */
const PULL_EVERY = 8

/** Refusals that the protocol tells a client to live through. */
const PASSING: ReadonlySet<string> = new Set(['ERR_RELAY_STORAGE', 'ERR_RATE_LIMITED', 'ERR_RELAY_INTERNAL'])

export interface LightClientOptions {
  /** Under which the checker keeps apart what each reader was shown. */
  readonly name: string
  /** Processes of one relay; each attempt picks one of them. */
  readonly urls: readonly string[]
  readonly relay: PinnedRelay
  readonly space: SpaceId
  readonly key: SigningKey
  readonly chain: LightChain
  readonly tell: Tell
  /** In [0, 1). */
  readonly fraction: () => number
  /** Longest pause between an answer and the next request, in milliseconds. */
  readonly pause: number
}

/**
 * A writer that knows the protocol and nothing of content: it keeps a compact range over the log, compares it with
 * every note, and takes an entry for acknowledged when the log that it has checked holds it. What was sent and did not
 * come back is sent again, over whatever connection there is.
 */
export class LightClient {
  readonly #options: LightClientOptions
  #range: CompactRange = emptyRange
  #pending: Sealed[] = []
  #stopping = false
  #nextRef = 1
  /** Of the connection there is. */
  #socket: WebSocket | undefined
  /** Nothing that comes over it is taken any more. */
  #givenUp: WebSocket | undefined
  #openRef = 0
  #isOpen = false
  /** The request under way, 0: none. */
  #ref = 0
  #isPush = false

  constructor(options: LightClientOptions) {
    this.#options = options
  }

  /** Number of entries that it has checked. */
  get size(): number {
    return this.#range.size
  }

  /** Writes until `stop`, then until everything is acknowledged. */
  async run(): Promise<void> {
    while (!this.#isDone) {
      await this.#connection()
      if (!this.#isDone) await sleep(5 + this.#options.fraction() * RETRY)
    }
  }

  /** No new entries from now on. */
  stop(): void {
    this.#stopping = true
    if (this.#isDone) this.#socket?.terminate()
  }

  /** Nothing at all from now on. */
  end(): void {
    this.#pending = []
    this.stop()
  }

  get #isDone(): boolean {
    return this.#stopping && this.#pending.length === 0
  }

  /** One connection, from attempt to end. */
  #connection(): Promise<void> {
    const { urls, fraction } = this.#options
    const url = urls[Math.floor(fraction() * urls.length)] as string
    return new Promise(resolve => {
      const socket = new WebSocket(url, { perMessageDeflate: false, handshakeTimeout: SILENCE })
      this.#socket = socket
      this.#isOpen = false
      this.#ref = 0
      let silence = setTimeout(() => socket.terminate(), SILENCE)
      // Frames are taken one after the other, although taking one may wait for signatures.
      let turn = Promise.resolve()
      socket.on('error', () => {})
      socket.on('message', (data: RawData) => {
        clearTimeout(silence)
        silence = setTimeout(() => socket.terminate(), SILENCE)
        turn = turn.then(() => this.#take(socket, bytesOf(data))).catch(error => this.#fault(socket, String(error)))
      })
      socket.on('close', () => {
        clearTimeout(silence)
        void turn.then(resolve)
      })
    })
  }

  async #take(socket: WebSocket, frame: Uint8Array): Promise<void> {
    if (socket === this.#givenUp) return
    const message = decodeRelayMessage(frame)
    if (message.type === 'welcome') return this.#greet(socket, message)
    if (message.type === 'mailbox' || message.space !== this.#options.space) {
      return this.#fault(socket, `${message.type} of nothing that was asked for`)
    }
    if (message.type === 'reject') return this.#refused(socket, message)
    if (message.type !== 'sync') return this.#fault(socket, `${message.type} that was not asked for`)
    const isLevel = this.#advance(socket, message.batch)
    if (message.ref !== 0 && message.ref === this.#openRef) this.#isOpen = true
    if (message.ref !== 0 && message.ref === this.#ref) {
      if (this.#isPush && this.#pending.length > 0) return this.#fault(socket, 'a push answered without its entries')
      this.#ref = 0
    }
    if (this.#isOpen && isLevel && this.#ref === 0) await this.#next(socket)
  }

  async #greet(socket: WebSocket, { name, key, challenge }: Welcome): Promise<void> {
    const { relay, space, key: device } = this.#options
    if (!sameRelay(relay, { name, key })) return this.#fault(socket, 'another relay than before')
    this.#openRef = this.#nextRef++
    this.#send(socket, {
      type: 'open',
      ref: this.#openRef,
      space,
      from: this.#range.size,
      device: device.publicKey,
      signature: await device.sign(authenticationInput(relay, challenge, space, device.publicKey)),
      wants: undefined,
    })
  }

  /** Takes a stretch of the log, where it leads to the signed root. @returns whether it reaches the signed size */
  #advance(socket: WebSocket, batch: Batch): boolean {
    const { name, space, tell } = this.#options
    tell({ type: 'shown', reader: name, space, note: batch.note })
    const { checkpoint } = parseNote(batch.note)
    if (batch.from !== this.#range.size) {
      this.#fault(socket, `entries from ${batch.from} on, where ${this.#range.size} is next`)
      return false
    }
    const hashes = batch.entries.map(({ header }) => entryHash(header))
    const range = appendLeaves(this.#range, hashes)
    const isLevel = range.size === checkpoint.size
    const root = rootOf(range)
    if (isLevel && !equalBytes(root, checkpoint.root)) {
      this.#fault(socket, `entries do not lead to the root signed for size ${range.size}`)
      return false
    }
    if (!isLevel) {
      const { size: size2, root: root2 } = checkpoint
      verifyConsistency({ size1: range.size, root1: root, size2, root2, proof: batch.consistency })
    }
    this.#range = range
    this.#recognise(batch.from, hashes)
    return isLevel
  }

  /** Own entries are acknowledged by standing in the log. */
  #recognise(from: number, hashes: readonly Uint8Array[]): void {
    const { space, tell } = this.#options
    for (const [offset, hash] of hashes.entries()) {
      const [first] = this.#pending
      if (first === undefined) return
      if (!equalBytes(first.hash, hash)) continue
      this.#pending.shift()
      tell({ type: 'acknowledged', space, index: from + offset, hash })
    }
  }

  async #refused(socket: WebSocket, { ref, code, message }: Reject): Promise<void> {
    const { tell } = this.#options
    if (code === 'ERR_STALE_CHAIN' && this.#pending.length === 0 && ref === this.#ref) {
      // It landed over an earlier connection, and came in the meantime.
      return this.#next(socket)
    }
    if (!PASSING.has(code) && code !== 'ERR_STALE_CHAIN') return this.#fault(socket, `refused: ${code}: ${message}`)
    tell({ type: 'refused', code })
    this.#giveUp(socket)
  }

  async #next(socket: WebSocket): Promise<void> {
    const { space, fraction, pause } = this.#options
    if (this.#isDone) return socket.terminate()
    const ref = this.#nextRef++
    this.#ref = ref
    await sleep(fraction() * pause)
    this.#isPush = false
    if (this.#pending.length === 0 && (this.#stopping || fraction() * PULL_EVERY < 1)) {
      return this.#send(socket, { type: 'pull', ref, space })
    }
    if (this.#pending.length === 0) await this.#seal()
    this.#isPush = true
    const entries = this.#pending.map(({ header, signature, body }) => ({ header, signature, body }))
    this.#send(socket, { type: 'push', ref, space, entries })
  }

  async #seal(): Promise<void> {
    const { chain, fraction } = this.#options
    const seen = { size: this.#range.size, root: rootOf(this.#range) }
    const count = 1 + Math.floor(fraction() * MAX_GROUP)
    const sealed: Sealed[] = []
    while (sealed.length < count) sealed.push(await chain.seal(seen, 40 + Math.floor(fraction() * MAX_BODY)))
    this.#pending = sealed
  }

  #send(socket: WebSocket, message: ReplicaMessage): void {
    if (socket.readyState === WebSocket.OPEN) socket.send(encodeMessage(message))
  }

  #fault(socket: WebSocket, what: string): void {
    const { name, space, tell } = this.#options
    tell({ type: 'fault', what: `${name}, space ${space.slice(0, 8)}, at ${this.#range.size}: ${what}` })
    this.#giveUp(socket)
  }

  /** What still comes over it answers requests that crossed the refusal. */
  #giveUp(socket: WebSocket): void {
    this.#givenUp = socket
    socket.terminate()
  }
}
