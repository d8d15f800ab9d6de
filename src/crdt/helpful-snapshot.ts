import { toHex } from '../bytes.ts'
import type { ActorId } from '../ids.ts'
import type { DocumentRecord } from '../verify/state.ts'
import type { Stopped } from './document-meta.ts'

export interface HelpfulSnapshot {
  /** 0 is the latest, 1 the one before. */
  readonly choice: number
  /** Leaf hash of its entry, in hex. */
  readonly hash: string
}

/**
 * A snapshot that may have what actors wrote who are parked here, the latest first. How far its author says to have seen
 * the log is no bound: it may cover more.
 * @param tried leaf hashes, in hex, of those that were asked already
 */
export function helpfulSnapshot(
  record: DocumentRecord | undefined,
  stopped: ReadonlyMap<ActorId, Stopped>,
  tried: ReadonlySet<string>,
): HelpfulSnapshot | undefined {
  if (![...stopped.values()].some(({ reason }) => reason === 'parked')) return undefined
  for (const [choice, snapshot] of (record?.snapshots ?? []).toReversed().entries()) {
    const hash = toHex(snapshot.hash)
    if (!tried.has(hash)) return { choice, hash }
  }
  return undefined
}
