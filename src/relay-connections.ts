import { decodePinnedRelay, encodePinnedRelay, relayKey } from './crdt/rows.ts'
import type { ReplicaStore } from './crdt/store.ts'
import type { Environment } from './environment.ts'
import type { SealogError } from './errors.ts'
import { RelayClient } from './relay/client.ts'
import type { Transport } from './relay/transport.ts'
import { type PinnedRelay, sameRelay } from './verify/log.ts'

export interface RelayConnectionsOptions {
  readonly store: ReplicaStore
  readonly transport: Transport
  readonly environment: Environment
  /** A connection went up or down. */
  readonly onState: (client: RelayClient, cause: SealogError | undefined) => void
}

/** The connections of a replica, one for each address, and who was met there. */
export class RelayConnections {
  readonly #options: RelayConnectionsOptions
  readonly #clients = new Map<string, RelayClient>()

  constructor(options: RelayConnectionsOptions) {
    this.#options = options
  }

  /**
   * The one connection to a relay.
   * @param known its identity; undefined at first contact
   * @param isClaim only an invite says so
   * @throws SealogError ERR_STORE…
   */
  async to(url: string, known: PinnedRelay | undefined, isClaim = false): Promise<RelayClient> {
    const { store, transport, environment, onState } = this.#options
    const stored = await store.get(relayKey(url))
    const existing = this.#clients.get(url)
    // An invite that named a wrong relay must not spoil the address for a good one.
    const isSpoilt =
      existing?.isIdleClaim === true &&
      known !== undefined &&
      !(existing.pinned !== undefined && sameRelay(existing.pinned, known))
    if (existing !== undefined && !isSpoilt) return existing
    existing?.close()
    const client: RelayClient = new RelayClient({
      transport,
      environment,
      url,
      pinned: stored === undefined ? known : decodePinnedRelay(stored),
      isClaim: isClaim && stored === undefined,
      pin: relay => store.commit({ puts: [[relayKey(url), encodePinnedRelay(relay)]], deletes: [] }),
      onState: (_, cause) => onState(client, cause),
    })
    this.#clients.set(url, client)
    client.start()
    return client
  }

  /** The network may be back: tries to connect at once instead of waiting for the next attempt. */
  wake(): void {
    for (const client of this.#clients.values()) client.wake()
  }

  close(): void {
    for (const client of this.#clients.values()) client.close()
  }
}
