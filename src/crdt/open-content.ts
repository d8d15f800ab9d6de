import { SealogError } from '../errors.ts'
import type { ActorId } from '../ids.ts'
import type { ChangeTip } from './chain-place.ts'
import { loadRows, localRow } from './content.ts'
import { isDisplaced } from './displacement.ts'
import type { FileRow } from './file-row.ts'
import { GuardedContent, type RefusedRow } from './guarded-content.ts'
import type { LocalChange } from './local-row.ts'

/** What the store has of a document. */
export interface StoredContent {
  /** Rows that were judged, in order: the last saved form, and what came after it. */
  readonly judged: readonly FileRow[]
  /** Rows that came while the document was closed, or that a crash left unjudged. */
  readonly unjudged: readonly FileRow[]
  /** Own changes that are not proven. */
  readonly locals: readonly LocalChange[]
  /** Latest change of each actor in `judged`. */
  readonly tips: ReadonlyMap<ActorId, ChangeTip>
}

export interface OpenedContent {
  readonly content: GuardedContent
  /** Of `unjudged`, what is not applied. */
  readonly refused: readonly RefusedRow[]
  /** Latest change of each actor in what is. */
  readonly tips: ReadonlyMap<ActorId, ChangeTip>
  /** The own actor occurs in the import: its changes are not in `content`, and go on under another. */
  readonly isDisplaced: boolean
}

/**
 * Opens a document from its stored rows. What was judged is trusted; the rest is judged now, and as it would have been
 * when it came, so that every replica and every restart ends with the same document.
 * @throws SealogError ERR_STORE_CORRUPT where rows that this replica judged or wrote itself do not load
 */
export function openContent(actor: ActorId, { judged, unjudged, locals, tips }: StoredContent): OpenedContent {
  const own = locals.map(change => localRow(actor, change))
  const content = new GuardedContent(actor, loadRows(actor, judged))
  const taken = unjudged.length === 0 ? { refused: [], tips } : content.take(unjudged, tips)
  const { refused, tips: reached } = taken
  // Where own changes go on from others of their own, those were taken.
  const isFirst = (locals[0]?.seq ?? 1) === 1
  if (isFirst && isDisplaced(content, reached)) return { content, refused, tips: reached, isDisplaced: true }
  if (content.trust(own) === undefined) throw new SealogError('ERR_STORE_CORRUPT', 'own changes do not load')
  return { content, refused, tips: reached, isDisplaced: false }
}
