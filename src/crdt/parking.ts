import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import { decodeHeader } from '../verify/entry.ts'
import { type ChangeTip, entryBefore } from './chain-place.ts'
import { hasChange, type PatchBatch } from './content.ts'
import type { DocumentCore } from './document-core.ts'
import type { DocumentLedger } from './document-ledger.ts'
import type { Stopped } from './document-meta.ts'
import { type DocumentRows, stopsOf } from './document-rows.ts'
import { decodeFileRow, type FileRow } from './file-row.ts'
import type { Taken } from './guarded-content.ts'
import type { ParkedEntry } from './parked-rows.ts'
import { isSameStop, movedOn, standAt } from './parked-standing.ts'
import { acknowledged, type KeysOf, knownRow, type Opened, openEntry } from './receive.ts'

/** Parked entries that are opened, judged and stored together: at most so many, and about so many bytes. */
const GROUP = 256
const GROUP_BYTES: number = 4 * 1024 * 1024

export interface ParkingOptions {
  readonly ledger: DocumentLedger
  readonly rows: DocumentRows
  readonly keysOf: KeysOf
  /** Takes what was judged last, see `DocumentCore.take`; the own actor may become another by it. */
  readonly take: (core: DocumentCore, rows: readonly FileRow[], tips: ReadonlyMap<ActorId, ChangeTip>) => Taken
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
