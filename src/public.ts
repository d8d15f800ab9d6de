/** What every entry point for applications has in common. */
export type { Attribution } from './crdt/attribution.ts'
export type { Doc, Patch } from './crdt/content.ts'
export type { DocumentInfo } from './crdt/directory.ts'
export type { Confirmation } from './crdt/freshness.ts'
export type { HistoryDetail, HistoryEvent, NamedDevice, NamedMember } from './crdt/history-events.ts'
export type { Replicate } from './crdt/holdings.ts'
export { inviteQr } from './crdt/invite-link.ts'
export type { Problem } from './crdt/problems.ts'
export type { Durability, ReplicaStore, StoreBatch } from './crdt/store.ts'
export { indexedDbStore } from './crdt/store-indexeddb.ts'
export { memoryStore } from './crdt/store-memory.ts'
export type { TextPath } from './crdt/text-authors.ts'
export type { StoreSecret } from './crypto/store-lock.ts'
export type { Environment, Random } from './environment.ts'
export { type ErrorCode, type ErrorDetails, SealogError } from './errors.ts'
export type { ListenOptions, Unsubscribe } from './events.ts'
export type { ActorId, DocumentId, MemberId, SpaceId } from './ids.ts'
export type { RecoveryOutcome } from './recovery.ts'
export type { ConnectionState } from './relay/client.ts'
export type { Replica } from './replica.ts'
export type { RecoveryState } from './replica-devices.ts'
export type { InvitePreview } from './replica-joins.ts'
export type { RelayAddress, ReplicaOptions } from './replica-options.ts'
export type { ListedDocument, Space, SpaceEvents } from './space.ts'
export type { AuditAccess, AuditOptions } from './space-audit.ts'
export type { ChangeEvent, ChangeSource, DocumentEvents, Receipt, SpaceDocument } from './space-document.ts'
export type { EntryAddress, HistoryOptions, Reader } from './space-history.ts'
export type {
  AddDeviceOptions,
  InviteOptions,
  JoinRequest,
  Member,
  MemberDevice,
  OpenInviteInfo,
  Place,
  PolicyChange,
  SpaceFingerprint,
  SpaceStatus,
  Trust,
} from './space-status.ts'
export type { DeviceKeys, History, InviteKind, Policy, RelayIdentity, Role } from './verify/control.ts'
export type { WaitOptions } from './waiting.ts'
