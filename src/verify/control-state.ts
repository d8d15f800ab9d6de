import type { MemberId } from '../ids.ts'
import type { Delivery, EpochStart, History, InviteKind, Policy, RelayIdentity, Role } from './control.ts'

/** A place among control entries, and in the log. */
export interface Moment {
  /** Number of the control entry. */
  readonly number: number
  readonly index: number
  /** The epoch in force there. */
  readonly epoch: number
}

/** Sealed under the names secret of an epoch. */
export interface SealedName {
  readonly epoch: number
  readonly sealed: Uint8Array
}

/** The number on the wire and in rows is the place in this list. */
export const STANDINGS = ['member', 'provisional', 'applicant', 'pending'] as const
/**
 * `provisional`: of an invite whose link holds a key, may do nothing but join. `applicant`: the same of an approved
 * invite, whose link holds none. `pending`: has joined, and waits for approval.
 */
export type Standing = (typeof STANDINGS)[number]

/** One device that was ever admitted; its number is the number of the control entry that admitted it. */
export interface DeviceRecord {
  readonly number: number
  readonly signing: Uint8Array
  readonly kem: Uint8Array
  readonly member: MemberId
  readonly standing: Standing
  /** Undefined for a provisional or pending device. */
  readonly name: SealedName | undefined
  readonly since: Moment
  readonly removed: Moment | undefined
  /** The first epoch that this device was given secrets of, where its member may not read everything. */
  readonly readsFrom: number
}

/** A member, also one that is no more. */
export interface MemberRecord {
  readonly id: MemberId
  readonly role: Role
  readonly history: History
  readonly name: SealedName
  readonly since: Moment
  readonly removed: Moment | undefined
}

/** An invite that nobody has used yet, or a request that nobody has approved; its number is that of its device. */
export interface OpenInvite {
  readonly number: number
  readonly kind: InviteKind
  readonly member: MemberId
  readonly role: Role
  readonly history: History
  readonly expires: number
  readonly inviter: MemberId
  /** Number of the inviter's device. */
  readonly device: number
  /** Approved only; see `InviteBody.nameKey`. */
  readonly nameKey: SealedName | undefined
  /** Names of who asks, where somebody has: sealed under a key from the link. */
  readonly requested: { readonly memberName: Uint8Array; readonly deviceName: Uint8Array } | undefined
}

/** One attempt to get the secrets of an epoch to the members. */
export interface DeliveryRecord extends Delivery {
  /** Place of its entry in the log. */
  readonly index: number
  /** Number of its author's device. */
  readonly device: number
}

export interface EpochRecord extends EpochStart {
  /** Place in the log of the entry that started it. */
  readonly index: number
  /** Number of the device that started it. */
  readonly device: number
  /** When, by the clock of its author: Unix time in milliseconds. */
  readonly time: number
  /** First the one that came with it, then repairs. The first epoch has none but repairs. */
  readonly deliveries: readonly DeliveryRecord[]
}

/** The number in rows is the place in this list. */
export const ROTATIONS = ['settled', 'due', 'tainted'] as const
/**
 * `tainted`: somebody who should not read on holds the secret of the epoch in force, so no document entry is valid
 * before the next one starts. `due`: the next one should start soon.
 */
export type Rotation = (typeof ROTATIONS)[number]

/** What control entries fold to (DESIGN §4). */
export interface ControlState {
  /** Leaf hash of the genesis: the space's id, 32 bytes. */
  readonly space: Uint8Array
  readonly relay: RelayIdentity
  readonly policy: Policy
  readonly spaceName: SealedName
  readonly devices: ReadonlyMap<number, DeviceRecord>
  readonly members: ReadonlyMap<MemberId, MemberRecord>
  readonly invites: ReadonlyMap<number, OpenInvite>
  readonly epochs: readonly EpochRecord[]
  readonly rotation: Rotation
  /** Number of control entries so far: the number that the next one gets. */
  readonly count: number
  /** Leaf hash of the latest control entry. */
  readonly head: Uint8Array
}

export function latestEpoch(control: ControlState): number {
  return control.epochs.length - 1
}

export function currentMember(control: ControlState, member: MemberId): MemberRecord | undefined {
  const record = control.members.get(member)
  return record?.removed === undefined ? record : undefined
}

/** Who may read everything, and write: can start an epoch, and repair one (protocol.md R-ROTATE-1). */
export function isKeeper(member: MemberRecord | undefined): member is MemberRecord {
  return member !== undefined && member.removed === undefined && member.history === 'all' && member.role !== 'reader'
}

/** A device that may speak as its member; neither removed nor provisional nor pending. */
export function isMemberDevice(device: DeviceRecord | undefined): device is DeviceRecord {
  return device !== undefined && device.standing === 'member' && device.removed === undefined
}

/** May the member of this device, or who uses the invite that it stands for, read everything? */
export function historyOf(control: ControlState, device: DeviceRecord): History {
  const invite = control.invites.get(device.number)
  return (invite ?? control.members.get(device.member))?.history ?? 'from-join'
}
