import type { ActorId, DocumentId } from 'sealog/protocol'
import type { EntryChoice, EntryRange, PlacedEntry, ReadLimits, StoredEntry, StoredWrap } from './log-store.ts'

/** A space in memory. */
export interface MemorySpace {
  readonly entries: StoredEntry[]
  readonly nodes: Map<string, Uint8Array>
  readonly documents: Map<DocumentId, Uint8Array>
  readonly actors: Map<string, { readonly document: DocumentId; readonly actor: ActorId; readonly value: Uint8Array }>
  readonly cosigned: Map<number, Uint8Array>
  /** By name. */
  readonly control: Map<string, Uint8Array>
  /** By place in the log. */
  readonly wraps: Map<number, readonly StoredWrap[]>
  frontier: Uint8Array
  bytes: number
  floor: number
  base: Uint8Array | undefined
}

export function selectEntries(entries: readonly StoredEntry[], range: EntryRange): readonly StoredEntry[] {
  return upTo(range, entries.slice(range.from, Math.max(range.from, range.to)))
}

export function selectChosen(space: MemorySpace, choice: EntryChoice, limits: ReadLimits): readonly PlacedEntry[] {
  const entries = chosenOf(space, choice).map(index => ({ ...(space.entries[index] as StoredEntry), index }))
  return upTo(limits, entries)
}

function chosenOf({ entries, actors }: MemorySpace, choice: EntryChoice): readonly number[] {
  const where = (from: number, to: number, holds: (entry: StoredEntry) => boolean): number[] => {
    const places: number[] = []
    for (let i = from; i < Math.min(to, entries.length); i++) if (holds(entries[i] as StoredEntry)) places.push(i)
    return places
  }
  const { from } = choice
  switch (choice.kind) {
    case 'control':
      return where(from, choice.to, entry => entry.isControl)
    case 'document':
      return where(from, choice.to, entry => entry.document === choice.document)
    case 'chain':
      return where(0, entries.length, ({ actor, seq }) => actor === choice.actor && seq >= from && seq <= choice.to)
    case 'latest': {
      const isOfDocument = ({ actor }: StoredEntry): boolean => actors.has(`${choice.document}/${actor}`)
      const latest = new Map<ActorId, number>()
      for (const place of where(0, choice.below, isOfDocument)) latest.set((entries[place] as StoredEntry).actor, place)
      return [...latest.values()].filter(place => place >= from).sort((a, b) => a - b)
    }
  }
}

/** As much as fits, one at least, without the bodies that are too long. */
function upTo<T extends StoredEntry>({ inlineLength, maxBytes }: ReadLimits, entries: readonly T[]): readonly T[] {
  const selected: T[] = []
  let bytes = 0
  for (const entry of entries) {
    const body = entry.bodyLength <= inlineLength ? entry.body : undefined
    bytes += entry.header.length + entry.signature.length + (body?.length ?? 0)
    if (selected.length > 0 && bytes > maxBytes) break
    selected.push({ ...entry, body })
  }
  return selected
}
