import * as Automerge from '@automerge/automerge/slim'
import { toHex } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import { type Adoption, SnapshotContradicted } from './adopt.ts'
import { type AdoptionPlan, planAdoption } from './adoption-plan.ts'
import { type AdoptionTrial, ownOnTop, tryAdoption } from './adoption-trial.ts'
import type { ChangeTip } from './chain-place.ts'
import type { PatchBatch } from './content.ts'
import type { ContentIntake } from './content-intake.ts'
import type { DocumentCore } from './document-core.ts'
import type { DocumentLedger } from './document-ledger.ts'
import type { Stopped } from './document-meta.ts'
import type { DocumentOpening } from './document-opening.ts'
import type { DocumentRows } from './document-rows.ts'
import type { FileRow } from './file-row.ts'
import type { LocalChange } from './local-row.ts'
import type { OpenCores } from './open-cores.ts'
import type { Parking } from './parking.ts'
import { documentKey } from './rows.ts'

/** Documents that came by fast-forward stay in memory for a while, unless so many are open. */
const MOST_IDLE = 8

export interface DocumentAdoptionOptions {
  readonly space: SpaceId
  readonly cores: OpenCores
  readonly ledger: DocumentLedger
  readonly rows: DocumentRows
  readonly opening: DocumentOpening
  readonly intake: ContentIntake
  readonly parking: Parking
  readonly onChanged: (document: DocumentId, batch: PatchBatch, source: 'remote' | 'reload') => void
  readonly onStopped: (document: DocumentId, stopped: ReadonlyMap<ActorId, Stopped>) => void
}

/** Documents that come as a whole, by fast-forward, and take the place of what was here (DESIGN §5.4). */
export class DocumentAdoption {
  readonly #options: DocumentAdoptionOptions

  constructor(options: DocumentAdoptionOptions) {
    this.#options = options
  }

  /**
   * The rows by which the document takes the place of what was here. All that could speak against it is settled here:
   * afterwards own changes in the store either stand on what is stored with it, or are deleted by the same transaction.
   * @param isDoubted what was here was not checked to the end: own changes on top may have to go with it
   * @throws SnapshotContradicted where own changes do not go on from a snapshot; SealogError ERR_STORE_CORRUPT where they
   *   do not go on from all entries either, ERR_STORE…
   */
  async plan(adoption: Adoption, isDoubted: boolean): Promise<AdoptionPlan> {
    const { space, cores, ledger, rows, opening } = this.#options
    const { document } = adoption
    // What is here makes up for bodies that did not come.
    const isLacking = adoption.entries.some(({ body, header }) => body === undefined && header.kind === 'changes')
    if (isLacking && ledger.meta(document).nextFile > 0) await opening.open(document)
    await ledger.pay(document)
    const before = ledger.meta(document)
    const core = cores.get(document)
    const own = cores.ownActor(document)
    const plan = planAdoption(adoption, {
      meta: before,
      own,
      tip: own && (await this.#provenTip(document, own)),
      locals: core?.locals ?? [],
      doc: core?.doc,
    })
    const trial = core === undefined || plan.isHeldBack || plan.isClosed ? undefined : this.#try(core, adoption, plan)
    const lost = trial?.lost ?? []
    if (lost.length > 0 && !(isDoubted && adoption.snapshot === undefined)) {
      if (trial !== undefined) Automerge.free(trial.content.doc)
      throw adoption.snapshot === undefined ? doesNotGoOn() : new SnapshotContradicted()
    }
    const parked = await rows.parked(document)
    const puts = [
      ...plan.rows.map((row, i) => rows.fileRow(document, before.nextFile + i, row)),
      ...plan.parked.flatMap(({ entry, body }) => rows.parkedRows(document, entry, body)),
      rows.metaRow(plan.meta),
    ]
    const written = new Set(puts.map(([key]) => toHex(key)))
    const obsolete = [
      ...(await rows.fileKeys(document)),
      ...parked.flatMap(({ index }) => rows.parkedKeys(document, index)),
      ...rows.localKeys(document, [...plan.proven, ...lost]),
      documentKey(space, 'import', document),
    ]
    const deletes = plan.isHeldBack ? [] : obsolete.filter(key => !written.has(toHex(key)))
    return { ...plan, isDoubted, trial, puts, deletes }
  }

  #try(core: DocumentCore, { snapshot }: Adoption, { rows, meta }: Pick<AdoptionPlan, 'rows' | 'meta'>): AdoptionTrial {
    const { cores, ledger } = this.#options
    const { document } = core
    return tryAdoption({
      core,
      // Whoever has it open is somebody in it.
      incarnation: ledger.meta(document).incarnation as Uint8Array,
      actorOf: incarnation => cores.actorOf(document, incarnation),
      snapshot,
      rows,
      tips: meta.tips,
    })
  }

