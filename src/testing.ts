/**
 * For tests: the acceptance suite and fault injection for those who write a `ReplicaStore` of their own, and replicas on
 * a platform of one's own, such as the relays of `sealog-relay/testing`.
 */
export { type StoreContractCase, type StorePlace, storeContract } from './crdt/store-contract.ts'
export { type FailingStore, type FailingStoreOptions, failingStore } from './crdt/store-failing.ts'
export { memoryStore } from './crdt/store-memory.ts'
export type { SyncLimits } from './crdt/sync-limits.ts'
export { Replica, type ReplicaPlatform } from './replica.ts'
