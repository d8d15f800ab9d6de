import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import { knownDocument, type SpaceState } from '../verify/state.ts'
import type { Adoption } from './adopt.ts'
import type { RowChanges } from './document-ledger.ts'
import type { DocumentSet } from './document-set.ts'
import type { KeptLog } from './kept-log.ts'
import type { KeptTags } from './kept-tags.ts'
import { beyondReplayed, loadReplayed, replayedKey, replayedRow } from './replayed-chains.ts'
import type { ReplicaStore, StoreRow } from './store.ts'
import { type UncheckedChain, type UncheckedDocument, uncheckedKey, uncheckedRow } from './unchecked.ts'

export interface UncheckedDocumentsOptions {
  readonly space: SpaceId
  readonly store: ReplicaStore
  readonly log: Pick<KeptLog, 'commit'>
  readonly documents: DocumentSet
  readonly kept: KeptTags
  /** As stored. */
  readonly unchecked: readonly UncheckedDocument[]
}

/** What becomes of the check when a document is taken. */
export interface TakenCheck extends RowChanges {
  /** Undefined where nothing is left to be checked. */
  readonly unchecked: UncheckedDocument | undefined
  /** The chain of which something else was replayed here before. */
  readonly contradicted: UncheckedChain | undefined
}

/** Which documents came as a snapshot and are not checked to the end; in memory and in the store. */
export class UncheckedDocuments {
  readonly #options: UncheckedDocumentsOptions
  readonly #due = new Map<DocumentId, UncheckedDocument>()
  /** Chains of `#due` by actor, as actors are of one document each. */
  readonly #chains = new Map<ActorId, UncheckedChain>()

  constructor(options: UncheckedDocumentsOptions) {
    this.#options = options
    for (const unchecked of options.unchecked) this.#set(unchecked)
  }

  get due(): ReadonlyMap<DocumentId, UncheckedDocument> {
    return this.#due
  }

  chain(actor: ActorId): UncheckedChain | undefined {
    return this.#chains.get(actor)
  }

  /** Before a skip, of the state until then: what was replayed here of documents needs no check when they come anew. */
  replayedRows(state: SpaceState | undefined, isKnown: (document: DocumentId) => boolean): readonly StoreRow[] {
    const { documents, space } = this.#options
    return [...documents.metas()].flatMap(({ document, clonedAt, nextFile }) => {
      const isReplayed = isKnown(document) && nextFile > 0 && clonedAt === undefined && !this.#due.has(document)
      const record = isReplayed ? knownDocument(state, document) : undefined
      return record === undefined ? [] : [replayedRow(space, record)]
    })
  }

  /**
   * What belongs to the transaction by which a document is taken, by a snapshot that has yet to be checked, or by all
   * entries; before it takes the place of what is here, inside `exclusive`.
   * @throws SealogError ERR_STORE…
   */
  async taking({ document, unchecked, snapshot }: Adoption): Promise<TakenCheck> {
    const { space, store, documents } = this.#options
    const obsolete = [replayedKey(space, document)]
    let contradicted: UncheckedChain | undefined
    if (unchecked !== undefined && snapshot !== undefined) {
      const replayed = await loadReplayed(store, space, document)
      const meta = replayed.size === 0 ? documents.meta(document) : await documents.judged(document)
      const chains = unchecked.chains.flatMap(chain => {
        const left = replayed.size === 0 ? [chain] : beyondReplayed(chain, replayed, snapshot.doc, meta)
        if (left === 'contradicted') contradicted ??= chain
        return left === 'contradicted' ? [chain] : left
      })
      const due = { ...unchecked, chains }
      if (chains.length > 0) {
        return { puts: [uncheckedRow(space, due)], deletes: obsolete, unchecked: due, contradicted }
      }
    }
    const done = this.#due.has(document) ? await this.#rowsOf(document) : []
    return { puts: [], deletes: [...obsolete, ...done], unchecked: undefined, contradicted }
  }

  /** The same is durable. */
  taken({ document }: Adoption, { unchecked }: TakenCheck): void {
    this.#forget(document)
    if (unchecked !== undefined) this.#set(unchecked)
  }

  /**
   * Keeps how far the check of a document has come.
   * @param before as it was when the check began, or as this returned it
   * @returns how it stands now; undefined where the document was taken anew meanwhile
   * @throws SealogError ERR_STORE…
   */
  keep(
    before: UncheckedDocument,
    progress: Partial<Pick<UncheckedDocument, 'isRefuted' | 'chains'>>,
  ): Promise<UncheckedDocument | undefined> {
    const { log, space } = this.#options
    return this.#unlessTaken(before, async () => {
      const unchecked = { ...before, ...progress }
      await log.commit({ puts: [uncheckedRow(space, unchecked)], deletes: [] })
      this.#forget(unchecked.document)
      this.#set(unchecked)
      return unchecked
    })
  }

  /** The document is checked. @returns whether it was this one @throws SealogError ERR_STORE… */
  async checked(unchecked: UncheckedDocument): Promise<boolean> {
    const { document } = unchecked
    const done = await this.#unlessTaken(unchecked, async () => {
      await this.#options.log.commit({ puts: [], deletes: await this.#rowsOf(document) })
      this.#forget(document)
      return true
    })
    return done === true
  }

  /** What was found out about a document that was replaced meanwhile says nothing of the one that is here. */
  #unlessTaken<T>(unchecked: UncheckedDocument, write: () => Promise<T>): Promise<T | undefined> {
    return this.#options.documents.exclusive(async () =>
      this.#due.get(unchecked.document) === unchecked ? write() : undefined,
    )
  }

  async #rowsOf(document: DocumentId): Promise<readonly Uint8Array[]> {
    const { space, kept } = this.#options
    return [uncheckedKey(space, document), ...(await kept.keys(document))]
  }

  #set(unchecked: UncheckedDocument): void {
    this.#due.set(unchecked.document, unchecked)
    for (const chain of unchecked.chains) this.#chains.set(chain.actor, chain)
  }

  #forget(document: DocumentId): void {
    for (const { actor } of this.#due.get(document)?.chains ?? []) this.#chains.delete(actor)
    this.#due.delete(document)
  }
}
