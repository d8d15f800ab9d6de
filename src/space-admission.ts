import type { SpaceKeys } from './crdt/epoch-secrets.ts'
import { addDeviceBody, deviceKeysOf, joinBody } from './crdt/membership.ts'
import type { SpaceSecrets } from './crdt/secrets.ts'
import type { Environment } from './environment.ts'
import { encodeControlBody } from './verify/control-codec.ts'
import { type ControlState, currentMember, latestEpoch } from './verify/control-state.ts'

/** The entry by which another device admits this one: of an invite, or after a recovery. @throws SealogError ERR_KEY */
export function admissionBody(
  { admission, device, member, memberName, deviceName }: SpaceSecrets,
  control: ControlState,
  keys: SpaceKeys,
  environment: Environment,
): Uint8Array {
  const { space } = control
  const writing = { space, keys, random: environment.random, time: environment.now(), epoch: latestEpoch(control) }
  const own = deviceKeysOf(device, space, member)
  if (admission?.type === 'recovery') {
    const history = currentMember(control, member)?.history ?? 'all'
    return encodeControlBody(addDeviceBody(writing, own, history, deviceName))
  }
  const secret = (admission?.type === 'join' ? admission.nameKey : undefined) ?? keys.namesSecret(writing.epoch)
  return encodeControlBody(joinBody(writing, own, { member: memberName, device: deviceName }, secret))
}
