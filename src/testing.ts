/**
 * For tests: the acceptance suite and fault injection for those who write a `ReplicaStore` of their own, and replicas on
 * a platform of one's own, such as the relays of `sealog-relay/testing`. And for measurements: how the secrets of epochs
 * get to devices, without a space around it.
 */
export { epochStartOf, isTrueDelivery, makeDelivery } from './crdt/delivery.ts'
export { type EpochSecret, SpaceKeys } from './crdt/epoch-secrets.ts'
export { KeyKeeper } from './crdt/key-keeper.ts'
export { grantBody } from './crdt/membership.ts'
export { Problems } from './crdt/problems.ts'
export { type StoreContractCase, type StorePlace, storeContract } from './crdt/store-contract.ts'
export { type FailingStore, type FailingStoreOptions, failingStore } from './crdt/store-failing.ts'
export { memoryStore } from './crdt/store-memory.ts'
export type { SyncLimits } from './crdt/sync-limits.ts'
export { openBody, sealBody } from './crypto/keyring.ts'
export { kemPublicKeyOf } from './crypto/wrap.ts'
export { Replica } from './replica.ts'
export type { ReplicaPlatform } from './replica-options.ts'
