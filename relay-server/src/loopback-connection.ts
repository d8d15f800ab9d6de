import { type ConnectionEvents, SealogError } from 'sealog/protocol'
import { LOW_WATER, type Peer } from './peer.ts'
import type { RelaySession } from './session.ts'

export type Direction = 'toRelay' | 'toReplica'

/** Something that happens on one side of a connection when it is delivered. */
interface Delivery {
  readonly order: number
  /** Of a frame; 0 for what is none. */
  readonly bytes: number
  readonly happen: () => void
}

/** One connection in one process: two queues, and whoever decides when they move. */
export class LoopbackConnection {
  readonly #events: ConnectionEvents
  readonly #nextOrder: () => number
  readonly #onQueued: (direction: Direction, connection: LoopbackConnection) => void
  readonly #queues: Record<Direction, Delivery[]> = { toRelay: [], toReplica: [] }
  readonly #waiting: (() => void)[] = []
  #session: RelaySession | undefined
  #isPaused = false
  #isReplicaClosed = false
  #isRelayClosed = false

  /**
   * @param nextOrder numbers deliveries over all connections
   * @param onQueued called for each delivery that may be made
   */
  constructor(
    events: ConnectionEvents,
    nextOrder: () => number,
    onQueued: (direction: Direction, connection: LoopbackConnection) => void,
  ) {
    this.#events = events
    this.#nextOrder = nextOrder
    this.#onQueued = onQueued
  }

  /** Neither side will hear anything more. */
  get isOver(): boolean {
    return this.#isReplicaClosed && this.#isRelayClosed
  }

  /** How many deliveries wait; none to a relay that does not read at the moment. */
  queued(direction: Direction): number {
    return direction === 'toRelay' && this.#isPaused ? 0 : this.#queues[direction].length
  }

  /** Number of the next delivery over all connections, or undefined where there is none. */
  nextOrder(direction: Direction): number | undefined {
    return this.queued(direction) === 0 ? undefined : this.#queues[direction][0]?.order
  }

  /** Makes the next delivery in this direction. @returns whether there was one */
  deliverNext(direction: Direction): boolean {
    if (this.queued(direction) === 0) return false
    const delivery = this.#queues[direction].shift()
    if (delivery === undefined) return false
    delivery.happen()
    if (direction === 'toReplica') this.#wake()
    return true
  }

  /** Breaks the connection: what was on its way is lost, and both sides hear of it at once. */
  cut(): void {
    this.#queues.toRelay.length = 0
    this.#queues.toReplica.length = 0
    this.#endRelaySide()
    this.#endReplicaSide(new SealogError('ERR_OFFLINE', 'the connection broke'))
  }

  /** The relay's end; `accept` starts the session that uses it. */
  open(accept: (peer: Peer) => RelaySession): void {
    this.#queue('toReplica', 0, () => {
      if (!this.#isReplicaClosed) this.#events.onOpen()
    })
    this.#session = accept({
      send: frame => this.#sendToReplica(frame),
      buffered: () => this.#buffered(),
      drained: async () => {
        if (!this.#isDrained()) await new Promise<void>(resolve => this.#waiting.push(resolve))
      },
      pause: () => {
        this.#isPaused = true
      },
      resume: () => this.#resume(),
      close: (code, reason) => this.#closeByRelay(code, reason),
    })
  }

  /** There is no relay to connect to. */
  refuse(): void {
    this.#isRelayClosed = true
    this.#queue('toReplica', 0, () => this.#endReplicaSide(new SealogError('ERR_OFFLINE', 'no relay is there')))
  }

  sendToRelay(frame: Uint8Array): void {
    if (this.#isReplicaClosed || this.#isRelayClosed) return
    // Two processes share no memory: whatever the sender does with its bytes later must not show.
    const copy = frame.slice()
    this.#queue('toRelay', copy.length, () => this.#session?.onFrame(copy))
  }

  closeByReplica(): void {
    if (this.#isReplicaClosed) return
    this.#isReplicaClosed = true
    this.#queues.toReplica.length = 0
    this.#wake()
    queueMicrotask(() => this.#events.onClose(undefined))
    if (!this.#isRelayClosed) this.#queue('toRelay', 0, () => this.#endRelaySide())
  }

  #sendToReplica(frame: Uint8Array): void {
    if (this.#isReplicaClosed || this.#isRelayClosed) return
    const copy = frame.slice()
    this.#queue('toReplica', copy.length, () => this.#events.onFrame(copy))
  }

  #closeByRelay(code: number, reason: string): void {
    if (this.#isRelayClosed) return
    this.#isRelayClosed = true
    this.#queues.toRelay.length = 0
    const cause = new SealogError('ERR_OFFLINE', `the connection closed with code ${code}: ${reason}`)
    this.#queue('toReplica', 0, () => this.#endReplicaSide(cause))
    this.#wake()
  }

  #endRelaySide(): void {
    if (this.#isRelayClosed) return
    this.#isRelayClosed = true
    this.#session?.onClose()
    this.#wake()
  }

  #endReplicaSide(cause: SealogError): void {
    if (this.#isReplicaClosed) return
    this.#isReplicaClosed = true
    this.#events.onClose(cause)
  }

  #queue(direction: Direction, bytes: number, happen: () => void): void {
    this.#queues[direction].push({ order: this.#nextOrder(), bytes, happen })
    if (direction === 'toReplica' || !this.#isPaused) this.#onQueued(direction, this)
  }

  #resume(): void {
    this.#isPaused = false
    for (const _ of this.#queues.toRelay) this.#onQueued('toRelay', this)
  }

  #buffered(): number {
    let bytes = 0
    for (const delivery of this.#queues.toReplica) bytes += delivery.bytes
    return bytes
  }

  #isDrained(): boolean {
    return this.isOver || this.#isRelayClosed || this.#isReplicaClosed || this.#buffered() <= LOW_WATER
  }

  #wake(): void {
    if (this.#isDrained()) for (const resume of this.#waiting.splice(0)) resume()
  }
}
