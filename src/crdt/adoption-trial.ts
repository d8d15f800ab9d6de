import * as Automerge from '@automerge/automerge/slim'
import type { ActorId } from '../ids.ts'
import type { AdoptedSnapshot } from './adopt.ts'
import type { ChangeTip } from './chain-place.ts'
import { type AnyDoc, localRow } from './content.ts'
import { displace, isDisplaced } from './displacement.ts'
import type { DocumentCore } from './document-core.ts'
import type { FileRow } from './file-row.ts'
import { GuardedContent, type RefusedRow } from './guarded-content.ts'
import type { LocalChange } from './local-row.ts'

/**
 * An open document as it will be once what came as a whole takes its place, put together before that is durable: which
 * own changes stand on it then decides what the transaction writes, and whether there is one at all.
 */
export interface AdoptionTrial {
  /** Own changes that go on from it are on top, unless `isDisplaced`. */
  readonly content: GuardedContent
  /** Latest change of each actor in what the log has. */
  readonly tips: ReadonlyMap<ActorId, ChangeTip>
  readonly refused: readonly RefusedRow[]
  /** The own actor occurs in the import: own changes have yet to be carried over to another, and can be. */
  readonly isDisplaced: boolean
  /** Own changes that the log does not have, and that go on from what it has. */
  readonly kept: readonly LocalChange[]
  /** Those behind them: they build on what will not be there any more. */
  readonly lost: readonly LocalChange[]
}

export interface AdoptionTrialOptions {
  readonly core: DocumentCore
  /** Own incarnation, 8 bytes: of the actor that edits `core`. */
  readonly incarnation: Uint8Array
  readonly actorOf: (incarnation: Uint8Array) => ActorId
  /** Used up. */
  readonly snapshot: AdoptedSnapshot | undefined
  /** The saved form of the snapshot, then what it does not cover. */
  readonly rows: readonly FileRow[]
  /** Latest change of each actor in the snapshot. */
  readonly tips: ReadonlyMap<ActorId, ChangeTip>
}

/** Changes nothing but the memory of the snapshot. @throws SealogError ERR_CONTENT, ERR_GUARD for damaged own changes */
export function tryAdoption(options: AdoptionTrialOptions): AdoptionTrial {
  const { core, snapshot, rows } = options
  const content = new GuardedContent(core.actor, snapshot && editedBy(snapshot.doc, core.actor))
  const { tips, refused } = content.take(snapshot === undefined ? rows : rows.slice(1), options.tips)
  const unproven = core.locals.filter(({ seq }) => seq > (tips.get(core.actor)?.seq ?? 0))
  const displaced = isDisplaced(content, tips)
  const kept = displaced ? carriedOver(content, unproven, options) : ownOnTop(content, unproven)
  return { content, tips, refused, isDisplaced: displaced, kept, lost: unproven.slice(kept.length) }
}

/** Puts own changes on top of what the log has. @returns those that go on from there: each builds on the one before */
export function ownOnTop(content: GuardedContent, locals: readonly LocalChange[]): readonly LocalChange[] {
  const own = locals.map(change => localRow(content.actor, change))
  if (content.trust(own) !== undefined) return locals
  const end = own.findIndex(row => content.trust([row]) === undefined)
  return end < 0 ? locals : locals.slice(0, end)
}

/** Of own changes that have to go on under another actor: all, or none where that fails. Tried on a copy. */
function carriedOver(
  { actor, doc }: GuardedContent,
  locals: readonly LocalChange[],
  { incarnation, actorOf }: AdoptionTrialOptions,
): readonly LocalChange[] {
  if (locals.length === 0) return locals
  const proven = new GuardedContent(actor, Automerge.clone(doc, { actor }))
  const moved = displace({ proven, incarnation, actorOf, locals })
  Automerge.free((moved?.content ?? proven).doc)
  return moved === undefined ? [] : locals
}

/** The same document with this actor as its writer: it may have been loaded before that was known. */
function editedBy(doc: AnyDoc, actor: ActorId): AnyDoc {
  if (Automerge.getActorId(doc) === actor) return doc
  const own = Automerge.clone(doc, { actor })
  Automerge.free(doc)
  return own
}
