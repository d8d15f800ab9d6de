import type { SealogError } from '../errors.ts'
import type { SpaceId } from '../ids.ts'
import { type Anchor, type Batch, type LogView, withAnchor } from '../verify/log.ts'
import { spaceKey } from './rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'
import { encodeViewRow } from './view-rows.ts'
import { Witness } from './witness.ts'

/** Rows of one transaction. */
export interface RowChange {
  readonly puts: readonly StoreRow[]
  readonly deletes: readonly Uint8Array[]
}

export interface KeptLogOptions {
  readonly space: SpaceId
  readonly store: ReplicaStore
  readonly view: LogView
  readonly note: Uint8Array | undefined
  /** By which the relay convicted itself, where it did. */
  readonly evidence: Uint8Array | undefined
  /** The store works. */
  readonly onStored: (failure: SealogError | undefined) => void
}

/**
 * The log as this replica believes it: the view, the relay's note of its head, and what the relay said besides. There is
 * one way to change it, and it goes through the store: what counts is always durable, and a failed transaction leaves
 * everything as it was (DESIGN §5.3).
 */
export class KeptLog {
  readonly #options: KeptLogOptions
  readonly #witness: Witness
  #view: LogView
  #note: Uint8Array | undefined
  #evidence: Uint8Array | undefined

  constructor(options: KeptLogOptions) {
    this.#options = options
    this.#view = options.view
    this.#note = options.note
    this.#evidence = options.evidence
    this.#witness = new Witness(options.view, options.note)
  }

  get view(): LogView {
    return this.#view
  }

  /** The relay's signed note of the view's head. */
  get note(): Uint8Array | undefined {
    return this.#note
  }

  /** By which the relay convicted itself. */
  get evidence(): Uint8Array | undefined {
    return this.#evidence
  }

  /** Makes rows durable that change nothing about the log. @throws SealogError ERR_STORE… */
  async commit({ puts, deletes }: RowChange): Promise<void> {
    await this.#options.store.commit({ puts, deletes })
    this.#options.onStored(undefined)
  }

  /**
   * Makes rows durable, and then this view the one that counts. To be called inside `DocumentSet.exclusive`, with a view
   * that was verified from the one before.
   * @param batch what led there; undefined where it was not entries that came in order
   * @throws SealogError ERR_STORE…; then nothing has changed
   */
  async keep(view: LogView, note: Uint8Array, change: RowChange, batch: Batch | undefined): Promise<void> {
    await this.commit(change)
    this.#view = view
    this.#note = note
    this.#witness.accepted(view, note, batch)
  }

  /**
   * A head that somebody else was shown is ahead of this log: entries must lead there. Inside `DocumentSet.exclusive`.
   * @returns whether they must from now on: not where they are here already
   * @throws SealogError ERR_STORE…
   */
  async keepAnchor(anchor: Anchor): Promise<boolean> {
    if (anchor.size <= this.#view.range.size) return false
    const anchors = withAnchor(this.#view.anchors, anchor)
    if (anchors === this.#view.anchors) return true
    const view = { ...this.#view, anchors }
    await this.commit({ puts: [[spaceKey(view.space, 'view'), encodeViewRow(view, this.#note)]], deletes: [] })
    this.#view = view
    return true
  }

  /** The relay's word about this space, to somebody else: it may contradict another one. */
  heard(head: Uint8Array): void {
    this.#witness.heard(head)
  }

  /** @param refused what did not verify, if that is what it is about @returns evidence that was judged and holds */
  suspect(refused: Batch | undefined): Uint8Array | undefined {
    return this.#witness.suspect(refused)
  }

  /** The relay is convicted; for good. @returns a function that stores it; undefined where it was convicted before */
  convict(evidence: Uint8Array): (() => Promise<void>) | undefined {
    if (this.#evidence !== undefined) return undefined
    this.#evidence = evidence
    return () => this.commit({ puts: [[spaceKey(this.#options.space, 'evidence'), evidence]], deletes: [] })
  }
}
