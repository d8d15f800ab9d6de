import type { ActorId, DocumentId } from '../ids.ts'
import type { Adoption } from './adopt.ts'
import type { AdoptionPlan } from './adoption-plan.ts'
import { arrivedBody } from './arrived-body.ts'
import type { AnyDoc } from './content.ts'
import type { DocumentUpdate } from './content-intake.ts'
import { COMPACT_WHEN_IDLE, COMPACT_WHILE_OPEN, compactIfDue } from './document-compaction.ts'
import type { DocumentCore, LocalEdit } from './document-core.ts'
import type { MissingBody } from './document-ledger.ts'
import type { DocumentMeta } from './document-meta.ts'
import { assembleDocuments, type DocumentParts, type DocumentSetOptions } from './document-parts.ts'
import { savedRow } from './file-row.ts'
import type { BuiltImport } from './import-payload.ts'
import type { LocalChange } from './local-row.ts'
import { continueAsAnother } from './own-continuation.ts'
import type { ParkedBody } from './parked-rows.ts'
import { documentKey } from './rows.ts'
import type { SnapshotPayload } from './snapshot-payload.ts'
import type { StoreRow } from './store.ts'

/** The documents of one space: which are open, what is stored of them, and who has his turn with them. */
export class DocumentSet {
  readonly #options: DocumentSetOptions
  readonly #parts: DocumentParts
  /** Ends when nobody is between reading the store and telling the open documents. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: DocumentSetOptions) {
    this.#options = options
    this.#parts = assembleDocuments(options, task => this.exclusive(task))
  }

  /** Reads the bookkeeping of all documents, and opens those with something to send. */
  async load(): Promise<void> {
    const { ledger, rows } = this.#parts
    await ledger.load()
    const pending = new Set(await rows.pending())
    for (const { document, clonedAt, importing } of ledger.metas()) {
      if (clonedAt !== undefined || importing !== undefined) pending.add(document)
    }
    for (const document of pending) await this.open(document)
  }

  /** Runs `task` alone: nothing else moves rows, bookkeeping and open documents meanwhile. Not reentrant. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task)
    this.#last = result.catch(() => {})
    return result
  }

  meta(document: DocumentId): DocumentMeta {
    return this.#parts.ledger.meta(document)
  }

  metas(): Iterable<DocumentMeta> {
    return this.#parts.ledger.metas()
  }

  /** Is anything of this document in the log or in the store? */
  isKnown(document: DocumentId): boolean {
    return this.#parts.ledger.has(document)
  }

  core(document: DocumentId): DocumentCore | undefined {
    return this.#parts.cores.get(document)
  }

  cores(): Iterable<DocumentCore> {
    return this.#parts.cores.all()
  }

  /** The own actor in a document, where this replica has written there or has it open. */
  ownActor(document: DocumentId): ActorId | undefined {
    return this.#parts.cores.ownActor(document)
  }

  // -- Opening, and giving up memory ------------------------------------------------------------------------------

