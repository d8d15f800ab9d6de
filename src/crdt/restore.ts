import { hasCode, SealogError } from '../errors.ts'
import type { PushEntry } from '../relay/messages.ts'
import { type BatchEntry, isCurrent, type LogView } from '../verify/log.ts'
import { loadRecent } from './recent-rows.ts'
import type { SpaceChannel } from './space-channel.ts'
import type { ReplicaStore } from './store.ts'

/** Entries of one part, in bytes: it has to stay within a frame. */
const PART: number = 640 * 1024

/**
 * Whether a relay that does not know this device has lost the entries that admitted it: it is offered the last one, and
 * takes that from anybody who shows what it signed.
 * @returns number of entries that it still has; undefined where it has them all, or gives no answer to that
 */
export async function sizeOfBehind(
  channel: SpaceChannel,
  store: ReplicaStore,
  view: LogView,
  note: Uint8Array | undefined,
): Promise<number | undefined> {
  const { size } = view.range
  const [last] = (isCurrent(view) && (await loadRecent(store, view.space, size - 1, size))) || []
  if (last === undefined || note === undefined) return undefined
  try {
    await channel.restore(note, size - 1, [givenBack(last)], false)
    return size
  } catch (error) {
    return hasCode(error, 'ERR_RELAY_BEHIND') ? error.details.index : undefined
  }
}

/**
 * Gives a relay back the entries that it lost, exactly as they came from it (DESIGN §5.5): together they must lead to
 * the note that it signed, so it can check every one of them.
 * @param from number of entries that the relay still has
 * @throws SealogError ERR_RELAY_BEHIND where this replica does not have them all; what the relay answers
 */
export async function restoreRelay(
  channel: SpaceChannel,
  store: ReplicaStore,
  view: LogView,
  note: Uint8Array | undefined,
  from: number,
): Promise<void> {
  const { size } = view.range
  if (from === size) return
  const entries = isCurrent(view) && from < size ? await loadRecent(store, view.space, from, size) : undefined
  if (entries === undefined || note === undefined) {
    throw new SealogError('ERR_RELAY_BEHIND', `the relay lost the end of its log, which this replica cannot give back`)
  }
  let next = from
  while (next < size) {
    let length = 0
    let end = next
    while (end < size) {
      const entry = entries[end - from]
      length += 512 + (entry?.body?.length ?? 0)
      if (length > PART && end > next) break
      end++
    }
    const part = entries.slice(next - from, end - from).map(givenBack)
    await channel.restore(note, next, part, end < size)
    next = end
  }
}

function givenBack({ header, signature, body }: BatchEntry): PushEntry {
  // Where it was not needed it did not come: a later one of the same chain covers the entry.
  return { header, signature: signature ?? new Uint8Array(64), body }
}
