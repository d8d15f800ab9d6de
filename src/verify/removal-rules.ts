import type { MemberId } from '../ids.ts'
import {
  type LeaveBody,
  type RemoveDeviceBody,
  type RemoveMemberBody,
  roleNumber,
  type SetRoleBody,
} from './control.ts'
import {
  type Act,
  authorOf,
  type ControlChange,
  changed,
  deviceAt,
  devicesOf,
  mayActOn,
  memberAt,
  momentOf,
  refuseUnlessMayActOn,
  refuseWithoutOwner,
  replaced,
  urgent,
} from './control-change.ts'
import type { ControlState, DeviceRecord, MemberRecord, OpenInvite } from './control-state.ts'
import { withoutInvites } from './invite-rules.ts'
import { type EntryAt, refusal } from './refusal.ts'

/*
 * What takes something away. It is valid whatever its author had seen of the space, names nothing that others could
 * outrun, and taints the epoch: whoever is removed holds its secret (DESIGN §4).
 */

/** By a device of the same member, or by somebody above (R-REMOVE-1). A member without devices is none. */
export function applyRemoveDevice(act: Act<RemoveDeviceBody>): ControlChange {
  const { control, body, entry } = act
  const author = authorOf(act)
  const device = deviceAt(act, body.device)
  const owner = memberAt(act, device.member)
  if (owner.id !== author.id && !mayActOn(author, owner.role)) throw refusal(entry, 'role', 'ERR_UNAUTHORIZED')
  if (devicesOf(control, owner.id).length === 1) return removal(act, owner)
  // What the device invited goes with it: it may have been in the wrong hands for a while.
  const invites = [...control.invites.values()].filter(invite => invite.device === device.number)
  return tainted(control, entry, [device], invites)
}

/** By somebody above (R-REMOVE-2). */
export function applyRemoveMember(act: Act<RemoveMemberBody>): ControlChange {
  const author = authorOf(act)
  const target = memberAt(act, act.body.member)
  refuseUnlessMayActOn(author, target.role, act.entry)
  return removal(act, target)
}

/** R-REMOVE-3 */
export function applyLeave(act: Act<LeaveBody>): ControlChange {
  return removal(act, authorOf(act))
}

function removal({ control, entry }: Act, target: MemberRecord): ControlChange {
  const members = replaced(control.members, [[target.id, { ...target, removed: momentOf(control, entry) }]])
  refuseWithoutOwner({ ...control, members }, entry)
  const change = tainted(control, entry, devicesOf(control, target.id), invitesOf(control, target.id))
  return { ...change, control: { ...change.control, members } }
}

function tainted(
  control: ControlState,
  entry: EntryAt,
  devices: readonly DeviceRecord[],
  invites: readonly OpenInvite[],
): ControlChange {
  const removed = momentOf(control, entry)
  const rest = withoutInvites(control, entry, invites)
  return changed(control, entry, {
    ...rest,
    devices: replaced(
      rest.devices,
      devices.map(device => [device.number, { ...device, removed }]),
    ),
    rotation: 'tainted',
  })
}

/** What a member has invited, or is being invited to: open invites and requests. */
function invitesOf(control: ControlState, member: MemberId): readonly OpenInvite[] {
  return [...control.invites.values()].filter(invite => invite.inviter === member || invite.member === member)
}

/**
 * By somebody above both the old and the new role; anybody may lower himself (R-ROLE-3 to 6). Who is lowered has no
 * invites any more. Who is to administer may read everything.
 */
export function applySetRole(act: Act<SetRoleBody>): ControlChange {
  const { control, body, entry } = act
  const author = authorOf(act)
  const target = memberAt(act, body.member)
  const isLowered = roleNumber(body.role) < roleNumber(target.role)
  if (author.id !== target.id || !isLowered) {
    refuseUnlessMayActOn(author, target.role, entry)
    refuseUnlessMayActOn(author, body.role, entry)
  }
  const isPromoted = target.history !== 'all' && roleNumber(body.role) >= roleNumber('admin')
  // Nobody gives away what he may not read.
  if (isPromoted && author.history !== 'all') throw refusal(entry, 'role', 'ERR_UNAUTHORIZED')
  const history = isPromoted ? 'all' : target.history
  const members = replaced(control.members, [[target.id, { ...target, role: body.role, history }]])
  refuseWithoutOwner({ ...control, members }, entry)
  const rest = withoutInvites(control, entry, isLowered ? invitesOf(control, target.id) : [])
  return changed(control, entry, {
    ...rest,
    members,
    rotation: urgent(rest.rotation, isPromoted ? 'due' : 'settled'),
  })
}
