export type { FrameFault } from './faulty-lane.ts'
export {
  type Fault,
  type FaultyTransport,
  type FaultyTransportOptions,
  faultyTransport,
} from './faulty-transport.ts'
export { type ForgedLog, forgeLog } from './forged-log.ts'
export { Gate } from './gate.ts'
export { claimOf, type Lie, MOMENTS, type Moment, signNote, type Teller, type Telling } from './lie.ts'
export { LIES } from './lies.ts'
export { NO_QUOTAS } from './limits.ts'
export { type LogStoreContractCase, logStoreContract } from './log-store-contract.ts'
export type { LogStorePlace } from './log-store-contract-checks.ts'
export {
  type CountedOperation,
  type FailingLogStore,
  type FailingLogStoreOptions,
  failingLogStore,
} from './log-store-failing.ts'
export { memoryLogStore } from './log-store-memory.ts'
export { type LoopbackOptions, type LoopbackRelay, loopbackRelay } from './loopback.ts'
export type { Direction, LoopbackConnection } from './loopback-connection.ts'
export type { Listener } from './lying-connection.ts'
export {
  type BranchOptions,
  type LieOptions,
  type LyingRelay,
  type LyingRelayOptions,
  lyingRelay,
  type Told,
} from './lying-relay.ts'
export { NO_METER } from './meter.ts'
export { nodeSigningKey, nodeVerifier } from './node-signatures.ts'
export type { Peer } from './peer.ts'
export { Relay } from './relay.ts'
