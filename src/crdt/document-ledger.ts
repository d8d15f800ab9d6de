import type { ActorId, DocumentId } from '../ids.ts'
import { type DocumentMeta, emptyMeta, type Stopped } from './document-meta.ts'
import { type DocumentRows, stopsOf } from './document-rows.ts'
import { encodeFileRow } from './file-row.ts'
import type { RefusedRow } from './guarded-content.ts'
import { type ParkedEntry, parkedRow } from './parked-rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

/** Rows to write and to delete together. */
export interface RowChanges {
  readonly puts: readonly StoreRow[]
  readonly deletes: readonly Uint8Array[]
}

interface Debt extends RowChanges {
  readonly refused: readonly RefusedRow[]
}

/** An entry whose body the relay has yet to serve. */
export interface MissingBody {
  readonly document: DocumentId
  /** Entry of the log. */
  readonly index: number
  /** Its header, encoded. */
  readonly header: Uint8Array
}

/**
 * The bookkeeping of the documents of one space, in memory and in the store.
 *
 * What was judged in memory is owed to the store, and paid in one transaction before anything else is written about
 * the document. A crash in between loses a verdict, never content: what it was about is still there as it came, is
 * judged again when the document is opened, and gets the same verdict, since that depends on the log alone.
 */
export class DocumentLedger {
  readonly #rows: DocumentRows
  readonly #store: ReplicaStore
  readonly #metas = new Map<DocumentId, DocumentMeta>()
  readonly #owed = new Map<DocumentId, Debt>()
  readonly #missing = new Map<DocumentId, Map<number, ParkedEntry>>()
  /** Documents of which the store knows less judged than memory. */
  readonly #ahead = new Set<DocumentId>()

  constructor(rows: DocumentRows, store: ReplicaStore) {
    this.#rows = rows
    this.#store = store
  }

  async load(): Promise<void> {
    for (const meta of await this.#rows.metas()) this.#metas.set(meta.document, meta)
    for (const [document, entry] of await this.#rows.missing()) this.expect(document, [entry])
  }

  meta(document: DocumentId): DocumentMeta {
    return this.#metas.get(document) ?? emptyMeta(document)
  }

  metas(): Iterable<DocumentMeta> {
    return this.#metas.values()
  }

  has(document: DocumentId): boolean {
    return this.#metas.has(document)
  }

  set(meta: DocumentMeta): void {
    this.#metas.set(meta.document, meta)
  }

  /** Notes where rows were judged up to, and which were not taken. @returns where actors stop now */
  judged(meta: DocumentMeta, refused: readonly RefusedRow[]): ReadonlyMap<ActorId, Stopped> {
    const stops = stopsOf(refused)
    this.set({ ...meta, stopped: new Map([...meta.stopped, ...stops]) })
    this.#ahead.add(meta.document)
    if (refused.length > 0) this.owe(meta.document, { refused })
    return stops
  }

  owe(document: DocumentId, { puts = [], deletes = [], refused = [] }: Partial<Debt>): void {
    const owed = this.#owed.get(document)
    this.#owed.set(document, {
      puts: [...(owed?.puts ?? []), ...puts],
      deletes: [...(owed?.deletes ?? []), ...deletes],
      refused: [...(owed?.refused ?? []), ...refused],
    })
  }

  /** Writes what is owed about a document. @throws SealogError ERR_STORE…; then it is still owed */
  async pay(document: DocumentId): Promise<void> {
    const owed = this.#owed.get(document)
    if (owed === undefined) return
    const { puts, deletes } = await this.refusals(document, owed.refused)
    const meta = this.#rows.metaRow(this.meta(document))
    await this.#store.commit({ puts: [...owed.puts, ...puts, meta], deletes: [...owed.deletes, ...deletes] })
    this.#owed.delete(document)
    this.#ahead.delete(document)
  }

  /** @throws SealogError ERR_STORE… */
  async payAll(): Promise<void> {
    for (const document of [...this.#owed.keys()]) await this.pay(document)
  }

  /** Writes up to where rows were judged, so that they are not judged again. @throws SealogError ERR_STORE… */
  async catchUp(): Promise<void> {
    await this.payAll()
    if (this.#ahead.size === 0) return
    const puts = [...this.#ahead].map(document => this.#rows.metaRow(this.meta(document)))
    await this.#store.commit({ puts, deletes: [], durability: 'relaxed' })
    this.#ahead.clear()
  }

  /**
   * What it takes to leave rows out that are stored among the content: those of a parked actor are kept aside, and of
   * one that has ended nothing is kept.
   */
  async refusals(document: DocumentId, refused: readonly RefusedRow[]): Promise<RowChanges> {
    if (refused.length === 0) return { puts: [], deletes: [] }
    const puts = refused.flatMap(({ row, reason }) =>
      reason === 'parked' ? this.#rows.parkedRows(document, parkedRow(row), encodeFileRow(row)) : [],
    )
    const ended = new Set(refused.filter(({ reason }) => reason === 'refused').map(({ row }) => row.actor))
    const deletes = [...(await this.#rows.entryKeys(document, new Set(refused.map(({ row }) => row.index))))]
    if (ended.size > 0) deletes.push(...this.dropped(document, await this.#rows.parked(document), ended))
    return { puts, deletes }
  }

  /** Keys of the parked entries of these actors, which are not expected any more. */
  dropped(
    document: DocumentId,
    parked: readonly ParkedEntry[],
    actors: ReadonlySet<ActorId | undefined>,
  ): readonly Uint8Array[] {
    return parked.flatMap(({ actor, index }) => {
      if (!actors.has(actor)) return []
      this.forget(document, index)
      return this.#rows.parkedKeys(document, index)
    })
  }

  // -- Bodies that the relay has yet to serve ---------------------------------------------------------------------

  /** Takes note of those whose body is missing. */
  expect(document: DocumentId, parked: readonly ParkedEntry[]): void {
    for (const entry of parked) {
      if (entry.content !== 'missing') continue
      const missing = this.#missing.get(document) ?? new Map<number, ParkedEntry>()
      this.#missing.set(document, missing.set(entry.index, entry))
    }
  }

  expected(document: DocumentId, index: number): ParkedEntry | undefined {
    return this.#missing.get(document)?.get(index)
  }

  forget(document: DocumentId, index: number): void {
    const missing = this.#missing.get(document)
    missing?.delete(index)
    if (missing?.size === 0) this.#missing.delete(document)
  }

  missing(): readonly MissingBody[] {
    return [...this.#missing].flatMap(([document, entries]) =>
      [...entries.values()].map(({ index, header }) => ({ document, index, header: header as Uint8Array })),
    )
  }
}
