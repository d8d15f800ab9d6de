import {
  authenticationInput,
  type ControlState,
  type DeviceRecord,
  type Open,
  SealogError,
  toHex,
} from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import type { SpaceSequencer } from './space-sequencer.ts'

/** Numbers by signing key, in hex. Most control entries leave the devices as they are, and so the map of them. */
const numbersByKey = new WeakMap<ControlState['devices'], ReadonlyMap<string, number>>()

/**
 * The device with this signing key, also one that was removed: it may learn by what.
 * @throws SealogError ERR_UNKNOWN_SPACE, ERR_UNAUTHORIZED
 */
export function deviceOf({ state }: SpaceSequencer, signing: Uint8Array): DeviceRecord {
  if (state === undefined) throw new SealogError('ERR_UNKNOWN_SPACE', 'no such space here')
  const { devices } = state.control
  const device = devices.get(numbersOf(devices).get(toHex(signing)) ?? -1)
  if (device === undefined) throw new SealogError('ERR_UNAUTHORIZED', 'not a device of the space')
  return device
}

/** No key is ever admitted twice, so one stands for one device. */
function numbersOf(devices: ControlState['devices']): ReadonlyMap<string, number> {
  const known = numbersByKey.get(devices)
  if (known !== undefined) return known
  const numbers = new Map<string, number>()
  for (const { number, signing } of devices.values()) numbers.set(toHex(signing), number)
  numbersByKey.set(devices, numbers)
  return numbers
}

/**
 * Does whoever opens the space hold the key that it names?
 * @param challenge what this relay gave to the socket, 32 bytes
 * @throws SealogError ERR_UNAUTHORIZED
 */
export async function authenticate(
  { name, signingKey, verifier }: RelayContext,
  challenge: Uint8Array,
  { space, device, signature }: Open,
): Promise<void> {
  const message = authenticationInput({ name, key: signingKey.publicKey }, challenge, space, device)
  const holds = await verifier.verify({ publicKey: device, message, signature })
  if (!holds) throw new SealogError('ERR_UNAUTHORIZED', 'the signature over the challenge does not verify')
}
