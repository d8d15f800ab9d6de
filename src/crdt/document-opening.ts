import * as Automerge from '@automerge/automerge/slim'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import { CLOSED } from './adoption-plan.ts'
import { latestChange } from './content.ts'
import type { ContentIntake } from './content-intake.ts'
import { DocumentCore } from './document-core.ts'
import type { DocumentLedger } from './document-ledger.ts'
import type { Stopped } from './document-meta.ts'
import type { DocumentRows } from './document-rows.ts'
import { storeFailure } from './local-flush.ts'
import { openContent } from './open-content.ts'
import type { OpenCores } from './open-cores.ts'
import type { Parking } from './parking.ts'

export interface DocumentOpeningOptions {
  readonly cores: OpenCores
  readonly ledger: DocumentLedger
  readonly rows: DocumentRows
  readonly intake: ContentIntake
  readonly parking: Parking
  readonly onStopped: (document: DocumentId, stopped: ReadonlyMap<ActorId, Stopped>) => void
  /** The bookkeeping could not be stored. */
  readonly onFlush: (failure: SealogError) => void
}

/** Puts documents together from what the store has of them: what was judged, what was not, own changes on top. */
export class DocumentOpening {
  readonly #options: DocumentOpeningOptions

  constructor(options: DocumentOpeningOptions) {
    this.#options = options
  }

  /** The document, out of the store where it is not open; an unknown one is empty. @throws SealogError ERR_STORE… */
  async open(document: DocumentId): Promise<DocumentCore> {
    const { cores, ledger, rows, intake, parking, onStopped, onFlush } = this.#options
    const open = cores.get(document)
    if (open !== undefined) return open
    const { actor, meta } = cores.writer(document)
    await ledger.pay(document)
    const { judged, unjudged } = await rows.files(meta)
    const locals = await rows.locals(document)
    const held = meta.clonedAt
    const shown = held === undefined ? unjudged : unjudged.filter(row => row.index < held)
    const fitting = held === CLOSED ? [] : locals
    const stored = { judged, unjudged: shown, locals: fitting, tips: meta.tips }
    const opened = openContent(actor, stored)
    const { content, refused, tips } = opened
    if (opened.isDisplaced && held !== undefined) {
      // Whoever wrote under that actor as well: nobody takes it, and nothing is to be closed.
      ledger.set({ ...meta, clonedAt: undefined })
      Automerge.free(content.doc)
      return this.open(document)
    }
    // While content is held back, the log is ahead of what the own changes go on from.
    const tip =
      held === undefined ? tips.get(actor) : latestChange(content.doc, actor, locals[0]?.seq ?? Number.MAX_SAFE_INTEGER)
    const savedCount = judged[0]?.kind === 'saved' ? judged[0].count : 0
    const core = new DocumentCore({ document, actor, content, locals, tip, savedCount })
    cores.add(core)
    if (shown.length > 0) {
      const upTo = meta.nextFile - (unjudged.length - shown.length)
      onStopped(document, ledger.judged({ ...meta, tips, judged: upTo }, refused))
      ledger.owe(document, {})
    }
    if (opened.isDisplaced && intake.displace(core, content) === undefined) {
      cores.remove(document)
      throw new SealogError('ERR_STORE_CORRUPT', 'own changes do not go on from what the log has')
    }
    // The document is there, whatever becomes of the bookkeeping: that is made up for before the next write.
    await parking.release(core, true).catch(error => onFlush(storeFailure(error)))
    return core
  }
}
