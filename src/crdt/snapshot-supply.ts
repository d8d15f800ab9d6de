import * as Automerge from '@automerge/automerge/slim'
import { concat } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import type { ChangeTip } from './chain-place.ts'
import { type AnyDoc, isTip, localRow, type PatchBatch } from './content.ts'
import { isDisplaced } from './displacement.ts'
import type { DocumentCore } from './document-core.ts'
import type { DocumentLedger } from './document-ledger.ts'
import type { DocumentMeta, Stopped } from './document-meta.ts'
import type { DocumentRows } from './document-rows.ts'
import type { FileRow } from './file-row.ts'
import type { GuardedContent } from './guarded-content.ts'
import type { LocalChange } from './local-row.ts'
import type { ParkedEntry } from './parked-rows.ts'
import { movedOn, standAt } from './parked-standing.ts'
import { assertOneStory } from './parked-story.ts'
import type { KeysOf } from './receive.ts'
import type { CoveredActor, SnapshotPayload } from './snapshot-payload.ts'

export interface SnapshotSupplyOptions {
  readonly ledger: DocumentLedger
  readonly rows: DocumentRows
  readonly keysOf: KeysOf
  /** Own changes go on under another actor on top of what the log has, see displacement.ts. */
  readonly displace: (core: DocumentCore, proven: GuardedContent) => PatchBatch | undefined
  /** Lets parked actors go on where what they waited for has come. */
  readonly release: (core: DocumentCore) => Promise<void>
  readonly onChanged: (document: DocumentId, batch: PatchBatch, source: 'remote' | 'reload') => void
  readonly onStopped: (document: DocumentId, stopped: ReadonlyMap<ActorId, Stopped>) => void
  readonly onReleased: (document: DocumentId, actor: ActorId) => void
}

/** Takes what parked actors wrote, of which the bodies do not open or did not come, out of snapshots (DESIGN §6.3). */
export class SnapshotSupply {
  readonly #options: SnapshotSupplyOptions

  constructor(options: SnapshotSupplyOptions) {
    this.#options = options
  }

  /**
   * Takes from a snapshot that was verified what the tags of parked actors commit to, and goes on behind it.
   * @returns the actors that moved on
   * @throws SealogError ERR_CONTENT where the snapshot has changes of anybody else that are not here, or contradicts a
   *   parked entry; ERR_KEY where that cannot be told; ERR_STORE…
   */
  async supply(core: DocumentCore, snapshot: SnapshotPayload): Promise<readonly ActorId[]> {
    const { ledger, rows, onChanged, onStopped, onReleased, release } = this.#options
    const { document, actor: writer } = core
    await ledger.pay(document)
    const before = ledger.meta(document)
    const moving = before.clonedAt === undefined ? coveredStops(before, snapshot.covered) : new Map()
    if (moving.size === 0) return []
    const tips = new Map(before.tips)
    for (const [actor, { latestSeq, latestHash }] of moving) {
      if (latestSeq > 0) tips.set(actor, { seq: latestSeq, hash: latestHash })
    }
    // With the import, own changes on their way may be in it, or under an actor that occurs in it.
    const proven = before.importer !== undefined && moving.has(before.importer) ? core.proven() : undefined
    const parked = await rows.parked(document)
    const row = await this.#brought(proven?.doc ?? core.doc, snapshot, before, moving, parked)
    const batch = row && (proven === undefined ? core.trust([row]) : this.#begin(core, proven, row, tips))
    if (row !== undefined && batch === undefined) throw new SealogError('ERR_CONTENT', 'a snapshot that does not apply')
    const deletes: Uint8Array[] = []
    // The own actor may be another by now.
    let meta = ledger.meta(document)
    for (const [actor, { seq }] of moving) {
      const own = parked.filter(entry => entry.actor === actor)
      for (const { index } of own.filter(({ chain }) => chain.seq <= seq)) {
        ledger.forget(document, index)
        deletes.push(...rows.parkedKeys(document, index))
      }
      const stop = standAt(own.find(({ chain }) => chain.seq > seq))
      meta = movedOn(meta, actor, stop, 0)
      if (meta.importer === actor) meta = { ...meta, importer: undefined }
      if (stop === undefined) onReleased(document, actor)
      else onStopped(document, new Map([[actor, stop]]))
    }
    const puts = row === undefined ? [] : [rows.fileRow(document, before.nextFile, row)]
    ledger.set({ ...meta, tips, nextFile: meta.nextFile + puts.length, judged: meta.judged + puts.length })
    ledger.owe(document, { puts, deletes })
    if (batch !== undefined) onChanged(document, batch, core.actor === writer ? 'remote' : 'reload')
    await release(core)
    return [...moving.keys()]
  }

  /**
   * A document that begins with an import, which a snapshot brought: own changes that it does not hold go on top.
   * @returns undefined where they do not go on from there
   */
  #begin(
    core: DocumentCore,
    proven: GuardedContent,
    row: FileRow,
    tips: ReadonlyMap<ActorId, ChangeTip>,
  ): PatchBatch | undefined {
    const { ledger, rows, displace } = this.#options
    const { document, actor, locals } = core
    if (proven.trust([row]) === undefined) return undefined
    if (isDisplaced(proven, tips)) return displace(core, proven)
    const tip = tips.get(actor)
    const isProven = ({ seq }: LocalChange): boolean => tip !== undefined && seq <= tip.seq
    const own = locals.filter(change => !isProven(change)).map(change => localRow(actor, change))
    if (proven.trust(own) === undefined) return undefined
    ledger.owe(document, { deletes: locals.filter(isProven).map(({ seq }) => rows.localKey(document, seq)) })
    return core.reload(proven, tip, 0)
  }

