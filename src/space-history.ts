import type { SpaceKeys } from './crdt/epoch-secrets.ts'
import { type NameOpener, tellHistory } from './crdt/history.ts'
import type { HistoryEvent, NamedDevice } from './crdt/history-events.ts'
import { loadHistory } from './crdt/history-rows.ts'
import type { FormatDate } from './crdt/history-words.ts'
import { openName, openRequestNames } from './crdt/names.ts'
import { epochAt, keyHolders } from './crdt/readers.ts'
import type { ReplicaStore } from './crdt/store.ts'
import { SealogError } from './errors.ts'
import { CONTROL_DOCUMENT, type MemberId, parseDocumentId } from './ids.ts'
import type { DeviceRecord } from './verify/control-state.ts'
import type { LogView } from './verify/log.ts'
import { knownDocument } from './verify/state.ts'

export interface HistoryOptions {
  /** Turns a time (Unix ms) into a date for `text`; by default `12 March 2026`, in UTC. */
  readonly formatDate?: FormatDate
}

/** An entry of a document. */
export interface EntryAddress {
  readonly document: string
  /** Place in the log, as in `receipt.index`. */
  readonly index: number
}

/** A member, present or past, that holds or held keys which open an entry. */
export interface Reader {
  readonly member: MemberId
  /** As of now; empty for somebody who never joined. */
  readonly name: string
  /** Devices with such keys, also those that were removed since. */
  readonly devices: readonly NamedDevice[]
  /** Places in the log of invites whose link is such a key, whoever has it. */
  readonly links: readonly number[]
}

/** What a space knows when it is asked about its past. */
export interface Past {
  readonly view: LogView
  readonly keys: SpaceKeys
}

/** @throws SealogError ERR_STORE…; TypeError */
export async function historyOf(
  { view, keys }: Past,
  store: ReplicaStore,
  { formatDate }: HistoryOptions,
): Promise<readonly HistoryEvent[]> {
  if (formatDate !== undefined && typeof formatDate !== 'function') {
    throw new TypeError('formatDate: expected a function')
  }
  const control = view.state?.control
  if (control === undefined) return []
  const rows = await loadHistory(store, view.space, control.count)
  const opener: NameOpener = {
    open: (what, name) => openName(keys, what, name),
    openRequest: (nameKey, requested) => openRequestNames(keys, { nameKey, requested }),
  }
  return tellHistory(rows, control, opener, formatDate)
}

/** @throws SealogError ERR_UNKNOWN_DOCUMENT; TypeError */
export function readersOf({ view, keys }: Past, { document: id, index }: EntryAddress): readonly Reader[] {
  const document = parseDocumentId(id)
  const control = view.state?.control
  const record = document === CONTROL_DOCUMENT ? undefined : knownDocument(view.state, document)
  if (control === undefined || record === undefined) {
    throw new SealogError('ERR_UNKNOWN_DOCUMENT', 'the verified log has nothing of this document')
  }
  const isThere = Number.isSafeInteger(index) && index > 0 && index < view.range.size
  if (!isThere || epochAt(control, index) < record.birthEpoch) {
    throw new TypeError('index: expected the place of an entry of this document')
  }
  const readers = new Map<MemberId, { member: MemberId; name: string; devices: NamedDevice[]; links: number[] }>()
  const place = { document, index, birthEpoch: record.birthEpoch }
  for (const { member, device, by } of keyHolders(control, place)) {
    const { since, name: sealed } = control.devices.get(device) as DeviceRecord
    const name = openName(keys, 'member', control.members.get(member)?.name)
    const reader = readers.get(member) ?? { member, name, devices: [], links: [] }
    readers.set(member, reader)
    if (by === 'link') reader.links.push(since.index)
    else reader.devices.push({ number: device, name: openName(keys, 'device', sealed) })
  }
  return [...readers.values()]
}
