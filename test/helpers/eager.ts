import type { SyncLimits } from '../../src/crdt/sync-limits.ts'

/** So that a few dozen entries do what takes thousands in life. */
export const EAGER: SyncLimits = {
  skip: { join: 8, comeback: 12 },
  snapshot: { entries: 6, bytes: 1 << 20, delay: 5 },
  cosign: { entries: 6 },
}
