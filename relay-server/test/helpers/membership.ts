import {
  type ControlBody,
  type Delivery,
  encodeControlBody,
  INLINE_BODY_LENGTH,
  type Keys,
  LINK_LENGTH,
  nextRecipients,
  type Recipient,
  type Reject,
  recipientsOf,
  rotationBase,
  sha256,
  WRAP_LENGTH,
  wrapLeaf,
  wrapsRootOf,
} from 'sealog/protocol'
import {
  type Authored,
  authorInvite,
  type InviteOptions,
  makeDevice,
  pushEntryOf,
  type TestDevice,
} from './authoring.ts'
import type { TestReplica } from './replica.ts'
import type { World } from './world.ts'

/** A control entry of a device that has seen what `replica` has. */
export function control(
  world: World,
  replica: TestReplica,
  body: ControlBody,
  device: TestDevice = world.owner,
): Authored {
  return world.entry(replica, device, { kind: 'control', body: encodeControlBody(body) })
}

/** An entry that delivers the secret of an epoch, and what it delivers: noise under a root that is right. */
export interface Delivering {
  readonly entry: Authored
  readonly recipients: readonly Recipient[]
  readonly wraps: readonly Uint8Array[]
}

/** The start of the next epoch, as `replica` sees the space. */
export function rotation(world: World, replica: TestReplica, device: TestDevice = world.owner): Delivering {
  const { random } = world.environment
  const recipients = nextRecipients(replica.control)
  const wraps = recipients.map(() => random(WRAP_LENGTH))
  const entry = control(
    world,
    replica,
    {
      type: 'rotate',
      time: world.environment.now(),
      base: rotationBase(replica.control),
      epoch: { readCommit: random(32) },
      delivery: deliveryOf(world, recipients, wraps, replica.epoch),
    },
    device,
  )
  return { entry, recipients, wraps }
}

export function repairing(world: World, replica: TestReplica, epoch: number, device: TestDevice): Delivering {
  const recipients = recipientsOf(replica.control, epoch)
  const wraps = recipients.map(() => world.environment.random(WRAP_LENGTH))
  const delivery = deliveryOf(world, recipients, wraps, Math.max(0, epoch - 1))
  const entry = control(world, replica, { type: 'repair', time: 0, epoch, delivery }, device)
  return { entry, recipients, wraps }
}

function deliveryOf(
  { environment: { random } }: World,
  recipients: readonly Recipient[],
  wraps: readonly Uint8Array[],
  target: number,
): Delivery {
  return {
    wrapsRoot: wrapsRootOf(recipients.map(({ number }, i) => wrapLeaf(number, wraps[i] as Uint8Array))),
    wrapsCount: wraps.length,
    target,
    link: random(LINK_LENGTH),
    namesLink: random(LINK_LENGTH),
  }
}

/** Uploads bytes in parts. */
export function putWhole(world: World, replica: TestReplica, bytes: Uint8Array): void {
  const hash = sha256(bytes)
  for (let offset = 0; offset < bytes.length; offset += INLINE_BODY_LENGTH) {
    const part = bytes.subarray(offset, offset + INLINE_BODY_LENGTH)
    const { space } = world
    replica.send({ type: 'put-body', ref: replica.ref(), space, hash, length: bytes.length, offset, bytes: part })
  }
}

export function joined(wraps: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(wraps))
}

/** Uploads the wraps and sends the entry that delivers them. @returns the reference of the push */
export function sendDelivering(world: World, replica: TestReplica, { entry, wraps }: Delivering): number {
  const bytes = joined(wraps)
  putWhole(world, replica, bytes)
  return sendWith(world, replica, entry, sha256(bytes))
}

export function sendWith(world: World, replica: TestReplica, entry: Authored, wraps?: Uint8Array): number {
  const ref = replica.ref()
  replica.send({ type: 'push', ref, space: world.space, entries: [{ ...pushEntryOf(entry), wraps }] })
  return ref
}

/** The answer to what was sent under `ref`, once the relay has nothing left to do. */
export async function refusal(world: World, replica: TestReplica, ref: number): Promise<Reject | undefined> {
  await world.relay.deliverAll()
  await replica.follow(world.space)
  return replica.rejects.find(reject => reject.ref === ref)
}

/** An epoch start that is in the log. */
export interface Delivered extends Delivering {
  /** Its place. */
  readonly index: number
}

/** Starts an epoch, and fails where that is refused. */
export async function rotate(world: World, replica: TestReplica): Promise<Delivered> {
  const made = rotation(world, replica)
  const refused = await refusal(world, replica, sendDelivering(world, replica, made))
  if (refused !== undefined) throw new Error(`refused: ${refused.code} ${refused.message}`)
  return { ...made, index: replica.seen.size - 1 }
}

/** Pushes control entries one after the other, and fails where one is refused. */
export async function act(world: World, replica: TestReplica, ...bodies: readonly ControlBody[]): Promise<void> {
  for (const body of bodies) {
    const refused = await refusal(world, replica, replica.push(world.space, control(world, replica, body)))
    if (refused !== undefined) throw new Error(`refused: ${refused.code} ${refused.message}`)
  }
}

/** Invites somebody, by the owner. @returns the provisional device */
export async function invite(world: World, replica: TestReplica, options: InviteOptions = {}): Promise<TestDevice> {
  const { random } = world.environment
  const guest = makeDevice(random, replica.control.count)
  const { seen, epoch } = replica
  const entry = authorInvite(random, world.owner, world.genesis.hash, guest, { seen, epoch, ...options })
  const refused = await refusal(world, replica, replica.push(world.space, entry))
  if (refused !== undefined) throw new Error(`refused: ${refused.code} ${refused.message}`)
  return guest
}

/** Asks for the wraps of a device that has the space open. @returns the answer, or the code of the refusal */
export async function keys(
  world: World,
  replica: TestReplica,
  from: number,
  to: number,
): Promise<Pick<Keys, 'wraps' | 'to'> | string> {
  const ref = replica.ref()
  replica.send({ type: 'get-keys', ref, space: world.space, from, to })
  const refused = await refusal(world, replica, ref)
  const answer = replica.messages.find(message => message.type === 'keys' && message.ref === ref)
  if (answer?.type !== 'keys') return refused?.code ?? 'unanswered'
  return { wraps: answer.wraps, to: answer.to }
}
