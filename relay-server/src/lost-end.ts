import type { Checkpoint, SpaceId } from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import { relayBehind } from './reject.ts'

/**
 * The end of a log that was signed and is not stored (DESIGN §5.5). The operator is told that it is missing, and sees
 * for as long as the log is in memory that it is.
 */
export class LostEnd {
  readonly #context: Pick<RelayContext, 'log' | 'meter'>
  readonly #space: SpaceId
  #checkpoint: Checkpoint | undefined
  #isCounted = false
  #isOver = false

  /** @param checkpoint what was found to be missing when the space was opened, and is in the operator's log by then */
  constructor(context: Pick<RelayContext, 'log' | 'meter'>, space: SpaceId, checkpoint: Checkpoint | undefined) {
    this.#context = context
    this.#space = space
    this.#checkpoint = checkpoint
    this.#count()
  }

  /** Of the whole of it; undefined where nothing is missing. */
  get checkpoint(): Checkpoint | undefined {
    return this.#checkpoint
  }

  /** @param stored number of entries that are there */
  mark(checkpoint: Checkpoint, stored: number): void {
    this.#checkpoint = checkpoint
    this.#count()
    this.#context.log({ level: 'error', event: 'relay-behind', space: this.#space, signed: checkpoint.size, stored })
  }

  /** All of it is back. */
  clear(): void {
    this.#checkpoint = undefined
    this.#count()
  }

  /** The log is in memory no more, and counts for nothing. */
  leave(): void {
    this.#isOver = true
    this.#count()
  }

  #count(): void {
    const counts = this.#checkpoint !== undefined && !this.#isOver
    if (counts === this.#isCounted) return
    this.#isCounted = counts
    this.#context.meter.spaceBehind(counts)
  }

  /** @param stored number of entries that are there @throws SealogError ERR_RELAY_BEHIND where something is missing */
  assertNone(stored: number): void {
    if (this.#checkpoint !== undefined) throw relayBehind(stored)
  }
}
