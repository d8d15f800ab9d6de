import type { Environment } from '../environment.ts'

export interface RetryOptions {
  readonly environment: Pick<Environment, 'schedule'>
  /** Delay before the first attempt, in milliseconds; each one that fails doubles it. */
  readonly first: number
  /** Longest delay, in milliseconds. */
  readonly most: number
  readonly attempt: () => void
}

/** Attempts something anew, less and less often, for as long as it is lacking. */
export class Retry {
  readonly #options: RetryOptions
  #delay: number
  #cancel: (() => void) | undefined

  constructor(options: RetryOptions) {
    this.#options = options
    this.#delay = options.first
  }

  /**
   * To be told how it stands, after every attempt and whenever it may have changed.
   * @param after milliseconds after which the next attempt is welcome, where whoever refused the last one said so: then
   * it comes no later, and those after it no less often
   */
  isLacking(lacking: boolean, after?: number): void {
    const { environment, first, most, attempt } = this.#options
    if (!lacking) {
      this.stop()
      this.#delay = first
      return
    }
    if (after !== undefined) this.stop()
    this.#cancel ??= environment.schedule(after ?? this.#delay, () => {
      this.#cancel = undefined
      if (after === undefined) this.#delay = Math.min(most, this.#delay * 2)
      attempt()
    })
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }
}
