import { SealogError } from '../errors.ts'
import type { Moment } from '../verify/control-state.ts'

export interface SyncEnds {
  /** By which the relay convicted itself. */
  readonly evidence: Uint8Array | undefined
  /** When the log says that this device was removed. */
  readonly removed: Moment | undefined
  /** Set when this build can go no further. */
  readonly halted: SealogError | undefined
}

/** Why nothing of this replica will ever be sent any more, if so; all else passes. */
export function endOf({ evidence, removed, halted }: SyncEnds): SealogError | undefined {
  if (evidence !== undefined) return endedByConviction()
  if (removed !== undefined) return endedByRemoval()
  return halted
}

export function endedByConviction(): SealogError {
  return new SealogError('ERR_FROZEN', 'the relay contradicted itself')
}

export function endedByRemoval(): SealogError {
  return new SealogError('ERR_REMOVED', 'this device was removed from the space')
}
