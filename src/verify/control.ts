import { concat, toUtf8 } from '../bytes.ts'
import { idBytes, type MemberId } from '../ids.ts'

/** Ascending power; a member may act on roles below its own, an owner on every role (DESIGN §4). */
export const ROLES = ['reader', 'writer', 'admin', 'owner'] as const
export type Role = (typeof ROLES)[number]

export const HISTORIES = ['all', 'from-join'] as const
/** What a member may read: everything, or what is written in epochs from its admission on, and those granted (§7). */
export type History = (typeof HISTORIES)[number]

export const INVITE_KINDS = ['instant', 'approved', 'device'] as const
/**
 * `instant`: whoever holds the link is in at once, and holds a key to the epoch and the history that it grants.
 * `approved`: the link holds no key; an admin sees who asks and confirms. `device`: an instant invite for one more
 * device of the inviter's own member.
 */
export type InviteKind = (typeof INVITE_KINDS)[number]

export const RENAMED = ['space', 'member', 'device'] as const

/** The public keys of one device, with the proof that their holder has the signing key. */
export interface DeviceKeys {
  /** Ed25519, 32 bytes. */
  readonly signing: Uint8Array
  /** X-Wing, 1,216 bytes. */
  readonly kem: Uint8Array
  /** Ed25519 over `possessionInput`, 64 bytes. */
  readonly possession: Uint8Array
}

export interface RelayIdentity {
  /** DNS-like name that stands in every checkpoint. */
  readonly name: string
  /** Ed25519, 32 bytes: signs the checkpoints. */
  readonly key: Uint8Array
  /** WebSocket address where the relay was first met. */
  readonly url: string
}

/** What an entry that starts an epoch commits to. Hashes have 32 bytes. */
export interface EpochStart {
  /** Determines all secrets of the epoch, see crypto/commitments, 32 bytes. */
  readonly readCommit: Uint8Array
}

/** How the secrets of an epoch get to the members (DESIGN §7). */
export interface Delivery {
  /** RFC 6962 root over the wraps, 32 bytes; see wraps.ts. */
  readonly wrapsRoot: Uint8Array
  readonly wrapsCount: number
  /** The newest earlier epoch that the author has verified. */
  readonly target: number
  /** Secret of the target epoch, for who may read everything, 72 bytes. */
  readonly link: Uint8Array
  /** Names secret of the target epoch, for everybody, 72 bytes. */
  readonly namesLink: Uint8Array
}

export interface Policy {
  /** Which rules the guard applies to content; 1 is the only one so far. */
  readonly contentRules: number
  /** Largest body of an entry in this space, in bytes. */
  readonly maxBodyLength: number
  /** Distinct other members that must have cosigned a checkpoint before it may be skipped to (DESIGN §5.4). */
  readonly attestations: number
  /** Clients start a new epoch when the one in force has so many entries, or is so many days old; 0: never for this. */
  readonly rotateEntries: number
  readonly rotateDays: number
}

interface Timed {
  /** Unix time in milliseconds, by the author's clock: a claim that nothing depends on. */
  readonly time: number
}

export interface GenesisBody extends Timed {
  readonly type: 'genesis'
  readonly relay: RelayIdentity
  readonly device: DeviceKeys
  readonly member: MemberId
  readonly epoch: EpochStart
  /** The epoch secret for the first device, so that its key alone restores it; see crypto/wrap. */
  readonly wrap: Uint8Array
  readonly policy: Policy
  /** Sealed under the names secret of the header's epoch, like all names here. */
  readonly spaceName: Uint8Array
  readonly memberName: Uint8Array
  readonly deviceName: Uint8Array
}

/** Admits a provisional device, whose only permitted act is one `join`. */
export interface InviteBody extends Timed {
  readonly type: 'invite'
  readonly kind: InviteKind
  readonly device: DeviceKeys
  readonly member: MemberId
  readonly role: Role
  readonly history: History
  /** Unix time in milliseconds. */
  readonly expires: number
  /**
   * 1,168 bytes. Empty in an approved invite, and in one for a member that reads from its admission on: such a one gets
   * the key of the epoch that starts next, and so nothing from before.
   */
  readonly wrap: Uint8Array
  /** Approved only: the key under which whoever asks seals its names, itself sealed like a name; else empty. */
  readonly nameKey: Uint8Array
}

