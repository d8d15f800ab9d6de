import { type ChannelDeadlines, DEFAULT_CHANNEL_DEADLINES } from './channel-deadlines.ts'
import { COSIGN_ENTRIES } from './cosigner.ts'
import { DEFAULT_SKIP_LIMITS, type SkipLimits } from './skip.ts'
import { DEFAULT_SNAPSHOT_LIMITS, type SnapshotLimits } from './snapshot-writer.ts'

/** When replicas take the trouble of what saves others, and themselves, more; and when they wait no longer. */
export interface SyncLimits {
  readonly skip: SkipLimits
  readonly snapshot: SnapshotLimits
  readonly cosign: { readonly entries: number }
  /** Where left out: `DEFAULT_CHANNEL_DEADLINES`. */
  readonly deadlines?: ChannelDeadlines
}

export const DEFAULT_SYNC_LIMITS: SyncLimits = {
  skip: DEFAULT_SKIP_LIMITS,
  snapshot: DEFAULT_SNAPSHOT_LIMITS,
  cosign: { entries: COSIGN_ENTRIES },
  deadlines: DEFAULT_CHANNEL_DEADLINES,
}
