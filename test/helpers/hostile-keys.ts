import { toHex } from '../../src/bytes.ts'
import { epochStartOf, joinWraps, makeDelivery } from '../../src/crdt/delivery.ts'
import { SpaceKeys } from '../../src/crdt/epoch-secrets.ts'
import type { PreparedControl } from '../../src/crdt/outbox.ts'
import { type SealContext, sealControl } from '../../src/crdt/seal.ts'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import type { Random } from '../../src/environment.ts'
import { idBytes, type SpaceId } from '../../src/ids.ts'
import type { Delivery, EpochStart } from '../../src/verify/control.ts'
import { encodeControlBody } from '../../src/verify/control-codec.ts'
import { type ControlState, latestEpoch } from '../../src/verify/control-state.ts'
import {
  nextRecipients,
  type Recipient,
  recipientsOf,
  rotationBase,
  wrapLeaf,
  wrapsRootOf,
} from '../../src/verify/wraps.ts'
import { openMember, pushAs } from './hostile-member.ts'
import type { World } from './world.ts'

/** What a hostile member makes a control entry of. */
export interface Hand {
  /** 32 bytes. */
  readonly space: Uint8Array
  readonly control: ControlState
  readonly keys: SpaceKeys
  /** Number of the own device. */
  readonly device: number
  readonly time: number
  readonly random: Random
}

/**
 * A member that says in a control entry whatever the rules let pass.
 * @param store of the member's replica, which is closed, and has the whole log
 * @returns where in the log it stands
 */
export async function controlAsMember(
  world: World,
  store: ReplicaStore,
  space: SpaceId,
  make: (hand: Hand) => PreparedControl | Promise<PreparedControl>,
): Promise<number> {
  const { secrets, view, state } = await openMember(store, space)
  const { control } = state
  const signer = nobleSigningKey(secrets.device.signing)
  const { random, now } = world.platform.environment
  const device = [...control.devices.values()].find(({ signing }) => toHex(signing) === toHex(signer.publicKey))
  const keys = new SpaceKeys(secrets.epochs)
  const number = device?.number ?? -1
  const { body, wraps } = await make({ space: idBytes(space), control, keys, device: number, time: now(), random })
  const context: SealContext = { view, keys, signer, device: number, random }
  await pushAs(world, view, signer, [await sealControl(context, random(8), body)], wraps)
  return view.range.size
}

/** Where a delivery is not what the secrets determine. */
export interface Spoilt {
  /** Numbers of devices that get noise. */
  readonly devices?: readonly number[]
  readonly delivery?: Partial<Delivery>
  readonly start?: Partial<EpochStart>
}

/** The start of an epoch that some cannot read, or that cannot lead back. */
export async function spoiltRotation(hand: Hand, spoilt: Spoilt): Promise<PreparedControl> {
  const { control, time, random } = hand
  const secret = random(32)
  const epoch = latestEpoch(control) + 1
  const { delivery, wraps } = await spoiltDelivery(hand, { epoch, secret, recipients: nextRecipients(control) }, spoilt)
  const start = { ...epochStartOf(secret), ...spoilt.start }
  return {
    body: encodeControlBody({ type: 'rotate', time, base: rotationBase(control), epoch: start, delivery }),
    wraps,
  }
}

/** A repair that repairs nothing. */
export async function spoiltRepair(hand: Hand, epoch: number, spoilt: Spoilt): Promise<PreparedControl> {
  const { control, time, keys } = hand
  const recipients = recipientsOf(control, epoch)
  const { delivery, wraps } = await spoiltDelivery(hand, { epoch, secret: keys.secret(epoch), recipients }, spoilt)
  return { body: encodeControlBody({ type: 'repair', time, epoch, delivery }), wraps }
}

async function spoiltDelivery(
  { space, keys, random }: Hand,
  wanted: { readonly epoch: number; readonly secret: Uint8Array; readonly recipients: readonly Recipient[] },
  { devices = [], delivery: change }: Spoilt,
): Promise<{ readonly delivery: Delivery; readonly wraps: Uint8Array }> {
  const target = change?.target ?? wanted.epoch - 1
  const made = await makeDelivery({ ...wanted, space, keys, target, breathe: async () => {} })
  const wraps = made.wraps.map((wrap, i) =>
    devices.includes(wanted.recipients[i]?.number ?? -1) ? random(wrap.length) : wrap,
  )
  const wrapsRoot = wrapsRootOf(wraps.map((wrap, i) => wrapLeaf(wanted.recipients[i]?.number ?? -1, wrap)))
  return { delivery: { ...made.delivery, wrapsRoot, ...change }, wraps: joinWraps(wraps) }
}
