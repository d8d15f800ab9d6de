import {
  type ControlState,
  type DocumentRecord,
  decodeHeader,
  getAt,
  initialState,
  SealogError,
  type SpaceId,
  type SpaceState,
  type StateMap,
  setAt,
  stateKey,
  withEntry,
} from 'sealog/protocol'
import type { LogStore, StoredEntry } from './log-store.ts'
import { StateRewind } from './state-rewind.ts'

/** The documents of a space after its first `size` entries. */
interface DocumentsAt {
  readonly size: number
  readonly documents: StateMap<DocumentRecord>
}

/** A state to start from: that of all entries that are stored. */
export interface LatestState {
  readonly size: number
  readonly state: SpaceState
}

/** Older states at hand: one for each reader that comes back for the next part, if there are not too many. */
const KEPT_STATES = 8
/** A state that is so near to the latest one is not kept: it is found again as quickly. */
const NEAR = 256
/** Entries read at once on the way to an older state. */
const STEP = 1024
const WITHOUT_BODIES = { inlineLength: -1, maxBytes: Number.POSITIVE_INFINITY } as const

/**
 * The documents of a space as they were. A map copies the paths that change and shares the rest, so an older one is the
 * nearest one at hand with what the entries between replaced put back, or with those entries taken in again: the time
 * follows the number of entries between, the memory what they touched.
 */
export class StateHistory {
  readonly #store: LogStore
  readonly #space: SpaceId
  /** By size, the one used last at the end. */
  readonly #kept = new Map<number, StateMap<DocumentRecord>>()
  #bytesRead = 0

  constructor(store: LogStore, space: SpaceId) {
    this.#store = store
    this.#space = space
  }

  /** How much of the log was read so far on the way to older states. */
  get bytesRead(): number {
    return this.#bytesRead
  }

  /**
   * @param size at most that of `latest`
   * @throws SealogError whatever the store throws; ERR_STORE_CORRUPT where its entries contradict the state
   */
  async documentsAt(size: number, latest: LatestState): Promise<StateMap<DocumentRecord>> {
    const start = this.#nearest(size, latest)
    const documents =
      start.size >= size ? await this.#back(start, size) : await this.#forward(start, size, latest.state.control)
    this.#keep({ size, documents }, latest)
    return documents
  }

  /** A reader that got these entries, which stand from `from` on, will go on behind them: gets the state there ready. */
  async continueBehind(from: number, entries: readonly StoredEntry[], latest: LatestState): Promise<void> {
    if (isNear(from + entries.length, latest) || entries.length === 0) return
    const before = { size: from, documents: await this.documentsAt(from, latest) }
    this.#keep(takeIn(before, entries, latest.state.control), latest)
  }

  /** Entries between this state and the nearest one at hand. */
  distanceTo(size: number, latest: LatestState): number {
    return Math.abs(this.#nearest(size, latest).size - size)
  }

  #nearest(size: number, { size: latestSize, state }: LatestState): DocumentsAt {
    const known: DocumentsAt[] = [
      { size: latestSize, documents: state.documents },
      { size: 0, documents: initialState(state.control).documents },
    ]
    for (const [keptSize, documents] of this.#kept) known.push({ size: keptSize, documents })
    return known.reduce((a, b) => (Math.abs(b.size - size) < Math.abs(a.size - size) ? b : a))
  }

  async #back({ size: from, documents }: DocumentsAt, size: number): Promise<StateMap<DocumentRecord>> {
    const rewind = new StateRewind()
    for await (const entries of this.#read(size, from)) for (const entry of entries) rewind.add(entry)
    return rewind.apply(documents)
  }

  async #forward(start: DocumentsAt, size: number, control: ControlState): Promise<StateMap<DocumentRecord>> {
    let at = start
    for await (const entries of this.#read(start.size, size)) at = takeIn(at, entries, control)
    return at.documents
  }

  async *#read(from: number, to: number): AsyncGenerator<readonly StoredEntry[]> {
    for (let next = from; next < to; ) {
      const range = { from: next, to: Math.min(to, next + STEP), ...WITHOUT_BODIES }
      const entries = await this.#store.readEntries(this.#space, range)
      if (entries.length === 0) throw new SealogError('ERR_STORE_CORRUPT', `entry ${next} is missing`)
      for (const { header, replaced } of entries) this.#bytesRead += header.length + replaced.length
      yield entries
      next += entries.length
    }
  }

  #keep({ size, documents }: DocumentsAt, latest: LatestState): void {
    this.#kept.delete(size)
    if (size === 0 || isNear(size, latest)) return
    this.#kept.set(size, documents)
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_STATES) break
      this.#kept.delete(oldest)
    }
  }
}

function isNear(size: number, latest: LatestState): boolean {
  return latest.size - size < NEAR
}

/** @param control of any later time: what is needed of a device never changes */
function takeIn(before: DocumentsAt, entries: readonly StoredEntry[], control: ControlState): DocumentsAt {
  let { size, documents } = before
  for (const { header: encoded, hash, actor } of entries) {
    const header = decodeHeader(encoded)
    const member = control.devices.get(header.device)?.member
    if (member === undefined) throw new SealogError('ERR_STORE_CORRUPT', `entry ${size} is by an unknown device`)
    const key = stateKey(header.document)
    documents = setAt(documents, key, withEntry(getAt(documents, key), actor, member, { header, hash, index: size }))
    size++
  }
  return { size, documents }
}
