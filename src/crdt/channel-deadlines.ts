import type { Environment } from '../environment.ts'

/** How long a connection is given before it counts as broken, in milliseconds. */
export interface ChannelDeadlines {
  /** A quiet connection is asked for a fresh checkpoint this often. */
  readonly quiet: number
  /** It is given up this long after. Any answer is a sign of life: a large body may take longer than that. */
  readonly checkpoint: number
  /** A push that is neither refused nor in the log by then is not waited for any longer. */
  readonly push: number
}

export const DEFAULT_CHANNEL_DEADLINES: ChannelDeadlines = { quiet: 25_000, checkpoint: 15_000, push: 60_000 }

/** One thing that is waited for, and what is done when it does not come. */
export class Deadline {
  readonly #environment: Pick<Environment, 'schedule'>
  #cancel: (() => void) | undefined

  constructor(environment: Pick<Environment, 'schedule'>) {
    this.#environment = environment
  }

  /** Something is waited for. */
  get isSet(): boolean {
    return this.#cancel !== undefined
  }

  /** Takes the place of what was waited for before. */
  set(ms: number, onMissed: () => void): void {
    this.clear()
    this.#cancel = this.#environment.schedule(ms, () => {
      this.#cancel = undefined
      onMissed()
    })
  }

  clear(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }
}
