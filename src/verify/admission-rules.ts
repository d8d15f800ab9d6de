import { equalBytes } from '../bytes.ts'
import { ZERO_32 } from '../crypto/hash.ts'
import { assertValidKemKey } from '../crypto/kem-key.ts'
import { assertAdmissibleKey, type SignatureCheck } from '../crypto/sign.ts'
import type { MemberId } from '../ids.ts'
import {
  type AddDeviceBody,
  type ApproveBody,
  type DeviceKeys,
  type GenesisBody,
  type InviteBody,
  type JoinBody,
  possessionInput,
  type RevokeBody,
  roleNumber,
  WRAP_LENGTH,
} from './control.ts'
import {
  type Act,
  authorOf,
  type ControlChange,
  changed,
  devicesOf,
  mayActOn,
  momentOf,
  refuseUnlessMayActOn,
  replaced,
  sound,
  urgent,
  without,
} from './control-change.ts'
import {
  type ControlState,
  type DeviceRecord,
  latestEpoch,
  type MemberRecord,
  type OpenInvite,
  type SealedName,
  type Standing,
} from './control-state.ts'
import { type EntryAt, refusal, refuseIf } from './refusal.ts'

/** Invites of one member that nobody has used yet. */
const MAX_OPEN_INVITES = 256
/** Devices that one member ever had, links for them included: what is removed stays in the state. */
const MAX_EVER = 1024
/** Current devices of one member. */
const MAX_MEMBER_DEVICES = 64

export function genesisControl(body: GenesisBody, entry: EntryAt): ControlChange {
  const since = { number: 0, index: 0, epoch: 0 }
  const named = (sealed: Uint8Array): SealedName => ({ epoch: 0, sealed })
  const checks = [admit(ZERO_32, body.device, body.member, undefined, entry)]
  const device: DeviceRecord = {
    number: 0,
    signing: body.device.signing,
    kem: body.device.kem,
    member: body.member,
    standing: 'member',
    name: named(body.deviceName),
    since,
    removed: undefined,
    readsFrom: 0,
  }
  const member: MemberRecord = {
    id: body.member,
    role: 'owner',
    history: 'all',
    name: named(body.memberName),
    since,
    removed: undefined,
  }
  const control: ControlState = {
    space: entry.hash,
    relay: body.relay,
    policy: body.policy,
    spaceName: named(body.spaceName),
    devices: new Map([[0, device]]),
    members: new Map([[body.member, member]]),
    invites: new Map(),
    epochs: [{ ...body.epoch, index: 0, device: 0, time: body.time, deliveries: [] }],
    rotation: 'settled',
    count: 1,
    head: entry.hash,
  }
  return { control, checks }
}

/** Admits a provisional device (protocol.md R-INVITE-1, 2 and 6 to 8). */
export function applyInvite(act: Act<InviteBody>): ControlChange {
  const { control, author, body, entry } = act
  const inviter = authorOf(act)
  if (body.kind === 'device') {
    const isOwn = body.member === inviter.id && body.role === inviter.role && body.history === inviter.history
    refuseIf(!isOwn, entry, 'invite')
    refuseIf(isFull(control, inviter.id), entry, 'limit')
  } else {
    refuseUnlessMayActOn(inviter, body.role, entry)
    refuseIf(body.history !== 'all' && roleNumber(body.role) >= roleNumber('admin'), entry, 'invite')
    // Who may not read everything cannot give it away.
    refuseIf(body.history === 'all' && inviter.history !== 'all', entry, 'invite')
    refuseIf(isKnownMember(control, body.member), entry, 'invite')
  }
  const open = [...control.invites.values()].filter(invite => invite.inviter === inviter.id).length
  refuseIf(open >= MAX_OPEN_INVITES, entry, 'limit')
  const number = control.count
  const nameKey = body.kind === 'approved' ? { epoch: entry.header.epoch, sealed: body.nameKey } : undefined
  const invite: OpenInvite = {
    number,
    kind: body.kind,
    member: body.member,
    role: body.role,
    history: body.history,
    expires: body.expires,
    inviter: inviter.id,
    device: author.number,
    nameKey,
    requested: undefined,
  }
  const standing = body.kind === 'approved' ? 'applicant' : 'provisional'
  const device = newDevice(act, body.device, body.member, standing, undefined)
  return admitted(act, body.device, body.member, {
    devices: replaced(control.devices, [[number, device]]),
    invites: replaced(control.invites, [[number, invite]]),
    rotation: urgent(control.rotation, isForNext(invite) && body.kind === 'instant' ? 'due' : 'settled'),
  })
}

