import { equalBytes } from '../bytes.ts'
import { hasCode } from '../errors.ts'
import type { DocumentId } from '../ids.ts'
import type { AnyDoc } from './content.ts'
import type { ChainTags } from './kept-tags.ts'
import type { KeysOf } from './receive.ts'
import { taggedChange, type WalkBudget, walkTo } from './tag-walk.ts'
import type { UncheckedChain } from './unchecked.ts'

export type CheckStep =
  /** As far as the stretch or the budget goes. */
  | { readonly outcome: 'fits'; readonly chain: UncheckedChain }
  /** The key of the epoch in which the next tag was made is not here: nothing can be said of it. */
  | { readonly outcome: 'locked'; readonly chain: UncheckedChain }
  /** The author committed to something else than what the document holds. */
  | { readonly outcome: 'refuted'; readonly index: number }

/**
 * Holds a stretch of a chain against the document, backwards (DESIGN §6.2).
 *
 * Why what fits throughout is what a replay leads to. The tag of the last covered entry commits to the latest change,
 * and that to all changes of the actor. Each entry below with changes commits to one of these very changes, the later
 * entry to the later one. So whoever replayed the chain up to any entry has a beginning of this same line, and takes the
 * rest from this snapshot where a body of it does not open (R-PARK-3): nothing that it holds contradicts the document.
 * Where one does not fit, its author committed to a change that is not on the line: who was served that one holds it,
 * and can take nothing of the document's version.
 *
 * An honest actor always fits: each of its entries with changes brings at least one, which builds on its latest before.
 * @param tags that go up to `chain.next`, or beyond
 */
export function checkStretch(
  document: DocumentId,
  doc: AnyDoc,
  chain: UncheckedChain,
  { first, prev, tags }: ChainTags,
  keysOf: KeysOf,
  budget: WalkBudget,
): CheckStep {
  let { next, place, repeated } = chain
  const stand = (): UncheckedChain => ({ ...chain, next, place, repeated })
  const end = Math.max(first, chain.floor.entry)
  for (;;) {
    const entry = tags[next.seq - first]
    if (entry === undefined || next.seq < end || budget.left <= 0) return { outcome: 'fits', chain: stand() }
    const { index, kind, epoch, tag } = entry
    if (repeated !== undefined && !equalBytes(tag, repeated)) return { outcome: 'refuted', index }
    if (kind === 'changes') {
      const key = tagKeyOf(keysOf, document, epoch)
      if (key === undefined) return { outcome: 'locked', chain: stand() }
      const step = walkTo(doc, chain.actor, place, taggedChange(tag, key, chain.floor.change), budget)
      if (step.outcome === 'none') return { outcome: 'refuted', index }
      place = step.place
      if (step.outcome === 'paused') return { outcome: 'fits', chain: stand() }
      repeated = undefined
    } else {
      // An import begins its document, so its chain: its tag stands in the state, and was checked with the snapshot.
      if (kind === 'import' && next.seq > 0) return { outcome: 'refuted', index }
      repeated = kind === 'import' ? undefined : tag
      budget.left--
    }
    // The hash of the entry before is known of the first alone; within the stretch nobody asks for it.
    next = { seq: next.seq - 1, hash: prev }
    if (next.seq < end) return { outcome: 'fits', chain: stand() }
  }
}

/** Is every entry of the chain held against the document? */
export function isChecked({ next, floor }: UncheckedChain): boolean {
  return next.seq < floor.entry
}

function tagKeyOf(keysOf: KeysOf, document: DocumentId, epoch: number): Uint8Array | undefined {
  try {
    return keysOf(document, epoch).tag
  } catch (error) {
    if (hasCode(error, 'ERR_KEY')) return undefined
    throw error
  }
}
