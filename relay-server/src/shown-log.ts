import {
  type Checkpoint,
  type DocumentId,
  type DocumentRecord,
  SealogError,
  type SpaceId,
  type SpaceState,
  type StateMap,
} from 'sealog/protocol'
import { mayHaveContent } from './content-rights.ts'
import type { RelayContext } from './context.ts'
import type { LogEnd } from './log-end.ts'
import type { StoredEntry } from './log-store.ts'
import { relayBehind } from './reject.ts'
import type { SignedHead } from './signed-head.ts'
import { storageError } from './storage-error.ts'
import { readPart, type SyncPart } from './sync-part.ts'
import { TracedParts } from './traced-parts.ts'

/** Whom a stretch of the log is for. */
export interface Reader {
  /** Number of the device that reads. */
  readonly device: number
  /** Of a sparse reader: the documents whose bodies it gets, as it does tracers. */
  readonly wants: ReadonlySet<DocumentId> | undefined
}

/** What of one log may be shown: the entries that are stored and signed, and what they come to. */
export class ShownLog {
  readonly space: SpaceId
  readonly #context: RelayContext
  readonly #end: LogEnd
  readonly #traced: TracedParts

  constructor(context: RelayContext, end: LogEnd) {
    this.space = end.view.space
    this.#context = context
    this.#end = end
    this.#traced = new TracedParts(context.store, this.space)
  }

  /** Number of entries that are stored. */
  get size(): number {
    return this.#end.view.range.size
  }

  /** Bytes that are stored. */
  get bytes(): number {
    return this.#end.bytes
  }

  /** What this relay has signed beyond what it has (DESIGN §5.5); undefined where it has everything it knows of. */
  get behind(): Checkpoint | undefined {
    return this.#end.behind
  }

  /** Of all entries that may be shown; undefined where the space has none. */
  get head(): SignedHead | undefined {
    return this.#end.head
  }

  /** After all entries that may be shown. */
  get state(): SpaceState | undefined {
    return this.head === undefined ? undefined : this.#end.view.state
  }

  /** @throws SealogError ERR_RELAY_BEHIND where the relay knows that it has lost entries: it says nothing about the rest */
  assertLevel(): void {
    if (this.behind !== undefined) throw relayBehind(this.size)
  }

  /** Did the operator give up what this note is about, as far as it is not stored? */
  hasAbandoned(checkpoint: Checkpoint): boolean {
    return this.#end.hasAbandoned(checkpoint)
  }

  /** Does content travel to this device in what everybody gets? */
  sharesContent(device: number): boolean {
    return mayHaveContent(this.#shown().state.control, device)
  }

  /**
   * A stretch from `from` towards `limit` with the current note.
   * @param reader default: somebody who may have all of it
   * @throws SealogError ERR_RELAY_STORAGE
   */
  async readPart(from: number, limit: number, reader?: Reader): Promise<SyncPart> {
    const { head } = this.#shown()
    const wants = reader?.wants
    const hasContent = reader === undefined || this.sharesContent(reader.device)
    const carries = ({ isControl, isSnapshot, document }: StoredEntry): boolean =>
      isControl || (hasContent && !isSnapshot && wants?.has(document) === true)
    if (wants !== undefined) return this.#readTraced(from, limit, carries)
    return fromStore(() =>
      readPart(this.#context.store, this.space, from, limit, head, hasContent ? undefined : { carries }),
    )
  }

  /** The same for an audit: with tracers, and bodies of control entries only. @throws SealogError ERR_RELAY_STORAGE */
  readForAudit(from: number, limit: number): Promise<SyncPart> {
    return this.#readTraced(from, limit, entry => entry.isControl)
  }

  /** So many entries have to be gone over to find the state from which an audit goes on behind the first `size`. */
  rewindDistance(size: number): number {
    return this.#traced.distanceTo(size, { size: this.size, state: this.#shown().state })
  }

  /** The documents as they were after the first `size` entries, at most all. @throws SealogError ERR_RELAY_STORAGE */
  async documentsAt(size: number): Promise<StateMap<DocumentRecord>> {
    const { state } = this.#shown()
    return fromStore(() => this.#traced.documentsAt(size, { size: this.size, state }))
  }

  /** Is the entry at `index`, below the size, a control entry? @throws SealogError ERR_RELAY_STORAGE */
  async isControl(index: number): Promise<boolean> {
    const range = { from: index, to: index + 1, inlineLength: -1, maxBytes: 0 }
    const [entry] = await fromStore(() => this.#context.store.readEntries(this.space, range))
    return entry?.isControl === true
  }

  /** A part of the body of an entry; undefined where it is not stored. @throws SealogError ERR_RELAY_STORAGE */
  readBody(index: number, offset: number, length: number): Promise<Uint8Array | undefined> {
    return fromStore(() => this.#context.store.readBody(this.space, index, offset, length))
  }

  async #readTraced(from: number, limit: number, carries: (entry: StoredEntry) => boolean): Promise<SyncPart> {
    const { head, state } = this.#shown()
    const latest = { size: this.size, state }
    return fromStore(() => this.#traced.read({ from, limit, head, latest, carries }))
  }

  #shown(): { readonly head: SignedHead; readonly state: SpaceState } {
    const { head, state } = this
    if (head === undefined || state === undefined) {
      throw new SealogError('ERR_UNKNOWN_SPACE', 'the space has no entries')
    }
    return { head, state }
  }
}

async function fromStore<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw storageError(error)
  }
}
