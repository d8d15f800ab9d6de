import { toHex } from '../bytes.ts'
import type { Random } from '../environment.ts'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import { carryOver } from './carry-over.ts'
import { type AnyDoc, hasChange, localRow, type PatchBatch } from './content.ts'
import type { DocumentCore } from './document-core.ts'
import type { DocumentLedger } from './document-ledger.ts'
import type { Stopped } from './document-meta.ts'
import type { DocumentOpening } from './document-opening.ts'
import { type DocumentRows, stopsOf } from './document-rows.ts'
import type { GuardedContent } from './guarded-content.ts'
import type { LocalFlush } from './local-flush.ts'
import type { LocalChange } from './local-row.ts'
import { openContent } from './open-content.ts'
import type { OpenCores } from './open-cores.ts'
import type { Parking } from './parking.ts'
import type { ReplicaStore } from './store.ts'

export interface OwnContinuationOptions {
  readonly cores: OpenCores
  readonly ledger: DocumentLedger
  readonly rows: DocumentRows
  readonly store: ReplicaStore
  readonly random: Random
  readonly opening: DocumentOpening
  readonly flush: LocalFlush
  readonly parking: Parking
  readonly onChanged: (document: DocumentId, batch: PatchBatch, source: 'remote' | 'reload') => void
  readonly onStopped: (document: DocumentId, stopped: ReadonlyMap<ActorId, Stopped>) => void
}

/**
 * Goes on under a fresh incarnation where the chain of the own actor is closed: with own changes that it does not hold,
 * on top of everything that was held back (DESIGN §3). Durable first: until then the old incarnation is the one.
 * @throws SealogError ERR_STORE…, ERR_CONTENT, ERR_GUARD; nothing has changed then
 */
export async function continueAsAnother(document: DocumentId, options: OwnContinuationOptions): Promise<void> {
  const { cores, ledger, rows, store, random, opening, flush, parking, onChanged, onStopped } = options
  const core = await opening.open(document)
  await ledger.pay(document)
  const before = ledger.meta(document)
  const { judged, unjudged } = await rows.files(before)
  const incarnation = random(8)
  const actor = cores.actorOf(document, incarnation)
  const { content, refused, tips } = openContent(actor, { judged, unjudged, locals: [], tips: before.tips })
  const stored = carried(core, content.doc, actor)
  addLocals(content, actor, stored)
  const meta = { ...before, incarnation, clonedAt: undefined, tips, judged: before.nextFile }
  const stops = stopsOf(refused)
  const next = { ...meta, stopped: new Map([...meta.stopped, ...stops]) }
  const refusals = await ledger.refusals(document, refused)
  const puts = [...refusals.puts, rows.metaRow(next), ...stored.map(change => rows.localRow(document, change))]
  const kept = new Set(puts.map(([key]) => toHex(key)))
  const obsolete = rows.localKeys(document, core.locals).filter(key => !kept.has(toHex(key)))
  await store.commit({ puts, deletes: [...refusals.deletes, ...obsolete], durability: 'strict' })
  // What was written meanwhile comes along, behind what is stored.
  const locals = carried(core, content.doc, actor)
  addLocals(content, actor, locals.slice(stored.length))
  ledger.set(next)
  cores.stored(document)
  flush.written(document)
  const batch = core.replace(content, actor, locals, stored.length)
  if (locals.length > stored.length) flush.soon(document)
  onChanged(document, batch, 'reload')
  onStopped(document, stops)
  await parking.release(core)
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
