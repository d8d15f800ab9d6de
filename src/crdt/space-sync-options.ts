import type { SignatureVerifier } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import type { SealogError } from '../errors.ts'
import type { DocumentId, SpaceId } from '../ids.ts'
import type { RelayClient } from '../relay/client.ts'
import type { ControlState } from '../verify/control-state.ts'
import type { LogView, VerifiedEntry } from '../verify/log.ts'
import type { DueAudit } from './delivery-audits.ts'
import type { DocumentSet } from './document-set.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import type { Freshness } from './freshness.ts'
import type { Replicate } from './holdings.ts'
import type { LockedDocuments } from './locked-row.ts'
import type { Problems } from './problems.ts'
import type { SpaceSecrets } from './secrets.ts'
import type { ReplicaStore } from './store.ts'
import type { SyncLimits } from './sync-limits.ts'
import type { Vouched } from './trust.ts'
import type { UncheckedDocument } from './unchecked.ts'

export interface SpaceSyncOptions {
  readonly space: SpaceId
  readonly store: ReplicaStore
  readonly client: RelayClient
  readonly environment: Environment
  readonly verifier: SignatureVerifier
  readonly documents: DocumentSet
  readonly problems: Problems
  readonly replicate: Replicate
  readonly limits: SyncLimits
  readonly view: LogView
  readonly note: Uint8Array | undefined
  readonly held: ReadonlySet<DocumentId> | undefined
  readonly vouched: Vouched | undefined
  readonly locked: LockedDocuments
  /** Documents that came as a snapshot and were not checked to the end. */
  readonly unchecked: readonly UncheckedDocument[]
  readonly freshness: Freshness
  /** By which the relay convicted itself, where it did. */
  readonly evidence: Uint8Array | undefined
  readonly secrets: SpaceSecrets
  readonly audits: readonly DueAudit[]
  /** Nothing is sealed on a head that is older, in milliseconds. */
  readonly maxHeadAge: number
  /** Builds the own entry by which another device admits this one. @throws SealogError ERR_KEY */
  readonly admissionBody: (keys: SpaceKeys, control: ControlState) => Uint8Array
  /** The store failed, or works again. */
  readonly onStore: (failure: SealogError | undefined) => void
  /** Something that `status` or a waiting caller looks at changed. */
  readonly onUpdate: () => void
  /** Entries were applied; what they changed is visible. */
  readonly onEntries: (entries: readonly VerifiedEntry[]) => void
  /** The relay contradicted itself: sync has ended. */
  readonly onFrozen: (evidence: Uint8Array) => void
}
