import type { Confirmation } from './crdt/freshness.ts'
import type { Vouchers } from './crdt/trust.ts'
import type { SealogError } from './errors.ts'
import type { MemberId } from './ids.ts'
import type { ConnectionState } from './relay/client.ts'
import type { Role } from './verify/control.ts'
import type { WaitOptions } from './waiting.ts'

export interface Member {
  readonly id: MemberId
  readonly name: string
  readonly role: Role
  readonly me: boolean
}

/**
 * `verified`: every entry of the log was verified here, one by one. `vouched`: a part of it was skipped, up to `size`
 * entries, on the word of the inviter, or of members who have verified it; an audit in the background is under way.
 */
export type Trust =
  | { readonly level: 'verified' }
  | { readonly level: 'vouched'; readonly size: number; readonly by: Vouchers; readonly audited: number }

export interface SpaceStatus {
  readonly connection: ConnectionState | 'paused'
  /** Own changes: only in memory; in the local store; and how many of their entries are on the way through the relay. */
  readonly local: { readonly unsaved: number; readonly pending: number; readonly sequenced: number }
  /** The verified log: number of entries, and the time (Unix, ms) that the relay signed with it. */
  readonly confirmed: {
    readonly size: number
    readonly at: number | undefined
    /** The relay's latest signature is older than `staleAfter`: it may have stopped telling. */
    readonly stale: boolean
    /** The largest log that another member is known to have verified, by the entry that says so. */
    readonly byOther: Confirmation | undefined
  }
  readonly trust: Trust
  /** The relay contradicted itself, by its own signatures: sync has ended; see `exportEvidence`. */
  readonly frozen: boolean
  readonly storage: 'ok' | 'full' | 'failed'
  /** Set when sync cannot go on with this version of the library. */
  readonly halted: SealogError | undefined
}

export interface InviteOptions extends WaitOptions {
  readonly role?: Role
  /** Milliseconds from now; default a week. */
  readonly expiresIn?: number
  /** Address of the app, to which the invite is added as a fragment; default: a bare `sealog:` link. */
  readonly base?: string
}

/** What members compare to know that nobody was slipped in between them. */
export interface SpaceFingerprint {
  /** 60 digits in groups of five. */
  readonly digits: string
  /** For a QR code; carries the relay's latest note besides. */
  readonly qr: string
}
