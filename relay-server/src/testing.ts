export { type LogStoreContractCase, type LogStorePlace, logStoreContract } from './log-store-contract.ts'
export {
  type CountedOperation,
  type FailingLogStore,
  type FailingLogStoreOptions,
  failingLogStore,
} from './log-store-failing.ts'
export { memoryLogStore } from './log-store-memory.ts'
export { type LoopbackOptions, type LoopbackRelay, loopbackRelay } from './loopback.ts'
export type { Direction, LoopbackConnection } from './loopback-connection.ts'
