import { ZERO_32 } from '../crypto/hash.ts'
import { admit, admitted, isFull, newDevice } from './admit-device.ts'
import { type AddDeviceBody, type ApproveBody, type GenesisBody, type JoinBody, WRAP_LENGTH } from './control.ts'
import {
  type Act,
  authorOf,
  type ControlChange,
  changed,
  momentOf,
  refuseUnlessMayActOn,
  replaced,
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
} from './control-state.ts'
import { isForNext } from './invite-rules.ts'
import { type EntryAt, refusal, refuseIf } from './refusal.ts'

/** The first device of the first member, who is an owner (protocol.md 4.1). */
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

function newMember({ control, entry }: Act, invite: OpenInvite, name: SealedName): MemberRecord {
  const { member, role, history } = invite
  return { id: member, role, history, name, since: momentOf(control, entry), removed: undefined }
}
