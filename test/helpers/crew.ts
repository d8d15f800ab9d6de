import type { MemberId } from '../../src/ids.ts'
import type { ControlBody } from '../../src/verify/control.ts'
import { devicesOf } from '../../src/verify/control-change.ts'
import { type DeviceRecord, latestEpoch } from '../../src/verify/control-state.ts'
import { bytesOf, type EntryOptions, LogBuilder, type TestDevice, testDevice, verdictOf } from './log-builder.ts'

/** A space with one member of each sort, in epoch 1, which is settled. */
export interface Crew {
  readonly log: LogBuilder
  readonly owner: TestDevice
  readonly admin: TestDevice
  readonly peer: TestDevice
  readonly writer: TestDevice
  readonly reader: TestDevice
  /** A writer who reads from its admission on: from epoch 1. */
  readonly late: TestDevice
}

export type Who = Exclude<keyof Crew, 'log'>

function assembled(blind: boolean): Crew {
  const log = new LogBuilder({ blind })
  log.append(log.genesis())
  const crew = {
    log,
    owner: log.owner,
    admin: log.admit('admin', 'admin'),
    peer: log.admit('peer', 'admin'),
    writer: log.admit('writer', 'writer'),
    reader: log.admit('reader', 'reader'),
    late: log.admit('late', 'writer', { history: 'from-join' }),
  }
  log.act(log.owner, log.bodies.rotate())
  return crew
}

const assembledOnce = new Map<boolean, Crew>()

/**
 * The same space every time, to be gone on with.
 * @param options.blind see `BuilderOptions`
 */
export function crew({ blind = false }: { readonly blind?: boolean } = {}): Crew {
  const first = assembledOnce.get(blind) ?? assembled(blind)
  assembledOnce.set(blind, first)
  return { ...first, log: first.log.fork() }
}

export function memberOf(log: LogBuilder, device: TestDevice): MemberId {
  return deviceOf(log, device).member
}

export function deviceOf(log: LogBuilder, { number }: TestDevice): DeviceRecord {
  return log.controlState.devices.get(number) as DeviceRecord
}

/** What the reducer says of a control entry by `author`; it is not appended. */
export function judged(
  log: LogBuilder,
  author: TestDevice,
  body: ControlBody,
  options?: EntryOptions,
): Promise<string> {
  return verdictOf(() => log.judge(log.control(author, body, options)))
}

/** Invites a guest by this body, without an answer. */
export function invited(
  log: LogBuilder,
  author: TestDevice,
  change: Parameters<LogBuilder['bodies']['invite']>[1] = {},
): TestDevice {
  const guest = testDevice(`guest ${log.nextNumber}`, log.nextNumber)
  log.act(author, log.bodies.invite(guest, change))
  return guest
}

/** Uses an invite: the device that comes in its place. */
export function joined(log: LogBuilder, guest: TestDevice): TestDevice {
  const device = testDevice(`joined ${log.nextNumber}`, log.nextNumber)
  log.act(guest, log.bodies.join(device, guest.number))
  return device
}

/** One more device of the author's member, by `add-device`. */
export function added(log: LogBuilder, author: TestDevice): TestDevice {
  const device = testDevice(`added ${log.nextNumber}`, log.nextNumber)
  log.act(author, log.bodies.addDevice(author, device))
  return device
}

/** A device whose keys are new here. */
export function stranger(log: LogBuilder, name = 'stranger'): TestDevice {
  return testDevice(name, log.nextNumber)
}

/** Gives the author's member 64 current devices, without the time that it takes to admit them. */
export function filled(log: LogBuilder, author: TestDevice): void {
  const { state } = log
  if (state === undefined) return
  const own = deviceOf(log, author)
  const devices = new Map(state.control.devices)
  for (let i = devicesOf(state.control, own.member).length; i < 64; i++) {
    const number = 20_000 + i
    devices.set(number, { ...own, number, signing: bytesOf(`filler ${i}`), kem: bytesOf(`filler KEM ${i}`) })
  }
  log.state = { ...state, control: { ...state.control, devices } }
}

/** Lets document entries pass by, so that a rotation is due for no reason but time. */
export function goOn(log: LogBuilder, author: TestDevice, entries: number): void {
  for (let i = 0; i < entries; i++) log.append(log.changes(author))
}

export function epochOf(log: LogBuilder): number {
  return latestEpoch(log.controlState)
}
