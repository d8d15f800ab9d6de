import { asSealogError, type SealogError } from '../errors.ts'
import type { DocumentId } from '../ids.ts'
import type { DocumentCore } from './document-core.ts'
import type { DocumentLedger } from './document-ledger.ts'
import type { DocumentRows } from './document-rows.ts'
import type { OpenCores } from './open-cores.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

export interface LocalFlushOptions {
  readonly cores: OpenCores
  readonly ledger: DocumentLedger
  readonly rows: DocumentRows
  readonly store: ReplicaStore
  /** Runs a task alone: nothing else moves rows, bookkeeping and open documents meanwhile. */
  readonly exclusive: <T>(task: () => Promise<T>) => Promise<T>
  /** Own changes went into the store, or failed to. */
  readonly onFlush: (failure: SealogError | undefined) => void
}

/** Own changes on their way to the store: all of one turn together, soon after they were made. */
export class LocalFlush {
  readonly #options: LocalFlushOptions
  /** Documents with own changes or a new incarnation that the store does not have yet. */
  readonly #dirty = new Set<DocumentId>()
  #isQueued = false

  constructor(options: LocalFlushOptions) {
    this.#options = options
  }

  /** Is anything not in the store that should be? */
  get isDirty(): boolean {
    return this.#dirty.size > 0
  }

  isWaiting(document: DocumentId): boolean {
    return this.#dirty.has(document)
  }

  /** Something was written in another way. */
  written(document: DocumentId): void {
    this.#dirty.delete(document)
  }

  /** Once for all changes of one turn. */
  soon(document: DocumentId): void {
    this.#dirty.add(document)
    if (this.#isQueued) return
    this.#isQueued = true
    queueMicrotask(() => {
      this.#isQueued = false
      void this.flush().catch(() => {})
    })
  }

  /** Resolves when every own change made before the call is in the store. @throws SealogError ERR_STORE… */
  flush(): Promise<void> {
    // Always in turn: what a flush under way fails to store is left to this one, which then tells.
    return this.#options.exclusive(() => this.#flushOnce())
  }

  async #flushOnce(): Promise<void> {
    const { cores, ledger, rows, store, onFlush } = this.#options
    const puts: StoreRow[] = []
    const written: { core: DocumentCore; seq: number }[] = []
    const documents = [...this.#dirty]
    // An own change may build on what was released, and must not be in the store without it.
    await this.#payFor(documents)
    for (const document of documents) {
      // These alone: others may have been written to meanwhile, and are the next flush's.
      this.#dirty.delete(document)
      const core = cores.get(document)
      if (core === undefined) continue
      const unsaved = core.unsaved()
      if (cores.isUnstored(document)) puts.push(rows.metaRow(ledger.meta(document)))
      for (const change of unsaved) puts.push(rows.localRow(document, change))
      written.push({ core, seq: unsaved.at(-1)?.seq ?? 0 })
    }
    if (puts.length === 0) return
    try {
      await store.commit({ puts, deletes: [], durability: 'strict' })
    } catch (error) {
      for (const document of documents) this.#dirty.add(document)
      throw this.#failed(error)
    }
    for (const { core, seq } of written) {
      cores.stored(core.document)
      core.markSaved(seq)
    }
    onFlush(undefined)
  }

  async #payFor(documents: readonly DocumentId[]): Promise<void> {
    try {
      for (const document of documents) await this.#options.ledger.pay(document)
    } catch (error) {
      throw this.#failed(error)
    }
  }

  #failed(error: unknown): SealogError {
    const failure = storeFailure(error)
    this.#options.onFlush(failure)
    return failure
  }
}

export function storeFailure(error: unknown): SealogError {
  return asSealogError(error, 'ERR_STORE', 'the local store failed')
}
