import { generateEpochSecret } from '../crypto/epoch.ts'
import type { Environment } from '../environment.ts'
import { SealogError } from '../errors.ts'
import type { MemberId } from '../ids.ts'
import { encodeControlBody } from '../verify/control-codec.ts'
import { type ControlState, isKeeper, isMemberDevice, latestEpoch } from '../verify/control-state.ts'
import { mayRotate } from '../verify/epoch-rules.ts'
import { nextRecipients, rotationBase } from '../verify/wraps.ts'
import { epochStartOf, joinWraps, makeDelivery, WRAPS_AT_ONCE } from './delivery.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import type { KeyKeeper } from './key-keeper.ts'
import type { PreparedControl } from './outbox.ts'
import { paced } from './pace.ts'

const DAY: number = 24 * 60 * 60 * 1000

/** Whether a new epoch should start, and how urgently: nothing can be written before; soon; when there is time. */
export type RotationNeed = 'blocking' | 'due' | 'policy'

/**
 * @param size of the log
 * @param now own clock, Unix time in milliseconds
 */
export function rotationNeed(control: ControlState, size: number, now: number): RotationNeed | undefined {
  if (control.rotation === 'tainted') return 'blocking'
  if (control.rotation === 'due') return 'due'
  const { rotateEntries, rotateDays } = control.policy
  const inForce = control.epochs[latestEpoch(control)]
  if (inForce === undefined) return undefined
  // The entry that started it is none of them: or members would answer each other's epochs with epochs, for ever.
  const isLong = rotateEntries > 0 && size - inForce.index - 1 >= rotateEntries
  const isOld = rotateDays > 0 && now - inForce.time >= rotateDays * DAY
  return isLong || isOld ? 'policy' : undefined
}

/** May this device start an epoch at this point of the log, by the rules and by what it knows? */
export function canRotate(control: ControlState, device: number, keys: SpaceKeys, index: number): boolean {
  const record = control.devices.get(device)
  if (!isMemberDevice(record)) return false
  return mayRotate(control, record.member, index) && rotationTarget(control, keys) !== undefined
}

/**
 * May this member start an epoch at this point of the log?
 * @throws SealogError ERR_UNAUTHORIZED; ERR_RATE_LIMITED where it did so only a few entries ago
 */
export function mayStartEpoch(control: ControlState, member: MemberId, index: number): void {
  if (mayRotate(control, member, index)) return
  assertKeeper(control, member)
  throw new SealogError('ERR_RATE_LIMITED', 'this member started the latest epochs only a few entries ago')
}

/** @throws SealogError ERR_UNAUTHORIZED for a member that may start no epoch, whenever it is */
export function assertKeeper(control: ControlState, member: MemberId): void {
  if (isKeeper(control.members.get(member))) return
  throw new SealogError('ERR_UNAUTHORIZED', 'only who writes and reads everything starts an epoch')
}

/** The newest epoch that is sound as far as this replica knows: links go there, past any that is not. */
export function rotationTarget(control: ControlState, keys: SpaceKeys): number | undefined {
  for (let epoch = latestEpoch(control); epoch >= 0; epoch--) {
    if (keys.kindOf(epoch) === 'all') return epoch
  }
  return undefined
}

export interface Rotating {
  /** 32 bytes. */
  readonly space: Uint8Array
  readonly control: ControlState
  readonly keeper: KeyKeeper
  readonly environment: Environment
}

/**
 * The entry that starts an epoch, with a fresh secret for every attempt (DESIGN §4), and the wraps for all devices that
 * are current now.
 * @returns undefined where this replica holds no secret that the new epoch could lead back to
 */
export async function prepareRotation({
  space,
  control,
  keeper,
  environment,
}: Rotating): Promise<PreparedControl | undefined> {
  const target = rotationTarget(control, keeper.keys)
  if (target === undefined) return undefined
  const secret = generateEpochSecret(environment.random)
  const { delivery, wraps } = await makeDelivery({
    space,
    epoch: latestEpoch(control) + 1,
    secret,
    keys: keeper.keys,
    target,
    recipients: nextRecipients(control),
    breathe: paced(environment, WRAPS_AT_ONCE),
  })
  keeper.expect(secret)
  const body = encodeControlBody({
    type: 'rotate',
    time: environment.now(),
    base: rotationBase(control),
    epoch: epochStartOf(secret),
    delivery,
  })
  return { body, wraps: joinWraps(wraps) }
}
