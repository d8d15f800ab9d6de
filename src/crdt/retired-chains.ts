import type { Environment } from '../environment.ts'
import { asSealogError } from '../errors.ts'
import type { DocumentId } from '../ids.ts'
import type { SpaceState } from '../verify/state.ts'
import { findActor, knownDocument } from '../verify/state.ts'
import { HELD_BACK } from './adoption-plan.ts'
import type { DocumentSet } from './document-set.ts'
import type { Problems } from './problems.ts'

export interface RetiredChainsOptions {
  readonly documents: Pick<DocumentSet, 'metas' | 'meta' | 'ownActor' | 'carryOver'>
  readonly problems: Problems
  readonly environment: Pick<Environment, 'now'>
  readonly state: () => SpaceState | undefined
  /** The document is to be fetched once more: what it holds back has to come as a whole. */
  readonly refetch: (document: DocumentId) => void
}

/**
 * Documents in which the own chain is closed, as a clone or a backup of this replica wrote to it: what was not sent goes
 * over to a fresh chain, once each (DESIGN §3).
 */
export class RetiredChains {
  readonly #options: RetiredChainsOptions
  readonly #waiting = new Set<DocumentId>()

  constructor(options: RetiredChainsOptions) {
    this.#options = options
  }

  /** Own changes have yet to be carried over. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0
  }

  /** The own chain of this document is closed, as the log proves. */
  add(document: DocumentId): void {
    this.#waiting.add(document)
  }

  /** What a crash may have interrupted. */
  findInterrupted(): void {
    const { documents, state } = this.#options
    for (const { document } of documents.metas()) {
      const actor = documents.ownActor(document)
      const record = knownDocument(state(), document)
      if ((actor && record && findActor(record, actor))?.retired === true) this.#waiting.add(document)
    }
  }

  /** @throws SealogError ERR_STORE…; then it is tried again after the next batch */
  async carryOver(): Promise<void> {
    const { documents, problems, environment, refetch } = this.#options
    for (const document of [...this.#waiting]) {
      const cause = `carry-over/${document}`
      if (documents.meta(document).clonedAt === HELD_BACK) {
        this.#waiting.delete(document)
        refetch(document)
        continue
      }
      try {
        await documents.carryOver(document)
        problems.clear(cause)
      } catch (error) {
        const { code, message } = asSealogError(error, 'ERR_CONTENT', 'own changes cannot be carried over')
        if (code.startsWith('ERR_STORE') && code !== 'ERR_STORE_CORRUPT') throw error
        problems.add(cause, { code, message, since: environment.now(), document })
      }
      this.#waiting.delete(document)
    }
  }
}
