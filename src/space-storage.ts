import type { DocumentSet } from './crdt/document-set.ts'
import type { Environment } from './environment.ts'
import type { SealogError } from './errors.ts'
import type { SpaceStatus } from './space-status.ts'

/** Delay before a store that failed is tried again, in milliseconds. */
const STORE_RETRY = 5_000

export interface StoreHealthOptions {
  readonly documents: DocumentSet
  readonly environment: Environment
  readonly onFailure: (failure: SealogError) => void
  /** It works again, and has all that it should. */
  readonly onRecovered: () => void
}

/** How the local store does: what it did not take is offered again until it does. */
export class StoreHealth {
  readonly #options: StoreHealthOptions
  #state: SpaceStatus['storage'] = 'ok'
  #cancelRetry: () => void = () => {}
  #closed = false

  constructor(options: StoreHealthOptions) {
    this.#options = options
  }

  get state(): SpaceStatus['storage'] {
    return this.#state
  }

  /** @param failure undefined: the store took something */
  told(failure: SealogError | undefined): void {
    const { documents, environment, onFailure, onRecovered } = this.#options
    if (failure !== undefined) {
      this.#state = failure.code === 'ERR_STORE_FULL' ? 'full' : 'failed'
      onFailure(failure)
      this.#cancelRetry()
      if (!this.#closed) this.#cancelRetry = environment.schedule(STORE_RETRY, () => this.#flush())
    } else if (this.#state !== 'ok') {
      // It took something else: all is well once it took what is unsaved.
      if (documents.isDirty) return this.#flush()
      this.#state = 'ok'
      onRecovered()
    }
  }

  #flush(): void {
    void this.#options.documents.flush().catch(() => {})
  }

  close(): void {
    this.#closed = true
    this.#cancelRetry()
  }
}
