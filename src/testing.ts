/** Acceptance suite and fault injection for those who write a `ReplicaStore` of their own. */
export { type StoreContractCase, type StorePlace, storeContract } from './crdt/store-contract.ts'
export { type FailingStore, type FailingStoreOptions, failingStore } from './crdt/store-failing.ts'
export { memoryStore } from './crdt/store-memory.ts'
