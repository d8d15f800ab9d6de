import * as Automerge from '@automerge/automerge/slim'
import { toHex } from '../bytes.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import type { ChangeTip } from './chain-place.ts'
import type { PatchBatch } from './content.ts'
import { displace, isDisplaced } from './displacement.ts'
import type { DocumentCore } from './document-core.ts'
import type { DocumentLedger } from './document-ledger.ts'
import type { DocumentMeta, Stopped } from './document-meta.ts'
import type { DocumentRows } from './document-rows.ts'
import type { FileRow } from './file-row.ts'
import type { GuardedContent, Taken } from './guarded-content.ts'
import { importedActors } from './import-payload.ts'
import type { LocalFlush } from './local-flush.ts'
import type { OpenCores } from './open-cores.ts'
import type { ParkedEntry } from './parked-rows.ts'

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

export interface ContentIntakeOptions {
  readonly cores: OpenCores
  readonly ledger: DocumentLedger
  readonly rows: DocumentRows
  readonly flush: Pick<LocalFlush, 'soon'>
  readonly onChanged: (document: DocumentId, batch: PatchBatch, source: 'remote' | 'reload') => void
  readonly onStopped: (document: DocumentId, stopped: ReadonlyMap<ActorId, Stopped>) => void
}

/** How content that the log brings gets into documents that are open. */
export class ContentIntake {
  readonly #options: ContentIntakeOptions

  constructor(options: ContentIntakeOptions) {
    this.#options = options
  }

  /** Takes over what a batch brought, after it is durable. Synchronous: nobody sees half of it. */
  applied(document: DocumentId, update: DocumentUpdate): void {
    const { cores, ledger, onChanged, onStopped } = this.#options
    const held = ledger.meta(document).clonedAt
    // An incarnation may have been chosen while the batch was on its way to the disk.
    const incarnation = update.meta.incarnation ?? ledger.meta(document).incarnation
    const meta = { ...update.meta, incarnation }
    ledger.set(meta)
    ledger.expect(document, update.parked)
    const core = cores.get(document)
    if (core === undefined) return
    if (update.acknowledged !== undefined) core.markProven(update.acknowledged)
    if (held !== undefined) return
    const isShown = (row: FileRow): boolean => meta.clonedAt === undefined || row.index < meta.clonedAt
    const rows = update.rows.filter(isShown)
    const { actor } = core
    const batch = rows.length === 0 ? undefined : this.take(core, rows, meta.tips)
    const tips = new Map(batch?.tips ?? meta.tips)
    if (update.acknowledged !== undefined) tips.set(core.actor, update.acknowledged)
    const judged = meta.nextFile - update.files.filter(row => !isShown(row)).length
    const judgedMeta = { ...meta, incarnation: ledger.meta(document).incarnation, tips, judged }
    const stops = ledger.judged(judgedMeta, batch?.refused ?? [])
    const source = core.actor === actor ? 'remote' : 'reload'
    if (batch !== undefined && batch.taken.length > 0) onChanged(document, batch, source)
    if (stops.size > 0) onStopped(document, stops)
  }

  /** Takes what the log brings, with an import before own changes where the own actor occurs in it. */
  take(core: DocumentCore, rows: readonly FileRow[], tips: ReadonlyMap<ActorId, ChangeTip>): Taken {
    const brought = rows.find(({ kind }) => kind === 'import')
    if (brought === undefined || !importedActors(brought.bytes).has(core.actor)) return core.take(rows, tips)
    const proven = core.proven()
    const taken = proven.take(rows, tips)
    const batch = isDisplaced(proven, taken.tips) ? this.displace(core, proven) : undefined
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
  displace(core: DocumentCore, proven: GuardedContent): PatchBatch | undefined {
    const { cores, ledger, rows, flush } = this.#options
    const { document } = core
    const meta = ledger.meta(document)
    const moved = displace({
      proven,
      incarnation: meta.incarnation as Uint8Array,
      actorOf: incarnation => cores.actorOf(document, incarnation),
      locals: core.locals,
    })
    if (moved === undefined) return undefined
    const { content, actor, incarnation, locals } = moved
    const puts = locals.map(change => rows.localRow(document, change))
    const kept = new Set(puts.map(([key]) => toHex(key)))
    const deletes = rows.localKeys(document, core.locals).filter(key => !kept.has(toHex(key)))
    ledger.set({ ...meta, incarnation })
    ledger.owe(document, { puts, deletes })
    const batch = core.replace(content, actor, locals, 0)
    flush.soon(document)
    return batch
  }
}
