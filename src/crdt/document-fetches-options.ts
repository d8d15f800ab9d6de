import type { SignatureVerifier } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import type { DocumentId } from '../ids.ts'
import type { LogView } from '../verify/log.ts'
import type { SpaceState } from '../verify/state.ts'
import type { Adoption } from './adopt.ts'
import type { DocumentSet } from './document-set.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import type { Problems } from './problems.ts'
import type { SpaceChannel } from './space-channel.ts'

/** What it takes to get documents from the relay, and who is told what became of them. */
export interface DocumentFetchesOptions {
  readonly channel: SpaceChannel
  readonly verifier: SignatureVerifier
  readonly environment: Environment
  readonly documents: DocumentSet
  readonly problems: Problems
  readonly view: () => LogView
  readonly keys: () => SpaceKeys
  /** Makes a document that came the one that is here; inside `exclusive`. */
  readonly adopt: (document: DocumentId, state: SpaceState, adoption: Adoption | undefined) => Promise<void>
  /** A document of which this replica has no keys: it stays where it is. */
  readonly onLocked: (document: DocumentId, birthEpoch: number) => void
  /** A document arrived; what is held back may go on. */
  readonly onAdopted: () => Promise<void>
  /** What came is not all: it is wanted once more. */
  readonly onLacking: (document: DocumentId) => void
  /** More may be asked for now. */
  readonly onFree: () => void
  readonly onUpdate: () => void
}
