import type { Environment } from '../environment.ts'
import { asSealogError, hasCode } from '../errors.ts'
import type { PreparedControl } from './outbox.ts'
import type { Problems } from './problems.ts'

/** Where an entry that is due was refused, in milliseconds. */
const RETRY = 5_000

export interface ErrandsOptions {
  readonly environment: Environment
  readonly problems: Problems
  /** Appends a control entry. */
  readonly append: (prepare: () => Promise<PreparedControl | undefined>) => Promise<number | undefined>
  /** One is over, or is to be thought of again: what is due may be something else by now. */
  readonly onOver: () => void
}

/**
 * Control entries that any of many replicas may append, and one of them is enough: each waits a random share of some
 * patience, and looks once more before it writes. One at a time of each name.
 */
export class Errands {
  readonly #options: ErrandsOptions
  readonly #timers = new Map<string, () => void>()
  /** Control entries of these names are on their way. */
  readonly #busy = new Set<string>()
  #closed = false

  constructor(options: ErrandsOptions) {
    this.#options = options
  }

  close(): void {
    this.#closed = true
    for (const cancel of this.#timers.values()) cancel()
    this.#timers.clear()
  }

  /** Appends what `prepare` still finds due after a random share of `patience`, in milliseconds. */
  soon(name: string, patience: number, prepare: () => Promise<PreparedControl | undefined>): void {
    if (this.#timers.has(name) || this.#busy.has(name)) return
    const share = (this.#options.environment.random(1)[0] ?? 0) / 255
    this.#after(name, patience * share, () => this.#append(name, prepare))
  }

  /** Looks again in so many milliseconds, unless that is planned already. */
  again(name: string, delay: number): void {
    if (!this.#timers.has(name)) this.#after(name, delay, this.#options.onOver)
  }

  /** There is no need any more; what is on its way already stays so. */
  cancel(name: string): void {
    this.#timers.get(name)?.()
    this.#timers.delete(name)
  }

  #append(name: string, prepare: () => Promise<PreparedControl | undefined>): void {
    const { append, problems, environment, onOver } = this.#options
    this.#busy.add(name)
    append(prepare).then(
      () => {
        this.#busy.delete(name)
        problems.clear(`care/${name}`)
        onOver()
      },
      error => {
        this.#busy.delete(name)
        if (this.#closed || hasCode(error, 'ERR_CLOSED')) return
        const { code, message } = asSealogError(error, 'ERR_UNEXPECTED', 'a control entry could not be made')
        // That somebody was faster is how it should be: what was due may be there already.
        const isOvertaken = code === 'ERR_STALE_EPOCH' || code === 'ERR_STALE_CHAIN'
        if (!isOvertaken) problems.add(`care/${name}`, { code, message, since: environment.now() })
        this.#after(name, RETRY, () => {
          problems.clear(`care/${name}`)
          onOver()
        })
      },
    )
  }

  #after(name: string, delay: number, task: () => void): void {
    this.cancel(name)
    const cancel = this.#options.environment.schedule(delay, () => {
      this.#timers.delete(name)
      if (!this.#closed) task()
    })
    this.#timers.set(name, cancel)
  }
}
