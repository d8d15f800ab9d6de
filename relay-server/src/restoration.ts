import { equalBytes, hasCode, type Note, type Restore, SealogError } from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import { readShownNote } from './own-note.ts'
import type { FindStaged } from './pushed-entry.ts'
import { relayBehind } from './reject.ts'
import { readTailEntry, restoreTail, type TailEntry } from './restored-tail.ts'
import type { SpaceSequencer } from './space-sequencer.ts'
import type { StagingTotal } from './staging.ts'

/** What an entry takes in memory beside its bytes. */
const ENTRY_OVERHEAD = 512
/** Milliseconds after which somebody who finds another restoring the space may try again. */
const RETRY_AFTER = 5000
/** A restoration of which nothing came for so many milliseconds makes way for another. */
const STALE_AFTER = 60_000
/** Nor does one keep others out for longer than so many milliseconds, however it goes on. */
const LONGEST_TURN = 15 * 60_000

/** Who gives back: identity only, as one connection. */
export type Restorer = object

interface Staged {
  readonly by: Restorer
  readonly bytes: Uint8Array
  readonly note: Note
  readonly tail: TailEntry[]
  /** Where the next part begins. */
  next: number
  length: number
  readonly begun: number
  time: number
}

/**
 * The end of a log that this relay has lost, while it is being given back (DESIGN §5.5): the parts are kept in memory,
 * within limits and for one connection at a time, until they are complete, and are then taken as a whole or not at all.
 *
 * It takes no membership, as the devices that have it may have been admitted in the very entries that are lost. It takes
 * a note by this relay's own key about more entries than it has, which only somebody who was shown that log can have;
 * nothing is kept before that signature has verified. And what comes of it is the log that this note commits to, or
 * nothing: see `restoreTail`. So a stranger gains nothing here, and the worst that a member can do is to hold the place
 * of another who would restore the same entries.
 */
export class Restoration {
  readonly #context: RelayContext
  readonly #sequencer: SpaceSequencer
  readonly #total: StagingTotal
  #staged: Staged | undefined

  /** @param total of all spaces of the relay */
  constructor(context: RelayContext, sequencer: SpaceSequencer, total: StagingTotal) {
    this.#context = context
    this.#sequencer = sequencer
    this.#total = total
  }

  /**
   * Takes one part; the last one ends in the restored log.
   * @throws SealogError ERR_RELAY_BEHIND where the part does not begin at the size of the log, or where the last one
   * ended; ERR_UNEXPECTED where nothing is missing; ERR_RATE_LIMITED, ERR_LIMIT; and what is wrong with the entries
   */
  async take(message: Restore, by: Restorer, findStaged: FindStaged): Promise<void> {
    const staged = await this.#stagedFor(message, by)
    try {
      this.#add(staged, message, findStaged)
      if (!message.more) await this.#complete(staged)
    } catch (error) {
      this.#logRefused(error)
      this.#drop(staged)
      throw error
    }
    if (!message.more) this.#drop(staged)
  }

  /** The connection is over, or gives up. */
  end(by: Restorer): void {
    if (this.#staged?.by === by) this.#drop(this.#staged)
  }

  async #stagedFor({ note: bytes, space, from }: Restore, by: Restorer): Promise<Staged> {
    const begun = this.#staged
    if (begun !== undefined && begun.by === by && begun.next === from && equalBytes(begun.bytes, bytes)) return begun
    const note = await readShownNote(this.#context, space, bytes)
    this.end(by)
    await this.#assertLost(note)
    const { size } = this.#sequencer
    if (from !== size) throw relayBehind(size)
    const now = this.#context.environment.now()
    if (this.#staged !== undefined) {
      const due = Math.min(this.#staged.time + STALE_AFTER, this.#staged.begun + LONGEST_TURN)
      if (now < due) {
        const details = { retryAfter: RETRY_AFTER }
        throw new SealogError('ERR_RATE_LIMITED', 'somebody else is restoring this space', { details })
      }
      this.#drop(this.#staged)
    }
    const staged: Staged = { by, bytes, note, tail: [], next: from, length: 0, begun: now, time: now }
    this.#staged = staged
    this.#context.log({ level: 'info', event: 'restore-begun', space, from, size: note.checkpoint.size })
    return staged
  }

  /** Below a head that is known to be signed, nothing could be signed: so the whole of it has to come back. */
  async #assertLost(note: Note): Promise<void> {
    await this.#sequencer.fallBehind(note)
    const { checkpoint } = note
    const { size, behind } = this.#sequencer
    if (checkpoint.size <= size) throw new SealogError('ERR_UNEXPECTED', `the log has ${size} entries: none is missing`)
    if (behind !== undefined && checkpoint.size < behind.size) {
      throw new SealogError('ERR_UNEXPECTED', `${behind.size} entries are missing, not ${checkpoint.size}`)
    }
  }

  #add(staged: Staged, { from, entries }: Restore, findStaged: FindStaged): void {
    const { size } = staged.note.checkpoint
    if (from + entries.length > size) {
      throw new SealogError('ERR_UNEXPECTED', `entries up to ${from + entries.length}, where ${size} were signed`)
    }
    for (const pushed of entries) {
      const item = readTailEntry(pushed, findStaged)
      const { encoded, body, wraps } = item.entry
      this.#makeRoom(staged, encoded.length + body.length + (wraps?.bytes?.length ?? 0) + ENTRY_OVERHEAD)
      staged.tail.push(item)
      staged.next++
    }
    staged.time = this.#context.environment.now()
  }

  #makeRoom(staged: Staged, length: number): void {
    const { stagedBytesPerSocket: limit, stagedBytes } = this.#context.limits
    if (staged.length + length > limit) {
      throw new SealogError('ERR_LIMIT', 'more entries than can be restored at once', { details: { limit } })
    }
    if (this.#total.bytes + length > stagedBytes) {
      const details = { retryAfter: RETRY_AFTER }
      throw new SealogError('ERR_RATE_LIMITED', 'too many spaces are being restored', { details })
    }
    staged.length += length
    this.#total.bytes += length
  }

  async #complete({ tail, note, next }: Staged): Promise<void> {
    const { checkpoint } = note
    if (next !== checkpoint.size) {
      throw new SealogError('ERR_UNEXPECTED', `the entries end at ${next}, where ${checkpoint.size} were signed`)
    }
    try {
      await this.#sequencer.restore(view => {
        const { behind } = this.#sequencer
        return restoreTail(this.#context, view, tail, checkpoint, behind === undefined ? [] : [behind])
      })
    } catch (cause) {
      if (!hasCode(cause, 'ERR_INVALID_ENTRY') || !this.#sequencer.hasAbandoned(checkpoint)) throw cause
      throw new SealogError('ERR_ROLLBACK', 'the operator gave up the log that this note is about', { cause })
    }
    const missing = tail.filter(item => !item.hasBody).length
    const { log } = this.#context
    log({ level: 'warn', event: 'restored', space: this.#sequencer.space, size: next, entries: tail.length, missing })
  }

  #drop(staged: Staged): void {
    if (this.#staged !== staged) return
    this.#staged = undefined
    this.#total.bytes -= staged.length
  }

  #logRefused(error: unknown): void {
    const reason = error instanceof Error ? error.message : 'unknown'
    this.#context.log({ level: 'error', event: 'restore-refused', space: this.#sequencer.space, reason })
  }
}