/** The one thing that a provisional device may do: give way to the joiner's own (R-INVITE-3, R-JOIN-1, R-JOIN-2). */
export function applyJoin(act: Act<JoinBody>): ControlChange {
  const { control, author, body, entry } = act
  const invite = control.invites.get(author.number)
  const isInvited = author.standing === 'provisional' || author.standing === 'applicant'
  if (!isInvited || invite === undefined) throw refusal(entry, 'invite', 'ERR_UNAUTHORIZED')
  const number = control.count
  const gone = { ...author, removed: momentOf(control, entry) }
  const invites = without(control.invites, [author.number])
  if (invite.kind === 'approved') {
    const requested = { memberName: body.memberName, deviceName: body.deviceName }
    const device = newDevice(act, body.device, invite.member, 'pending', undefined)
    return admitted(act, body.device, invite.member, {
      devices: replaced(control.devices, [
        [author.number, gone],
        [number, device],
      ]),
      invites: replaced(invites, [[number, { ...invite, number, requested }]]),
    })
  }
  refuseIf(invite.kind === 'device' && isFull(control, invite.member), entry, 'limit')
  const epoch = entry.header.epoch
  const own = newDevice(act, body.device, invite.member, 'member', { epoch, sealed: body.deviceName })
  // What the link was given, the device has: the link's own keys read no further once the next epoch has started.
  const device = { ...own, readsFrom: author.readsFrom }
  const isNew = invite.kind !== 'device'
  const member = isNew ? [newMember(act, invite, { epoch, sealed: body.memberName })] : []
  return admitted(act, body.device, invite.member, {
    devices: replaced(control.devices, [
      [author.number, gone],
      [number, device],
    ]),
    invites,
    members: replaced(
      control.members,
      member.map(record => [record.id, record]),
    ),
    rotation: urgent(control.rotation, 'due'),
  })
}

/** Makes the device of a request a member's (R-APPROVE-1, R-APPROVE-2). */
export function applyApprove(act: Act<ApproveBody>): ControlChange {
  const { control, body, entry } = act
  const approver = authorOf(act)
  const invite = control.invites.get(body.request)
  const pending = control.devices.get(body.request)
  if (invite === undefined || pending?.standing !== 'pending') throw refusal(entry, 'invite')
  refuseUnlessMayActOn(approver, invite.role, entry)
  refuseIf(invite.history === 'all' && approver.history !== 'all', entry, 'invite')
  const isRight = body.wrap.length === (isForNext(invite) ? 0 : WRAP_LENGTH)
  refuseIf(!isRight, entry, 'invite')
  const epoch = entry.header.epoch
  const device: DeviceRecord = {
    ...pending,
    standing: 'member',
    name: { epoch, sealed: body.deviceName },
    // From here on it has keys, and speaks: this is the entry that brings its wrap.
    since: momentOf(control, entry),
    readsFrom: isForNext(invite) ? latestEpoch(control) + 1 : 0,
  }
  const member = newMember(act, invite, { epoch, sealed: body.memberName })
  return changed(control, entry, {
    devices: replaced(control.devices, [[body.request, device]]),
    members: replaced(control.members, [[member.id, member]]),
    invites: without(control.invites, [body.request]),
    rotation: urgent(control.rotation, isForNext(invite) ? 'due' : 'settled'),
  })
}

/** Ends an invite or a request; where its link holds a key, that key may be in the wrong hands (R-REVOKE-1, R-REVOKE-2). */
export function applyRevoke(act: Act<RevokeBody>): ControlChange {
  const { control, body, entry } = act
  const author = authorOf(act)
  const invite = control.invites.get(body.invite)
  if (invite === undefined) throw refusal(entry, 'invite')
  const isAllowed = invite.inviter === author.id || invite.member === author.id || mayActOn(author, invite.role)
  if (!isAllowed) throw refusal(entry, 'role', 'ERR_UNAUTHORIZED')
  return changed(control, entry, withoutInvites(control, entry, [invite]))
}

