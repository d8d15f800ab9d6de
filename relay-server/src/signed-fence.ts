import type { SpaceId } from 'sealog/protocol'
import type { KeptHead, LogStore, StoredHead } from './log-store.ts'
import { isTombstone } from './log-store-fence.ts'
import type { SignedHead } from './signed-head.ts'

/** So much of a log was signed: from here on no process appends anything to less, but what makes it whole again. */
export async function fenceSigned(store: LogStore, space: SpaceId, { size, time, note }: StoredHead): Promise<void> {
  // The head first: whoever finds the floor finds what it stands for.
  await store.raiseHead(space, { size, time, note })
  await store.putFloor(space, size)
}

/**
 * A log was set back, and what was signed perhaps with it, as where both are in one database; but the process that sees
 * this still has a note about more. It goes where a fresh start looks, or that would sign another log for the same size.
 * @param own the latest note that the process knows of
 * @param kept what the store knows by now: the operator may have given that note up since
 * @param size of what is stored
 */
export async function recallSigned(
  store: LogStore,
  space: SpaceId,
  own: SignedHead | undefined,
  { kept, size }: { readonly kept: KeptHead | undefined; readonly size: number },
): Promise<void> {
  if (own === undefined || own.checkpoint.size <= size || isTombstone(kept)) return
  const { checkpoint, note } = own
  if (checkpoint.time <= (kept?.abandoned ?? 0)) return
  await fenceSigned(store, space, { size: checkpoint.size, time: checkpoint.time, note })
}
