import type { Environment } from '../environment.ts'
import { SealogError } from '../errors.ts'
import { decodeHeader } from '../verify/entry.ts'
import type { DocumentSet } from './document-set.ts'
import type { SpaceChannel } from './space-channel.ts'

/** Delay before a body is asked for again that the relay did not serve, in milliseconds; doubles up to the last. */
const FIRST_RETRY = 2_000
const LAST_RETRY = 60_000

/** Bodies that the relay owes: until it serves them, their authors are parked (DESIGN §6.3). */
export class MissingBodies {
  readonly #channel: SpaceChannel
  readonly #documents: DocumentSet
  readonly #environment: Environment
  #isRunning = false
  #isStopped = false
  #retries = 0
  #cancel: () => void = () => {}

  constructor(channel: SpaceChannel, documents: DocumentSet, environment: Environment) {
    this.#channel = channel
    this.#documents = documents
    this.#environment = environment
  }

  /** Asks for what is missing, unless that is under way. @param onArrived some came, and what they held is visible */
  resume(onArrived: () => void): void {
    if (this.#isRunning || this.#isStopped || this.#documents.missingBodies().length === 0) return
    this.#isRunning = true
    this.#cancel()
    void this.#run(onArrived).finally(() => {
      this.#isRunning = false
    })
  }

  /** For good: what is still on its way is not stored any more. */
  stop(): void {
    this.#isStopped = true
    this.#cancel()
  }

  async #run(onArrived: () => void): Promise<void> {
    let arrived = 0
    for (const { document, index, header } of this.#documents.missingBodies()) {
      if (!this.#channel.isLive) return
      try {
        const body = await this.#channel.body(index, decodeHeader(header).bodyLength)
        if (this.#isStopped) return
        await this.#documents.bodiesArrived(document, [{ index, body }])
        arrived++
      } catch (error) {
        // Withheld, or not the right one: that shows as a problem of its author's chain, and the others come first.
        if (!(error instanceof SealogError)) throw error
      }
    }
    if (arrived > 0) {
      this.#retries = 0
      onArrived()
    }
    if (this.#isStopped || this.#documents.missingBodies().length === 0) return
    const delay = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** this.#retries++)
    this.#cancel = this.#environment.schedule(delay, () => this.resume(onArrived))
  }
}
