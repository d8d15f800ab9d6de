import { toHex } from '../bytes.ts'
import type { Random } from '../environment.ts'
import { asSealogError, SealogError } from '../errors.ts'
import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import { carryOver } from './carry-over.ts'
import {
  type AnyDoc,
  applyRows,
  compact,
  compactRows,
  emptyDoc,
  hasChange,
  latestChange,
  localRow,
  openContent,
  type PatchBatch,
  type RefusedRow,
} from './content.ts'
import { DocumentCore, type LocalEdit } from './document-core.ts'
import { DocumentRows, stopsOf } from './document-rows.ts'
import {
  type ChangeTip,
  type DocumentMeta,
  decodeMeta,
  emptyMeta,
  type FileRow,
  type LocalChange,
  lastPart,
  rowPrefix,
  type Stopped,
} from './rows.ts'
import { ownActor } from './seal.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

/** Changes beyond the saved form that make saving it anew worth the while: at least, and as a share of what is saved. */
const COMPACT_WHILE_OPEN = { least: 2048, share: 0.5 } as const
const COMPACT_WHEN_IDLE = { least: 128, share: 0.05 } as const

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
  /** Content of these actors did not apply as announced: nothing more of them is applied. */
  readonly onStopped: (document: DocumentId, stopped: ReadonlyMap<ActorId, Stopped>) => void
  /** Own changes went into the store, or failed to. */
  readonly onFlush: (failure: SealogError | undefined) => void
}

/** Rows that one batch of the log brings for one document. */
export interface DocumentUpdate {
  readonly meta: DocumentMeta
  /** Content of others, to be applied. */
  readonly rows: readonly FileRow[]
  /** The latest own change that the batch acknowledges. */
  readonly acknowledged: ChangeTip | undefined
}

