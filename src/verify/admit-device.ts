import { equalBytes } from '../bytes.ts'
import { assertValidKemKey } from '../crypto/kem-key.ts'
import { assertAdmissibleKey, type SignatureCheck } from '../crypto/sign.ts'
import type { MemberId } from '../ids.ts'
import { type DeviceKeys, possessionInput } from './control.ts'
import { type Act, type ControlChange, changed, devicesOf, momentOf, sound } from './control-change.ts'
import { type ControlState, type DeviceRecord, latestEpoch, type SealedName, type Standing } from './control-state.ts'
import { type EntryAt, refuseIf } from './refusal.ts'

/* What every device has to pass by which a key comes into the space, whoever lets it in (protocol.md 4.3). */

/** Devices that one member ever had, links for them included: what is removed stays in the state. */
const MAX_EVER = 1024
/** Current devices of one member. */
const MAX_MEMBER_DEVICES = 64

/** The state with what an entry changes, where the keys of the device that it brings are sound. */
export function admitted(act: Act, keys: DeviceKeys, member: MemberId, change: Partial<ControlState>): ControlChange {
  const { control, entry } = act
  const check = admit(entry.header.space, keys, member, control, entry)
  return { ...changed(control, entry, change), checks: [check] }
}

/** The device that this entry brings, of a member or of an invite. */
export function newDevice(
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

export function isFull(control: ControlState, member: MemberId): boolean {
  let ever = 0
  for (const device of control.devices.values()) if (device.member === member) ever++
  return ever >= MAX_EVER || devicesOf(control, member).length >= MAX_MEMBER_DEVICES
}

/**
 * Both keys are sound, and neither was ever admitted to this space before (R-KEY-1 to 4).
 * @param control undefined in a genesis
 * @returns the proof of possession to check
 */
export function admit(
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