/** The state without these invites; a link that held a key taints the epoch. */
export function withoutInvites(
  control: ControlState,
  entry: EntryAt,
  invites: readonly OpenInvite[],
): Pick<ControlState, 'devices' | 'invites' | 'rotation'> {
  const removed = momentOf(control, entry)
  const gone = invites.map(({ number }): readonly [number, DeviceRecord] => {
    return [number, { ...(control.devices.get(number) as DeviceRecord), removed }]
  })
  const hadKey = invites.some(({ kind }) => kind !== 'approved')
  return {
    devices: replaced(control.devices, gone),
    invites: without(
      control.invites,
      invites.map(({ number }) => number),
    ),
    rotation: urgent(control.rotation, hadKey ? 'tainted' : 'settled'),
  }
}

/** One more device of the author's own member (R-DEVICE-2 to 4). */
export function applyAddDevice(act: Act<AddDeviceBody>): ControlChange {
  const { control, author, body, entry } = act
  const member = authorOf(act)
  refuseIf(isFull(control, member.id), entry, 'limit')
  const device = newDevice(act, body.device, member.id, 'member', {
    epoch: entry.header.epoch,
    sealed: body.deviceName,
  })
  return admitted(act, body.device, author.member, { devices: replaced(control.devices, [[device.number, device]]) })
}

function admitted(act: Act, keys: DeviceKeys, member: MemberId, change: Partial<ControlState>): ControlChange {
  const { control, entry } = act
  const check = admit(entry.header.space, keys, member, control, entry)
  return { ...changed(control, entry, change), checks: [check] }
}

function newDevice(
  { control, author, body, entry }: Act,
  keys: DeviceKeys,
  member: MemberId,
  standing: Standing,
  name: SealedName | undefined,
): DeviceRecord {
  const history = body.type === 'invite' ? body.history : control.members.get(member)?.history
  const isNewMember = body.type === 'invite' && body.kind !== 'device'
  // A device that waits for its first key itself brings in none that would be given an earlier one.
  const from = isNewMember ? latestEpoch(control) + 1 : Math.max(latestEpoch(control), author.readsFrom)
  return {
    number: control.count,
    signing: keys.signing,
    kem: keys.kem,
    member,
    standing,
    name,
    since: momentOf(control, entry),
    removed: undefined,
    readsFrom: history === 'all' ? 0 : from,
  }
}

function newMember({ control, entry }: Act, invite: OpenInvite, name: SealedName): MemberRecord {
  const { member, role, history } = invite
  return { id: member, role, history, name, since: momentOf(control, entry), removed: undefined }
}

/** Who reads from its admission on gets the key of the epoch that starts next, and nothing of the one in force. */
function isForNext({ kind, history }: OpenInvite): boolean {
  return kind !== 'device' && history === 'from-join'
}

function isFull(control: ControlState, member: MemberId): boolean {
  let ever = 0
  for (const device of control.devices.values()) if (device.member === member) ever++
  return ever >= MAX_EVER || devicesOf(control, member).length >= MAX_MEMBER_DEVICES
}

function isKnownMember(control: ControlState, member: MemberId): boolean {
  if (control.members.has(member)) return true
  for (const device of control.devices.values()) if (device.member === member) return true
  return false
}

/**
 * Both keys are sound, and neither was ever admitted to this space before (R-KEY-1 to 4).
 * @param control undefined in a genesis
 * @returns the proof of possession to check
 */
function admit(
  space: Uint8Array,
  keys: DeviceKeys,
  member: MemberId,
  control: ControlState | undefined,
  entry: EntryAt,
): SignatureCheck {
  sound(entry, () => {
    assertAdmissibleKey(keys.signing)
    assertValidKemKey(keys.kem)
  })
  for (const device of control?.devices.values() ?? []) {
    refuseIf(equalBytes(device.signing, keys.signing) || equalBytes(device.kem, keys.kem), entry, 'key')
  }
  return {
    publicKey: keys.signing,
    message: possessionInput(space, member, keys.signing, keys.kem),
    signature: keys.possession,
  }
}
