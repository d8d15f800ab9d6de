import * as Automerge from '@automerge/automerge/slim'
import { labelledHash } from '../crypto/hash.ts'
import type { ActorId } from '../ids.ts'
import { carryOver } from './carry-over.ts'
import type { ChangeTip } from './chain-place.ts'
import { type AnyDoc, hasChange, localRow } from './content.ts'
import { GuardedContent } from './guarded-content.ts'
import type { LocalChange } from './local-row.ts'

/** An own actor that occurs in the import that the document begins with, and the one that takes its place. */
export interface Displacement {
  /** 8 bytes. */
  readonly incarnation: Uint8Array
  readonly actor: ActorId
  /** What the log has, and the own changes on top. */
  readonly content: GuardedContent
  /** Under the fresh actor: what the log does not hold. */
  readonly locals: readonly LocalChange[]
}

export interface DisplaceOptions {
  /** What the log has, without own changes that are not proven; it is used up. */
  readonly proven: GuardedContent
  /** Own incarnation, 8 bytes: of the actor that edits `proven`. */
  readonly incarnation: Uint8Array
  readonly actorOf: (incarnation: Uint8Array) => ActorId
  /** Own changes under that actor, ascending. */
  readonly locals: readonly LocalChange[]
}

/**
 * Does the own actor occur in the import that the document begins with? Its changes are there, and no entry brought
 * them. Whoever sees an entry in the clear can compute its actor: a member to whom the relay shows the first entry of a
 * document, and which it keeps from all others, can import a document with that actor in its place.
 *
 * Nobody takes an entry of such an actor. It has none that could be taken, as an import comes before all entries of its
 * document: so there is no chain to be closed, and a fresh incarnation goes on where this one stands.
 * @param proven what the log has, without own changes that are not proven
 * @param tips latest change of each actor that wrote entries
 */
export function isDisplaced({ actor, doc }: GuardedContent, tips: ReadonlyMap<ActorId, ChangeTip>): boolean {
  return !tips.has(actor) && writesIn(doc, actor)
}

/** Has this actor changes in the document? */
export function writesIn(doc: AnyDoc, actor: ActorId): boolean {
  if (Automerge.getActorId(doc) === actor) return Automerge.getLastLocalChange(doc) !== undefined
  return actorsIn(doc).has(actor)
}

/**
 * Carries own changes over to a fresh incarnation, except for those that the import holds as they are: none is lost, and
 * none comes twice.
 *
 * The fresh incarnation is derived from the one before: two copies of one replica move to the same actor, as which they
 * meet like any clones (DESIGN §3), and not with the same edit under two. So it is after a crash.
 * @returns undefined where the own changes do not go on from what the log has; `proven` can still be used then
 * @throws SealogError ERR_CONTENT, ERR_GUARD for own changes that are damaged
 */
export function displace({ proven, incarnation: before, actorOf, locals }: DisplaceOptions): Displacement | undefined {
  const taken = actorsIn(proven.doc)
  let incarnation = before
  do incarnation = nextIncarnation(incarnation)
  while (taken.has(actorOf(incarnation)))
  const actor = actorOf(incarnation)
  const unsent = locals.filter(change => !hasChange(proven.doc, change.hash))
  const carried = carryOver({ changes: unsent.map(change => change.bytes), from: proven.actor, to: actor })
  const doc = Automerge.clone(proven.doc, { actor })
  const content = new GuardedContent(actor, doc)
  if (content.trust(carried.map(change => localRow(actor, change))) === undefined) {
    Automerge.free(content.doc)
    return undefined
  }
  Automerge.free(proven.doc)
  return { incarnation, actor, content, locals: carried }
}

/** 8 bytes. Whoever made the import can compute it as well: then it occurs there, and the one after is taken. */
function nextIncarnation(before: Uint8Array): Uint8Array {
  return labelledHash('sealog/v1/incarnation', before).slice(0, 8)
}

function actorsIn(doc: AnyDoc): ReadonlySet<string> {
  return new Set(
    Automerge.getBackend(doc)
      .getChangesMeta([])
      .map(({ actor }) => actor),
  )
}
