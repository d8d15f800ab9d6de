import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  assertWraps,
  type ControlState,
  concat,
  type EpochRecord,
  encodeMessage,
  type Keys,
  nextRecipients,
  proveWrap,
  type Recipient,
  rotationBase,
  sha256,
  spaceIdOf,
  wrapLeaf,
} from 'sealog/protocol'
import { type EpochSecret, epochStartOf, isTrueDelivery, makeDelivery, SpaceKeys } from 'sealog/testing'
import { newKeeper } from './key-rings.ts'
import { type Figure, inTurns, median, microseconds, timed } from './measure.ts'
import { encapsulateMlKem, openPlainWrap, PLAIN_WRAP_LENGTH, plainDevice, plainWrap } from './plain-wraps.ts'
import type { SyntheticCrew, SyntheticDevice } from './synthetic-crew.ts'
import { bytesOf } from './synthetic-keys.ts'

const MILLISECONDS = 1000
/** Openings of a single wrap that are timed. */
const OPENINGS = 9
/** Rounds over all wraps of a rotation. */
const MANY_ROUNDS = 5
/** Wraps that are timed one by one, so that what else the machine does meets few of them. */
const SINGLE_ROUNDS = 31

/**
 * One rotation in a space of so many devices: what its author makes and sends, what the relay checks, what each device
 * gets and does, what an audit costs; against X25519 wraps for as many devices, made in turns.
 */
export async function benchDelivery(devices: number, crew: SyntheticCrew): Promise<readonly Figure[]> {
  const { control } = crew.state
  const recipients = nextRecipients(control)
  if (recipients.length !== devices) throw new Error(`${recipients.length} recipients in a space of ${devices}`)
  const secret = bytesOf('secret of epoch 1')
  const keys = new SpaceKeys(new Map([[0, { kind: 'all', secret: crew.secret }]]))
  const delivering = { space: control.space, epoch: 1, secret, keys, target: 0, recipients, breathe: () => nextTurn() }
  const { delivery, wraps } = await makeDelivery(delivering)
  const rotated = crew.apply({
    type: 'rotate',
    time: control.epochs[0]?.time ?? 0,
    base: rotationBase(control),
    epoch: epochStartOf(secret),
    delivery,
  })

  const plain = Array.from({ length: devices }, plainDevice)
  const make = (): Promise<number> => timed(() => makeDelivery(delivering))
  const audit = (): Promise<number> =>
    timed(async () => {
      if (!(await isTrueDelivery(delivering, delivery))) throw new Error('the audit refuses a true delivery')
    })
  const makePlain = (): Promise<number> => timed(() => plain.map(({ publicKey }) => plainWrap(secret, publicKey)))
  const rounds = devices > 100 ? 1 : MANY_ROUNDS
  const [made, audited, floor] = (await inTurns(rounds, [make, audit, makePlain])).map(median) as [
    number,
    number,
    number,
  ]

  const [recipient, other] = [recipients[0] as Recipient, plainDevice().publicKey]
  const one = (): Promise<number> => timed(() => makeDelivery({ ...delivering, recipients: [recipient] }))
  const onePlain = (): Promise<number> => timed(() => plainWrap(secret, other))
  const oneMlKem = (): Promise<number> => timed(() => encapsulateMlKem(recipient.kem))
  const [each, postQuantum, eachPlain] = (await inTurns(SINGLE_ROUNDS, [one, oneMlKem, onePlain])).map(median) as [
    number,
    number,
    number,
  ]

  const answer = answerFor(rotated.state.control, crew.latest, wraps)
  const opened = await benchOpening(rotated.state.control, crew.latest, answer)
  const openedPlain = openingPlain(secret)
  const checked = checking(() => assertWraps(delivery, recipients, wraps), devices)
  const joined = concat(...wraps)
  const hashed = checking(() => sha256(joined), devices)
  const name = (what: string): string => `${devices} devices: ${what}`
  const perDevice = { unit: 'ms', floor: eachPlain } as const
  return [
    { case: name('make a rotation'), value: made, unit: 'ms', floor },
    { case: name('make, for a single device'), value: each, ...perDevice },
    { case: name('of it ML-KEM-768'), value: postQuantum, ...perDevice },
    { case: name('audit all wraps'), value: audited, unit: 'ms', floor },
    { case: name('relay checks the wraps'), value: checked, unit: 'ms', floor: hashed },
    { case: name('a device gets its key: proof, wrap, link'), value: opened, unit: 'ms', floor: openedPlain },
    { case: name('up: control entry'), value: rotated.bytes, unit: 'bytes' },
    { case: name('up: wraps'), value: joined.length, unit: 'bytes', floor: devices * PLAIN_WRAP_LENGTH },
    { case: name('down, each device'), value: encodeMessage(answer).length, unit: 'bytes', floor: PLAIN_WRAP_LENGTH },
  ]
}

/** What the relay answers to a device that asks for its wrap of epoch 1. */
function answerFor(control: ControlState, device: SyntheticDevice, wraps: readonly Uint8Array[]): Keys {
  const recipients = nextRecipients(control)
  const position = recipients.findIndex(({ number }) => number === device.number)
  const wrap = wraps[position] as Uint8Array
  const leaves = recipients.map(({ number }, i) => wrapLeaf(number, wraps[i] as Uint8Array))
  const [delivery] = (control.epochs[1] as EpochRecord).deliveries
  if (delivery === undefined) throw new Error('an epoch without wraps')
  const { index } = delivery
  const proven = { device: device.number, position, wrap, proof: proveWrap(leaves, position) }
  return { type: 'keys', ref: 1, space: spaceIdOf(control.space), wraps: [{ epoch: 1, index, ...proven }], to: 1 }
}

async function benchOpening(control: ControlState, device: SyntheticDevice, answer: Keys): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < OPENINGS; i++) {
    const { keeper, problems } = newKeeper(control.space, new Map<number, EpochSecret>(), answer)
    times.push(await timed(() => keeper.gather(control, device, [])))
    const isWhole = keeper.keys.canRead(1) && keeper.keys.canRead(0) && problems.list().length === 0
    if (!isWhole) throw new Error('the wrap does not lead to the keys')
  }
  return median(times)
}

function openingPlain(secret: Uint8Array): number {
  const device = plainDevice()
  const wrap = plainWrap(secret, device.publicKey)
  return microseconds(OPENINGS, () => openPlainWrap(device, wrap)) / MILLISECONDS
}

function checking(task: () => unknown, devices: number): number {
  return microseconds(Math.ceil(MILLISECONDS / devices), task) / MILLISECONDS
}
