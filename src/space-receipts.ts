import type { DocumentCore } from './crdt/document-core.ts'
import type { SpaceSync } from './crdt/space-sync.ts'
import type { DocumentId } from './ids.ts'
import type { Receipt } from './space-document.ts'
import type { SpaceProgress } from './space-progress.ts'
import type { VerifiedEntry } from './verify/log.ts'

/** How far own changes have come on their way into the verified log. */
export class Receipts {
  readonly #sync: SpaceSync
  readonly #progress: SpaceProgress
  /** The latest own entry of each document that was proven in this session. */
  readonly #provenIndex = new Map<DocumentId, number>()

  constructor(sync: SpaceSync, progress: SpaceProgress) {
    this.#sync = sync
    this.#progress = progress
  }

  /** An entry of this replica's own came back. */
  proven({ header, index }: VerifiedEntry): void {
    this.#provenIndex.set(header.document, index)
  }

  /** About what was written until now. */
  of(core: DocumentCore): Receipt {
    const target = core.lastOwnSeq
    const isProven = (): boolean => (core.locals[0]?.seq ?? target + 1) > target
    const state = (): Receipt['state'] => {
      if (isProven()) return 'proven'
      if (core.unsaved().length > 0) return 'unsaved'
      return this.#sync.inFlight > 0 ? 'sequenced' : 'pending'
    }
    return {
      state: state(),
      index: this.#provenIndex.get(core.document),
      proven: (options = {}) => this.#progress.reached(isProven, options),
    }
  }
}
