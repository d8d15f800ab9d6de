import * as Automerge from '@automerge/automerge/slim'
import { concat } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import { decodeHeader } from '../verify/entry.ts'
import { type AnyDoc, hasChange, isTip, localRow, type PatchBatch } from './content.ts'
import { isDisplaced } from './displacement.ts'
import type { DocumentCore } from './document-core.ts'
import type { DocumentLedger } from './document-ledger.ts'
import { type DocumentRows, stopsOf } from './document-rows.ts'
import type { GuardedContent, Taken } from './guarded-content.ts'
import type { ParkedEntry } from './parked-rows.ts'
import { acknowledged, type KeysOf, knownRow, type Opened, openEntry } from './receive.ts'
import {
  type ChangeTip,
  type DocumentMeta,
  decodeFileRow,
  entryBefore,
  type FileRow,
  type LocalChange,
  type Stopped,
} from './rows.ts'
import type { CoveredActor, SnapshotPayload } from './snapshot-payload.ts'

/** Parked entries that are opened, judged and stored together: at most so many, and about so many bytes. */
const GROUP = 256
const GROUP_BYTES: number = 4 * 1024 * 1024

export interface ParkingOptions {
  readonly ledger: DocumentLedger
  readonly rows: DocumentRows
  readonly keysOf: KeysOf
  /** Takes what was judged last, see `DocumentCore.take`; the own actor may become another by it. */
  readonly take: (core: DocumentCore, rows: readonly FileRow[], tips: ReadonlyMap<ActorId, ChangeTip>) => Taken
  /** Own changes go on under another actor on top of what the log has, see displacement.ts. */
  readonly displace: (core: DocumentCore, proven: GuardedContent) => PatchBatch | undefined
  readonly onChanged: (document: DocumentId, batch: PatchBatch, source: 'remote' | 'reload') => void
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
    if (actor === core.actor) return this.#goOnOwn(core, actor)
    const { ledger, rows, take } = this.#options
    const { document } = core
    const entries = (await rows.parked(document)).filter(entry => entry.actor === actor)
    const writer = core.actor
    let at = 0
    for (;;) {
      const { group, blocked } = await this.#open(document, entries.slice(at, at + GROUP))
      const taken = group.length === 0 ? undefined : take(core, group, ledger.meta(document).tips)
      const done = entries.slice(at, at + (taken?.taken.length ?? 0))
      at += done.length
      const rest = entries.slice(at)
      const fault = stopsOf(taken?.refused ?? []).get(actor) ?? blocked
      this.#conclude(core, actor, { taken, done, rest, writer, stop: fault ?? standAt(rest[0]) })
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
    const { taken, done, rest, writer, stop } = step
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
    if (taken !== undefined && files.length > 0) onChanged(document, taken, core.actor === writer ? 'remote' : 'reload')
    if (stop === undefined) onReleased(document, actor)
    else if (!isSameStop(stop, before.stopped.get(actor))) onStopped(document, new Map([[actor, stop]]))
  }

  /**
   * Own entries waited, like everybody's, for the import that the document begins with, in which the own actor turned
   * out not to occur. They acknowledge own changes, as when they come (R-OUTBOX-4); from the first that this replica did
   * not make, a clone writes under its actor (R-CLONE-1).
   * @returns whether anything was taken
   */
  async #goOnOwn(core: DocumentCore, actor: ActorId): Promise<boolean> {
    const { ledger, rows, onStopped, onReleased } = this.#options
    const { document } = core
    const entries = (await rows.parked(document)).filter(entry => entry.actor === actor)
    const known: FileRow[] = []
    const cloned: FileRow[] = []
    let stop: Stopped | undefined
    for (const entry of entries) {
      const own = cloned.length > 0 ? undefined : await this.#knownOwn(core, entry)
      if (own !== undefined) {
        known.push(own)
        continue
      }
      const opened = await this.#openOne(document, entry)
      if (!('row' in opened)) {
        stop = { ...(standAt(entry) as Stopped), code: opened.code }
        break
      }
      cloned.push(opened.row)
    }
    const before = ledger.meta(document)
    const files = [...known, ...cloned]
    const tip = known.at(-1)?.tip
    const proven = tip === undefined ? [] : core.locals.filter(({ seq }) => seq <= tip.seq)
    const moved = movedOn(before, actor, stop, files.length)
    ledger.set({
      ...moved,
      judged: before.judged + known.length,
      tips: tip === undefined ? before.tips : new Map(before.tips).set(actor, tip),
      clonedAt: cloned[0]?.index ?? stop?.index,
    })
    const done = entries.slice(0, files.length)
    for (const { index } of done) ledger.forget(document, index)
    ledger.owe(document, {
      puts: files.map((row, i) => rows.fileRow(document, before.nextFile + i, row)),
      deletes: [
        ...done.flatMap(({ index }) => rows.parkedKeys(document, index)),
        ...proven.map(({ seq }) => rows.localKey(document, seq)),
      ],
    })
    if (tip !== undefined) core.markProven(tip)
    if (stop === undefined) onReleased(document, actor)
    else if (!isSameStop(stop, before.stopped.get(actor))) onStopped(document, new Map([[actor, stop]]))
    await ledger.pay(document)
    return known.length > 0
  }

  /** The row of an own entry whose changes are all here, also where its body is withheld. */
  async #knownOwn({ document, locals }: DocumentCore, entry: ParkedEntry): Promise<FileRow | undefined> {
    const opened = await this.#openOne(document, entry)
    if ('row' in opened) return knownRow(opened.row, locals)
    const { index, actor, header, content } = entry
    if (content !== 'missing' || header === undefined) return undefined
    const { keysOf } = this.#options
    return acknowledged({ index, actor, header: decodeHeader(header), body: undefined }, locals, keysOf)
  }

  // -- What a snapshot brings -------------------------------------------------------------------------------------

  /**
   * Takes from a snapshot that was verified what the tags of parked actors commit to, and goes on behind it.
   * @returns the actors that moved on
   * @throws SealogError ERR_CONTENT where the snapshot has changes of anybody else that are not here; ERR_STORE…
   */
  async supply(core: DocumentCore, snapshot: SnapshotPayload): Promise<readonly ActorId[]> {
    const { ledger, rows, onChanged, onStopped, onReleased } = this.#options
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
    const row = suppliedRow(proven?.doc ?? core.doc, snapshot, before, moving)
    const batch = row && (proven === undefined ? core.trust([row]) : this.#begin(core, proven, row, tips))
    if (row !== undefined && batch === undefined) throw new SealogError('ERR_CONTENT', 'a snapshot that does not apply')
    const parked = await rows.parked(document)
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
    await this.release(core)
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
}

interface Step {
  readonly taken: Taken | undefined
  /** Entries whose content was taken. */
  readonly done: readonly ParkedEntry[]
  /** Those behind them. */
  readonly rest: readonly ParkedEntry[]
  /** Who edited the document before. */
  readonly writer: ActorId
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
