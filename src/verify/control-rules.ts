import { SealogError } from '../errors.ts'
import { applyAddDevice, applyApprove, applyJoin } from './admission-rules.ts'
import type { ControlBody, PolicyBody, RenameBody } from './control.ts'
import {
  type Act,
  authorAtLeast,
  authorOf,
  type ControlChange,
  changed,
  deviceAt,
  mayActOn,
  memberAt,
  replaced,
} from './control-change.ts'
import { decodeControlBody } from './control-codec.ts'
import type { ControlState, DeviceRecord, MemberRecord } from './control-state.ts'
import { applyGrant, applyRepair, applyRotate } from './epoch-rules.ts'
import { applyInvite, applyRevoke } from './invite-rules.ts'
import { type EntryAt, refusal } from './refusal.ts'
import { applyLeave, applyRemoveDevice, applyRemoveMember, applySetRole } from './removal-rules.ts'

/** Bodies that bring no secret of the epoch: valid under any one that their author saw (R-EPOCH-4). */
const EPOCH_FREE: ReadonlySet<ControlBody['type']> = new Set<ControlBody['type']>([
  'revoke',
  'join',
  'remove-device',
  'remove-member',
  'leave',
  'set-role',
  'policy',
  'repair',
  'grant',
  'rename',
])

/** Bodies that seal names, or secrets, under the epoch in force: not while somebody knows it who should not (R-EPOCH-8). */
const SEALING: ReadonlySet<ControlBody['type']> = new Set<ControlBody['type']>([
  'invite',
  'approve',
  'add-device',
  'rename',
])

export function isSealing({ type }: ControlBody): boolean {
  return SEALING.has(type)
}

export function isEpochFree({ type }: ControlBody): boolean {
  return EPOCH_FREE.has(type)
}

export function controlBodyOf(entry: EntryAt): ControlBody {
  if (entry.controlBody === undefined) throw refusal(entry, 'control-body')
  try {
    return decodeControlBody(entry.controlBody)
  } catch (cause) {
    if (cause instanceof SealogError && cause.code === 'ERR_UPGRADE') throw cause
    throw refusal(entry, 'control-body', 'ERR_INVALID_ENTRY', cause)
  }
}

/** What a control entry makes of the control state. @throws SealogError as `applyHeader` */
export function applyControl(
  control: ControlState,
  author: DeviceRecord,
  body: ControlBody,
  entry: EntryAt,
): ControlChange {
  const act = { control, author, entry }
  switch (body.type) {
    case 'genesis':
      throw refusal(entry, 'control-body')
    case 'invite':
      return applyInvite({ ...act, body })
    case 'join':
      return applyJoin({ ...act, body })
    case 'approve':
      return applyApprove({ ...act, body })
    case 'revoke':
      return applyRevoke({ ...act, body })
    case 'add-device':
      return applyAddDevice({ ...act, body })
    case 'remove-device':
      return applyRemoveDevice({ ...act, body })
    case 'remove-member':
      return applyRemoveMember({ ...act, body })
    case 'leave':
      return applyLeave({ ...act, body })
    case 'set-role':
      return applySetRole({ ...act, body })
    case 'rotate':
      return applyRotate({ ...act, body })
    case 'repair':
      return applyRepair({ ...act, body })
    case 'grant':
      return applyGrant({ ...act, body })
    case 'policy':
      return applyPolicy({ ...act, body })
    case 'rename':
      return applyRename({ ...act, body })
  }
}

/** R-POLICY-1, R-POLICY-2 */
function applyPolicy(act: Act<PolicyBody>): ControlChange {
  const { control, body, entry } = act
  authorAtLeast(act, 'owner')
  return changed(control, entry, { policy: body.policy, relay: { ...control.relay, url: body.url } })
}

/** The space by admins; a member or a device by the member itself, or by somebody above (R-RENAME-1, R-RENAME-2). */
function applyRename(act: Act<RenameBody>): ControlChange {
  const { control, body, entry } = act
  const author = authorOf(act)
  const name = { epoch: entry.header.epoch, sealed: body.name }
  if (body.what === 'space') {
    authorAtLeast(act, 'admin')
    return changed(control, entry, { spaceName: name })
  }
  const device = body.what === 'device' ? deviceAt(act, body.device) : undefined
  const member: MemberRecord = memberAt(act, device?.member ?? body.member)
  if (member.id !== author.id && !mayActOn(author, member.role)) throw refusal(entry, 'role', 'ERR_UNAUTHORIZED')
  if (device === undefined) {
    return changed(control, entry, { members: replaced(control.members, [[member.id, { ...member, name }]]) })
  }
  return changed(control, entry, { devices: replaced(control.devices, [[device.number, { ...device, name }]]) })
}
