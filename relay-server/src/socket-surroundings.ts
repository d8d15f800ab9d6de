import type { SpaceId } from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import type { Peer } from './peer.ts'
import type { SpaceRegistry } from './space-registry.ts'
import type { Staging } from './staging.ts'

/** What a socket gives to its channels. */
export interface SocketSurroundings {
  readonly context: RelayContext
  readonly spaces: SpaceRegistry
  readonly peer: Peer
  readonly staging: Staging
  /** Of the client, as text; undefined within one process. */
  readonly address: string | undefined
  /** What devices sign on this socket, 32 bytes. */
  readonly challenge: Uint8Array
  /** The socket has opened or created a space. */
  readonly onAuthenticated: () => void
  /** @throws SealogError ERR_LIMIT where the socket has as many open spaces as it may */
  readonly assertRoom: (space: SpaceId) => void
  /**
   * The space is kept open for the socket, as long as what is returned was not called.
   * @throws SealogError ERR_LIMIT where the spaces that it, or its address, keeps open take as much memory as they may
   */
  readonly hold: (space: SpaceId, weight: () => number) => () => void
}
