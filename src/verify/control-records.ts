import { decodeCbor, encodeCbor } from '../codec.ts'
import { bytesOf, type Format, listOf, maybe, memberId, oneOf, record, uint } from '../format.ts'
import type { Delivery, EpochStart } from './control.ts'
import { MAX_ROW_LENGTH, MAX_ROWS, sealedName } from './control-core.ts'
import { delivery, epochStart, history, role } from './control-parts.ts'
import {
  type DeliveryRecord,
  type DeviceRecord,
  type EpochRecord,
  type MemberRecord,
  type Moment,
  STANDINGS,
} from './control-state.ts'

/*
 * The records of a control state, each in bytes of its own: a row where it is kept, and a leaf of what the state root
 * commits to. Decoders throw ERR_MALFORMED, ERR_LIMIT.
 */

/** Of a device or a member, in bytes. */
const MAX_RECORD_LENGTH = 4096

const moment: Format<Moment> = record({ number: uint, index: uint, epoch: uint })

const device: Format<DeviceRecord> = record({
  number: uint,
  signing: bytesOf(32),
  kem: bytesOf(1216),
  member: memberId,
  standing: oneOf(STANDINGS),
  name: maybe(sealedName),
  since: moment,
  removed: maybe(moment),
  readsFrom: uint,
})

export function encodeDeviceRecord(value: DeviceRecord): Uint8Array {
  return encodeCbor(device.write(value))
}

export function decodeDeviceRecord(bytes: Uint8Array): DeviceRecord {
  return device.read(decodeCbor(bytes, MAX_RECORD_LENGTH), 'device')
}

const member: Format<MemberRecord> = record({
  id: memberId,
  role,
  history,
  name: sealedName,
  since: moment,
  removed: maybe(moment),
})

export function encodeMemberRecord(value: MemberRecord): Uint8Array {
  return encodeCbor(member.write(value))
}

export function decodeMemberRecord(bytes: Uint8Array): MemberRecord {
  return member.read(decodeCbor(bytes, MAX_RECORD_LENGTH), 'member')
}

interface DeliveryRow {
  readonly delivery: Delivery
  readonly index: number
  readonly device: number
}

const deliveries: Format<readonly DeliveryRow[]> = listOf(
  MAX_ROWS,
  record<DeliveryRow>({ delivery, index: uint, device: uint }),
)

interface EpochRow extends Omit<EpochRecord, 'deliveries' | keyof EpochStart> {
  readonly start: EpochStart
  readonly deliveries: readonly DeliveryRow[]
}

const epoch: Format<EpochRow> = record({ start: epochStart, index: uint, device: uint, time: uint, deliveries })

export function encodeEpochRecord(value: EpochRecord): Uint8Array {
  const rows = value.deliveries.map(each => ({ delivery: each, index: each.index, device: each.device }))
  return encodeCbor(epoch.write({ ...value, start: value, deliveries: rows }))
}

export function decodeEpochRecord(bytes: Uint8Array): EpochRecord {
  const { start, deliveries: rows, ...rest } = epoch.read(decodeCbor(bytes, MAX_ROW_LENGTH), 'epoch')
  const deliveries = rows.map(({ delivery, index, device }): DeliveryRecord => ({ ...delivery, index, device }))
  return { ...start, ...rest, deliveries }
}
