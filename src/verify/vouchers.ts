import { verifySync } from '../crypto/sign.ts'
import { SealogError } from '../errors.ts'
import type { MemberId, SpaceId } from '../ids.ts'
import { parseNote } from './checkpoint.ts'
import { roleNumber } from './control.ts'
import { type ControlState, currentMember, isMemberDevice } from './control-state.ts'
import { cosignaturesIn } from './cosignature.ts'

/** Who asks, and what was known of the space when it last looked. */
export interface Asking {
  readonly member: MemberId
  /** Number of the own device. */
  readonly device: number
  /** The control state that this replica has pinned: before what is to be skipped. */
  readonly pinned: ControlState
  /** The control state at the checkpoint. */
  readonly current: ControlState
}

/**
 * Who answers for a checkpoint that is to be skipped to (DESIGN §5.4): the members of whom a device has cosigned it
 * that is admitted both in the pinned and in the new state. The relay may say what it likes about the new state, and
 * removed members may cosign with it: so only those count whom this replica knew itself, and who are still there. As
 * many as the pinned policy asks for, oneself left out; at least one of them an administrator, or a second device of
 * one's own.
 * @throws SealogError ERR_UNVOUCHED
 */
export function vouchersOf(note: Uint8Array, space: SpaceId, asking: Asking): readonly MemberId[] {
  const { member, device, pinned, current } = asking
  const cosigners = [...pinned.devices]
    .filter(([number]) => isCurrent(pinned, number) && isCurrent(current, number) && number !== device)
    .map(([number, record]) => ({ number, publicKey: record.signing }))
  const members = new Set<MemberId>()
  let isBacked = false
  for (const { device: number, check } of cosignaturesIn(parseNote(note), space, cosigners)) {
    const voucher = pinned.devices.get(number)?.member
    if (voucher === undefined || !verifySync(check)) continue
    if (voucher !== member) members.add(voucher)
    isBacked ||= voucher === member || isAdministrator(pinned, voucher)
  }
  const { attestations } = pinned.policy
  if (!isBacked || members.size < attestations) {
    throw new SealogError('ERR_UNVOUCHED', `${members.size} other members vouch for it, of ${attestations} at least`)
  }
  return [...members]
}

function isCurrent(control: ControlState, device: number): boolean {
  const record = control.devices.get(device)
  return isMemberDevice(record) && currentMember(control, record.member) !== undefined
}

function isAdministrator(control: ControlState, member: MemberId): boolean {
  const role = currentMember(control, member)?.role
  return role !== undefined && roleNumber(role) >= roleNumber('admin')
}
