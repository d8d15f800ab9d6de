import { convict } from '../verify/convict.ts'
import type { Batch, LogView } from '../verify/log.ts'
import { isCurrent } from '../verify/log.ts'

/** Headers and control bodies that are kept while a log comes in parts, in bytes. */
const MAX_KEPT: number = 16 * 1024 * 1024
/** Notes that others passed on, or that invites brought. */
const MAX_NOTES = 32

/**
 * What a replica remembers of the relay's words, so that it can show when they contradict each other (DESIGN §5.5):
 * the last signed log that it had as a whole, what came since, and notes from elsewhere.
 */
export class Witness {
  #base: LogView
  #baseNote: Uint8Array | undefined
  #batches: Batch[] | undefined = []
  #kept = 0
  #notes: readonly Uint8Array[]

  /** @param note the relay's note of the view's head */
  constructor(view: LogView, note: Uint8Array | undefined) {
    this.#base = view
    this.#baseNote = note
    this.#notes = view.anchors.flatMap(anchor => anchor.note ?? [])
  }

  /** A note of this relay about this space that came from somewhere else. */
  heard(note: Uint8Array): void {
    this.#notes = [note, ...this.#notes].slice(0, MAX_NOTES)
  }

  /**
   * The view after a batch that was verified and kept; undefined where something else led there. A document that came
   * in the middle of a catch-up leaves the log where it was: what was signed last as a whole stays the beginning, or a
   * relay could have itself forgotten by what it sends in between.
   */
  accepted(view: LogView, note: Uint8Array, batch: Batch | undefined): void {
    if (isCurrent(view)) {
      this.#base = view
      this.#baseNote = note
      this.#batches = []
      this.#kept = 0
      return
    }
    if (batch === undefined) return
    this.#kept += batch.entries.reduce((sum, { header }) => sum + header.length + 100, batch.tracer?.length ?? 0)
    // A log that is this far away from its last signed state is not worth the memory: what is refused stays refused.
    if (this.#kept > MAX_KEPT) this.#batches = undefined
    this.#batches?.push(withoutContent(batch))
  }

  /** Evidence against the relay, judged and found to hold; undefined where what it signed shows nothing. */
  suspect(refused: Batch | undefined): Uint8Array | undefined {
    const notes = [...(this.#baseNote === undefined ? [] : [this.#baseNote]), ...this.#notes]
    if (refused === undefined) {
      const signed = this.#batches?.map(batch => batch.note) ?? []
      return convict({ view: this.#base, notes: [...notes, ...signed.toReversed()], batches: [] })
    }
    if (this.#batches === undefined) return convict({ view: this.#base, notes: [refused.note, ...notes], batches: [] })
    return convict({ view: this.#base, notes, batches: [...this.#batches, refused] })
  }
}

/** Nothing rests on the bodies of documents; those of control entries are small. */
function withoutContent(batch: Batch): Batch {
  const entries = batch.entries.map(entry =>
    entry.body === undefined || entry.body.length <= 64 * 1024 ? entry : { ...entry, body: undefined },
  )
  return { ...batch, entries }
}
