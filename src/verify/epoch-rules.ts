import { equalBytes } from '../bytes.ts'
import type { MemberId } from '../ids.ts'
import { type Delivery, type GrantBody, type RepairBody, type RotateBody, roleNumber } from './control.ts'
import {
  type Act,
  authorOf,
  type ControlChange,
  changed,
  deviceAt,
  keeperOf,
  memberAt,
  replaced,
} from './control-change.ts'
import { type ControlState, type DeliveryRecord, type EpochRecord, isKeeper, latestEpoch } from './control-state.ts'
import { refusal, refuseIf } from './refusal.ts'
import { nextRecipients, recipientsOf, rotationBase } from './wraps.ts'

/** Log entries between two epochs that the same member starts, where no reason to start one is on record. */
const ROTATION_DISTANCE = 16

/**
 * Starts an epoch (R-ROTATE-1 to 5). Its wraps are for the devices that its author saw: so it counts only where none
 * came or went since, and of two on the same base the first one.
 */
export function applyRotate(act: Act<RotateBody>): ControlChange {
  const { control, author, body, entry } = act
  const member = keeperOf(act)
  if (!equalBytes(body.base, rotationBase(control))) throw refusal(entry, 'base', 'ERR_STALE_EPOCH')
  if (!isRotationFree(control, member.id, entry.index)) throw refusal(entry, 'rate', 'ERR_RATE_LIMITED')
  const { epoch, delivery } = body
  refuseIf(delivery.target > latestEpoch(control), entry, 'delivery')
  const recipients = nextRecipients(control)
  refuseIf(delivery.wrapsCount !== recipients.length, entry, 'delivery')
  refuseIf(
    control.epochs.some(known => equalBytes(known.readCommit, epoch.readCommit)),
    entry,
    'delivery',
  )
  const record: EpochRecord = {
    ...epoch,
    index: entry.index,
    device: author.number,
    time: body.time,
    deliveries: [delivered(act, delivery)],
  }
  return { ...changed(control, entry, { epochs: [...control.epochs, record], rotation: 'settled' }), recipients }
}

/**
 * May this member start an epoch at this place: because there is reason to, because the one in force is somebody else's
 * (who may have delivered it wrongly, so that nobody could go on), or because it did not for a while?
 */
function isRotationFree(control: ControlState, member: MemberId, index: number): boolean {
  const inForce = control.epochs[latestEpoch(control)]
  const isOwn = inForce !== undefined && control.devices.get(inForce.device)?.member === member
  return control.rotation !== 'settled' || !isOwn || index - inForce.index >= ROTATION_DISTANCE || inForce.index === 0
}

/** The same, with the role and the history that it takes: what a client asks before it tries. */
export function mayRotate(control: ControlState, member: MemberId, index: number): boolean {
  return isKeeper(control.members.get(member)) && isRotationFree(control, member, index)
}

/** Replaces wraps and links; once a member and epoch, so that two who disagree come to an end (R-REPAIR-1 to 3). */
export function applyRepair(act: Act<RepairBody>): ControlChange {
  const { control, body, entry } = act
  const member = keeperOf(act)
  const record = control.epochs[body.epoch]
  if (record === undefined) throw refusal(entry, 'delivery')
  const { delivery } = body
  // The first epoch has no earlier one to link to: it names itself.
  refuseIf(body.epoch === 0 ? delivery.target !== 0 : delivery.target >= body.epoch, entry, 'delivery')
  const recipients = recipientsOf(control, body.epoch)
  refuseIf(delivery.wrapsCount !== recipients.length, entry, 'delivery')
  const repairs = record.deliveries.filter(({ index }) => index !== record.index)
  const hasRepaired = repairs.some(({ device }) => control.devices.get(device)?.member === member.id)
  refuseIf(hasRepaired, entry, 'rate')
  const repaired = { ...record, deliveries: [...record.deliveries, delivered(act, delivery)] }
  return { ...changed(control, entry, { epochs: control.epochs.with(body.epoch, repaired) }), recipients }
}

function delivered({ author, entry }: Act, delivery: Delivery): DeliveryRecord {
  return { ...delivery, index: entry.index, device: author.number }
}

/**
 * By an admin, or by a device of the same member that may read as far back itself (R-GRANT-1, R-GRANT-3). What is sealed
 * in it nobody else can judge: so all of it may be said again, in as many parts as it takes, where what came before it
 * held nothing.
 */
export function applyGrant(act: Act<GrantBody>): ControlChange {
  const { control, author, body, entry } = act
  const granter = authorOf(act)
  const device = deviceAt(act, body.device)
  const member = memberAt(act, device.member)
  const isOwn = member.id === granter.id && author.readsFrom <= body.from
  const isAdmin = granter.history === 'all' && roleNumber(granter.role) >= roleNumber('admin')
  if (!isOwn && !isAdmin) throw refusal(entry, 'role', 'ERR_UNAUTHORIZED')
  const latest = Math.max(latestEpoch(control), device.readsFrom)
  refuseIf(member.history === 'all' || body.from > latest, entry, 'member')
  const readsFrom = Math.min(device.readsFrom, body.from)
  return changed(control, entry, {
    devices: replaced(control.devices, [[device.number, { ...device, readsFrom }]]),
  })
}
