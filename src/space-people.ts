import type { SpaceKeys } from './crdt/epoch-secrets.ts'
import { openName, openRequestNames } from './crdt/names.ts'
import { labelledHash } from './crypto/hash.ts'
import { SealogError } from './errors.ts'
import type { MemberId } from './ids.ts'
import type { JoinRequest, Member, MemberDevice, OpenInviteInfo } from './space-status.ts'
import {
  type ControlState,
  currentMember,
  type DeviceRecord,
  isMemberDevice,
  type MemberRecord,
} from './verify/control-state.ts'
import { fingerprintDigits } from './verify/fingerprint.ts'

/** From where somebody looks at the members of a space. */
export interface Onlooker {
  /** Undefined as long as the log has not arrived. */
  readonly control: ControlState | undefined
  /** They open the names. */
  readonly keys: SpaceKeys
  readonly member: MemberId
  /** Undefined where it speaks for no member. */
  readonly device: number | undefined
}

/** Who is in the space now, with their devices. */
export function membersOf(onlooker: Onlooker): readonly Member[] {
  const { control } = onlooker
  if (control === undefined) return []
  const current = [...control.members.values()].filter(({ removed }) => removed === undefined)
  return current.map(record => memberOf(onlooker, control, record))
}

function memberOf(onlooker: Onlooker, control: ControlState, { id, role, history, name, since }: MemberRecord): Member {
  return {
    id,
    name: openName(onlooker.keys, 'member', name),
    role,
    history,
    me: id === onlooker.member,
    since: { index: since.index, epoch: since.epoch },
    devices: devicesOf(control, id).map(device => deviceOf(onlooker, device)),
  }
}

function deviceOf(
  { keys, device }: Onlooker,
  { number, name, since, signing, kem, readsFrom }: DeviceRecord,
): MemberDevice {
  return {
    id: number,
    name: openName(keys, 'device', name),
    me: number === device,
    since: { index: since.index, epoch: since.epoch },
    readsFrom,
    fingerprint: keyFingerprint(signing, kem),
  }
}

/** The devices that speak for a member now. */
export function devicesOf(control: ControlState, member: MemberId): readonly DeviceRecord[] {
  return [...control.devices.values()].filter(device => device.member === member && isMemberDevice(device))
}

/** Invites that nobody has used. */
export function invitesOf({ control }: Onlooker): readonly OpenInviteInfo[] {
  const invites = [...(control?.invites.values() ?? [])].filter(({ requested }) => requested === undefined)
  return invites.map(({ number, kind, role, history, expires, inviter }) => {
    return { id: number, kind, role, history, expires, inviter }
  })
}

/** Who has used an approved invite, and waits. */
export function requestsOf({ control, keys }: Onlooker): readonly JoinRequest[] {
  const requests = [...(control?.invites.values() ?? [])].filter(({ requested }) => requested !== undefined)
  return requests.map(invite => {
    const { number, role, history, inviter } = invite
    const names = openRequestNames(keys, invite)
    const device = control?.devices.get(number) as DeviceRecord
    const fingerprint = keyFingerprint(device.signing, device.kem)
    return { id: number, name: names.member, device: names.device, role, history, inviter, fingerprint }
  })
}

/** The member that speaks. @throws SealogError ERR_UNAUTHORIZED where that is none of the space */
export function ownRecord(control: ControlState, id: MemberId): MemberRecord {
  const member = currentMember(control, id)
  if (member === undefined) throw new SealogError('ERR_UNAUTHORIZED', 'this device is no member of the space')
  return member
}

/** Of the keys of one device: to be compared between who asks to join and who approves. */
export function keyFingerprint(signing: Uint8Array, kem: Uint8Array): string {
  return fingerprintDigits(labelledHash('sealog/v1/device-fingerprint', signing, kem))
}