  /** @returns what is not here of the snapshot; undefined where all is. @throws SealogError ERR_CONTENT */
  async #brought(
    doc: AnyDoc,
    { saved, imported }: SnapshotPayload,
    meta: DocumentMeta,
    moving: ReadonlyMap<ActorId, CoveredActor>,
    parked: readonly ParkedEntry[],
  ): Promise<FileRow | undefined> {
    const { rows, keysOf } = this.#options
    const { document, tips } = meta
    const source = Automerge.load<Record<string, unknown>>(saved)
    try {
      const row = suppliedRow(doc, source, imported, meta, moving)
      for (const [actor, covered] of moving) {
        const own = parked.filter(entry => entry.actor === actor && entry.chain.seq <= covered.seq)
        const below = tips.get(actor)?.seq ?? 0
        await assertOneStory(source, covered, own, below, { keysOf, body: index => rows.body(document, index) })
      }
      return row
    } finally {
      Automerge.free(source)
    }
  }
}

/** The parked actors that a snapshot covers further than they are here. */
function coveredStops(meta: DocumentMeta, covered: readonly CoveredActor[]): ReadonlyMap<ActorId, CoveredActor> {
  return new Map(
    covered.flatMap(item => {
      const stop = meta.stopped.get(item.actor)
      return stop?.reason === 'parked' && item.seq > (stop.covered?.seq ?? -1) ? [[item.actor, item]] : []
    }),
  )
}

/**
 * The changes of a snapshot that are not here; undefined where all are.
 * @param source the snapshot, loaded
 * @throws SealogError ERR_CONTENT
 */
function suppliedRow(
  doc: AnyDoc,
  source: AnyDoc,
  imported: SnapshotPayload['imported'],
  { tips, importer }: DocumentMeta,
  moving: ReadonlyMap<ActorId, CoveredActor>,
): FileRow | undefined {
  const backend = Automerge.getBackend(source)
  const here = Automerge.getBackend(doc)
  const added = backend.getChangesMeta([]).filter(({ hash }) => here.getChangeMetaByHash(hash) === null)
  const expected = new Map<string, ChangeTip & { from: number }>()
  for (const [actor, { latestSeq, latestHash }] of moving) {
    const from = tips.get(actor)?.seq ?? 0
    const tip = { seq: latestSeq, hash: latestHash }
    if (latestSeq < from || (latestSeq > 0 && !isTip(source, actor, tip)))
      throw new SealogError('ERR_CONTENT', 'a snapshot that does not hold what it covers')
    expected.set(actor, { ...tip, from })
  }
  const foreign = added.filter(({ actor, seq }) => {
    const range = expected.get(actor)
    return range === undefined || seq <= range.from || seq > range.seq
  })
  const isImport = importer !== undefined && moving.has(importer) && foreign.length === imported?.count
  if (foreign.length > 0 && !isImport) throw new SealogError('ERR_CONTENT', 'a snapshot with changes of others')
  if (added.length === 0) return undefined
  const bytes = concat(...added.map(({ hash }) => backend.getChangeByHash(hash) as Uint8Array))
  return {
    kind: 'supplied',
    count: added.length,
    index: 0,
    actor: undefined,
    chain: undefined,
    tip: undefined,
    bytes,
  }
}