/** The documents of one space: which are open, what is stored of them, and own changes on their way to the store. */
export class DocumentSet {
  readonly #options: DocumentSetOptions
  readonly #rows: DocumentRows
  readonly #metas = new Map<DocumentId, DocumentMeta>()
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
  }

  /** Reads the bookkeeping of all documents, and opens those with something to send. */
  async load(): Promise<void> {
    const { store, space } = this.#options
    for (const [, value] of await store.scan(rowPrefix(space, 'meta'))) {
      const meta = decodeMeta(value)
      this.#metas.set(meta.document, meta)
    }
    const pending = new Set<DocumentId>()
    for (const [key] of await store.scan(rowPrefix(space, 'local'))) {
      pending.add(lastPart(key.subarray(0, key.lastIndexOf(0x2f))) as DocumentId)
    }
    for (const meta of this.#metas.values()) if (meta.clonedAt !== undefined) pending.add(meta.document)
    for (const document of pending) await this.open(document)
  }

  /** Runs `task` alone: nothing else moves rows, bookkeeping and open documents meanwhile. Not reentrant. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task)
    this.#last = result.catch(() => {})
    return result
  }

  meta(document: DocumentId): DocumentMeta {
    return this.#metas.get(document) ?? emptyMeta(document)
  }

  metas(): Iterable<DocumentMeta> {
    return this.#metas.values()
  }

  /** Is anything of this document in the log or in the store? */
  isKnown(document: DocumentId): boolean {
    return this.#metas.has(document)
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
    const files = await this.#rows.files(document)
    const locals = await this.#rows.locals(document)
    const meta = this.#withIncarnation(document)
    const actor = this.#actorOf(document, meta.incarnation as Uint8Array)
    const held = meta.clonedAt
    const shown = held === undefined ? files : files.filter(row => row.kind === 'saved' || row.index < held)
    const { doc, refused } = openContent(actor, shown, locals)
    const saved = files[0]?.kind === 'saved' ? files[0] : undefined
    // While content is held back, the log is ahead of what the own changes go on from.
    const tip =
      held === undefined ? meta.tips.get(actor) : latestChange(doc, actor, locals[0]?.seq ?? Number.MAX_SAFE_INTEGER)
    const core = new DocumentCore({ document, actor, doc, locals, tip, savedCount: saved?.count ?? 0 })
    this.#cores.set(document, core)
    if (refused.length > 0) await this.refuse(document, refused)
    return core
  }

  /** A document that nobody knows yet. */
  create(document: DocumentId): DocumentCore {
    const meta = this.#withIncarnation(document)
    const actor = this.#actorOf(document, meta.incarnation as Uint8Array)
    const core = new DocumentCore({ document, actor, doc: emptyDoc(actor), locals: [], tip: undefined, savedCount: 0 })
    this.#cores.set(document, core)
    return core
  }

  #withIncarnation(document: DocumentId): DocumentMeta {
    const meta = this.meta(document)
    if (meta.incarnation !== undefined) return meta
    const started = { ...meta, incarnation: this.#options.random(8) }
    this.#metas.set(document, started)
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
      const failure = asSealogError(error, 'ERR_STORE', 'the local store failed')
      this.#options.onFlush(failure)
      throw failure
    }
    for (const { core, seq } of written) {
      this.#unstored.delete(core.document)
      core.markSaved(seq)
    }
    this.#options.onFlush(undefined)
  }

  localKeys(document: DocumentId, locals: readonly LocalChange[]): readonly Uint8Array[] {
    return locals.map(change => this.#rows.localKey(document, change.seq))
  }

  // -- What the log brings ----------------------------------------------------------------------------------------

  /**
   * Takes over what a batch brought, after it is durable; inside `exclusive`. Synchronous: nobody sees half of it.
   * @returns what did not apply, for `refuse`
   */
  applied(document: DocumentId, update: DocumentUpdate): readonly RefusedRow[] {
    // An incarnation may have been chosen while the batch was on its way to the disk.
    const incarnation = update.meta.incarnation ?? this.meta(document).incarnation
    this.#metas.set(document, { ...update.meta, incarnation })
    const core = this.#cores.get(document)
    if (core === undefined) return []
    if (update.acknowledged !== undefined) core.markProven(update.acknowledged)
    const { clonedAt } = update.meta
    const rows = clonedAt === undefined ? update.rows : update.rows.filter(row => row.index < clonedAt)
    if (rows.length === 0) return []
    const batch = core.apply(rows)
    this.#options.onChanged(document, batch, 'remote')
    return batch.refused
  }

  /** Keeps that these rows did not apply, and drops them, so that the next opening is quick; inside `exclusive`. */
  async refuse(document: DocumentId, refused: readonly RefusedRow[]): Promise<void> {
    const meta = this.meta(document)
    const stops = stopsOf(refused)
    const next = { ...meta, stopped: new Map([...stops, ...meta.stopped]) }
    this.#metas.set(document, next)
    const deletes = await this.#rows.entryKeys(document, new Set(refused.map(({ row }) => row.index)))
    await this.#options.store.commit({ puts: [this.#rows.metaRow(next)], deletes })
    this.#options.onStopped(document, stops)
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
    const files = await this.#rows.files(document)
    const incarnation = this.#options.random(8)
    const actor = this.#actorOf(document, incarnation)
    const { doc, refused } = openContent(actor, files, [])
    const stored = carried(core, doc, actor)
    const started = withLocals(doc, actor, stored)
    const meta = { ...this.meta(document), incarnation, clonedAt: undefined }
    const puts = [this.#rows.metaRow(meta), ...stored.map(change => this.#rows.localRow(document, change))]
    const kept = new Set(puts.map(([key]) => toHex(key)))
    const deletes = this.localKeys(document, core.locals).filter(key => !kept.has(toHex(key)))
    await this.#options.store.commit({ puts, deletes, durability: 'strict' })
    // What was written meanwhile comes along, behind what is stored.
    const locals = carried(core, started, actor)
    const grown = withLocals(started, actor, locals.slice(stored.length))
    this.#metas.set(document, meta)
    this.#unstored.delete(document)
    this.#dirty.delete(document)
    const batch = core.replace(grown, actor, locals, stored.length)
    if (locals.length > stored.length) this.#flushSoon(document)
    this.#options.onChanged(document, batch, 'reload')
    if (refused.length > 0) await this.refuse(document, refused)
  }

  // -- Compaction, and giving up memory ---------------------------------------------------------------------------

  async #compactIfDue(core: DocumentCore, { least, share }: { least: number; share: number }): Promise<void> {
    const { document } = core
    if (this.meta(document).clonedAt !== undefined || !core.isCompactionDue(least, share)) return
    const compacted =
      core.locals.length === 0 ? compact(core.doc) : compactRows(core.actor, await this.#rows.files(document))
    if (compacted === undefined) return core.markUnsaveable()
    const { count, bytes } = compacted
    const row: FileRow = { kind: 'saved', count, index: 0, actor: undefined, tip: undefined, bytes }
    const deletes = await this.#rows.fileKeys(document)
    const meta = this.meta(document)
    const next = { ...meta, nextFile: meta.nextFile + 1 }
    const puts = [this.#rows.fileRow(document, meta.nextFile, row), this.#rows.metaRow(next)]
    await this.#options.store.commit({ puts, deletes })
    this.#metas.set(document, next)
    core.markCompacted(count)
  }

  /**
   * Saves what has grown in its compact form, opens what waits for its retirement, and gives up the memory of
   * documents that nobody has open and that have nothing to send.
   */
  tidy(): Promise<void> {
    return this.exclusive(async () => {
      for (const { document, clonedAt } of this.#metas.values()) if (clonedAt !== undefined) await this.#open(document)
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
    const { clonedAt } = this.meta(document)
    const isNeeded = core.locals.length > 0 || this.#dirty.has(document) || clonedAt !== undefined
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
function withLocals(doc: AnyDoc, actor: ActorId, locals: readonly LocalChange[]): AnyDoc {
  if (locals.length === 0) return doc
  const rows = locals.map(change => localRow(actor, change))
  const applied = applyRows(doc, rows)
  if (applied !== undefined) return applied.doc
  throw new SealogError('ERR_CONTENT', 'own changes could not be carried over to a fresh incarnation')
}
