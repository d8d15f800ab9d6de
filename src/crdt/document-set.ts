import * as Automerge from '@automerge/automerge/slim'
import { equalBytes, toHex } from '../bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Random } from '../environment.ts'
import { asSealogError, SealogError } from '../errors.ts'
import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import { decodeHeader } from '../verify/entry.ts'
import type { Adoption } from './adopt.ts'
import { type AdoptionPlan, CLOSED, planAdoption } from './adoption-plan.ts'
import { carryOver } from './carry-over.ts'
import { type AnyDoc, compact, compactRows, hasChange, latestChange, localRow, type PatchBatch } from './content.ts'
import { displace, isDisplaced } from './displacement.ts'
import { DocumentCore, type LocalEdit } from './document-core.ts'
import { DocumentLedger, type MissingBody } from './document-ledger.ts'
import { DocumentRows, stopsOf } from './document-rows.ts'
import { GuardedContent, type Taken } from './guarded-content.ts'
import { type BuiltImport, importedActors } from './import-payload.ts'
import { openContent } from './open-content.ts'
import type { ParkedBody, ParkedEntry } from './parked-rows.ts'
import { Parking } from './parking.ts'
import type { KeysOf } from './receive.ts'
import {
  type ChangeTip,
  type DocumentMeta,
  documentKey,
  type FileRow,
  type LocalChange,
  type Stopped,
  savedRow,
} from './rows.ts'
import { ownActor } from './seal.ts'
import type { SnapshotPayload } from './snapshot-payload.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

/** Changes beyond the saved form that make saving it anew worth the while: at least, and as a share of what is saved. */
const COMPACT_WHILE_OPEN = { least: 2048, share: 0.5 } as const
const COMPACT_WHEN_IDLE = { least: 128, share: 0.05 } as const

/** Documents that came by fast-forward stay in memory for a while, unless so many are open. */
const MOST_IDLE = 8

export interface DocumentSetOptions {
  readonly space: SpaceId
  readonly store: ReplicaStore
  readonly random: Random
  /** Own Ed25519 key, 32 bytes. */
  readonly devicePublicKey: Uint8Array
  /** Does somebody hold this document open? */
  readonly isUsed: (document: DocumentId) => boolean
  /** Content of a document that is open became another. */
  readonly onChanged: (document: DocumentId, batch: PatchBatch, source: 'remote' | 'reload') => void
  /** Keys of bodies that were kept aside. */
  readonly keysOf: KeysOf
  /** Nothing more of these actors is applied, from other entries than before. */
  readonly onStopped: (document: DocumentId, stopped: ReadonlyMap<ActorId, Stopped>) => void
  /** An actor that was parked goes on. */
  readonly onReleased: (document: DocumentId, actor: ActorId) => void
  /** Own changes went into the store, or failed to. */
  readonly onFlush: (failure: SealogError | undefined) => void
}

/** Rows that one batch of the log brings for one document. */
export interface DocumentUpdate {
  readonly meta: DocumentMeta
  /** All rows that went to the content, in order. */
  readonly files: readonly FileRow[]
  /** Of them, content of others: to be judged and applied. */
  readonly rows: readonly FileRow[]
  /** The latest own change that the batch acknowledges. */
  readonly acknowledged: ChangeTip | undefined
  /** Entries that were kept aside. */
  readonly parked: readonly ParkedEntry[]
}

