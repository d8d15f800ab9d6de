import type { Confirmation } from './crdt/freshness.ts'
import type { Vouchers } from './crdt/trust.ts'
import type { SealogError } from './errors.ts'
import type { DocumentId, MemberId } from './ids.ts'
import type { ConnectionState } from './relay/client.ts'
import type { History, InviteKind, Role } from './verify/control.ts'
import type { WaitOptions } from './waiting.ts'

/** A place in the log, and the epoch in force there. */
export interface Place {
  readonly index: number
  readonly epoch: number
}

export interface Member {
  readonly id: MemberId
  readonly name: string
  readonly role: Role
  /** What it may read: everything, or what is written from its admission on, and what was granted. */
  readonly history: History
  readonly me: boolean
  /** The entry that made it a member. */
  readonly since: Place
  readonly devices: readonly MemberDevice[]
}

export interface MemberDevice {
  /** Number of the control entry that admitted it. */
  readonly id: number
  readonly name: string
  readonly me: boolean
  readonly since: Place
  /** The first epoch whose content it was given keys of; 0 where its member reads everything. */
  readonly readsFrom: number
  /** Of its keys, 60 digits: the same wherever it is shown. */
  readonly fingerprint: string
}

/** An invite that nobody has used. */
export interface OpenInviteInfo {
  readonly id: number
  readonly kind: InviteKind
  readonly role: Role
  readonly history: History
  /** Unix time in milliseconds. */
  readonly expires: number
  readonly inviter: MemberId
}

/** Somebody has used an approved invite, and waits. The names are what that person says. */
export interface JoinRequest {
  readonly id: number
  readonly name: string
  readonly device: string
  readonly role: Role
  readonly history: History
  readonly inviter: MemberId
  /** Of the keys that ask, 60 digits: the asking side sees the same in `joining`. */
  readonly fingerprint: string
}

/**
 * `verified`: every entry of the log was verified here, one by one, and every document is held against them. `vouched`: a
 * part of it was skipped, up to `size` entries, on the word of the inviter, or of members who have verified it; or
 * `documents` came as a snapshot, and were held only against the last of the entries that it covers, of each of their
 * authors, so that a writer can have told another story of itself in those before. The audit of both is under way in
 * the background. Where nothing but such documents is left, `by` names who made their snapshots.
 */
export type Trust =
  | { readonly level: 'verified' }
  | {
      readonly level: 'vouched'
      readonly size: number
      readonly by: Vouchers
      readonly audited: number
      readonly documents: readonly DocumentId[]
    }

export interface SpaceStatus {
  readonly connection: ConnectionState | 'paused'
  /** `joining`: the log does not prove yet that this device is a member; `pending`: it waits to be approved. */
  readonly membership: 'member' | 'joining' | 'pending' | 'removed'
  /**
   * What others have yet to do before this device can go on: an admin to let it in (`approval`), or a member who reads
   * everything to be online, and so to start the epoch whose keys this device may have (`keys`). Until then it can
   * neither join nor send. Undefined where it waits for nobody, or cannot tell, as it is offline.
   */
  readonly waitingFor: 'approval' | 'keys' | undefined
  /** Own changes: only in memory; in the local store; and how many entries with such are on the way through the relay. */
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
  /**
   * `instant` (default): whoever opens the link is in, at once, and once. The link is a key: who gets hold of it before it
   * is used can join in somebody's place, and who has the relay's data as well can read with it what is written until
   * the next rotation, and the history that it grants. `approved`: the link holds no key. Who uses it waits until an
   * admin has seen name and fingerprint and approves (`requests`, `approve`); a stolen link shows no content.
   */
  readonly kind?: 'instant' | 'approved'
  readonly role?: Role
  /**
   * `all` (default), or `from-join`: no content from before the next epoch, which starts with the invite. Names of
   * members, devices and documents are seen by every member, also those from before.
   */
  readonly history?: History
  /** Milliseconds from now; default a week. */
  readonly expiresIn?: number
  /** Address of the app, to which the invite is added as a fragment; default: a bare `sealog:` link. */
  readonly base?: string
}

export interface AddDeviceOptions extends WaitOptions {
  /** Milliseconds from now; default a day. */
  readonly expiresIn?: number
  /** As in `InviteOptions`. */
  readonly base?: string
}

/** What is named is changed; the rest stays. */
export interface PolicyChange {
  /** A new epoch starts after so many entries, or days, by whichever client sees it first; without both, never so. */
  readonly rotateEvery?: { readonly entries?: number; readonly days?: number }
  /** Distinct other members that must have verified a checkpoint before it may be skipped to; at most 15. */
  readonly attestations?: number
  /** Of an entry, in bytes; at most 64 MiB. */
  readonly maxBodyLength?: number
  /** Where the same relay is to be found, for the record (`history`): replicas keep the address that they have. */
  readonly relayUrl?: string
}

/** What members compare to know that nobody was slipped in between them. */
export interface SpaceFingerprint {
  /** 60 digits in groups of five. */
  readonly digits: string
  /** For a QR code; carries the relay's latest note besides. */
  readonly qr: string
}
