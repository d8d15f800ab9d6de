import * as Automerge from '@automerge/automerge/slim'
import { fromHex } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import type { ActorId } from '../ids.ts'
import { type AnyDoc, changeCount } from './content.ts'
import { type DocumentChunk, readDocument } from './guard/document-chunk.ts'
import { DOCUMENT_LIMITS, type GuardLimits } from './guard/rules.ts'
import type { ImportSummary } from './snapshot-payload.ts'

/**
 * Limits of a document that somebody else made. A few hundred bytes of run-length encoding can say that there are as
 * many operations as the limits allow, at some 100 bytes of memory each: these keep that below one gigabyte, at 40 times
 * the operations of a long paper. A larger document has no snapshots, and is replayed from its entries.
 */
const SHARED_DOCUMENT_LIMITS: GuardLimits = {
  ...DOCUMENT_LIMITS,
  maxInflated: 256 * 1024 * 1024,
  maxChanges: 4_194_304,
  maxOps: 8_388_608,
  maxPredecessors: 16_777_216,
}

/** Why a whole document was refused, beyond what the guard says: stable, machine-readable, without content. */
export type DocumentFault =
  | 'unloadable' // Automerge does not load it
  | 'missing-changes' // changes are queued, or wait for others
  | 'other-changes' // what Automerge loaded is not what the guard read
  | 'covered-actors' // the listed actors are not those whose entries are covered
  | 'covered-entry' // a listed entry is not the one that the log has
  | 'change-of-nobody' // a change by an actor that is not listed with one
  | 'change-count' // of a listed actor, more or fewer changes than listed
  | 'latest-change' // a listed change is not in the document, or not as listed
  | 'previous-change' // a change that does not build on its actor's change before
  | 'import' // it should begin with an import, or should not
  | 'import-heads' // the import is not in the document as listed
  | 'import-count'
  | 'import-actor' // the import holds changes by an actor that is listed with changes of its own
  | 'import-tag'
  | 'tag'

/** @throws SealogError ERR_CONTENT, or ERR_TAG for what a signed tag does not commit to; always */
export function refuseDocument(reason: DocumentFault, what: string, cause?: unknown): never {
  const code = reason === 'tag' || reason === 'import-tag' ? 'ERR_TAG' : 'ERR_CONTENT'
  throw new SealogError(
    code,
    `${reason}: ${what}`,
    cause === undefined ? { details: { reason } } : { cause, details: { reason } },
  )
}

/** The first half of the guard: framing, limits, columns. @throws SealogError ERR_GUARD */
export function readShared(saved: Uint8Array): DocumentChunk {
  return readDocument(saved, SHARED_DOCUMENT_LIMITS)
}

/**
 * Lets Automerge load what the guard accepted, and checks that it holds exactly the changes that the guard read.
 *
 * `Automerge.load` rebuilds every change from the columns, hashes it, and compares the hashes that nothing else names
 * with the heads in the chunk; so afterwards the hash of every change is a hash of its content and of its whole past.
 * @param chunk what `readShared` read in `saved`
 * @param actor who is to edit the document
 * @throws SealogError ERR_CONTENT
 */
export function loadGuarded(saved: Uint8Array, chunk: DocumentChunk, actor?: ActorId): AnyDoc {
  let doc: AnyDoc
  try {
    doc = Automerge.load<Record<string, unknown>>(saved, actor === undefined ? {} : { actor })
  } catch (cause) {
    return refuseDocument('unloadable', 'Automerge does not take it', cause)
  }
  try {
    if (Automerge.getMissingDeps(doc, []).length > 0) refuseDocument('missing-changes', 'queued')
    if (changeCount(doc) !== chunk.changes.count) refuseDocument('other-changes', 'number')
    if (!sameHashes(Automerge.getHeads(doc), chunk.heads)) refuseDocument('other-changes', 'heads')
  } catch (error) {
    Automerge.free(doc)
    throw error
  }
  return doc
}

/** What a document of these heads, which are distinct, would be as an import. */
export function summaryOf(heads: readonly string[], count: number): ImportSummary {
  return { heads: [...heads].sort().map(fromHex), count }
}

function sameHashes(a: readonly string[], b: readonly string[]): boolean {
  const known = new Set(a)
  return known.size === b.length && b.every(hash => known.has(hash))
}
