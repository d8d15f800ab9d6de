import { hasCode } from '../errors.ts'
import {
  type ControlState,
  type DeliveryRecord,
  type DeviceRecord,
  type EpochRecord,
  historyOf,
  latestEpoch,
} from '../verify/control-state.ts'
import { assertIsSecretOf, type EpochSecret } from './epoch-secrets.ts'

/** Whose wraps can be opened: the device that speaks. */
export interface KeyHolder {
  readonly number: number
  /** X-Wing seed, 32 bytes. */
  readonly kem: Uint8Array
}

/** What a device is to be given as of one state, and what was found of it so far. */
export interface Gathering {
  /** 32 bytes. */
  readonly space: Uint8Array
  readonly control: ControlState
  readonly device: DeviceRecord
  readonly holder: KeyHolder
  /** By epoch. Only secrets that met the commitments of their epochs come in here. */
  readonly found: Map<number, EpochSecret>
}

/** Has the device all that it may know of this epoch? */
export function isWhole({ control, device, found }: Gathering, epoch: number): boolean {
  const kind = found.get(epoch)?.kind
  return kind === 'all' || (kind === 'read' && historyOf(control, device) !== 'all')
}

/** Epochs since the device was admitted of which it should have been given the secret, and has not; in ascending order. */
export function lackingEpochs(gathering: Gathering): readonly number[] {
  const { control, device } = gathering
  const { epoch: admitted } = device.since
  const first = historyOf(control, device) === 'all' ? admitted : Math.max(device.readsFrom, admitted)
  const lacking: number[] = []
  for (let epoch = first; epoch <= latestEpoch(control); epoch++) {
    if (!isWhole(gathering, epoch)) lacking.push(epoch)
  }
  return lacking
}

/** The deliveries of an epoch that may hold a wrap for the device: those since it was admitted. */
export function ownDeliveries({ control, device }: Gathering, epoch: number): readonly DeliveryRecord[] {
  return (control.epochs[epoch] as EpochRecord).deliveries.filter(({ index }) => index > device.since.index)
}

/** Is this what the epoch commits to? (R-EPOCH-2) */
export function isSecretOf(secret: EpochSecret, record: EpochRecord): boolean {
  try {
    assertIsSecretOf(secret, record)
    return true
  } catch (error) {
    if (hasCode(error, 'ERR_KEY')) return false
    throw error
  }
}
