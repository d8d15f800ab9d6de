import type { SealogError, SpaceId } from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import type { HttpHook } from './http-requests.ts'
import { CLOSE, type Peer } from './peer.ts'
import { RelaySession } from './session.ts'
import { SpaceRegistry } from './space-registry.ts'
import { tileRequests } from './tiles.ts'

/** A relay without a network: whoever has a connection hands it in. */
export class Relay {
  readonly context: RelayContext
  /** Serves the logs as C2SP tlog-tiles, see tiles.ts. */
  readonly tiles: HttpHook
  readonly #spaces: SpaceRegistry
  readonly #sessions = new Set<RelaySession>()
  readonly #stagingTotal = { bytes: 0 }
  #isClosing = false

  /** @param context its store is open */
  constructor(context: RelayContext) {
    this.context = context
    this.#spaces = new SpaceRegistry(context)
    this.tiles = tileRequests(context, this.#spaces)
  }

  /**
   * Serves one connection; the caller hands in its frames by `onFrame` and its end by `onClose`.
   * @param address of the client, where it has one
   */
  accept(peer: Peer, address?: string): RelaySession {
    const { context } = this
    const surroundings = { context, spaces: this.#spaces, stagingTotal: this.#stagingTotal, address }
    const session: RelaySession = new RelaySession(surroundings, peer, () => this.#sessions.delete(session))
    if (this.#isClosing) {
      session.close(CLOSE.goingAway, 'the relay is stopping')
      return session
    }
    this.#sessions.add(session)
    session.start()
    return session
  }

  get connections(): number {
    return this.#sessions.size
  }

  /** Stops a space whose stored log turned out to be wrong, and serves the others. */
  refuse(space: SpaceId, error: SealogError): Promise<void> {
    return this.#spaces.refuse(space, error)
  }

  /** Resolves when no request is under way. */
  async settle(): Promise<void> {
    await Promise.all([...this.#sessions].map(session => session.settle()))
    await this.#spaces.settle()
  }

  /**
   * Takes no more requests, answers those under way, then ends all connections. The store stays open.
   * @param deadline when to wait no longer for replicas that do not take their answers
   * @param last when to wait no longer for the store either: what it was asked for may then still happen, and nobody
   * is told. Default: never
   */
  async close(deadline: Promise<void>, last: Promise<void> = new Promise(() => {})): Promise<void> {
    this.#isClosing = true
    const drained = Promise.all([...this.#sessions].map(session => session.drain()))
    await Promise.race([drained, deadline, last])
    await Promise.race([this.#spaces.settle(), last])
    for (const session of [...this.#sessions]) session.close(CLOSE.goingAway, 'the relay is stopping')
    this.#spaces.close()
  }
}
