import { asArray, asBytesUpTo, asTuple, type Cbor, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import { decodeControlCore, encodeControlCore, MAX_ROW_LENGTH, MAX_ROWS } from './control-core.ts'
import {
  decodeDeviceRecord,
  decodeEpochRecord,
  decodeMemberRecord,
  encodeDeviceRecord,
  encodeEpochRecord,
  encodeMemberRecord,
} from './control-records.ts'
import type { ControlState } from './control-state.ts'

/** All in one piece, as evidence carries it. */
export function encodeControlState(control: ControlState): Uint8Array {
  return encodeCbor([
    encodeControlCore(control),
    [...control.devices.values()].map(encodeDeviceRecord),
    [...control.members.values()].map(encodeMemberRecord),
    control.epochs.map(encodeEpochRecord),
  ])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT, ERR_UPGRADE */
export function decodeControlState(bytes: Uint8Array): ControlState {
  const fields = asTuple(decodeCbor(bytes, MAX_ROW_LENGTH), 4, 'control state')
  const list = (item: Cbor | undefined, what: string): readonly Uint8Array[] =>
    asArray(item, MAX_ROWS, what).map(row => asBytesUpTo(row, MAX_ROW_LENGTH, what))
  return decodeControlParts({
    core: asBytesUpTo(fields[0], MAX_ROW_LENGTH, 'control state'),
    devices: list(fields[1], 'devices'),
    members: list(fields[2], 'members'),
    epochs: list(fields[3], 'epochs'),
  })
}

/** One of the rows in which a state is kept. Ordered by name they come in the order of the state. */
export interface ControlRow {
  /** ASCII, at most 64 characters. */
  readonly name: string
  readonly value: Uint8Array
}

/** The rows of a state: all of them, or those that differ from what they were before. None ever goes. */
export function controlRows(control: ControlState, before?: ControlState): readonly ControlRow[] {
  const rows: ControlRow[] = [{ name: CORE, value: encodeControlCore(control) }]
  for (const device of control.devices.values()) {
    if (device === before?.devices.get(device.number)) continue
    rows.push({ name: `device/${ordinal(device.number)}`, value: encodeDeviceRecord(device) })
  }
  for (const [number, epoch] of control.epochs.entries()) {
    if (epoch !== before?.epochs[number])
      rows.push({ name: `epoch/${ordinal(number)}`, value: encodeEpochRecord(epoch) })
  }
  for (const member of control.members.values()) {
    if (member === before?.members.get(member.id)) continue
    rows.push({ name: `member/${ordinal(member.since.number)}`, value: encodeMemberRecord(member) })
  }
  return rows
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT, ERR_UPGRADE */
export function readControlRows(rows: readonly ControlRow[]): ControlState {
  const sorted = [...rows].sort((a, b) => (a.name < b.name ? -1 : 1))
  const of = (kind: string): readonly Uint8Array[] =>
    sorted.filter(({ name }) => name.startsWith(kind)).map(({ value }) => value)
  const [core] = of(CORE)
  if (core === undefined) throw new SealogError('ERR_MALFORMED', 'a control state without its core')
  return decodeControlParts({ core, devices: of('device/'), members: of('member/'), epochs: of('epoch/') })
}

const CORE = 'core'

function ordinal(number: number): string {
  return `${number}`.padStart(16, '0')
}

interface ControlParts {
  readonly core: Uint8Array
  /** In the order of their numbers. */
  readonly devices: readonly Uint8Array[]
  /** In the order in which they were admitted. */
  readonly members: readonly Uint8Array[]
  readonly epochs: readonly Uint8Array[]
}

function decodeControlParts({ core, devices, members, epochs }: ControlParts): ControlState {
  return {
    ...decodeControlCore(core),
    devices: new Map(devices.map(decodeDeviceRecord).map(record => [record.number, record])),
    members: new Map(members.map(decodeMemberRecord).map(record => [record.id, record])),
    epochs: epochs.map(decodeEpochRecord),
  }
}
