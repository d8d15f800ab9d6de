import { decodeHeader, INLINE_BODY_LENGTH, rootAt, SealogError } from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import { type Judged, judge, type SpaceView, seenSizesOf } from './judge.ts'
import type { StoredEntry } from './log-store.ts'
import type { PushedEntry } from './pushed-entry.ts'
import { withNodes } from './tree-reader.ts'

/**
 * What entries make of a view that were accepted before: by another process of this relay, or by this one before it
 * lost them. Their signatures are not verified here, nor whether an invite had expired when they came.
 * @throws SealogError what the reducer finds wrong with them
 */
export async function judgeAccepted(
  context: RelayContext,
  view: SpaceView,
  entries: readonly PushedEntry[],
): Promise<Judged> {
  const sizes = [...seenSizesOf([entries])].filter(size => size <= view.range.size)
  const roots = await withNodes(context.store, view.space, nodeAt => sizes.map(size => rootAt(size, nodeAt)))
  const judged = judge(view, [entries], {
    relay: { name: context.name, key: context.signingKey.publicKey },
    now: 0,
    // Where they are stored they are there already; replicas, who give back what was lost, keep none but their own.
    lacksWraps: true,
    seenRoots: new Map(sizes.map((size, i) => [size, roots[i] as Uint8Array])),
    verdictOf: () => undefined,
  })
  const [refused] = judged.refused
  if (refused !== undefined) throw refused.error
  return judged
}

/** What stored entries bring about. */
export interface Followed {
  readonly view: SpaceView
  readonly entries: readonly StoredEntry[]
}

/**
 * Follows the stored entries behind a view, as far as fits one group, towards `to`.
 * @throws SealogError what the store throws; ERR_STORE_CORRUPT where they do not follow
 */
export async function followStored(context: RelayContext, view: SpaceView, to: number): Promise<Followed> {
  const { store, limits } = context
  const { size: from } = view.range
  const range = { from, to: Math.min(to, from + limits.groupEntries), inlineLength: INLINE_BODY_LENGTH }
  const entries = await store.readEntries(view.space, { ...range, maxBytes: limits.groupBytes })
  if (entries.length === 0) throw new SealogError('ERR_STORE_CORRUPT', `no entry ${from}, where ${to} are stored`)
  const pushed = await Promise.all(entries.map((entry, i) => storedAsPushed(context, view, from + i, entry)))
  try {
    return { view: (await judgeAccepted(context, view, pushed)).view, entries }
  } catch (cause) {
    throw new SealogError('ERR_STORE_CORRUPT', `the entries from ${from} on do not follow those before`, { cause })
  }
}

const NO_BODY = new Uint8Array(0)

/** The reducer reads the bodies of control entries only. */
async function storedAsPushed(
  { store }: RelayContext,
  { space }: SpaceView,
  index: number,
  { header: encoded, hash, signature, isControl, bodyLength, body }: StoredEntry,
): Promise<PushedEntry> {
  const isLong = isControl && body === undefined && bodyLength > 0
  const whole = isLong ? await store.readBody(space, index, 0, bodyLength) : body
  return { encoded, header: decodeHeader(encoded), hash, signature, body: whole ?? NO_BODY, wraps: undefined }
}
