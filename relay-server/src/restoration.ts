import { equalBytes, hasCode, type Note, type Restore, SealogError } from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import { readShownNote } from './own-note.ts'
import type { FindStaged } from './pushed-entry.ts'
import { relayBehind } from './reject.ts'
import { type Place, placeFor, type Restorer } from './restoration-places.ts'
import { readTailEntry, restoreTail, type TailEntry } from './restored-tail.ts'
import type { SpaceSequencer } from './space-sequencer.ts'
import type { StagingTotal } from './staging.ts'

/** What an entry takes in memory beside its bytes. */
const ENTRY_OVERHEAD = 512
/** Milliseconds after which somebody who finds no room may try again. */
const RETRY_AFTER = 5000

interface Staged extends Place {
  readonly bytes: Uint8Array
  readonly note: Note
  readonly tail: TailEntry[]
  /** Where the next part begins. */
  next: number
  length: number
  time: number
}

/**
 * The end of a log that this relay has lost, while it is being given back (DESIGN §5.5): the parts are kept in memory,
 * within limits and of a few connections (see `placeFor`), until those of one are complete, and are then taken as a whole
 * or not at all.
 *
 * It takes no membership, as the devices that have it may have been admitted in the very entries that are lost. It takes
 * a note by this relay's own key about more entries than it has, which only somebody who was shown that log can have;
 * nothing is kept before that signature has verified. And what comes of it is the log that this note commits to, or
 * nothing: see `restoreTail`. So a stranger gains nothing here, and a member who brings nothing of use only takes a place
 * beside those who do.
 */
export class Restoration {
  readonly #context: RelayContext
  readonly #sequencer: SpaceSequencer
  readonly #total: StagingTotal
  readonly #staged = new Map<Restorer, Staged>()

  /** @param total of all spaces of the relay */
  constructor(context: RelayContext, sequencer: SpaceSequencer, total: StagingTotal) {
    this.#context = context
    this.#sequencer = sequencer
    this.#total = total
  }

  /**
   * Takes one part; the last one ends in the restored log.
   * @throws SealogError ERR_RELAY_BEHIND where the part does not begin at the size of the log, or where the last one
   * ended, or where more is missing than the note is about; ERR_UNEXPECTED where nothing is missing; ERR_RATE_LIMITED,
   * ERR_LIMIT; and what is wrong with the entries
   */
  async take(message: Restore, by: Restorer, findStaged: FindStaged): Promise<void> {
    const staged = await this.#stagedFor(message, by)
    // Somebody else may have taken the place since: what is added to it now would be counted and never let go.
    if (this.#staged.get(by) !== staged) throw displaced()
    try {
      this.#add(staged, message, findStaged)
      if (!message.more) await this.#complete(staged)
    } catch (error) {
      this.#logRefused(error, staged)
      this.#drop(staged)
      throw error
    }
    // What others have brought of it is of no use any more.
    if (!message.more) for (const each of [...this.#staged.values()]) this.#drop(each)
  }

  /** The connection is over, or gives up. */
  end(by: Restorer): void {
    const staged = this.#staged.get(by)
    if (staged !== undefined) this.#drop(staged)
  }

  async #stagedFor({ note: bytes, space, from }: Restore, by: Restorer): Promise<Staged> {
    const begun = this.#staged.get(by)
    if (begun !== undefined && begun.next === from && equalBytes(begun.bytes, bytes)) return begun
    const note = await readShownNote(this.#context, space, bytes)
    this.end(by)
    await this.#assertLost(note)
    const { size } = this.#sequencer
    if (from !== size) throw relayBehind(size)
    const now = this.#context.environment.now()
    const slowest = placeFor([...this.#staged.values()], by, now)
    if (slowest !== undefined) this.#drop(slowest)
    const staged: Staged = { by, bytes, note, tail: [], next: from, length: 0, begun: now, time: now }
    this.#staged.set(by, staged)
    this.#context.log({ level: 'info', event: 'restore-begun', space, from, size: note.checkpoint.size })
    return staged
  }

  /** Below a head that is known to be signed, nothing could be signed: so the whole of it has to come back. */
  async #assertLost(note: Note): Promise<void> {
    await this.#sequencer.fallBehind(note)
    const { checkpoint } = note
    const { size, behind } = this.#sequencer
    if (checkpoint.size <= size) throw noneMissing(size)
    // Not all that is missing, so that it cannot be taken; but missing it is.
    if (behind !== undefined && checkpoint.size < behind.size) throw relayBehind(size)
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

  async #complete(staged: Staged): Promise<void> {
    const { tail, note, next } = staged
    const { checkpoint } = note
    if (next !== checkpoint.size) {
      throw new SealogError('ERR_UNEXPECTED', `the entries end at ${next}, where ${checkpoint.size} were signed`)
    }
    try {
      await this.#sequencer.restore(view => {
        // Somebody else was faster: what is here was judged against the log as it was before.
        if (view.range.size !== next - tail.length) throw noneMissing(view.range.size)
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
    if (this.#staged.get(staged.by) !== staged) return
    this.#staged.delete(staged.by)
    this.#total.bytes -= staged.length
  }

  /** Whoever came second, or found no room, brought nothing wrong. */
  #logRefused(error: unknown, { note }: Staged): void {
    if (hasCode(error, 'ERR_RATE_LIMITED') || this.#sequencer.size >= note.checkpoint.size) return
    const reason = error instanceof Error ? error.message : 'unknown'
    this.#context.log({ level: 'error', event: 'restore-refused', space: this.#sequencer.space, reason })
  }
}

function displaced(): SealogError {
  const details = { retryAfter: RETRY_AFTER }
  return new SealogError('ERR_RATE_LIMITED', 'somebody else has taken the place', { details })
}

function noneMissing(size: number): SealogError {
  return new SealogError('ERR_UNEXPECTED', `the log has ${size} entries: none is missing`)
}
