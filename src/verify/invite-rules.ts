import type { MemberId } from '../ids.ts'
import { admitted, isFull, newDevice } from './admit-device.ts'
import { type InviteBody, type RevokeBody, roleNumber } from './control.ts'
import {
  type Act,
  authorOf,
  type ControlChange,
  changed,
  mayActOn,
  momentOf,
  refuseUnlessMayActOn,
  replaced,
  urgent,
  without,
} from './control-change.ts'
import type { ControlState, DeviceRecord, OpenInvite } from './control-state.ts'
import { type EntryAt, refusal, refuseIf } from './refusal.ts'

/** Invites of one member that nobody has used yet. */
const MAX_OPEN_INVITES = 256

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

/** Who reads from its admission on gets the key of the epoch that starts next, and nothing of the one in force. */
export function isForNext({ kind, history }: OpenInvite): boolean {
  return kind !== 'device' && history === 'from-join'
}

function isKnownMember(control: ControlState, member: MemberId): boolean {
  if (control.members.has(member)) return true
  for (const device of control.devices.values()) if (device.member === member) return true
  return false
}
