import type { SignatureCheck } from '../crypto/sign.ts'
import { SealogError } from '../errors.ts'
import type { MemberId } from '../ids.ts'
import { type ControlBody, type Role, roleNumber } from './control.ts'
import {
  type ControlState,
  currentMember,
  type DeviceRecord,
  isKeeper,
  isMemberDevice,
  latestEpoch,
  type MemberRecord,
  type Moment,
  type Rotation,
} from './control-state.ts'
import { type EntryAt, refusal, refuseIf } from './refusal.ts'
import type { Recipient } from './wraps.ts'

/** What a control entry makes of the control state. */
export interface ControlChange {
  readonly control: ControlState
  /** Proofs of possession that it brings. */
  readonly checks: readonly SignatureCheck[]
  /** Of an entry that delivers the secret of an epoch: to whom. */
  readonly recipients?: readonly Recipient[]
}

/** A control entry while it is judged: the state before it, who wrote it, and what it says. */
export interface Act<Body extends ControlBody = ControlBody> {
  readonly control: ControlState
  readonly author: DeviceRecord
  readonly body: Body
  readonly entry: EntryAt
}

export function changed(control: ControlState, entry: EntryAt, change: Partial<ControlState>): ControlChange {
  return { control: { ...control, ...change, count: control.count + 1, head: entry.hash }, checks: [] }
}

export function momentOf(control: ControlState, entry: EntryAt): Moment {
  return { number: control.count, index: entry.index, epoch: latestEpoch(control) }
}

/** The member who speaks. @throws SealogError ERR_UNAUTHORIZED where the device speaks for none */
export function authorOf({ control, author, entry }: Act): MemberRecord {
  const member = currentMember(control, author.member)
  if (!isMemberDevice(author) || member === undefined) throw refusal(entry, 'role', 'ERR_UNAUTHORIZED')
  return member
}

/** The same, of at least this role. */
export function authorAtLeast(act: Act, role: Role): MemberRecord {
  const member = authorOf(act)
  if (roleNumber(member.role) < roleNumber(role)) throw refusal(act.entry, 'role', 'ERR_UNAUTHORIZED')
  return member
}

/** Who may read everything, and write: can bring an epoch about. */
export function keeperOf(act: Act): MemberRecord {
  const member = authorOf(act)
  if (!isKeeper(member)) throw refusal(act.entry, 'role', 'ERR_UNAUTHORIZED')
  return member
}

/** Admins act on what is below them, owners on everybody (DESIGN §4). */
export function mayActOn(author: MemberRecord, role: Role): boolean {
  const rank = roleNumber(author.role)
  return rank === roleNumber('owner') || (rank >= roleNumber('admin') && roleNumber(role) < rank)
}

export function refuseUnlessMayActOn(author: MemberRecord, role: Role, entry: EntryAt): void {
  if (!mayActOn(author, role)) throw refusal(entry, 'role', 'ERR_UNAUTHORIZED')
}

/** A member that there is now. */
export function memberAt({ control, entry }: Act, member: MemberId): MemberRecord {
  const record = currentMember(control, member)
  if (record === undefined) throw refusal(entry, 'member')
  return record
}

/** A device that speaks for a member now. */
export function deviceAt({ control, entry }: Act, number: number): DeviceRecord {
  const device = control.devices.get(number)
  if (!isMemberDevice(device)) throw refusal(entry, 'member')
  return device
}

export function devicesOf(control: ControlState, member: MemberId): readonly DeviceRecord[] {
  return [...control.devices.values()].filter(device => device.member === member && isMemberDevice(device))
}

/** There is always an owner (DESIGN §4). */
export function refuseWithoutOwner(control: ControlState, entry: EntryAt): void {
  for (const member of control.members.values()) {
    if (member.removed === undefined && member.role === 'owner') return
  }
  refuseIf(true, entry, 'last-owner')
}

/** The more urgent of the two. */
export function urgent(a: Rotation, b: Rotation): Rotation {
  return a === 'tainted' || b === 'tainted' ? 'tainted' : a === 'due' || b === 'due' ? 'due' : 'settled'
}

export function replaced<Key, Value>(
  map: ReadonlyMap<Key, Value>,
  entries: Iterable<readonly [Key, Value]>,
): ReadonlyMap<Key, Value> {
  const copy = new Map(map)
  for (const [key, value] of entries) copy.set(key, value)
  return copy
}

export function without<Key, Value>(map: ReadonlyMap<Key, Value>, keys: Iterable<Key>): ReadonlyMap<Key, Value> {
  const copy = new Map(map)
  for (const key of keys) copy.delete(key)
  return copy
}

/** Runs a check of bytes whose failure is about this entry. */
export function sound<T>(entry: EntryAt, check: () => T): T {
  try {
    return check()
  } catch (cause) {
    if (cause instanceof SealogError) throw refusal(entry, 'key', 'ERR_INVALID_ENTRY', cause)
    throw cause
  }
}
