import * as Automerge from '@automerge/automerge/slim'
import { concat } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import { decodeHeader } from '../verify/entry.ts'
import { type AnyDoc, hasChange, isTip, type PatchBatch } from './content.ts'
import type { DocumentCore } from './document-core.ts'
import type { DocumentLedger } from './document-ledger.ts'
import { type DocumentRows, stopsOf } from './document-rows.ts'
import type { Taken } from './guarded-content.ts'
import type { ParkedEntry } from './parked-rows.ts'
import { type KeysOf, type Opened, openEntry } from './receive.ts'
import { type ChangeTip, type DocumentMeta, decodeFileRow, entryBefore, type FileRow, type Stopped } from './rows.ts'
import type { CoveredActor, SnapshotPayload } from './snapshot-payload.ts'

/** Parked entries that are opened, judged and stored together: at most so many, and about so many bytes. */
const GROUP = 256
const GROUP_BYTES: number = 4 * 1024 * 1024

export interface ParkingOptions {
  readonly ledger: DocumentLedger
  readonly rows: DocumentRows
  readonly keysOf: KeysOf
  readonly onChanged: (document: DocumentId, batch: PatchBatch, source: 'remote') => void
  readonly onStopped: (document: DocumentId, stopped: ReadonlyMap<ActorId, Stopped>) => void
  readonly onReleased: (document: DocumentId, actor: ActorId) => void
}

/**
 * Lets parked actors go on when what they wait for is there (DESIGN §6.3): a body, the changes that theirs build on, or
 * a snapshot that has what their tags commit to.
 *
 * Each actor's entries are tried in the order of its chain, and one actor's changes may be what another waits for: so
 * everything is tried until nothing moves any more. Whatever the order in which things arrive, this ends with the
 * same changes: whether an entry is taken depends on its chain and its causal past alone.
 */
export class Parking {
  readonly #options: ParkingOptions

  constructor(options: ParkingOptions) {
    this.#options = options
  }

  /**
   * @param all also those for whom nothing has changed: a later build, or one with more keys, may open what this one
   *   could not
   * @throws SealogError ERR_STORE…; what was released until then is owed to the store
   */
  async release(core: DocumentCore, all = false): Promise<void> {
    const { ledger } = this.#options
    await ledger.pay(core.document)
    let retry = all
    for (let moved = true; moved; retry = false) {
      moved = false
      for (const [actor, stop] of ledger.meta(core.document).stopped) {
        const { importer, clonedAt } = ledger.meta(core.document)
        // What is held back comes first in the log: it is judged before anything else.
        if (clonedAt !== undefined) return
        if (stop.reason !== 'parked' || (importer !== undefined && importer !== actor)) continue
        if (retry || this.#mayGoOn(core, stop)) moved = (await this.#goOn(core, actor)) || moved
      }
    }
  }

  #mayGoOn({ document, doc }: DocumentCore, { code, index, needs }: Stopped): boolean {
    if (code === 'ERR_BODY') return this.#options.ledger.expected(document, index) === undefined
    return code === 'ERR_DEPENDENCY' && (needs === undefined || hasChange(doc, needs))
  }

