import { toHex } from '../bytes.ts'
import type { Random } from '../environment.ts'
import { asSealogError, SealogError } from '../errors.ts'
import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import { carryOver } from './carry-over.ts'
import { applyRows, compact, localRow, openContent, type PatchBatch, type RefusedRow } from './content.ts'
import { DocumentCore, type LocalEdit } from './document-core.ts'
import {
  type ChangeTip,
  type DocumentMeta,
  decodeFileRow,
  decodeLocalRow,
  decodeMeta,
  documentKey,
  emptyMeta,
  encodeFileRow,
  encodeLocalRow,
  encodeMeta,
  type FileRow,
  type LocalChange,
  lastPart,
  ordinal,
  rowPrefix,
  type Stopped,
} from './rows.ts'
import { ownActor } from './seal.ts'
import type { ReplicaStore } from './store.ts'

/** Changes beyond the saved form that make saving it anew worth the while: at least, and as a share of what is saved. */
const COMPACT_WHILE_OPEN = { least: 2048, share: 0.5 } as const
const COMPACT_WHEN_IDLE = { least: 128, share: 0.05 } as const

export interface DocumentSetOptions {
  readonly space: SpaceId
  readonly store: ReplicaStore
  readonly random: Random
  /** Own Ed25519 key, 32 bytes. */
  readonly devicePublicKey: Uint8Array
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
  readonly #metas = new Map<DocumentId, DocumentMeta>()
  readonly #cores = new Map<DocumentId, DocumentCore>()
  /** Documents with own changes or a new incarnation that the store does not have yet. */
  readonly #dirty = new Set<DocumentId>()
  /** Keys of own changes that are superseded and go with the next flush. */
  readonly #stale = new Map<DocumentId, readonly Uint8Array[]>()
  /** Documents whose incarnation the store does not have yet. */
  readonly #unstored = new Set<DocumentId>()
  #flushQueued = false
  /** Ends when nobody is between reading the store and telling the open documents. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: DocumentSetOptions) {
    this.#options = options
  }

  /** Reads the bookkeeping of all documents, and opens those with own changes to send. */
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
    const files = await this.#files(document)
    const locals = await this.#locals(document)
    const meta = this.#withIncarnation(document)
    const actor = this.#actorOf(document, meta.incarnation as Uint8Array)
    const held = meta.clonedAt
    const shown = held === undefined ? files : files.filter(row => row.kind === 'saved' || row.index < held)
    const { doc, refused } = openContent(actor, shown, locals)
    const saved = files[0]?.kind === 'saved' ? files[0] : undefined
    const core = new DocumentCore({
      document,
      actor,
      doc,
      locals,
      tip: meta.tips.get(actor),
      savedCount: saved?.count ?? 0,
      savedOwnSeq: saved?.ownSeq ?? 0,
    })
    this.#cores.set(document, core)
    if (refused.length > 0) await this.refuse(document, refused)
    return core
  }

  /** A document that nobody knows yet. */
  create(document: DocumentId): DocumentCore {
    const meta = this.#withIncarnation(document)
    const actor = this.#actorOf(document, meta.incarnation as Uint8Array)
    const { doc } = openContent(actor, [], [])
    const core = new DocumentCore({
      document,
      actor,
      doc,
      locals: [],
      tip: undefined,
      savedCount: 0,
      savedOwnSeq: 0,
    })
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

  async #files(document: DocumentId): Promise<readonly FileRow[]> {
    const rows = await this.#options.store.scan(documentKey(this.#options.space, 'file', document, ''))
    return rows.map(([, value]) => decodeFileRow(value))
  }

  async #locals(document: DocumentId): Promise<readonly LocalChange[]> {
    const rows = await this.#options.store.scan(documentKey(this.#options.space, 'local', document, ''))
    return rows.map(([key, value]) => decodeLocalRow(key, value))
  }

  // -- Local changes ----------------------------------------------------------------------------------------------

  /** One local change; durable after the next `flush`, which follows by itself. */
  change(core: DocumentCore, fn: (doc: Record<string, unknown>) => void, time: number, message?: string): LocalEdit {
    const edit = core.change(fn, time, message)
    if (edit.change !== undefined) {
      this.#dirty.add(core.document)
      this.#flushSoon()
    }
    return edit
  }

  /** Once for all changes of one turn. */
  #flushSoon(): void {
    if (this.#flushQueued) return
    this.#flushQueued = true
    queueMicrotask(() => {
      this.#flushQueued = false
      void this.flush().catch(() => {})
    })
  }

  /** Resolves when every own change made before the call is in the store. @throws SealogError ERR_STORE… */
  async flush(): Promise<void> {
    if (this.#dirty.size > 0) await this.exclusive(() => this.#flushOnce())
    else await this.#last
  }

  async #flushOnce(): Promise<void> {
    const puts: [Uint8Array, Uint8Array][] = []
    const deletes: Uint8Array[] = []
    const written: { core: DocumentCore; seq: number; stale: readonly Uint8Array[] | undefined }[] = []
    const documents = [...this.#dirty]
    this.#dirty.clear()
    for (const document of documents) {
      const core = this.#cores.get(document)
      if (core === undefined) continue
      const unsaved = core.unsaved()
      const keys = unsaved.map(change => this.#localKey(document, change.seq))
      const fresh = new Set(keys.map(toHex))
      const stale = this.#stale.get(document)
      deletes.push(...(stale ?? []).filter(key => !fresh.has(toHex(key))))
      if (this.#unstored.has(document)) {
        puts.push([documentKey(this.#options.space, 'meta', document), encodeMeta(this.meta(document))])
      }
      for (const [i, change] of unsaved.entries()) puts.push([keys[i] as Uint8Array, encodeLocalRow(change)])
      written.push({ core, seq: unsaved.at(-1)?.seq ?? 0, stale })
    }
    if (puts.length === 0) return
    try {
      await this.#options.store.commit({ puts, deletes, durability: 'strict' })
    } catch (error) {
      for (const document of documents) this.#dirty.add(document)
      const failure = asSealogError(error, 'ERR_STORE', 'the local store failed')
      this.#options.onFlush(failure)
      throw failure
    }
    for (const { core, seq, stale } of written) {
      this.#unstored.delete(core.document)
      core.markSaved(seq)
      if (this.#stale.get(core.document) === stale) this.#stale.delete(core.document)
    }
    this.#options.onFlush(undefined)
  }

  #localKey(document: DocumentId, seq: number): Uint8Array {
    return documentKey(this.#options.space, 'local', document, ordinal(seq))
  }

  localKeys(document: DocumentId, locals: readonly LocalChange[]): readonly Uint8Array[] {
    return locals.map(change => this.#localKey(document, change.seq))
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

  #stops(refused: readonly RefusedRow[]): Map<ActorId, Stopped> {
    const stops = new Map<ActorId, Stopped>()
    for (const { row, reason } of refused) {
      if (row.actor === undefined || stops.has(row.actor)) continue
      stops.set(row.actor, { reason, index: row.index, code: 'ERR_CONTENT' })
    }
    return stops
  }

  /** Keeps that these rows did not apply, and drops them, so that the next opening is quick; inside `exclusive`. */
  async refuse(document: DocumentId, refused: readonly RefusedRow[]): Promise<void> {
    const { store, space } = this.#options
    const meta = this.meta(document)
    const stops = this.#stops(refused)
    const next = { ...meta, stopped: new Map([...stops, ...meta.stopped]) }
    this.#metas.set(document, next)
    const indices = new Set(refused.map(({ row }) => row.index))
    const prefix = documentKey(space, 'file', document, '')
    const deletes = (await store.scan(prefix))
      .filter(([, value]) => {
        const row = decodeFileRow(value)
        return row.kind === 'entry' && indices.has(row.index)
      })
      .map(([key]) => key)
    await store.commit({ puts: [[documentKey(space, 'meta', document), encodeMeta(next)]], deletes })
    this.#options.onStopped(document, stops)
  }

  /**
   * The chain of the own actor is closed: own changes that it does not hold go on under a fresh incarnation, on top
   * of everything that was held back (DESIGN §3).
   */
  carryOver(document: DocumentId): Promise<void> {
    return this.exclusive(() => this.#carryOver(document))
  }

  async #carryOver(document: DocumentId): Promise<void> {
    const core = await this.#open(document)
    const files = await this.#files(document)
    const old = core.actor
    const stale = this.localKeys(document, core.locals)
    const incarnation = this.#options.random(8)
    const actor = this.#actorOf(document, incarnation)
    const opened = openContent(actor, files, [])
    const carried = carryOver({ changes: core.locals.map(change => change.bytes), from: old, to: actor })
    const locals = carried.map((change, i): LocalChange => ({ seq: i + 1, hash: change.hash, bytes: change.bytes }))
    const rows = locals.map(change => localRow(actor, change))
    const applied = rows.length === 0 ? undefined : applyRows(opened.doc, rows)
    if (rows.length > 0 && applied === undefined) {
      throw new SealogError('ERR_CONTENT', 'own changes could not be carried over to a fresh incarnation')
    }
    this.#metas.set(document, { ...this.meta(document), incarnation, clonedAt: undefined })
    this.#stale.set(document, [...(this.#stale.get(document) ?? []), ...stale])
    const batch = core.replace(applied?.doc ?? opened.doc, actor, locals)
    this.#unstored.add(document)
    this.#dirty.add(document)
    this.#options.onChanged(document, batch, 'reload')
    await this.#flushOnce()
  }

  // -- Compaction -------------------------------------------------------------------------------------------------

  /** Replaces the rows of a document by its saved form where they have grown enough; otherwise does nothing. */
  compactIfDue(document: DocumentId, idle: boolean): Promise<void> {
    return this.exclusive(() => this.#compactIfDue(document, idle))
  }

  async #compactIfDue(document: DocumentId, idle: boolean): Promise<void> {
    const core = this.#cores.get(document)
    if (core === undefined || this.meta(document).clonedAt !== undefined) return
    const { least, share } = idle ? COMPACT_WHEN_IDLE : COMPACT_WHILE_OPEN
    if (core.tail <= Math.max(least, share * core.savedCount)) return
    await this.#flushOnce()
    if (core.unsaved().length > 0) return
    const compacted = compact(core.doc)
    if (compacted === undefined) return
    const meta = this.meta(document)
    const ownSeq = core.lastOwnSeq
    const row: FileRow = {
      kind: 'saved',
      count: compacted.count,
      index: 0,
      actor: undefined,
      tip: undefined,
      ownSeq,
      bytes: compacted.bytes,
    }
    const next = { ...meta, nextFile: meta.nextFile + 1 }
    this.#metas.set(document, next)
    const { store, space } = this.#options
    const deletes = (await store.scan(documentKey(space, 'file', document, ''))).map(([key]) => key)
    const puts: [Uint8Array, Uint8Array][] = [
      [documentKey(space, 'file', document, ordinal(meta.nextFile)), encodeFileRow(row)],
      [documentKey(space, 'meta', document), encodeMeta(next)],
    ]
    await store.commit({ puts, deletes })
    core.markCompacted(compacted.count)
  }

  /** Gives up the memory of a document that nobody has open and that has nothing to send. */
  release(document: DocumentId, isUnused: () => boolean): Promise<void> {
    return this.exclusive(async () => {
      const core = this.#cores.get(document)
      if (core === undefined || !isUnused() || core.locals.length > 0 || this.#dirty.has(document)) return
      this.#cores.delete(document)
      core.free()
    })
  }

  /** Brings own changes into the store, tidies up what is open, and gives up its memory. @throws SealogError ERR_STORE… */
  async close(): Promise<void> {
    try {
      await this.flush()
      for (const document of [...this.#cores.keys()]) await this.compactIfDue(document, true)
    } finally {
      for (const core of this.#cores.values()) core.free()
      this.#cores.clear()
    }
  }
}
