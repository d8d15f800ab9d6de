import type { SpaceId } from 'sealog/protocol'

/** What clients tell the checking process, in the order in which it happened to them. */
export type ClientEvent =
  /** The relay showed this note to `reader`. */
  | { readonly type: 'shown'; readonly reader: string; readonly space: SpaceId; readonly note: Uint8Array }
  /** The author has its own entry back, at this place of a log whose signed root covers it. */
  | { readonly type: 'acknowledged'; readonly space: SpaceId; readonly index: number; readonly hash: Uint8Array }
  /** An edit of a replica is in its local store. */
  | { readonly type: 'saved'; readonly replica: string; readonly id: string }
  /** The relay refused something with a code that promises that it may be tried again. */
  | { readonly type: 'refused'; readonly code: string }
  /** What must never happen. */
  | { readonly type: 'fault'; readonly what: string }

export type Tell = (event: ClientEvent) => void