/** The documents of one space: which are open, what is stored of them, and own changes on their way to the store. */
export class DocumentSet {
  readonly #options: DocumentSetOptions
  readonly #rows: DocumentRows
  readonly #ledger: DocumentLedger
  readonly #parking: Parking
  readonly #cores = new Map<DocumentId, DocumentCore>()
  /** Documents with own changes or a new incarnation that the store does not have yet. */
  readonly #dirty = new Set<DocumentId>()
  /** Documents whose incarnation the store does not have yet. */
  readonly #unstored = new Set<DocumentId>()
  #flushQueued = false
  /** Ends when nobody is between reading the store and telling the open documents. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: DocumentSetOptions) {
    this.#options = options
    this.#rows = new DocumentRows(options.space, options.store)
    this.#ledger = new DocumentLedger(this.#rows, options.store)
    this.#parking = new Parking({
      ...options,
      ledger: this.#ledger,
      rows: this.#rows,
      take: (core, rows, tips) => this.#take(core, rows, tips),
      displace: (core, proven) => this.#displace(core, proven),
    })
  }

  /** Reads the bookkeeping of all documents, and opens those with something to send. */
  async load(): Promise<void> {
    await this.#ledger.load()
    const pending = new Set(await this.#rows.pending())
    for (const { document, clonedAt, importing } of this.#ledger.metas()) {
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
    return this.#ledger.meta(document)
  }

  metas(): Iterable<DocumentMeta> {
    return this.#ledger.metas()
  }

  /** Is anything of this document in the log or in the store? */
  isKnown(document: DocumentId): boolean {
    return this.#ledger.has(document)
  }

  core(document: DocumentId): DocumentCore | undefined {
    return this.#cores.get(document)
  }

  cores(): Iterable<DocumentCore> {
    return this.#cores.values()
  }

  /** The own actor in a document, where this replica has written there or has it open. */
  ownActor(document: DocumentId): ActorId | undefined {
    const { incarnation } = this.meta(document)
    return incarnation === undefined ? undefined : this.#actorOf(document, incarnation)
  }

  #actorOf(document: DocumentId, incarnation: Uint8Array): ActorId {
    return ownActor(this.#options.space, document, this.#options.devicePublicKey, incarnation)
  }

  /** Opens a document from the store; an unknown one is empty. @throws SealogError ERR_STORE_CORRUPT, ERR_STORE */
  async open(document: DocumentId): Promise<DocumentCore> {
    return this.#cores.get(document) ?? this.exclusive(() => this.#open(document))
  }

  async #open(document: DocumentId): Promise<DocumentCore> {
    const open = this.#cores.get(document)
    if (open !== undefined) return open
    const meta = this.#withIncarnation(document)
    const actor = this.#actorOf(document, meta.incarnation as Uint8Array)
    await this.#ledger.pay(document)
    const { judged, unjudged } = await this.#rows.files(meta)
    const locals = await this.#rows.locals(document)
    const held = meta.clonedAt
    const shown = held === undefined ? unjudged : unjudged.filter(row => row.index < held)
    const fitting = held === CLOSED ? [] : locals
    const stored = { judged, unjudged: shown, locals: fitting, tips: meta.tips }
    const opened = openContent(actor, stored)
    const { content, refused, tips } = opened
    if (opened.isDisplaced && held !== undefined) {
      // Whoever wrote under that actor as well: nobody takes it, and nothing is to be closed.
      this.#ledger.set({ ...meta, clonedAt: undefined })
      Automerge.free(content.doc)
      return this.#open(document)
    }
    // While content is held back, the log is ahead of what the own changes go on from.
    const tip =
      held === undefined ? tips.get(actor) : latestChange(content.doc, actor, locals[0]?.seq ?? Number.MAX_SAFE_INTEGER)
    const savedCount = judged[0]?.kind === 'saved' ? judged[0].count : 0
    const core = new DocumentCore({ document, actor, content, locals, tip, savedCount })
    this.#cores.set(document, core)
    if (shown.length > 0) {
      const upTo = meta.nextFile - (unjudged.length - shown.length)
      this.#options.onStopped(document, this.#ledger.judged({ ...meta, tips, judged: upTo }, refused))
      this.#ledger.owe(document, {})
    }
    if (opened.isDisplaced && this.#displace(core, content) === undefined) {
      this.#cores.delete(document)
      throw new SealogError('ERR_STORE_CORRUPT', 'own changes do not go on from what the log has')
    }
    // The document is there, whatever becomes of the bookkeeping: that is made up for before the next write.
    await this.#parking.release(core, true).catch(error => this.#options.onFlush(storeFailure(error)))
    return core
  }

  /** A document that nobody knows yet. */
  create(document: DocumentId): DocumentCore {
    const meta = this.#withIncarnation(document)
    const actor = this.#actorOf(document, meta.incarnation as Uint8Array)
    const content = new GuardedContent(actor)
    const core = new DocumentCore({ document, actor, content, locals: [], tip: undefined, savedCount: 0 })
    this.#cores.set(document, core)
    return core
  }

  /**
   * A document that begins with an import: in the store when this resolves. What it holds is judged already.
   * @throws SealogError ERR_STORE…
   */
  import(document: DocumentId, { payload, saved, summary, commitment }: BuiltImport): Promise<DocumentCore> {
    return this.exclusive(async () => {
      const row = savedRow(summary.count, saved)
      const incarnation = this.#options.random(8)
      const meta = { ...this.meta(document), incarnation, importing: commitment, nextFile: 1, judged: 1 }
      const puts = [
        this.#rows.metaRow(meta),
        this.#rows.fileRow(document, 0, row),
        [documentKey(this.#options.space, 'import', document), payload] as const,
      ]
      await this.#options.store.commit({ puts, deletes: [], durability: 'strict' })
      this.#ledger.set(meta)
      return this.#open(document)
    })
  }

  /** The payload of an own import that is not proven yet. @throws SealogError ERR_STORE… */
  importPayload(document: DocumentId): Promise<Uint8Array | undefined> {
    return this.#options.store.get(documentKey(this.#options.space, 'import', document))
  }

  #withIncarnation(document: DocumentId): DocumentMeta {
    const meta = this.meta(document)
    if (meta.incarnation !== undefined) return meta
    const started = { ...meta, incarnation: this.#options.random(8) }
    this.#ledger.set(started)
    this.#unstored.add(document)
    return started
  }

  // -- Local changes ----------------------------------------------------------------------------------------------

  /** One local change; durable after the next `flush`, which follows by itself. */
  change(core: DocumentCore, fn: (doc: Record<string, unknown>) => void, time: number, message?: string): LocalEdit {
    const edit = core.change(fn, time, message)
    if (edit.change !== undefined) this.#flushSoon(core.document)
    return edit
  }

  /** Once for all changes of one turn. */
  #flushSoon(document: DocumentId): void {
    this.#dirty.add(document)
    if (this.#flushQueued) return
    this.#flushQueued = true
    queueMicrotask(() => {
      this.#flushQueued = false
      void this.flush().catch(() => {})
    })
  }

  /** Resolves when every own change made before the call is in the store. @throws SealogError ERR_STORE… */
  flush(): Promise<void> {
    // Always in turn: what a flush under way fails to store is left to this one, which then tells.
    return this.exclusive(() => this.#flushOnce())
  }

  /** Is anything not in the store that should be? */
  get isDirty(): boolean {
    return this.#dirty.size > 0
  }

  async #flushOnce(): Promise<void> {
    const puts: StoreRow[] = []
    const written: { core: DocumentCore; seq: number }[] = []
    const documents = [...this.#dirty]
    // An own change may build on what was released, and must not be in the store without it.
    await this.#payFor(documents)
    this.#dirty.clear()
    for (const document of documents) {
      const core = this.#cores.get(document)
      if (core === undefined) continue
      const unsaved = core.unsaved()
      if (this.#unstored.has(document)) puts.push(this.#rows.metaRow(this.meta(document)))
      for (const change of unsaved) puts.push(this.#rows.localRow(document, change))
      written.push({ core, seq: unsaved.at(-1)?.seq ?? 0 })
    }
    if (puts.length === 0) return
    try {
      await this.#options.store.commit({ puts, deletes: [], durability: 'strict' })
    } catch (error) {
      for (const document of documents) this.#dirty.add(document)
      throw this.#flushFailed(error)
    }
    for (const { core, seq } of written) {
      this.#unstored.delete(core.document)
      core.markSaved(seq)
    }
    this.#options.onFlush(undefined)
  }

  async #payFor(documents: readonly DocumentId[]): Promise<void> {
    try {
      for (const document of documents) await this.#ledger.pay(document)
    } catch (error) {
      throw this.#flushFailed(error)
    }
  }

  #flushFailed(error: unknown): SealogError {
    const failure = storeFailure(error)
    this.#options.onFlush(failure)
    return failure
  }

  localKeys(document: DocumentId, locals: readonly LocalChange[]): readonly Uint8Array[] {
    return locals.map(change => this.#rows.localKey(document, change.seq))
  }

  /** Rows of entries that are kept aside. */
  parkedRows(document: DocumentId, parked: readonly ParkedBody[]): readonly StoreRow[] {
    return parked.flatMap(({ entry, body }) => this.#rows.parkedRows(document, entry, body))
  }

  // -- What the log brings ----------------------------------------------------------------------------------------

  /**
   * Takes over what a batch brought, after it is durable; inside `exclusive`. Synchronous: nobody sees half of it.
   * `settle` has to follow.
   */
  applied(document: DocumentId, update: DocumentUpdate): void {
    const held = this.meta(document).clonedAt
    // An incarnation may have been chosen while the batch was on its way to the disk.
    const incarnation = update.meta.incarnation ?? this.meta(document).incarnation
    const meta = { ...update.meta, incarnation }
    this.#ledger.set(meta)
    this.#ledger.expect(document, update.parked)
    const core = this.#cores.get(document)
    if (core === undefined) return
    if (update.acknowledged !== undefined) core.markProven(update.acknowledged)
    if (held !== undefined) return
    const isShown = (row: FileRow): boolean => meta.clonedAt === undefined || row.index < meta.clonedAt
    const rows = update.rows.filter(isShown)
    const { actor } = core
    const batch = rows.length === 0 ? undefined : this.#take(core, rows, meta.tips)
    const tips = new Map(batch?.tips ?? meta.tips)
    if (update.acknowledged !== undefined) tips.set(core.actor, update.acknowledged)
    const judged = meta.nextFile - update.files.filter(row => !isShown(row)).length
    const judgedMeta = { ...meta, incarnation: this.meta(document).incarnation, tips, judged }
    const stops = this.#ledger.judged(judgedMeta, batch?.refused ?? [])
    const source = core.actor === actor ? 'remote' : 'reload'
    if (batch !== undefined && batch.taken.length > 0) this.#options.onChanged(document, batch, source)
    if (stops.size > 0) this.#options.onStopped(document, stops)
  }

  /** Takes what the log brings, with an import before own changes where the own actor occurs in it. */
  #take(core: DocumentCore, rows: readonly FileRow[], tips: ReadonlyMap<ActorId, ChangeTip>): Taken {
    const brought = rows.find(({ kind }) => kind === 'import')
    if (brought === undefined || !importedActors(brought.bytes).has(core.actor)) return core.take(rows, tips)
    const proven = core.proven()
    const taken = proven.take(rows, tips)
    const batch = isDisplaced(proven, taken.tips) ? this.#displace(core, proven) : undefined
    if (batch !== undefined) return { ...taken, ...batch }
    Automerge.free(proven.doc)
    return core.take(rows, tips)
  }

  /**
   * The own actor occurs in the import that the document begins with: own changes go on under another, see
   * displacement.ts. In memory now, and owed to the store: until it has them, nothing of them is sent, and a crash
   * leaves what was there before, which ends the same when it is opened.
   * @param proven what the log has; it is used up
   * @returns undefined where own changes do not go on from there: nothing has changed then
   */
  #displace(core: DocumentCore, proven: GuardedContent): PatchBatch | undefined {
    const { document } = core
    const meta = this.meta(document)
    const moved = displace({
      proven,
      incarnation: meta.incarnation as Uint8Array,
      actorOf: incarnation => this.#actorOf(document, incarnation),
      locals: core.locals,
    })
    if (moved === undefined) return undefined
    const { content, actor, incarnation, locals } = moved
    const puts = locals.map(change => this.#rows.localRow(document, change))
    const kept = new Set(puts.map(([key]) => toHex(key)))
    const deletes = this.localKeys(document, core.locals).filter(key => !kept.has(toHex(key)))
    this.#ledger.set({ ...meta, incarnation })
    this.#ledger.owe(document, { puts, deletes })
    const batch = core.replace(content, actor, locals, 0)
    this.#flushSoon(document)
    return batch
  }

  /**
   * Stores what was judged in memory, and lets parked actors go on where what they waited for has come; inside
   * `exclusive`, before and after a batch is absorbed.
   * @throws SealogError ERR_STORE…; then it is made up for the next time
   */
  async settle(): Promise<void> {
    await this.#ledger.payAll()
    for (const core of this.#cores.values()) await this.#parking.release(core)
  }

  /** Bodies that the relay has yet to serve: as long as they are missing, their authors are parked. */
  missingBodies(): readonly MissingBody[] {
    return this.#ledger.missing()
  }

  /**
   * Bodies that were missing have come; those that are not expected are passed over. Their authors go on.
   * @throws SealogError ERR_BODY for bytes that a header does not commit to; ERR_STORE…
   */
  bodiesArrived(
    document: DocumentId,
    bodies: readonly { readonly index: number; readonly body: Uint8Array }[],
  ): Promise<void> {
    return this.exclusive(async () => {
      await this.#ledger.pay(document)
      const arrived = bodies.flatMap(({ index, body }) => {
        const entry = this.#ledger.expected(document, index)
        if (entry?.header === undefined) return []
        const { bodyHash, bodyLength } = decodeHeader(entry.header)
        if (body.length !== bodyLength || !equalBytes(sha256(body), bodyHash)) {
          throw new SealogError('ERR_BODY', `not the body of entry ${index}`, { details: { index } })
        }
        return [{ entry: { ...entry, content: 'sealed' as const }, body }]
      })
      if (arrived.length === 0) return
      const puts = arrived.flatMap(({ entry, body }) => this.#rows.parkedRows(document, entry, body))
      await this.#options.store.commit({ puts, deletes: [] })
      for (const { entry } of arrived) this.#ledger.forget(document, entry.index)
      const core = await this.#open(document)
      await this.#parking.release(core)
      // They may have waited for an import.
      if (core.pending().length > 0) this.#options.onFlush(undefined)
    })
  }

  /** Secrets of epochs came that were not here: what waits for them may open now. @throws SealogError ERR_STORE… */
  async keysArrived(): Promise<void> {
    for (const { document, stopped } of [...this.metas()]) {
      if (![...stopped.values()].some(({ code }) => code === 'ERR_KEY')) continue
      await this.exclusive(async () => this.#parking.release(await this.#open(document), true))
    }
  }

  /**
   * A snapshot that was verified against the tags has what parked actors wrote.
   * @returns the actors that moved on
   * @throws SealogError ERR_CONTENT where it has changes of anybody else that are not here; ERR_STORE…
   */
  supply(document: DocumentId, snapshot: SnapshotPayload): Promise<readonly ActorId[]> {
    return this.exclusive(async () => this.#parking.supply(await this.#open(document), snapshot))
  }

  /**
   * The chain of the own actor is closed: own changes that it does not hold go on under a fresh incarnation, on top
   * of everything that was held back (DESIGN §3). Durable first: until then the old incarnation is the one.
   * @throws SealogError ERR_STORE…, ERR_CONTENT, ERR_GUARD; nothing has changed then
   */
  carryOver(document: DocumentId): Promise<void> {
    return this.exclusive(() => this.#carryOver(document))
  }

  async #carryOver(document: DocumentId): Promise<void> {
    const core = await this.#open(document)
    await this.#ledger.pay(document)
    const before = this.meta(document)
    const { judged, unjudged } = await this.#rows.files(before)
    const incarnation = this.#options.random(8)
    const actor = this.#actorOf(document, incarnation)
    const opened = openContent(actor, { judged, unjudged, locals: [], tips: before.tips })
    const { content, refused, tips } = opened
    const stored = carried(core, content.doc, actor)
    addLocals(content, actor, stored)
    const meta = { ...before, incarnation, clonedAt: undefined, tips, judged: before.nextFile }
    const stops = stopsOf(refused)
    const next = { ...meta, stopped: new Map([...meta.stopped, ...stops]) }
    const refusals = await this.#ledger.refusals(document, refused)
    const puts = [
      ...refusals.puts,
      this.#rows.metaRow(next),
      ...stored.map(change => this.#rows.localRow(document, change)),
    ]
    const kept = new Set(puts.map(([key]) => toHex(key)))
    const obsolete = this.localKeys(document, core.locals).filter(key => !kept.has(toHex(key)))
    const deletes = [...refusals.deletes, ...obsolete]
    await this.#options.store.commit({ puts, deletes, durability: 'strict' })
    // What was written meanwhile comes along, behind what is stored.
    const locals = carried(core, content.doc, actor)
    addLocals(content, actor, locals.slice(stored.length))
    this.#ledger.set(next)
    this.#unstored.delete(document)
    this.#dirty.delete(document)
    const batch = core.replace(content, actor, locals, stored.length)
    if (locals.length > stored.length) this.#flushSoon(document)
    this.#options.onChanged(document, batch, 'reload')
    this.#options.onStopped(document, stops)
    await this.#parking.release(core)
  }

  // -- What comes by fast-forward ---------------------------------------------------------------------------------

  /** The rows by which a document that came as a whole takes the place of what was here; inside `exclusive`. */
  async adopting(adoption: Adoption): Promise<AdoptionPlan> {
    const { document } = adoption
    // What is here makes up for bodies that did not come.
    const isLacking = adoption.entries.some(({ body, header }) => body === undefined && header.kind === 'changes')
    if (isLacking && this.meta(document).nextFile > 0) await this.#open(document)
    await this.#ledger.pay(document)
    const before = this.meta(document)
    const core = this.#cores.get(document)
    const own = this.ownActor(document)
    const plan = planAdoption(adoption, {
      meta: before,
      own,
      tip: own && (await this.#provenTip(document, own)),
      locals: core?.locals ?? [],
      doc: core?.doc,
    })
    const parked = await this.#rows.parked(document)
    const puts = [
      ...plan.rows.map((row, i) => this.#rows.fileRow(document, before.nextFile + i, row)),
      ...this.parkedRows(document, plan.parked),
      this.#rows.metaRow(plan.meta),
    ]
    const written = new Set(puts.map(([key]) => toHex(key)))
    const obsolete = [
      ...(await this.#rows.fileKeys(document)),
      ...parked.flatMap(({ index }) => this.#rows.parkedKeys(document, index)),
      ...this.localKeys(document, plan.proven),
      documentKey(this.#options.space, 'import', document),
    ]
    return { ...plan, puts, deletes: plan.isHeldBack ? [] : obsolete.filter(key => !written.has(toHex(key))) }
  }

  /** The latest own change that came back, also where a crash left it unjudged; not what a clone wrote. */
  async #provenTip(document: DocumentId, own: ActorId): Promise<ChangeTip | undefined> {
    const meta = this.meta(document)
    const { unjudged } = await this.#rows.files(meta)
    const isOwn = (row: FileRow): boolean =>
      row.actor === own && row.index < (meta.clonedAt ?? Number.POSITIVE_INFINITY)
    return unjudged.findLast(row => isOwn(row) && row.tip !== undefined)?.tip ?? meta.tips.get(own)
  }

  /** The same is in the store now: shows it, where somebody has the document open; inside `exclusive`. */
  async adopted(adoption: Adoption, plan: AdoptionPlan): Promise<void> {
    const { document, snapshot } = adoption
    // An incarnation may have been chosen while the rows were on their way to the disk.
    const incarnation = plan.meta.incarnation ?? this.meta(document).incarnation
    this.#ledger.set({ ...plan.meta, incarnation })
    if (plan.isHeldBack) return adoption.discard()
    for (const { index } of this.#ledger.missing().filter(item => item.document === document)) {
      this.#ledger.forget(document, index)
    }
    this.#ledger.expect(
      document,
      plan.parked.map(({ entry }) => entry),
    )
    this.#options.onStopped(document, plan.meta.stopped)
    if (plan.isClosed) return adoption.discard()
    // Whoever waited for it opens it next: it stays in memory until `tidy`.
    const core = this.#cores.get(document) ?? (this.#cores.size < MOST_IDLE ? this.create(document) : undefined)
    if (core === undefined) return adoption.discard()
    const content = new GuardedContent(core.actor, snapshot && editedBy(snapshot.doc, core.actor))
    const [first, ...rest] = plan.rows
    const unjudged = snapshot === undefined && first !== undefined ? plan.rows : rest
    const taken = content.take(unjudged, plan.meta.tips)
    const displaced = isDisplaced(content, taken.tips)
    const tip = taken.tips.get(core.actor)
    const unproven = core.locals.filter(change => change.seq > (tip?.seq ?? 0))
    if (!displaced && content.trust(unproven.map(change => localRow(core.actor, change))) === undefined) {
      throw new SealogError('ERR_STORE_CORRUPT', 'own changes do not go on from what the log has')
    }
    const batch = core.reload(content, tip, snapshot?.count ?? 0)
    if (displaced && this.#displace(core, content) === undefined) {
      throw new SealogError('ERR_STORE_CORRUPT', 'own changes do not go on from what the log has')
    }
    const judged = { ...this.meta(document), tips: taken.tips, judged: plan.meta.nextFile }
    const stops = this.#ledger.judged(judged, taken.refused)
    this.#options.onChanged(document, { ...batch, doc: core.doc }, 'reload')
    if (stops.size > 0) this.#options.onStopped(document, stops)
    await this.#parking.release(core)
  }

  // -- Compaction, and giving up memory ---------------------------------------------------------------------------

  async #compactIfDue(core: DocumentCore, { least, share }: { least: number; share: number }): Promise<void> {
    const { document } = core
    if (this.meta(document).clonedAt !== undefined || !core.isCompactionDue(least, share)) return
    await this.#ledger.pay(document)
    const compacted =
      core.locals.length === 0
        ? compact(core.doc)
        : compactRows(core.actor, (await this.#rows.files(this.meta(document))).judged)
    if (compacted === undefined) return core.markUnsaveable()
    const { count, bytes } = compacted
    const row = savedRow(count, bytes)
    const deletes = await this.#rows.fileKeys(document)
    const meta = this.meta(document)
    const next = { ...meta, nextFile: meta.nextFile + 1, judged: meta.nextFile + 1 }
    const puts = [this.#rows.fileRow(document, meta.nextFile, row), this.#rows.metaRow(next)]
    await this.#options.store.commit({ puts, deletes })
    this.#ledger.set(next)
    core.markCompacted(count)
  }

  /**
   * Saves what has grown in its compact form, opens what waits for its retirement, and gives up the memory of
   * documents that nobody has open and that have nothing to send.
   */
  tidy(): Promise<void> {
    return this.exclusive(async () => {
      for (const { document, clonedAt } of this.metas()) if (clonedAt !== undefined) await this.#open(document)
      for (const core of [...this.#cores.values()]) {
        if (!this.#giveUp(core)) await this.#compactIfDue(core, COMPACT_WHILE_OPEN)
      }
    })
  }

  /** Gives up the memory of a document, unless somebody has it open or it has something to send. */
  release(document: DocumentId): Promise<void> {
    return this.exclusive(async () => {
      const core = this.#cores.get(document)
      if (core !== undefined) this.#giveUp(core)
    })
  }

  #giveUp(core: DocumentCore): boolean {
    const { document } = core
    const { clonedAt, importing } = this.meta(document)
    const isUnsent = core.locals.length > 0 || importing !== undefined
    const isNeeded = isUnsent || this.#dirty.has(document) || clonedAt !== undefined
    if (isNeeded || this.#options.isUsed(document)) return false
    this.#cores.delete(document)
    core.free()
    return true
  }

  /** Brings own changes into the store, tidies up what is open, and gives up its memory. @throws SealogError ERR_STORE… */
  async close(): Promise<void> {
    try {
      await this.flush()
      // Everything is safe by now: a saved form that cannot be written is no reason to fail.
      await this.exclusive(async () => {
        for (const core of this.#cores.values()) await this.#compactIfDue(core, COMPACT_WHEN_IDLE)
        await this.#ledger.catchUp()
      }).catch(() => {})
    } finally {
      await this.#last
      for (const core of this.#cores.values()) core.free()
      this.#cores.clear()
    }
  }
}

/** Own changes that `doc` does not hold, as changes of another actor. */
function carried(core: DocumentCore, doc: AnyDoc, to: ActorId): readonly LocalChange[] {
  const unsent = core.locals.filter(change => !hasChange(doc, change.hash))
  return carryOver({ changes: unsent.map(change => change.bytes), from: core.actor, to })
}

/** @throws SealogError ERR_CONTENT */
function addLocals(content: GuardedContent, actor: ActorId, locals: readonly LocalChange[]): void {
  if (content.trust(locals.map(change => localRow(actor, change))) !== undefined) return
  throw new SealogError('ERR_CONTENT', 'own changes could not be carried over to a fresh incarnation')
}

function storeFailure(error: unknown): SealogError {
  return asSealogError(error, 'ERR_STORE', 'the local store failed')
}

/** The same document with this actor as its writer: it may have been loaded before that was known. */
function editedBy(doc: AnyDoc, actor: ActorId): AnyDoc {
  if (Automerge.getActorId(doc) === actor) return doc
  const own = Automerge.clone(doc, { actor })
  Automerge.free(doc)
  return own
}
