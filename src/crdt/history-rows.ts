import { toUtf8 } from '../bytes.ts'
import { asBytesUpTo, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import type { SpaceId } from '../ids.ts'
import { type ControlBody, MAX_CONTROL_BODY_LENGTH } from '../verify/control.ts'
import { decodeControlBody, encodeControlBody } from '../verify/control-codec.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import { lastPart, ordinal, readRow } from './rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

/** A control entry as it is kept for whoever asks what happened: the state says only what came of it. */
export interface HistoryRow {
  /** Among control entries; the genesis is 0. */
  readonly number: number
  /** Place in the log. */
  readonly index: number
  /** Number of the author's device, as its header says. */
  readonly device: number
  /** Epoch of its header, under which names in it are sealed. */
  readonly epoch: number
  readonly body: ControlBody
}

/**
 * The rows of the control entries among these, to be stored with what comes of them, in the same transaction.
 * @param first number of the first control entry among them: how many there were before
 */
export function historyRows(space: SpaceId, entries: readonly VerifiedEntry[], first: number): readonly StoreRow[] {
  let number = first
  return entries.flatMap(({ index, header, control }): StoreRow[] => {
    if (control === undefined) return []
    const row = encodeHistoryRow({ number, index, device: header.device, epoch: header.epoch, body: control })
    return [[historyKey(space, number++), row]]
  })
}

/**
 * All control entries of a space, in order.
 * @param count how many there are, by the verified state: fewer or others are not its history
 * @throws SealogError ERR_STORE_CORRUPT, ERR_STORE…
 */
export async function loadHistory(store: ReplicaStore, space: SpaceId, count: number): Promise<readonly HistoryRow[]> {
  const rows = (await store.scan(historyKey(space))).map(([key, value]) =>
    readRow('control entry', () => decodeHistoryRow(Number.parseInt(lastPart(key), 16), value)),
  )
  // A batch may have become durable between the state that was counted and this.
  const counted = rows.slice(0, count)
  if (counted.length < count || counted.some(({ number }, i) => number !== i)) {
    throw new SealogError('ERR_STORE_CORRUPT', 'control entries are missing')
  }
  return counted
}

/** Without a number: the prefix of all. */
function historyKey(space: SpaceId, number?: number): Uint8Array {
  return toUtf8(`space/${space}/history/${number === undefined ? '' : ordinal(number)}`)
}

function encodeHistoryRow({ index, device, epoch, body }: HistoryRow): Uint8Array {
  return encodeCbor([index, device, epoch, encodeControlBody(body)])
}

function decodeHistoryRow(number: number, bytes: Uint8Array): HistoryRow {
  const fields = asTuple(decodeCbor(bytes, MAX_CONTROL_BODY_LENGTH + 64), 4, 'control entry')
  return {
    number,
    index: asUint(fields[0], 'index'),
    device: asUint(fields[1], 'device'),
    epoch: asUint(fields[2], 'epoch'),
    body: decodeControlBody(asBytesUpTo(fields[3], MAX_CONTROL_BODY_LENGTH, 'body')),
  }
}
