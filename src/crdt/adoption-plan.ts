import { equalBytes } from '../bytes.ts'
import type { ActorId } from '../ids.ts'
import { findActor } from '../verify/state.ts'
import type { Adoption } from './adopt.ts'
import type { AdoptionTrial } from './adoption-trial.ts'
import type { ChangeTip } from './chain-place.ts'
import type { AnyDoc } from './content.ts'
import { writesIn } from './displacement.ts'
import { draftEntry, draftOf, metaOf } from './document-draft.ts'
import { type DocumentMeta, emptyMeta } from './document-meta.ts'
import { type FileRow, savedRow } from './file-row.ts'
import { knownContent } from './known-content.ts'
import type { LocalChange } from './local-row.ts'
import type { ParkedBody } from './parked-rows.ts'
import type { StoreRow } from './store.ts'

/** What takes the place of a document's content. */
export interface AdoptionPlan {
  /** The saved form, then what it does not cover; to be stored from `nextFile` of before on. */
  readonly rows: readonly FileRow[]
  readonly parked: readonly ParkedBody[]
  readonly meta: DocumentMeta
  /** Own changes that the log turned out to have. */
  readonly proven: readonly LocalChange[]
  /**
   * Somebody else wrote under the own actor: nothing is taken before that chain is closed, so that no edit can come
   * twice (DESIGN §3).
   */
  readonly isHeldBack: boolean
  /** The own chain is closed: own changes that the log does not hold have yet to be carried over. */
  readonly isClosed: boolean
  /** What was here was not checked to the end. */
  readonly isDoubted: boolean
  /** The document as it will be; undefined where nobody has it open. */
  readonly trial: AdoptionTrial | undefined
  readonly puts: readonly StoreRow[]
  readonly deletes: readonly Uint8Array[]
}

/** What is here of the document. */
export interface Present {
  readonly meta: DocumentMeta
  readonly own: ActorId | undefined
  /** The latest own change that was proven here, judged or not. */
  readonly tip: ChangeTip | undefined
  /** Own changes that were not proven here. */
  readonly locals: readonly LocalChange[]
  /** Needed where bodies did not come. */
  readonly doc: AnyDoc | undefined
}

/** Entry by which a document is marked whose content waits, as a whole, for the own chain to be closed. */
export const HELD_BACK = 0
/**
 * Stands in the same place where the content has come, and the own chain is closed in it: own changes that the log does
 * not hold no longer go on from there, until they are carried over to another.
 */
export const CLOSED: number = Number.MAX_SAFE_INTEGER

/**
 * What becomes of a document that came by fast-forward (DESIGN §5.4): the snapshot takes the place of what was here,
 * which it contains, and what it does not cover goes the way of all entries.
 */
export function planAdoption(
  { snapshot, entries, keysOf, record, document }: Adoption,
  { meta: before, own, tip, locals, doc }: Present,
): Omit<AdoptionPlan, 'isDoubted' | 'trial' | 'puts' | 'deletes'> {
  const saved: readonly FileRow[] = snapshot === undefined ? [] : [savedRow(snapshot.count, snapshot.payload.saved)]
  const nextFile = before.nextFile + saved.length
  const tips = snapshot?.tips ?? new Map<ActorId, ChangeTip>()
  const { incarnation } = before
  const isImported = own !== undefined && snapshot !== undefined && !tips.has(own) && writesIn(snapshot.doc, own)
  const draft = draftOf({ ...emptyMeta(document), incarnation, tips, nextFile, judged: nextFile }, locals)
  for (const entry of entries) {
    const isOpen = entry.body === undefined && draft.importer === undefined && !draft.stopped.has(entry.actor)
    const known = isOpen ? doc && knownContent(doc, entry, latestOf(entry.actor, tips, draft.files), keysOf) : undefined
    if (known !== undefined) {
      draft.files.push(known)
      continue
    }
    // Own changes need no body to be known again.
    draftEntry(draft, entry, keysOf, entry.actor === own && entry.body === undefined && !isImported)
  }
  // An own actor that occurs in the import has written nothing that counts, and nothing that is to be closed.
  const writer = own === undefined || isImported || draft.imported?.has(own) === true ? undefined : own
  const latest = writer === undefined ? undefined : latestOf(writer, tips, draft.files)
  const isNews = latest !== undefined && latest.seq > (tip?.seq ?? 0)
  const isKnown = !isNews || locals.some(({ seq, hash }) => seq === latest.seq && equalBytes(hash, latest.hash))
  const isClosed = writer !== undefined && findActor(record, writer)?.retired === true
  if ((!isKnown || draft.clonedAt !== undefined) && !isClosed) {
    const meta = { ...before, clonedAt: HELD_BACK }
    return { rows: [], parked: [], meta, proven: [], isHeldBack: true, isClosed }
  }
  return {
    rows: [...saved, ...draft.files],
    parked: draft.parked,
    meta: { ...metaOf(draft), clonedAt: isClosed ? CLOSED : undefined },
    // Where the chain was closed, what is still to be said is carried over to another first.
    proven: isNews && !isClosed ? locals.filter(change => change.seq <= latest.seq) : [],
    isHeldBack: false,
    isClosed,
  }
}

function latestOf(
  actor: ActorId,
  tips: ReadonlyMap<ActorId, ChangeTip>,
  rows: readonly FileRow[],
): ChangeTip | undefined {
  return rows.findLast(row => row.actor === actor && row.tip !== undefined)?.tip ?? tips.get(actor)
}
