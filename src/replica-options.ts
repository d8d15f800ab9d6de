import { assertAdmission } from './admission-token.ts'
import { assertName } from './arguments.ts'
import type { Replicate } from './crdt/holdings.ts'
import { isRelayAddress } from './crdt/invite-link.ts'
import type { ReplicaStore } from './crdt/store.ts'
import type { SyncLimits } from './crdt/sync-limits.ts'
import type { SignatureVerifier } from './crypto/sign.ts'
import type { ScryptCost, StoreSecret } from './crypto/store-lock.ts'
import type { Environment } from './environment.ts'
import type { HeadChannel } from './head-exchange.ts'
import type { Transport } from './relay/transport.ts'
import type { PinnedRelay } from './verify/log.ts'

/** A relay by its address; with name and key where they are known beforehand, so that first contact needs no trust. */
export type RelayAddress =
  | string
  | {
      readonly url: string
      readonly name?: string
      readonly key?: Uint8Array
      /** What a relay that does not let everybody create spaces is shown; 1 to 256 bytes. */
      readonly token?: string
    }

export interface ReplicaOptions {
  /** Where everything is kept; opened and closed by the replica. */
  readonly store: ReplicaStore
  /** Default relay for new spaces; invites may name others. */
  readonly relay: RelayAddress
  /**
   * Which documents are kept here: `all` (default), or those that were `opened` on this device, and the directory. Of
   * the others a sparse replica verifies every entry, but has neither content nor state.
   */
  readonly replicate?: Replicate
  /** The log is shown as stale when the relay's latest signature is older, in milliseconds; default one day. */
  readonly staleAfter?: number
  /**
   * Nothing is sealed on a head that is older, in milliseconds; default a week. A relay that withholds the news that
   * somebody was removed can have content sealed to that person for as long.
   */
  readonly maxHeadAge?: number
  /** How this person and this device are called in spaces; encrypted like all content. */
  readonly profile?: { readonly name?: string; readonly device?: string }
  /**
   * Opens a store that `Replica.protect` has protected: its passphrase, or the 32 bytes of its passkey. A store without
   * protection is refused (ERR_PASSPHRASE, `details.reason` is `unprotected`): who names a secret relies on it.
   */
  readonly unlock?: StoreSecret
  /** Closes the replica when it aborts. */
  readonly signal?: AbortSignal
}

/** What a replica needs of the platform. */
export interface ReplicaPlatform {
  readonly transport: Transport
  readonly environment: Environment
  readonly verifier: SignatureVerifier
  /** When fast-forward, snapshots and cosignatures are worth it. */
  readonly limits?: SyncLimits
  /** Where replicas of this device hear each other. */
  readonly heads?: HeadChannel
  /** Of passphrases that protect the store; by default about a second of work. */
  readonly passphraseCost?: ScryptCost
  /** Calls back when the network may be back. @returns a function that unsubscribes */
  readonly onNetworkBack?: (listener: () => void) => () => void
}

export function urlOf(relay: RelayAddress): string {
  return typeof relay === 'string' ? relay : relay.url
}

/** What the relay is shown where it does not let everybody create spaces. */
export function tokenOf(relay: RelayAddress): string | undefined {
  return typeof relay === 'string' ? undefined : relay.token
}

/** Who the relay is, where that is known beforehand. */
export function identityOf(relay: RelayAddress): PinnedRelay | undefined {
  if (typeof relay === 'string' || relay.key === undefined || relay.name === undefined) return undefined
  return { name: relay.name, key: relay.key }
}

/** @throws TypeError */
export function assertOptions(options: ReplicaOptions): void {
  if (typeof options !== 'object' || options === null) throw new TypeError('options: expected an object')
  const { store, relay, profile } = options
  if (typeof store?.commit !== 'function') throw new TypeError('store: expected a ReplicaStore')
  const { replicate = 'all', staleAfter, maxHeadAge } = options
  if (replicate !== 'all' && replicate !== 'opened') throw new TypeError('replicate: expected "all" or "opened"')
  if (staleAfter !== undefined) assertPositive(staleAfter, 'staleAfter')
  if (maxHeadAge !== undefined) assertPositive(maxHeadAge, 'maxHeadAge')
  const url = typeof relay === 'string' ? relay : relay?.url
  if (typeof url !== 'string' || !isRelayAddress(url)) {
    throw new TypeError('relay: expected a ws: or wss: address')
  }
  if (typeof relay === 'object') {
    if ((relay.name === undefined) !== (relay.key === undefined)) throw new TypeError('relay: name and key go together')
    if (relay.key !== undefined && !(relay.key instanceof Uint8Array && relay.key.length === 32)) {
      throw new TypeError('relay.key: expected 32 bytes')
    }
    if (relay.token !== undefined) assertAdmission(relay.token, 'relay.token')
  }
  if (profile?.name !== undefined) assertName(profile.name, 'profile.name')
  if (profile?.device !== undefined) assertName(profile.device, 'profile.device')
}

function assertPositive(value: unknown, argument: string): void {
  if (typeof value !== 'number' || !(value > 0)) throw new TypeError(`${argument}: expected milliseconds`)
}