/** Ends an invite that nobody has used, or a request that nobody has approved. */
export interface RevokeBody extends Timed {
  readonly type: 'revoke'
  /** Number of the provisional or pending device. */
  readonly invite: number
}

/** Written by the provisional device of an invite: replaces it by the joiner's own. */
export interface JoinBody extends Timed {
  readonly type: 'join'
  readonly device: DeviceKeys
  /** Of an approved invite: sealed under a key from the link. */
  readonly memberName: Uint8Array
  readonly deviceName: Uint8Array
}

/** Makes a pending device a member's. */
export interface ApproveBody extends Timed {
  readonly type: 'approve'
  /** Number of the pending device. */
  readonly request: number
  /** 1,168 bytes; empty for a member that reads from its admission on. */
  readonly wrap: Uint8Array
  readonly memberName: Uint8Array
  readonly deviceName: Uint8Array
}

/** One more device of the author's own member, whose keys are known. */
export interface AddDeviceBody extends Timed {
  readonly type: 'add-device'
  readonly device: DeviceKeys
  readonly wrap: Uint8Array
  readonly deviceName: Uint8Array
}

export interface RemoveDeviceBody extends Timed {
  readonly type: 'remove-device'
  readonly device: number
}

export interface RemoveMemberBody extends Timed {
  readonly type: 'remove-member'
  readonly member: MemberId
}

export interface LeaveBody extends Timed {
  readonly type: 'leave'
}

export interface SetRoleBody extends Timed {
  readonly type: 'set-role'
  readonly member: MemberId
  readonly role: Role
}

/** Starts an epoch: the one way to do so after the genesis. */
export interface RotateBody extends Timed {
  readonly type: 'rotate'
  /** See `rotationBase`, 32 bytes: the epoch that ends, and the devices that the wraps are for. */
  readonly base: Uint8Array
  readonly epoch: EpochStart
  readonly delivery: Delivery
}

/** Replaces what an epoch's author delivered wrongly. */
export interface RepairBody extends Timed {
  readonly type: 'repair'
  readonly epoch: number
  readonly delivery: Delivery
}

export interface PolicyBody extends Timed {
  readonly type: 'policy'
  readonly policy: Policy
  /** Address where the relay is from now on. Its name and key are the space's for good. */
  readonly url: string
}

/** Gives one device the read secrets of epochs before its admission. */
export interface GrantBody extends Timed {
  readonly type: 'grant'
  readonly device: number
  /** The first epoch that the device may read from now on. */
  readonly from: number
  /** Read secrets of the epochs from there to where the device could read already; see crypto/grant. */
  readonly sealed: Uint8Array
}

export interface RenameBody extends Timed {
  readonly type: 'rename'
  readonly what: (typeof RENAMED)[number]
  /** Of the member; of another thing the own member, which says nothing. */
  readonly member: MemberId
  /** Number of the device; of another thing 0. */
  readonly device: number
  readonly name: Uint8Array
}

export type ControlBody =
  | GenesisBody
  | InviteBody
  | RevokeBody
  | JoinBody
  | ApproveBody
  | AddDeviceBody
  | RemoveDeviceBody
  | RemoveMemberBody
  | LeaveBody
  | SetRoleBody
  | RotateBody
  | RepairBody
  | PolicyBody
  | GrantBody
  | RenameBody

export type ControlType = ControlBody['type']

export const MAX_CONTROL_BODY_LENGTH: number = 64 * 1024
export const MAX_SEALED_NAME_LENGTH = 512
export const WRAP_LENGTH: number = 1120 + 32 + 16
/** nonce ‖ sealed secret. */
export const LINK_LENGTH: number = 24 + 32 + 16

const POSSESSION_LABEL = toUtf8('sealog/v1/possession\0')

/**
 * What a new device signs to show that it holds its signing key, and that it chose this KEM key for this member of this
 * space: nobody can have it admitted as a device of somebody else.
 * @param space 32 bytes; zero bytes in a genesis, whose own header signature binds it
 */
export function possessionInput(space: Uint8Array, member: MemberId, signing: Uint8Array, kem: Uint8Array): Uint8Array {
  return concat(POSSESSION_LABEL, space, idBytes(member), signing, kem)
}

export function roleNumber(role: Role): number {
  return ROLES.indexOf(role)
}

export function historyNumber(history: History): number {
  return HISTORIES.indexOf(history)
}
