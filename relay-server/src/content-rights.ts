import type { ControlState } from 'sealog/protocol'

/**
 * Is the content of the space any of this device's business? Not where it has no key and may never get one: it waits
 * for approval, or stands for a link that only lets somebody ask for it. Nor where it was removed.
 */
export function mayHaveContent(control: ControlState, number: number): boolean {
  const device = control.devices.get(number)
  if (device === undefined || device.removed !== undefined) return false
  if (device.standing === 'provisional') return control.invites.get(number)?.kind !== 'approved'
  return device.standing === 'member'
}
