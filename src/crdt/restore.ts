import { hasCode, SealogError } from '../errors.ts'
import type { PushEntry } from '../relay/log-messages.ts'
import { decodeHeader } from '../verify/entry.ts'
import { type BatchEntry, isCurrent, type LogView } from '../verify/log.ts'
import { loadRecent } from './recent-rows.ts'
import type { SpaceChannel } from './space-channel.ts'
import type { ReplicaStore } from './store.ts'

/** Entries of one part, in bytes: it has to stay within a frame. */
const PART: number = 640 * 1024
/** Content of documents that is given back, in bytes: of all that comes, a relay keeps no more than 64 MiB in memory. */
const MOST_CONTENT: number = 44 * 1024 * 1024

/**
 * Whether a relay that does not know this device has lost the entries that admitted it: it is offered the last one, and
 * takes that from anybody who shows what it signed.
 * @returns number of entries that it still has; undefined where it gives no answer to that
 * @throws SealogError ERR_ROLLBACK where it lacks no entry, and so has others than those that it signed
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
    if (hasCode(error, 'ERR_RELAY_BEHIND')) return error.details.index
    if (hasCode(error, 'ERR_UNEXPECTED')) throw forgotten(size, error)
    return undefined
  }
}

/**
 * Gives a relay back the entries that it lost, exactly as they came from it (DESIGN §5.5): together they must lead to
 * the note that it signed, so it can check every one of them.
 * @param from number of entries that the relay still has
 * @throws SealogError ERR_RELAY_BEHIND where this replica does not have them all; ERR_ROLLBACK where the relay has gone
 * on from another log meanwhile; what else the relay answers
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
  try {
    await give(channel, note, from, lightened(entries, MOST_CONTENT))
  } catch (error) {
    if (hasCode(error, 'ERR_INVALID_ENTRY') || hasCode(error, 'ERR_ROLLBACK')) throw rolledBack(from, size, error)
    if (!hasCode(error, 'ERR_LIMIT')) throw error
    // A log without content can go on; content that is somewhere comes back with the next snapshots.
    await give(channel, note, from, lightened(entries, 0))
  }
}

/** In parts that stay within a frame. */
async function give(
  channel: SpaceChannel,
  note: Uint8Array,
  from: number,
  entries: readonly BatchEntry[],
): Promise<void> {
  let next = 0
  while (next < entries.length) {
    let length = 0
    let end = next
    while (end < entries.length) {
      length += 512 + (entries[end]?.body?.length ?? 0)
      if (length > PART && end > next) break
      end++
    }
    await channel.restore(note, from + next, entries.slice(next, end).map(givenBack), end < entries.length)
    next = end
  }
}

/** Without the longest bodies of documents, where all of them are more than `limit` bytes: so the fewest are left out. */
function lightened(entries: readonly BatchEntry[], limit: number): readonly BatchEntry[] {
  const lengths = entries.flatMap(({ header, body }, place) =>
    body === undefined || decodeHeader(header).kind === 'control' ? [] : [{ place, length: body.length }],
  )
  const left = new Set<number>()
  let total = 0
  for (const { place, length } of lengths.sort((a, b) => a.length - b.length)) {
    total += length
    if (total > limit) left.add(place)
  }
  return entries.map((entry, place) => (left.has(place) ? { ...entry, body: undefined } : entry))
}

/** The entries follow each other as the relay once signed them: what they do not follow is what it has by now. */
function rolledBack(from: number, size: number, cause: SealogError): SealogError {
  const message = `the relay goes on from another log, of ${from} entries, than the one of ${size} that it signed: nothing is sent or received; what is here stays`
  return new SealogError('ERR_ROLLBACK', message, { cause })
}

/**
 * The device is in the log that the relay signed, and not in the one that it has. To a device that it does not know, it
 * shows nothing of that, so there is no evidence here; who is in both logs gets it.
 */
function forgotten(size: number, cause: SealogError): SealogError {
  const message = `the relay does not know this device, which the log of ${size} entries admits that it once signed: it goes on from another log, without the entries that admitted it. Nothing is sent or received; what is here stays: export it, \`removeLocal\`, and join by a new invite`
  return new SealogError('ERR_ROLLBACK', message, { cause })
}

function givenBack({ header, signature, body }: BatchEntry): PushEntry {
  // Where it was not needed it did not come: a later one of the same chain covers the entry.
  return { header, signature: signature ?? new Uint8Array(64), body }
}