  /** Opens a document from the store; an unknown one is empty. @throws SealogError ERR_STORE_CORRUPT, ERR_STORE */
  async open(document: DocumentId): Promise<DocumentCore> {
    return this.core(document) ?? this.exclusive(() => this.#parts.opening.open(document))
  }

  /** Looks at what the log has of a document, in its turn. @throws SealogError ERR_STORE_CORRUPT, ERR_STORE */
  read<T>(document: DocumentId, look: (doc: AnyDoc) => T): Promise<T> {
    return this.exclusive(async () => look((await this.#parts.opening.open(document)).doc))
  }

  /** The bookkeeping of a document, with all that is stored of it judged; inside `exclusive`. @throws SealogError … */
  async judged(document: DocumentId): Promise<DocumentMeta> {
    const { judged, nextFile, clonedAt } = this.meta(document)
    if (judged < nextFile && clonedAt === undefined) await this.#parts.opening.open(document)
    return this.meta(document)
  }

  /** A document that nobody knows yet. */
  create(document: DocumentId): DocumentCore {
    return this.#parts.cores.create(document)
  }

  /**
   * A document that begins with an import: in the store when this resolves. What it holds is judged already.
   * @throws SealogError ERR_STORE…
   */
  import(document: DocumentId, { payload, saved, summary, commitment }: BuiltImport): Promise<DocumentCore> {
    const { random, store } = this.#options
    const { ledger, rows, opening } = this.#parts
    return this.exclusive(async () => {
      const incarnation = random(8)
      const meta = { ...this.meta(document), incarnation, importing: commitment, nextFile: 1, judged: 1 }
      const puts = [
        rows.metaRow(meta),
        rows.fileRow(document, 0, savedRow(summary.count, saved)),
        [this.#importKey(document), payload] as const,
      ]
      await store.commit({ puts, deletes: [], durability: 'strict' })
      ledger.set(meta)
      return opening.open(document)
    })
  }

  /** The payload of an own import that is not proven yet. @throws SealogError ERR_STORE… */
  importPayload(document: DocumentId): Promise<Uint8Array | undefined> {
    return this.#options.store.get(this.#importKey(document))
  }

  #importKey(document: DocumentId): Uint8Array {
    return documentKey(this.#options.space, 'import', document)
  }

  /**
   * Saves what has grown in its compact form, opens what waits for its retirement, and gives up the memory of
   * documents that nobody has open and that have nothing to send.
   */
  tidy(): Promise<void> {
    return this.exclusive(async () => {
      for (const { document, clonedAt } of this.metas()) {
        if (clonedAt !== undefined) await this.#parts.opening.open(document)
      }
      for (const core of [...this.cores()]) {
        if (!this.#giveUp(core)) await this.#compactIfDue(core, COMPACT_WHILE_OPEN)
      }
    })
  }

  /** Gives up the memory of a document, unless somebody has it open or it has something to send. */
  release(document: DocumentId): Promise<void> {
    return this.exclusive(async () => {
      const core = this.core(document)
      if (core !== undefined) this.#giveUp(core)
    })
  }

  #giveUp(core: DocumentCore): boolean {
    const { cores, flush } = this.#parts
    const { document } = core
    const { clonedAt, importing } = this.meta(document)
    const isUnsent = core.locals.length > 0 || importing !== undefined
    const isNeeded = isUnsent || flush.isWaiting(document) || clonedAt !== undefined
    if (isNeeded || this.#options.isUsed(document)) return false
    cores.remove(document)
    core.free()
    return true
  }

  #compactIfDue(core: DocumentCore, limits: Parameters<typeof compactIfDue>[1]): Promise<void> {
    return compactIfDue(core, limits, { ...this.#parts, store: this.#options.store })
  }

  /** Brings own changes into the store, tidies up what is open, and gives up its memory. @throws SealogError ERR_STORE… */
  async close(): Promise<void> {
    const { cores, ledger } = this.#parts
    try {
      await this.flush()
      // Everything is safe by now: a saved form that cannot be written is no reason to fail.
      await this.exclusive(async () => {
        for (const core of cores.all()) await this.#compactIfDue(core, COMPACT_WHEN_IDLE)
        await ledger.catchUp()
      }).catch(() => {})
    } finally {
      await this.#last
      cores.freeAll()
    }
  }

  // -- Local changes ----------------------------------------------------------------------------------------------

  /** One local change; durable after the next `flush`, which follows by itself. */
  change(core: DocumentCore, fn: (doc: Record<string, unknown>) => void, time: number, message?: string): LocalEdit {
    const edit = core.change(fn, time, message)
    if (edit.change !== undefined) this.#parts.flush.soon(core.document)
    return edit
  }

  /** Resolves when every own change made before the call is in the store. @throws SealogError ERR_STORE… */
  flush(): Promise<void> {
    return this.#parts.flush.flush()
  }

  /** Is anything not in the store that should be? */
  get isDirty(): boolean {
    return this.#parts.flush.isDirty
  }

  localKeys(document: DocumentId, locals: readonly LocalChange[]): readonly Uint8Array[] {
    return this.#parts.rows.localKeys(document, locals)
  }

  /** The chain of the own actor is closed, see own-continuation.ts. @throws SealogError ERR_STORE…, ERR_CONTENT, ERR_GUARD */
  carryOver(document: DocumentId): Promise<void> {
    return this.exclusive(() => continueAsAnother(document, { ...this.#options, ...this.#parts }))
  }

  // -- What the log brings ----------------------------------------------------------------------------------------

  /** Rows of entries that are kept aside. */
  parkedRows(document: DocumentId, parked: readonly ParkedBody[]): readonly StoreRow[] {
    return parked.flatMap(({ entry, body }) => this.#parts.rows.parkedRows(document, entry, body))
  }

  /** Takes over what a batch brought, after it is durable; inside `exclusive`. `settle` has to follow. */
  applied(document: DocumentId, update: DocumentUpdate): void {
    this.#parts.intake.applied(document, update)
  }

  /**
   * Stores what was judged in memory, and lets parked actors go on where what they waited for has come; inside
   * `exclusive`, before and after a batch is absorbed.
   * @throws SealogError ERR_STORE…; then it is made up for the next time
   */
  async settle(): Promise<void> {
    await this.#parts.ledger.payAll()
    for (const core of this.cores()) await this.#parts.parking.release(core)
  }

  /** Bodies that the relay has yet to serve: as long as they are missing, their authors are parked. */
  missingBodies(): readonly MissingBody[] {
    return this.#parts.ledger.missing()
  }

  /**
   * Bodies that were missing have come; those that are not expected are passed over. Their authors go on.
   * @throws SealogError ERR_BODY for bytes that a header does not commit to; ERR_STORE…
   */
  bodiesArrived(
    document: DocumentId,
    bodies: readonly { readonly index: number; readonly body: Uint8Array }[],
  ): Promise<void> {
    const { ledger, rows, opening, parking } = this.#parts
    return this.exclusive(async () => {
      await ledger.pay(document)
      const arrived = bodies.flatMap(({ index, body }) => arrivedBody(ledger.expected(document, index), body))
      if (arrived.length === 0) return
      const puts = arrived.flatMap(({ entry, body }) => rows.parkedRows(document, entry, body))
      await this.#options.store.commit({ puts, deletes: [] })
      for (const { entry } of arrived) ledger.forget(document, entry.index)
      const core = await opening.open(document)
      await parking.release(core)
      // They may have waited for an import.
      if (core.pending().length > 0) this.#options.onFlush(undefined)
    })
  }

  /** Secrets of epochs came that were not here: what waits for them may open now. @throws SealogError ERR_STORE… */
  async keysArrived(): Promise<void> {
    const { opening, parking } = this.#parts
    for (const { document, stopped } of [...this.metas()]) {
      if (![...stopped.values()].some(({ code }) => code === 'ERR_KEY')) continue
      await this.exclusive(async () => parking.release(await opening.open(document), true))
    }
  }

  /** A snapshot that was verified against the tags has what parked actors wrote, see snapshot-supply.ts. */
  supply(document: DocumentId, snapshot: SnapshotPayload): Promise<readonly ActorId[]> {
    const { opening, supply } = this.#parts
    return this.exclusive(async () => supply.supply(await opening.open(document), snapshot))
  }

  // -- What comes by fast-forward ---------------------------------------------------------------------------------

  /** The rows by which a document takes the place of what was here, see `DocumentAdoption.plan`; inside `exclusive`. */
  adopting(adoption: Adoption, isDoubted = false): Promise<AdoptionPlan> {
    return this.#parts.adoption.plan(adoption, isDoubted)
  }

  /** The same is in the store now, see `DocumentAdoption.complete`; inside `exclusive`. @returns own changes that went */
  adopted(adoption: Adoption, plan: AdoptionPlan): Promise<readonly LocalChange[]> {
    return this.#parts.adoption.complete(adoption, plan)
  }
}
