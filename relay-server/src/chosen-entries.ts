import type { SpaceId } from 'sealog/protocol'
import type { EntryChoice, LogStore, PlacedEntry } from './log-store.ts'

/** So many bytes of entries are in memory at a time, for each answer that is under way. */
const CHUNK_BYTES: number = 512 * 1024

/**
 * All entries of a choice, in its order, a chunk at a time.
 * @param inlineLength bodies longer than this are left out; −1: all of them
 */
export async function* chosenEntries(
  store: LogStore,
  space: SpaceId,
  choice: EntryChoice,
  inlineLength: number,
): AsyncGenerator<readonly PlacedEntry[], void, undefined> {
  let from = choice.from
  for (;;) {
    const entries = await store.readChoice(space, { ...choice, from }, { inlineLength, maxBytes: CHUNK_BYTES })
    const last = entries.at(-1)
    if (last === undefined) return
    yield entries
    from = (choice.kind === 'chain' ? last.seq : last.index) + 1
  }
}
