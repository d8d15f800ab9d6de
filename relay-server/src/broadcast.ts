import { concat, encodeCbor, encodeMessage, type SpaceId } from 'sealog/protocol'
import type { LogStore, StoredEntry } from './log-store.ts'
import type { SignedHead } from './signed-head.ts'
import { makePart, type SyncPart } from './sync-part.ts'

/** One group commit as its readers get it: the same bytes for everyone who has all that was before. */
export interface Broadcast {
  readonly from: number
  readonly to: number
  /** Encoded when somebody first asks, and once. */
  frames(): readonly Uint8Array[]
  /** For whom it answers a request: the first of the frames carries the reference of that. */
  framesWithRef(ref: number): readonly Uint8Array[]
}

/** @param entries all of one commit, which stand in the log from `from` on; at least one */
export async function makeBroadcast(
  store: LogStore,
  space: SpaceId,
  from: number,
  entries: readonly StoredEntry[],
  head: SignedHead,
): Promise<Broadcast> {
  const to = from + entries.length
  const parts: SyncPart[] = []
  for (let next = from; next < to; ) {
    const part = await makePart(store, space, next, entries.slice(next - from), head)
    parts.push(part)
    next = part.end
  }
  let shared: readonly Uint8Array[] | undefined
  const frames = (): readonly Uint8Array[] => {
    shared ??= parts.map(({ batch }) => encodeMessage({ type: 'sync', ref: 0, space, batch }))
    return shared
  }
  const framesWithRef = (ref: number): readonly Uint8Array[] => {
    const [first, ...rest] = frames()
    return first === undefined ? [] : [withRef(first, ref), ...rest]
  }
  return { from, to, frames, framesWithRef }
}

/** Array and type of a message take one byte each, and so does reference 0: what is behind it is the same for all. */
function withRef(frame: Uint8Array, ref: number): Uint8Array {
  return concat(frame.subarray(0, 2), encodeCbor(ref), frame.subarray(3))
}
