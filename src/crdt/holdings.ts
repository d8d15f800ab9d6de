import { CONTROL_DOCUMENT, DIRECTORY_DOCUMENT, type DocumentId } from '../ids.ts'
import { MAX_WANTS } from '../relay/message-limits.ts'
import type { SpaceState } from '../verify/state.ts'
import { keepDocuments } from '../verify/tracer.ts'
import type { LockedDocuments } from './locked-row.ts'

/** Which documents a replica keeps: all of the space, or those that were opened on it. */
export type Replicate = 'all' | 'opened'

export interface HoldingsOptions {
  readonly replicate: Replicate
  /** As stored: undefined where the replica has every document. */
  readonly held: ReadonlySet<DocumentId> | undefined
  /** Documents that were found to be locked before. */
  readonly locked: LockedDocuments
  /** The replica begins with the first entry. */
  readonly isNew: boolean
  /** It is about to be admitted: it has no keys when the log arrives, and documents come afterwards. */
  readonly isJoining: boolean
}

/** Which documents of a space are here, which are wanted, and which this member may not read. */
export class Holdings {
  readonly #replicate: Replicate
  #held: ReadonlySet<DocumentId> | undefined
  readonly #wanted = new Set<DocumentId>([DIRECTORY_DOCUMENT])
  /** With the epoch of which it would take the key. */
  readonly #locked: Map<DocumentId, number>

  constructor({ replicate, held, locked, isNew, isJoining }: HoldingsOptions) {
    this.#replicate = replicate
    this.#held = held
    this.#locked = new Map(locked)
    // A replica that begins with the first entry knows all that there is of these two, which is nothing.
    if (isNew && replicate === 'opened') this.#held = new Set([CONTROL_DOCUMENT, DIRECTORY_DOCUMENT])
    if (isNew && isJoining) this.#held = new Set([CONTROL_DOCUMENT])
  }

  /** Undefined where the replica has all documents. */
  get held(): ReadonlySet<DocumentId> | undefined {
    return this.#held
  }

  /** It lacks some, and wants them all. */
  get isGrowing(): boolean {
    return this.#held !== undefined && this.#replicate === 'all'
  }

  /** Of which documents the relay is to send bodies unasked: as many as a message may name, what came last first. */
  get asked(): readonly DocumentId[] | undefined {
    return this.#held && [...this.#held].slice(-MAX_WANTS)
  }

  isKnown(document: DocumentId): boolean {
    return this.#held?.has(document) ?? true
  }

  /** The state without what this replica does not keep. */
  keep(state: SpaceState): SpaceState {
    return this.#held === undefined ? state : keepDocuments(state, this.#held)
  }

  /** These are here from now on, and no others; undefined: all. */
  hold(held: ReadonlySet<DocumentId> | undefined): void {
    this.#held = held
  }

  /** What was taken of the document does not count: it is as if it were not here. */
  drop(document: DocumentId): void {
    if (this.#held === undefined) return
    const held = new Set(this.#held)
    held.delete(document)
    this.#held = held
  }

  want(document: DocumentId): void {
    this.#wanted.add(document)
  }

  /** Wanted, readable as far as is known, and not here. */
  get missing(): readonly DocumentId[] {
    return [...this.#wanted].filter(document => !this.isKnown(document) && !this.#locked.has(document))
  }

  // -- From before the time that this member may read ---------------------------------------------------------------

  get locked(): LockedDocuments {
    return this.#locked
  }

  isLocked(document: DocumentId): boolean {
    return this.#locked.has(document)
  }

  lock(document: DocumentId, birthEpoch: number): void {
    this.#locked.set(document, birthEpoch)
  }

  /** Keys came: those whose key is not among them stay where they are, as each is fetched as a whole. */
  unlock(isReadable: (document: DocumentId, birthEpoch: number) => boolean): void {
    for (const [document, birthEpoch] of this.#locked) {
      if (isReadable(document, birthEpoch)) this.#locked.delete(document)
    }
  }

  /**
   * Is everything here that is wanted? Where not every entry has been verified, that is what the directory lists: which
   * other documents there are, the audit will show.
   * @param isVouched somebody answers for a part of the log
   */
  isComplete(isVouched: boolean): boolean {
    if (this.#held === undefined) return true
    // Its key comes to every member, with the next epoch at the latest.
    if (this.#locked.has(DIRECTORY_DOCUMENT)) return false
    const isPartial = this.#replicate === 'opened' || isVouched || this.#locked.size > 0
    return this.missing.length === 0 && isPartial
  }
}
