import type { SpaceId } from 'sealog/protocol'
import type { Append, LogStore, StoredEntry, StoredHead } from './log-store.ts'
import { memoryLogStore } from './log-store-memory.ts'

/** A store that remembers every step, so that a relay can go back to, or on from, any of them. */
export interface JournalStore extends LogStore {
  readonly spaces: readonly SpaceId[]
  /** All entries of a space, with their bodies. */
  entries(space: SpaceId): readonly StoredEntry[]
  /** Every note that was stored for a space, the oldest first. */
  notes(space: SpaceId): readonly Uint8Array[]
  /**
   * Another store, not opened, with one space as it was when it had `size` entries, or at the last commit before that.
   * @param size at least 1; default: all
   */
  copy(space: SpaceId, size?: number): Promise<JournalStore>
}

type Step = { readonly append: Append } | { readonly head: StoredHead }

/** A store in memory. */
export function journalStore(): JournalStore {
  const inner = memoryLogStore()
  const journals = new Map<SpaceId, Step[]>()

  function note(space: SpaceId, step: Step): void {
    const journal = journals.get(space)
    if (journal === undefined) journals.set(space, [step])
    else journal.push(step)
  }

  return {
    ...inner,
    get spaces() {
      return [...journals.keys()]
    },
    entries: space => (journals.get(space) ?? []).flatMap(step => ('append' in step ? step.append.entries : [])),
    notes: space => (journals.get(space) ?? []).flatMap(step => ('head' in step ? [step.head.note] : [])),
    async copy(space, size = Number.POSITIVE_INFINITY) {
      const copy = journalStore()
      await copy.open()
      for (const step of journals.get(space) ?? []) {
        if ('head' in step) await copy.putHead(space, step.head)
        else if (step.append.from + step.append.entries.length <= size) await copy.append(step.append)
        else break
      }
      await copy.close()
      return copy
    },
    async append(append) {
      await inner.append(append)
      note(append.space, { append })
    },
    async putHead(space, head, after) {
      await inner.putHead(space, head, after)
      note(space, { head })
    },
  }
}
