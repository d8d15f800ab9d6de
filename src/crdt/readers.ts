import { DIRECTORY_DOCUMENT, type DocumentId, type MemberId } from '../ids.ts'
import { type ControlState, type DeviceRecord, latestEpoch } from '../verify/control-state.ts'

/** An entry of a document. */
export interface EntryPlace {
  /** Place in the log. */
  readonly index: number
  readonly document: DocumentId
  /** The epoch in which the document began. */
  readonly birthEpoch: number
}

/** A holder of keys that open an entry. */
export interface KeyHolder {
  readonly member: MemberId
  /** Number of the device, or of the invite. */
  readonly device: number
  /** `link`: whoever had the link of an instant invite, or of one for a further device. */
  readonly by: 'device' | 'link'
}

/** The epoch in force at this place of the log. */
export function epochAt(control: ControlState, index: number): number {
  return Math.max(
    0,
    control.epochs.findLastIndex(epoch => epoch.index < index),
  )
}

/**
 * Who could open an entry, by the keys that the log gave out until now. An entry of epoch e in a document born in epoch
 * b is sealed under the read secrets of both (DESIGN §6.1), so this is
 * - each device that was current in e or later: whoever has the secret of a later epoch walks back from there;
 * - and of members that read from their admission on, only devices that were given the read secrets from b on, by
 *   their wraps or by a grant. The directory is sealed under the names secrets, which everybody walks back who was given
 *   any.
 *
 * A link with a key in it opens what its provisional device could: it is counted until the epoch ends in which it was
 * used or revoked. The link of an approved invite has none, and who asks by it has none before the approval.
 *
 * It says nothing of who did read it, nor of copies, and rather names one too many: a member who was promoted to read
 * everything counts from the promotion on, though the keys follow with the next epoch.
 * @returns in ascending order of devices
 */
export function keyHolders(control: ControlState, { index, document, birthEpoch }: EntryPlace): readonly KeyHolder[] {
  const epoch = epochAt(control, index)
  const oldest = document === DIRECTORY_DOCUMENT ? Number.POSITIVE_INFINITY : Math.min(epoch, birthEpoch)
  const holders: KeyHolder[] = []
  for (const device of control.devices.values()) {
    const hadWrap = device.standing === 'member' || device.standing === 'provisional'
    const first = firstEpoch(control, device)
    const last = device.removed?.epoch ?? latestEpoch(control)
    // Whoever was to be given secrets from an epoch on that did not come was given none.
    if (!hadWrap || first > last || last < epoch || first > oldest) continue
    const by = device.standing === 'member' ? 'device' : 'link'
    holders.push({ member: device.member, device: device.number, by })
  }
  return holders.sort((a, b) => a.device - b.device)
}

function firstEpoch(control: ControlState, device: DeviceRecord): number {
  if (device.standing !== 'member') return device.readsFrom
  return control.members.get(device.member)?.history === 'all' ? 0 : device.readsFrom
}
