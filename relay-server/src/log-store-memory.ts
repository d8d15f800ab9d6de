import { type ActorId, type DocumentId, SealogError, type SpaceId, toHex } from 'sealog/protocol'
import {
  type Append,
  type EntryChoice,
  type EntryRange,
  KEPT_COSIGNED,
  type LogStore,
  type PlacedEntry,
  type ReadLimits,
  type StoredEntry,
  type StoredHead,
  type StoredIdentity,
  type StoredMailbox,
  type StoredSpace,
  type StoredWrap,
} from './log-store.ts'
import { assertAppendable, assertHeadAdvances, assertStored } from './log-store-fence.ts'

interface MemorySpace {
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
  head: StoredHead | undefined
}

/** A store in memory, for tests and simulations: it keeps its content over `close` and `open`, and only as an object. */
export function memoryLogStore(): LogStore {
  const spaces = new Map<SpaceId, MemorySpace>()
  const mailboxes = new Map<string, StoredMailbox>()
  let identity: StoredIdentity | undefined
  let isOpen = false

  function assertOpen(): void {
    if (!isOpen) throw new SealogError('ERR_CLOSED', 'the store is not open')
  }

  function known(space: SpaceId): MemorySpace | undefined {
    assertOpen()
    return spaces.get(space)
  }

  return {
    async open() {
      if (isOpen) throw new SealogError('ERR_STORE_LOCKED', 'the store is open already')
      isOpen = true
    },
    async readIdentity() {
      assertOpen()
      return identity
    },
    async writeIdentity(own) {
      assertOpen()
      if (identity !== undefined) throw new SealogError('ERR_STORE_LOCKED', 'the store has an owner')
      identity = own
    },
    async readSpace(id) {
      const space = known(id)
      return space === undefined ? undefined : storedSpace(space)
    },
    async append(append) {
      assertOpen()
      const space = spaces.get(append.space) ?? emptySpace()
      assertAppendable(append, space.entries.length)
      spaces.set(append.space, space)
      apply(space, append)
    },
    async putHead(id, head) {
      const space = known(id)
      assertHeadAdvances(head, space?.entries.length ?? 0, space?.head)
      if (space !== undefined) space.head = head
    },
    async readChoice(id, choice, limits) {
      const space = known(id)
      return space === undefined ? [] : selectChosen(space, choice, limits)
    },
    async putCosigned(id, size, note) {
      const space = known(id)
      assertStored(size, space?.entries.length ?? 0)
      space?.cosigned.set(size, note)
      for (const old of largestFirst(space?.cosigned).slice(KEPT_COSIGNED)) space?.cosigned.delete(old)
    },
    async readCosigned(id) {
      const notes = known(id)?.cosigned
      return largestFirst(notes).flatMap(size => notes?.get(size) ?? [])
    },
    async readEntries(id, range) {
      return selectEntries(known(id)?.entries ?? [], range)
    },
    async readNodes(id, places) {
      const space = known(id)
      return places.map(([level, index]) => {
        const hash = level === 0 ? space?.entries[index]?.hash : space?.nodes.get(`${level}/${index}`)
        if (hash === undefined) throw new SealogError('ERR_STORE_CORRUPT', `no node ${index} on level ${level}`)
        return hash
      })
    },
    async readBody(id, index, offset, length) {
      return known(id)?.entries[index]?.body?.slice(offset, offset + length)
    },
    async readWrap(id, index, device) {
      return known(id)
        ?.wraps.get(index)
        ?.find(row => row.device === device)
    },
    async readWraps(id, index) {
      return known(id)?.wraps.get(index) ?? []
    },
    async putMailbox(address, mailbox) {
      assertOpen()
      const before = mailboxes.get(toHex(address))
      if (before !== undefined && before.counter >= mailbox.counter) return false
      mailboxes.set(toHex(address), mailbox)
      return true
    },
    async readMailbox(address) {
      assertOpen()
      return mailboxes.get(toHex(address))
    },
    async close() {
      isOpen = false
    },
  }
}

function emptySpace(): MemorySpace {
  return {
    entries: [],
    nodes: new Map(),
    documents: new Map(),
    actors: new Map(),
    cosigned: new Map(),
    control: new Map(),
    wraps: new Map(),
    frontier: new Uint8Array(0),
    head: undefined,
  }
}

function storedSpace(space: MemorySpace): StoredSpace {
  return {
    size: space.entries.length,
    frontier: space.frontier,
    state: {
      control: [...space.control].map(([name, value]) => ({ name, value })),
      documents: [...space.documents].map(([document, value]) => ({ document, value })),
      actors: [...space.actors.values()],
    },
    head: space.head,
  }
}

function apply(space: MemorySpace, { entries, nodes, frontier, state, wraps, dropped }: Append): void {
  space.entries.push(...entries)
  for (const [level, index, hash] of nodes) space.nodes.set(`${level}/${index}`, hash)
  for (const { document, value } of state.documents) space.documents.set(document, value)
  for (const row of state.actors) space.actors.set(`${row.document}/${row.actor}`, row)
  space.frontier = frontier
  for (const { name, value } of state.control) space.control.set(name, value)
  for (const row of wraps) space.wraps.set(row.index, [...(space.wraps.get(row.index) ?? []), row])
  for (const index of dropped) {
    const entry = space.entries[index]
    if (entry !== undefined) space.entries[index] = { ...entry, body: undefined }
  }
}

function selectEntries(entries: readonly StoredEntry[], range: EntryRange): readonly StoredEntry[] {
  return upTo(range, entries.slice(range.from, Math.max(range.from, range.to)))
}

function selectChosen(space: MemorySpace, choice: EntryChoice, limits: ReadLimits): readonly PlacedEntry[] {
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

function largestFirst(notes: ReadonlyMap<number, Uint8Array> | undefined): readonly number[] {
  return [...(notes?.keys() ?? [])].sort((a, b) => b - a)
}