  /** @returns whether anything was taken */
  async #goOn(core: DocumentCore, actor: ActorId): Promise<boolean> {
    const { ledger, rows } = this.#options
    const { document } = core
    const entries = (await rows.parked(document)).filter(entry => entry.actor === actor)
    let at = 0
    for (;;) {
      const { group, blocked } = await this.#open(document, entries.slice(at, at + GROUP))
      const taken = group.length === 0 ? undefined : core.take(group, ledger.meta(document).tips)
      const done = entries.slice(at, at + (taken?.taken.length ?? 0))
      at += done.length
      const rest = entries.slice(at)
      const fault = stopsOf(taken?.refused ?? []).get(actor) ?? blocked
      this.#conclude(core, actor, { taken, done, rest, stop: fault ?? standAt(rest[0]) })
      await ledger.pay(document)
      if (fault !== undefined || rest.length === 0) return at > 0 || fault?.reason === 'refused'
    }
  }

  /** @returns content up to the first entry that does not open, and that one */
  async #open(
    document: DocumentId,
    entries: readonly ParkedEntry[],
  ): Promise<{ group: readonly FileRow[]; blocked: Stopped | undefined }> {
    const group: FileRow[] = []
    let bytes = 0
    for (const entry of entries) {
      const opened = await this.#openOne(document, entry)
      if (!('row' in opened)) {
        const { code } = opened
        const covered = entryBefore(entry.chain)
        return { group, blocked: { reason: 'parked', index: entry.index, code, covered, needs: undefined } }
      }
      group.push(opened.row)
      bytes += opened.row.bytes.length
      if (bytes > GROUP_BYTES) break
    }
    return { group, blocked: undefined }
  }

  async #openOne(document: DocumentId, entry: ParkedEntry): Promise<Opened> {
    const { index, actor, header, content } = entry
    if (content === 'missing') return { code: 'ERR_BODY' }
    const body = await this.#options.rows.body(document, index)
    if (body === undefined) throw new SealogError('ERR_STORE_CORRUPT', `the content of entry ${index} is gone`)
    if (header === undefined) return { row: decodeFileRow(body) }
    return openEntry({ index, actor, header: decodeHeader(header), body }, this.#options.keysOf)
  }

  /** Takes over in memory what became of some parked entries, and owes it to the store. */
  #conclude(core: DocumentCore, actor: ActorId, step: Step): void {
    const { ledger, rows, onChanged, onStopped, onReleased } = this.#options
    const { document } = core
    const { taken, done, rest, stop } = step
    const before = ledger.meta(document)
    const files = taken?.taken ?? []
    const ended = stop?.reason === 'refused'
    const puts = files.map((row, i) => rows.fileRow(document, before.nextFile + i, row))
    const deletes = done.flatMap(({ index }) => rows.parkedKeys(document, index))
    if (ended) deletes.push(...ledger.dropped(document, rest, new Set([actor])))
    const imported = before.importer === actor && (ended || done.length > 0)
    ledger.set({
      ...movedOn(before, actor, stop, files.length),
      tips: taken?.tips ?? before.tips,
      importer: imported ? undefined : before.importer,
    })
    ledger.owe(document, { puts, deletes: [...deletes] })
    if (taken !== undefined && files.length > 0) onChanged(document, taken, 'remote')
    if (stop === undefined) onReleased(document, actor)
    else if (!isSameStop(stop, before.stopped.get(actor))) onStopped(document, new Map([[actor, stop]]))
  }

  // -- What a snapshot brings -------------------------------------------------------------------------------------

  /**
   * Takes from a snapshot that was verified what the tags of parked actors commit to, and goes on behind it.
   * @returns the actors that moved on
   * @throws SealogError ERR_CONTENT where the snapshot has changes of anybody else that are not here; ERR_STORE…
   */
  async supply(core: DocumentCore, snapshot: SnapshotPayload): Promise<readonly ActorId[]> {
    const { ledger, rows, onChanged, onStopped, onReleased } = this.#options
    const { document } = core
    await ledger.pay(document)
    const before = ledger.meta(document)
    const moving = before.clonedAt === undefined ? coveredStops(before, snapshot.covered) : new Map()
    if (moving.size === 0) return []
    const row = suppliedRow(core.doc, snapshot, before, moving)
    const batch = row === undefined ? undefined : core.trust([row])
    if (row !== undefined && batch === undefined) throw new SealogError('ERR_CONTENT', 'a snapshot that does not apply')
    const parked = await rows.parked(document)
    const deletes: Uint8Array[] = []
    const tips = new Map(before.tips)
    let meta = before
    for (const [actor, { seq, latestSeq, latestHash }] of moving) {
      const own = parked.filter(entry => entry.actor === actor)
      for (const { index } of own.filter(({ chain }) => chain.seq <= seq)) {
        ledger.forget(document, index)
        deletes.push(...rows.parkedKeys(document, index))
      }
      const stop = standAt(own.find(({ chain }) => chain.seq > seq))
      meta = movedOn(meta, actor, stop, 0)
      if (latestSeq > 0) tips.set(actor, { seq: latestSeq, hash: latestHash })
      if (meta.importer === actor) meta = { ...meta, importer: undefined }
      if (stop === undefined) onReleased(document, actor)
      else onStopped(document, new Map([[actor, stop]]))
    }
    const puts = row === undefined ? [] : [rows.fileRow(document, before.nextFile, row)]
    ledger.set({ ...meta, tips, nextFile: meta.nextFile + puts.length, judged: meta.judged + puts.length })
    ledger.owe(document, { puts, deletes })
    if (batch !== undefined) onChanged(document, batch, 'remote')
    await this.release(core)
    return [...moving.keys()]
  }
}

interface Step {
  readonly taken: Taken | undefined
  /** Entries whose content was taken. */
  readonly done: readonly ParkedEntry[]
  /** Those behind them. */
  readonly rest: readonly ParkedEntry[]
  /** Where the actor stops now. */
  readonly stop: Stopped | undefined
}

/** As long as it was not tried again, an entry waits for its body, or for its turn. */
function standAt(entry: ParkedEntry | undefined): Stopped | undefined {
  if (entry === undefined) return undefined
  const code = entry.content === 'missing' ? 'ERR_BODY' : 'ERR_DEPENDENCY'
  return { reason: 'parked', index: entry.index, code, covered: entryBefore(entry.chain), needs: undefined }
}

function movedOn(meta: DocumentMeta, actor: ActorId, stop: Stopped | undefined, files: number): DocumentMeta {
  const stopped = new Map(meta.stopped)
  if (stop === undefined) stopped.delete(actor)
  else stopped.set(actor, stop)
  return { ...meta, stopped, nextFile: meta.nextFile + files, judged: meta.judged + files }
}

function isSameStop(a: Stopped, b: Stopped | undefined): boolean {
  return a.index === b?.index && a.code === b.code && a.reason === b.reason
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

/** The changes of a snapshot that are not here; undefined where all are. @throws SealogError ERR_CONTENT */
function suppliedRow(
  doc: AnyDoc,
  { saved, imported }: SnapshotPayload,
  { tips, importer }: DocumentMeta,
  moving: ReadonlyMap<ActorId, CoveredActor>,
): FileRow | undefined {
  const source = Automerge.load<Record<string, unknown>>(saved)
  try {
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
  } finally {
    Automerge.free(source)
  }
}