  /** The latest own change that came back, also where a crash left it unjudged; not what a clone wrote. */
  async #provenTip(document: DocumentId, own: ActorId): Promise<ChangeTip | undefined> {
    const { ledger, rows } = this.#options
    const meta = ledger.meta(document)
    const { unjudged } = await rows.files(meta)
    const isOwn = (row: FileRow): boolean =>
      row.actor === own && row.index < (meta.clonedAt ?? Number.POSITIVE_INFINITY)
    return unjudged.findLast(row => isOwn(row) && row.tip !== undefined)?.tip ?? meta.tips.get(own)
  }

  /**
   * The same is in the store now: shows it, where somebody has the document open.
   * @returns own changes that went
   * @throws SealogError ERR_STORE… for what follows from it; the document itself is taken then
   */
  async complete(adoption: Adoption, plan: AdoptionPlan): Promise<readonly LocalChange[]> {
    const { cores, ledger, parking, onChanged, onStopped } = this.#options
    const { document } = adoption
    // An incarnation may have been chosen while the rows were on their way to the disk.
    const incarnation = plan.meta.incarnation ?? ledger.meta(document).incarnation
    ledger.set({ ...plan.meta, incarnation })
    if (plan.isHeldBack) return given(adoption)
    for (const { index } of ledger.missing().filter(item => item.document === document)) ledger.forget(document, index)
    ledger.expect(
      document,
      plan.parked.map(({ entry }) => entry),
    )
    onStopped(document, plan.meta.stopped)
    if (plan.isClosed) return given(adoption)
    // Whoever waited for it opens it next: it stays in memory until `tidy`.
    const core = cores.get(document) ?? (cores.size < MOST_IDLE ? cores.create(document) : undefined)
    if (core === undefined) return given(adoption)
    const trial = plan.trial ?? this.#try(core, adoption, plan)
    const { batch, lost } = this.#show(core, trial, adoption.snapshot?.count ?? 0)
    const judged = { ...ledger.meta(document), tips: trial.tips, judged: plan.meta.nextFile }
    const stops = ledger.judged(judged, trial.refused)
    onChanged(document, { ...batch, doc: core.doc }, 'reload')
    if (stops.size > 0) onStopped(document, stops)
    // Own entries may build on what turned out to be false: then the chain is closed like one that a clone wrote.
    await parking.release(core, plan.isDoubted)
    return lost
  }

  /**
   * Puts the document of the trial in place. Whoever edited it while the rows were on their way wrote on top of what was
   * here before; nothing of that is in the store yet, and what does not go on from here goes with the rest.
   */
  #show(core: DocumentCore, trial: AdoptionTrial, savedCount: number): Shown {
    const { ledger, rows, intake } = this.#options
    const { document } = core
    const { content, kept } = trial
    const tip = trial.tips.get(core.actor)
    const unproven = core.locals.filter(({ seq }) => seq > (tip?.seq ?? 0))
    const late = trial.lost.length > 0 ? [] : unproven.slice(kept.length)
    const added = trial.isDisplaced ? late : ownOnTop(content, late)
    const stays = [...kept, ...added]
    const isWhole = stays.length === unproven.length
    const batch = isWhole ? core.reload(content, tip, savedCount) : core.setBack(content, tip, stays)
    if (trial.isDisplaced && intake.displace(core, content) === undefined) {
      // What was tried can be carried over; then it is what came since that cannot.
      core.setBack(content, tip, kept)
      intake.displace(core, content)
      return { batch, lost: unproven.slice(kept.length) }
    }
    const lost = unproven.slice(stays.length)
    ledger.owe(document, { deletes: rows.localKeys(document, lost) })
    return { batch, lost }
  }
}

interface Shown {
  readonly batch: PatchBatch
  /** Own changes that build on what is not there any more. */
  readonly lost: readonly LocalChange[]
}

function doesNotGoOn(): SealogError {
  return new SealogError('ERR_STORE_CORRUPT', 'own changes do not go on from what the log has')
}

/** Nobody looks at it now. @returns no own changes */
function given(adoption: Adoption): readonly LocalChange[] {
  adoption.discard()
  return []
}
