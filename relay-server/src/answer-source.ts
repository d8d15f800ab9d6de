import type { DocumentRecord, SpaceId, StateMap } from 'sealog/protocol'
import type { LogStore } from './log-store.ts'

/** What answers about one space are composed from. Everything below a signed size stays as it is while they are. */
export interface AnswerSource {
  readonly space: SpaceId
  readonly store: LogStore
  /** The map of documents as it was at a signed size. */
  documentsAt(size: number): Promise<StateMap<DocumentRecord>>
}
