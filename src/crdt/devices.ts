import { toHex } from '../bytes.ts'
import type { ControlState, DeviceRecord } from '../verify/control-state.ts'

/** A state is immutable, and asked for the own device with every batch. */
const byKey = new WeakMap<ControlState['devices'], ReadonlyMap<string, DeviceRecord>>()

/** The device with this signing key (32 bytes), removed or not: no key is ever admitted twice. */
export function deviceByKey({ devices }: ControlState, signing: Uint8Array): DeviceRecord | undefined {
  const known = byKey.get(devices) ?? new Map([...devices.values()].map(device => [toHex(device.signing), device]))
  byKey.set(devices, known)
  return known.get(toHex(signing))
}
