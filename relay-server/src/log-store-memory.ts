import { fromHex, SealogError, type SpaceId, toHex } from 'sealog/protocol'
import {
  type GrowthListener,
  KEPT_COSIGNED,
  type KeptHead,
  type LogStore,
  type StoredIdentity,
  type StoredMailbox,
  type StoredSpace,
} from './log-store.ts'
import {
  abandonedHead,
  assertAppendable,
  assertHeadAdvances,
  assertStored,
  isTombstone,
  raisedHead,
  tombstone,
} from './log-store-fence.ts'
import { type MemorySpace, selectChosen, selectEntries } from './log-store-memory-reading.ts'
import { applyAppend, applyUndo, dropBodies, emptySpace } from './log-store-memory-writing.ts'

/** What stores in memory have in common: several over one content are as several processes over one database. */
export interface MemoryContent {
  readonly spaces: Map<SpaceId, MemorySpace>
  /** Apart from the spaces. */
  readonly heads: Map<SpaceId, KeptHead>
  readonly mailboxes: Map<string, StoredMailbox>
  readonly listeners: Set<GrowthListener>
  identity: StoredIdentity | undefined
}

export function memoryContent(): MemoryContent {
  return { spaces: new Map(), heads: new Map(), mailboxes: new Map(), listeners: new Set(), identity: undefined }
}

/**
 * A store in memory, for tests and simulations: it keeps its content over `close` and `open`, and only as an object.
 * @param content where given, other stores may share it
 */
export function memoryLogStore(content?: MemoryContent): LogStore {
  const shared = content ?? memoryContent()
  const { spaces, heads, mailboxes, listeners } = shared
  const own = new Set<GrowthListener>()
  let isOpen = false

  function assertOpen(): void {
    if (!isOpen) throw new SealogError('ERR_CLOSED', 'the store is not open')
  }

  function known(space: SpaceId): MemorySpace | undefined {
    assertOpen()
    return spaces.get(space)
  }

  return {
    isShared: content !== undefined,
    async open() {
      if (isOpen) throw new SealogError('ERR_STORE_LOCKED', 'the store is open already')
      isOpen = true
    },
    async readIdentity() {
      assertOpen()
      return shared.identity
    },
    async writeIdentity(identity) {
      assertOpen()
      if (shared.identity !== undefined) throw new SealogError('ERR_STORE_LOCKED', 'the store has an owner')
      shared.identity = identity
    },
    async readSpace(id) {
      const space = known(id)
      return space === undefined || space.entries.length === 0 ? undefined : storedSpace(space)
    },
    async readSize(id) {
      const space = known(id)
      return { size: space?.entries.length ?? 0, bytes: space?.bytes ?? 0, floor: space?.floor ?? 0 }
    },
    async readSpaces(after, limit) {
      assertOpen()
      const filled = [...spaces].flatMap(([id, { entries }]) => (entries.length > 0 ? [id] : []))
      const ids = [...new Set([...filled, ...heads.keys()])].sort()
      return ids.filter(id => after === undefined || id > after).slice(0, limit)
    },
    async append(append) {
      assertOpen()
      const space = spaces.get(append.space) ?? emptySpace()
      assertAppendable(append, { size: space.entries.length, floor: space.floor, frontier: space.frontier })
      spaces.set(append.space, space)
      applyAppend(space, append)
    },
    async undoAppend(undo) {
      applyUndo(known(undo.space) ?? emptySpace(), undo)
    },
    async putFloor(id, size) {
      const space = known(id) ?? emptySpace()
      spaces.set(id, space)
      if (size > space.entries.length) space.floor = Math.max(space.floor, size)
    },
    async readHead(id) {
      assertOpen()
      return heads.get(id)
    },
    async putHead(id, head, after) {
      assertOpen()
      assertHeadAdvances(head, heads.get(id), after)
      const { size, time, note } = head
      heads.set(id, { size, time, note, latest: time, abandoned: heads.get(id)?.abandoned ?? 0 })
    },
    async raiseHead(id, head) {
      assertOpen()
      heads.set(id, raisedHead(head, heads.get(id)))
    },
    async acceptRollback(id) {
      const space = known(id)
      if (isTombstone(heads.get(id))) return
      if (space !== undefined) space.floor = 0
      const head = heads.get(id)
      if (head !== undefined) heads.set(id, abandonedHead(head))
    },
    async announce(id) {
      assertOpen()
      for (const listener of listeners) if (!own.has(listener)) queueMicrotask(() => listener(id))
    },
    onGrown(listener) {
      listeners.add(listener)
      own.add(listener)
      return () => {
        listeners.delete(listener)
        own.delete(listener)
      }
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
    async readMailboxes(after, limit) {
      assertOpen()
      const addresses = [...mailboxes.keys()].sort().filter(each => after === undefined || each > toHex(after))
      return addresses.slice(0, limit).map(address => {
        return { address: fromHex(address), ...(mailboxes.get(address) as StoredMailbox) }
      })
    },
    async inspect() {
      assertOpen()
      return []
    },
    async discard(id, bodies) {
      const space = known(id)
      if (space !== undefined) dropBodies(space, bodies)
      for (const old of largestFirst(space?.cosigned).slice(KEPT_COSIGNED)) space?.cosigned.delete(old)
    },
    async removeSpace(id) {
      const space = known(id)
      heads.set(id, tombstone(heads.get(id), space?.entries.length ?? 0))
      spaces.delete(id)
    },
    async compact() {
      assertOpen()
      return { before: 0, after: 0 }
    },
    async close() {
      isOpen = false
      for (const listener of own) listeners.delete(listener)
      own.clear()
    },
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
    bytes: space.bytes,
    floor: space.floor,
    base: space.base,
  }
}

function largestFirst(notes: ReadonlyMap<number, Uint8Array> | undefined): readonly number[] {
  return [...(notes?.keys() ?? [])].sort((a, b) => b - a)
}
