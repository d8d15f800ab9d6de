import { equalBytes } from '../bytes.ts'
import type { SignatureCheck } from '../crypto/sign.ts'
import { type ErrorCode, SealogError } from '../errors.ts'
import type { ActorId, SpaceId } from '../ids.ts'
import type { Checkpoint } from './checkpoint.ts'
import { type CompactRange, emptyRange } from './compact-range.ts'
import type { ControlBody } from './control.ts'
import type { Header } from './entry.ts'
import type { SpaceState } from './state.ts'
import type { Recipient } from './wraps.ts'

/** The relay as a replica pinned it at first contact. */
export interface PinnedRelay {
  readonly name: string
  /** Ed25519, 32 bytes. */
  readonly key: Uint8Array
}

/** Is it the same relay: by its name and its key, wherever it was met? */
export function sameRelay(a: PinnedRelay, b: PinnedRelay): boolean {
  return a.name === b.name && equalBytes(a.key, b.key)
}

/** A log prefix that is known to be the one log: any batch that passes its size must reproduce its root. */
export interface Anchor {
  readonly size: number
  readonly root: Uint8Array
  /** The signed note that says so, where there is one. */
  readonly note?: Uint8Array | undefined
}

/** All that a replica holds of a changelog it has verified up to `range.size`. Immutable. */
export interface LogView {
  readonly space: SpaceId
  readonly relay: PinnedRelay
  readonly range: CompactRange
  /** Undefined as long as no entry, not even the genesis, is known. */
  readonly state: SpaceState | undefined
  /** The largest log that the relay signed to this replica; ahead of `range` in the middle of a catch-up. */
  readonly head: Checkpoint | undefined
  /** Ascending, all beyond `range.size`. */
  readonly anchors: readonly Anchor[]
  /** The log up to and including the latest control entry: what a fingerprint is over. */
  readonly controlRoot: Anchor | undefined
}

/** Most anchors that a view keeps (protocol.md R-BATCH-6). */
export const MAX_ANCHORS = 256

/** One entry of a batch as it travels: a signature or a body that is not sent is undefined. */
export interface BatchEntry {
  readonly header: Uint8Array
  readonly signature: Uint8Array | undefined
  readonly body: Uint8Array | undefined
}

/** What a relay says about the log: catch-up, live broadcast and acknowledgement alike (DESIGN §5.3). */
export interface Batch {
  readonly from: number
  readonly entries: readonly BatchEntry[]
  /** For each `seenSize` below `from` that a header names: consistency proof from there to `from`. */
  readonly seenProofs: readonly { readonly size: number; readonly proof: readonly Uint8Array[] }[]
  /** Signed checkpoint of a log at least as large as `from + entries.length`. */
  readonly note: Uint8Array
  /** From `from + entries.length` to the checkpoint; empty where the sizes are equal. */
  readonly consistency: readonly Uint8Array[]
  /** For a sparse view: what these entries replace in the state before them, see tracer.ts. */
  readonly tracer: Uint8Array | undefined
}

/** An entry of the log whose place, author and covering signature are proven once all checks passed. */
export interface VerifiedEntry {
  readonly index: number
  readonly header: Header
  readonly hash: Uint8Array
  readonly actor: ActorId
  /** The body that the header commits to; undefined where the relay did not send it. */
  readonly body: Uint8Array | undefined
  readonly control: ControlBody | undefined
  /** Of a control entry that delivers the secret of an epoch: to whom. */
  readonly recipients?: readonly Recipient[] | undefined
}

/** A signature to verify, and what it means if it is wrong. */
export interface RequiredCheck extends SignatureCheck {
  readonly code: ErrorCode
  readonly what: string
}

export interface Advanced {
  readonly view: LogView
  readonly entries: readonly VerifiedEntry[]
  /** Every one must hold before anything of this result is used. */
  readonly checks: readonly RequiredCheck[]
}

/** The view of a replica that knows nothing yet but what space it wants. */
export function emptyView(space: SpaceId, relay: PinnedRelay, anchors: readonly Anchor[]): LogView {
  return {
    space,
    relay,
    range: emptyRange,
    state: undefined,
    head: undefined,
    anchors: [...anchors].sort(bySize),
    controlRoot: undefined,
  }
}

/** Every entry known, none missing before the relay's signed head. */
export function isCurrent(view: LogView): boolean {
  return view.head !== undefined && view.head.size === view.range.size
}

/**
 * One more size whose root must be met. A relay whose heads run ahead of its entries for ever must not fill the
 * replica: where there are too many, it takes the place of the furthest. Those that entries must pass first stay, the
 * one of an invite among them.
 * @param anchors ascending
 * @returns the same list where it has this anchor
 * @throws SealogError ERR_ROOT_MISMATCH where it has another root for that size
 */
export function withAnchor(anchors: readonly Anchor[], anchor: Anchor): readonly Anchor[] {
  const known = anchors.find(({ size }) => size === anchor.size)
  if (known !== undefined && !equalBytes(known.root, anchor.root)) {
    throw new SealogError('ERR_ROOT_MISMATCH', `two signed roots for ${anchor.size} entries`)
  }
  if (known !== undefined) return anchors
  return [...anchors.slice(0, MAX_ANCHORS - 1), anchor].sort(bySize)
}

function bySize(a: Anchor, b: Anchor): number {
  return a.size - b.size
}
