import { asArray, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import type { SpaceId } from '../ids.ts'
import type { ControlState, DeliveryRecord } from '../verify/control-state.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import type { PayloadKind, Recipient } from '../verify/wraps.ts'
import { auditKey, lastPart, readRow } from './rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

/** A delivery that is to be held against what the secrets determine, and the devices that it had to be for. */
export interface DueAudit {
  /** Place of its entry in the log. */
  readonly index: number
  readonly epoch: number
  readonly recipients: readonly { readonly number: number; readonly payloadKind: PayloadKind }[]
}

const MAX_AUDIT: number = 1024 * 1024
const MAX_RECIPIENTS = 65_536

/** Kept with the batch that brings the delivery: later it could not be told any more who was current then. */
export function auditRows(space: SpaceId, control: ControlState, entries: readonly VerifiedEntry[]): StoreRow[] {
  return dueAudits(control, entries).map(due => [auditKey(space, due.index), encodeAudit(due)])
}

/** In the order of the log. @throws SealogError ERR_STORE_CORRUPT */
export async function loadAudits(store: ReplicaStore, space: SpaceId): Promise<readonly DueAudit[]> {
  const rows = await store.scan(auditKey(space))
  return rows.map(([key, value]) => readRow('audit', () => decodeAudit(Number.parseInt(lastPart(key), 16), value)))
}

export function dueAudits(control: ControlState, entries: readonly VerifiedEntry[]): readonly DueAudit[] {
  return entries.flatMap(({ index, recipients }): DueAudit[] => {
    // Few entries deliver anything, and there may be many of both entries and epochs.
    if (recipients === undefined) return []
    const epoch = control.epochs.findLastIndex(record => record.deliveries.some(delivery => delivery.index === index))
    return epoch < 0 ? [] : [{ index, epoch, recipients }]
  })
}

/** The recipients with their KEM keys, which a state never forgets. */
export function recipientsIn(control: ControlState, { recipients }: DueAudit): readonly Recipient[] {
  return recipients.flatMap(({ number, payloadKind }) => {
    const kem = control.devices.get(number)?.kem
    return kem === undefined ? [] : [{ number, kem, payloadKind }]
  })
}

export function deliveryAt(control: ControlState, { epoch, index }: DueAudit): DeliveryRecord | undefined {
  return control.epochs[epoch]?.deliveries.find(delivery => delivery.index === index)
}

function encodeAudit({ epoch, recipients }: DueAudit): Uint8Array {
  return encodeCbor([epoch, recipients.map(({ number, payloadKind }) => [number, payloadKind])])
}

function decodeAudit(index: number, bytes: Uint8Array): DueAudit {
  const fields = asTuple(decodeCbor(bytes, MAX_AUDIT), 2, 'audit')
  const recipients = asArray(fields[1], MAX_RECIPIENTS, 'recipients').map(item => {
    const row = asTuple(item, 2, 'recipient')
    return { number: asUint(row[0], 'device'), payloadKind: asUint(row[1], 'payload kind', 1) as PayloadKind }
  })
  return { index, epoch: asUint(fields[0], 'epoch'), recipients }
}
