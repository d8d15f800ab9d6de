import {
  type Connection,
  type ConnectionEvents,
  type Environment,
  generateSeed,
  nobleSigningKey,
  nobleVerifier,
  type SignatureVerifier,
  type SigningKey,
  type Transport,
} from 'sealog/protocol'
import type { CreationPolicy } from './creation-policy.ts'
import { Gate } from './gate.ts'
import { DEFAULT_LIMITS, type Limits, NO_RATES } from './limits.ts'
import type { Log } from './log-record.ts'
import type { LogStore } from './log-store.ts'
import { memoryLogStore } from './log-store-memory.ts'
import { type RevocableStore, revocableStore } from './log-store-revocable.ts'
import { type Direction, LoopbackConnection } from './loopback-connection.ts'
import { NO_METER } from './meter.ts'
import { Relay } from './relay.ts'

export interface LoopbackOptions {
  /** Clock, timers and randomness of the relay. */
  readonly environment: Environment
  /** Default `relay.test`. */
  readonly name?: string
  /** Not opened yet. Default: in memory. */
  readonly store?: LogStore
  /**
   * `automatic` (default): each frame arrives in a microtask of its own. `manual`: frames wait until they are
   * delivered, so that a test decides what happens in which order.
   */
  readonly delivery?: 'automatic' | 'manual'
  /** Default: a fresh one, in JavaScript alone, so that the relay works without leaving the microtask queue. */
  readonly signingKey?: SigningKey
  /** Default: in JavaScript alone, likewise; several times as slow as the platform's. */
  readonly verifier?: SignatureVerifier
  /** Default: as of a relay that people run, but how fast a device or a space may go. */
  readonly limits?: Partial<Limits>
  readonly log?: Log
  /** Who may create spaces. Default: everybody. */
  readonly creation?: CreationPolicy
  /** The client address that connections to this URL come from. Default: none, so that nothing is counted by address. */
  readonly addressOf?: (url: string) => string | undefined
  /** Default false. */
  readonly acceptRollback?: boolean
}

/** A relay in this process, and the transport that leads to it, whatever the address. */
export interface LoopbackRelay extends Transport {
  readonly name: string
  /** The public key of its checkpoints, 32 bytes. */
  readonly key: Uint8Array
  /** Connections that are not over, the oldest first. */
  readonly connections: readonly LoopbackConnection[]
  /** Makes the next delivery of all connections, in the order of sending. @returns whether there was one */
  deliverNext(direction?: Direction): boolean
  /**
   * Delivers until nothing is on its way and the relay has nothing left to do.
   * @returns the number of deliveries
   */
  deliverAll(): Promise<number>
  /** Resolves when the relay has served what was delivered; with manual delivery, answers may still be queued. */
  settle(): Promise<void>
  /** Breaks all connections. */
  cut(): void
  /** Ends the relay as a kill does: connections break, memory is gone, what the store has is kept. */
  stop(): void
  /** Starts it again, after a `stop` if it runs. */
  restart(): void
  /** Ends the relay in good order, and closes the store. */
  close(): Promise<void>
}

interface Incarnation {
  readonly relay: Relay
  readonly revocable: RevocableStore
}

/** The relay's own sequencer and sessions over connections in memory. */
export function loopbackRelay(options: LoopbackOptions): LoopbackRelay {
  const { environment, name = 'relay.test', store = memoryLogStore(), delivery = 'automatic' } = options
  const signingKey = options.signingKey ?? nobleSigningKey(generateSeed(environment.random))
  const opened = store.open()
  // Whoever uses the store hears of a failure; it must not end the process before.
  opened.catch(() => {})
  const connections = new Set<LoopbackConnection>()
  let order = 0
  let running: Incarnation | undefined = start()

  function start(): Incarnation {
    const revocable = revocableStore(store, opened)
    // Tests and simulations have clocks of their own.
    const limits = { ...DEFAULT_LIMITS, ...NO_RATES, ...options.limits }
    const log = options.log ?? (() => {})
    const relay = new Relay({
      name,
      signingKey,
      verifier: options.verifier ?? nobleVerifier,
      environment,
      store: revocable.store,
      limits,
      log,
      meter: NO_METER,
      gate: new Gate({ name, limits, environment, log, store: revocable.store, creation: options.creation }),
      turn: () => Promise.resolve(),
      acceptRollback: options.acceptRollback ?? false,
    })
    return { relay, revocable }
  }

  function onQueued(direction: Direction, connection: LoopbackConnection): void {
    if (delivery === 'automatic') queueMicrotask(() => connection.deliverNext(direction))
  }

  function live(): LoopbackConnection[] {
    for (const connection of connections) if (connection.isOver) connections.delete(connection)
    return [...connections]
  }

  function connect(url: string, events: ConnectionEvents): Connection {
    const connection = new LoopbackConnection(events, () => order++, onQueued)
    connections.add(connection)
    const { relay } = running ?? {}
    if (relay === undefined) connection.refuse()
    else connection.open(peer => relay.accept(peer, options.addressOf?.(url)))
    return { send: frame => connection.sendToRelay(frame), close: () => connection.closeByReplica() }
  }

  function deliverNext(direction?: Direction): boolean {
    const directions: readonly Direction[] = direction === undefined ? ['toRelay', 'toReplica'] : [direction]
    let next: { connection: LoopbackConnection; direction: Direction; order: number } | undefined
    for (const connection of connections) {
      for (const each of directions) {
        const place = connection.nextOrder(each)
        if (place !== undefined && (next === undefined || place < next.order)) {
          next = { connection, direction: each, order: place }
        }
      }
    }
    return next?.connection.deliverNext(next.direction) ?? false
  }

  async function settle(): Promise<void> {
    await running?.relay.settle()
    await nextTurn()
  }

  async function deliverAll(): Promise<number> {
    let count = 0
    for (let before = -1; before < count; ) {
      before = count
      while (deliverNext()) {
        count++
        await nextTurn()
      }
      await settle()
      // What the relay did since may be on its way now.
      if (deliverNext()) count++
    }
    return count
  }

  function cut(): void {
    for (const connection of connections) connection.cut()
    connections.clear()
  }

  function stop(): void {
    running?.revocable.revoke()
    running = undefined
    cut()
  }

  return {
    name,
    key: signingKey.publicKey,
    get connections() {
      return live()
    },
    connect,
    deliverNext,
    deliverAll,
    settle,
    cut,
    stop,
    restart() {
      stop()
      running = start()
    },
    async close() {
      const relay = running?.relay
      running = undefined
      await relay?.close(nextTurn())
      await opened
      await store.close()
    },
  }
}

/** Lets everything that waits in the microtask queue happen first. */
function nextTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
