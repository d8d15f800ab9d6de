import {
  type DocumentRecord,
  decodeHeader,
  encodeTracer,
  type SpaceId,
  type StateMap,
  touchedBy,
} from 'sealog/protocol'
import type { LogStore, StoredEntry } from './log-store.ts'
import type { SignedHead } from './signed-head.ts'
import { type LatestState, StateHistory } from './state-history.ts'
import { readPart, type SyncPart } from './sync-part.ts'

/** A part to be made for a reader that does not know the whole state. */
interface TracedRequest {
  readonly from: number
  readonly limit: number
  readonly head: SignedHead
  readonly latest: LatestState
  /** Does the body of this entry travel, if it is not too long? */
  readonly carries: (entry: StoredEntry) => boolean
}

/** Makes parts with tracers (DESIGN §5.3), for the sparse readers of one space and for audits. */
export class TracedParts {
  readonly #store: LogStore
  readonly #space: SpaceId
  readonly #history: StateHistory
  /** The latest one made: all who are level need the same. */
  #tracer: { readonly from: number; readonly end: number; readonly bytes: Uint8Array } | undefined

  constructor(store: LogStore, space: SpaceId) {
    this.#store = store
    this.#space = space
    this.#history = new StateHistory(store, space)
  }

  /** The documents after the first `size` entries. @throws SealogError whatever the store throws */
  documentsAt(size: number, latest: LatestState): Promise<StateMap<DocumentRecord>> {
    return this.#history.documentsAt(size, latest)
  }

  /** Entries between that state and the nearest one at hand. */
  distanceTo(size: number, latest: LatestState): number {
    return this.#history.distanceTo(size, latest)
  }

  /** @throws SealogError whatever the store throws */
  async read({ from, limit, head, latest, carries }: TracedRequest): Promise<SyncPart> {
    const tracerOf = (at: number, entries: readonly StoredEntry[]): Promise<Uint8Array> =>
      this.#tracerOf(at, entries, latest)
    const before = this.#history.bytesRead
    const part = await readPart(this.#store, this.#space, from, limit, head, { carries, tracerOf })
    await this.#history.continueBehind(from, part.entries, latest)
    return { ...part, rewound: this.#history.bytesRead - before }
  }

  async #tracerOf(from: number, entries: readonly StoredEntry[], latest: LatestState): Promise<Uint8Array> {
    const end = from + entries.length
    if (this.#tracer?.from === from && this.#tracer.end === end) return this.#tracer.bytes
    const touched = touchedBy(entries.map(({ header, actor }) => ({ header: decodeHeader(header), actor })))
    const bytes = encodeTracer(await this.documentsAt(from, latest), touched)
    this.#tracer = { from, end, bytes }
    return bytes
  }
}
