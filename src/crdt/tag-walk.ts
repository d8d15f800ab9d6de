import * as Automerge from '@automerge/automerge/slim'
import { equalBytes, fromHex, toHex } from '../bytes.ts'
import { changeTag } from '../crypto/keyring.ts'
import type { ActorId } from '../ids.ts'
import type { ChangeTip } from './chain-place.ts'
import type { AnyDoc } from './content.ts'

/** A place among the changes of one actor, on the way from its latest to its first. */
export interface WalkPlace {
  readonly change: ChangeTip
  /** Does a later entry commit to this change? Then the one before is next. */
  readonly isPassed: boolean
}

/** How far a walk may go before it gives the thread back: counts changes that are looked up or held against a tag. */
export interface WalkBudget {
  left: number
}

export type WalkStep =
  /** Where it stands now: at the change of the tag. */
  | { readonly outcome: 'found'; readonly place: WalkPlace }
  /** The budget is used up: to be called again from here, with the same tag. */
  | { readonly outcome: 'paused'; readonly place: WalkPlace }
  /** There is no such change between the place and the floor. */
  | { readonly outcome: 'none' }

/** Which change is looked for. */
export interface WalkTarget {
  /** @param hash of a change, 32 bytes */
  readonly isIt: (hash: Uint8Array) => boolean
  /** Seq of a change that is below all that may be it. */
  readonly floor: number
}

/** The change that a tag commits to. @param key under which the tag was made, 32 bytes */
export function taggedChange(tag: Uint8Array, key: Uint8Array, floor: number): WalkTarget {
  return { isIt: hash => equalBytes(changeTag(key, hash), tag), floor }
}

/**
 * Goes down one actor's changes to the one that an entry of its chain ended with.
 *
 * The latest change of an actor commits to all before it, each of which lists the one before as a dependency. An actor
 * that tells one story has the tags of its entries on this very line, in the order of its chain: so whoever goes through
 * the entries backwards, and keeps the place, finds each, and holds no change against more than one tag.
 */
export function walkTo(
  doc: AnyDoc,
  actor: ActorId,
  from: WalkPlace,
  { isIt, floor }: WalkTarget,
  budget: WalkBudget,
): WalkStep {
  let place = from
  for (;;) {
    if (budget.left <= 0) return { outcome: 'paused', place }
    const next = place.isPassed ? changeBefore(doc, actor, place.change, budget) : place.change
    if (next === undefined || next.seq <= floor) return { outcome: 'none' }
    place = { change: next, isPassed: true }
    budget.left--
    if (isIt(next.hash)) return { outcome: 'found', place }
  }
}

/** The change of the actor that this one builds on; undefined of the first, and where the document is another. */
function changeBefore(
  doc: AnyDoc,
  actor: ActorId,
  { hash, seq }: ChangeTip,
  budget: WalkBudget,
): ChangeTip | undefined {
  if (seq <= 1) return undefined
  const backend = Automerge.getBackend(doc)
  for (const dependency of backend.getChangeMetaByHash(toHex(hash))?.deps ?? []) {
    budget.left--
    const meta = backend.getChangeMetaByHash(dependency)
    if (meta?.actor === actor && meta.seq === seq - 1) return { seq: meta.seq, hash: fromHex(dependency) }
  }
  return undefined
}
