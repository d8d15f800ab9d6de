import * as Automerge from '@automerge/automerge/slim'
import { equalBytes, toHex } from '../bytes.ts'
import { ZERO_32 } from '../crypto/hash.ts'
import { SealogError } from '../errors.ts'
import type { ActorId } from '../ids.ts'
import type { ChangeTip } from './chain-place.ts'
import { type AnyDoc, isTip } from './content.ts'
import type { DocumentChunk } from './guard/document-chunk.ts'
import { checkDocumentChanges } from './guard/document-rules.ts'
import { loadGuarded, readShared, refuseDocument } from './guarded-document.ts'
import { importCommitment } from './import-payload.ts'
import {
  type CoveredActor,
  encodeSnapshotPayload,
  type ImportSummary,
  type SnapshotPayload,
} from './snapshot-payload.ts'

/** How far a snapshot is to cover one actor's chain. */
export interface ActorToCover {
  readonly actor: ActorId
  /** Place in the actor's chain of the last entry that the document holds. */
  readonly seq: number
  /** Leaf hash of that entry, 32 bytes. */
  readonly hash: Uint8Array
  /** The change that this entry's tag commits to; undefined where the actor made none. */
  readonly tip: ChangeTip | undefined
}

/** The header of an actor's last covered entry, as the log proves it. */
export interface ProvenActor {
  readonly actor: ActorId
  readonly seq: number
  /** Leaf hash, 32 bytes. */
  readonly hash: Uint8Array
  /** 32 bytes. */
  readonly tag: Uint8Array
}

export interface VerifySnapshotOptions {
  readonly payload: SnapshotPayload
  /** The last covered entry of each actor that the snapshot lists, proven apart from it; in any order. */
  readonly proven: readonly ProvenActor[]
  /**
   * `changeTag` of a change hash under the tag key of that actor's proven entry: of the epoch in which the tag was
   * made, which for a `retire` entry is that of the entry before.
   */
  readonly tagOf: (actor: ActorId, committed: Uint8Array) => Uint8Array
  /** The import that the state says the document began with: its tag, and `changeTag` under the keys of its entry. */
  readonly imported?: { readonly tag: Uint8Array; readonly tagOf: (commitment: Uint8Array) => Uint8Array } | undefined
  /** Who is to edit the document that is returned. */
  readonly actor?: ActorId
}

export interface VerifiedSnapshot {
  /** The document; the caller's to free. */
  readonly doc: AnyDoc
  /** Number of changes in it. */
  readonly count: number
  /** The latest change of each covered actor that made one. */
  readonly tips: ReadonlyMap<ActorId, ChangeTip>
  /** Automerge actors of the import, in hex, of any length: they can never write entries of this document. */
  readonly importActors: ReadonlySet<string>
}

/**
 * Packs a document into the payload of a snapshot. It is given out only after it passed every check of `verifySnapshot`
 * that does not need the log: there are documents that save but do not load, and nobody could use them.
 * @param doc exactly the changes of the covered entries, and of the import: neither unsent changes nor queued ones
 * @param covered actors in any order, each once
 * @param imported what the document began with; undefined where it began empty
 * @returns undefined where the document is not what `covered` says or cannot be loaded again
 * @throws TypeError for an actor listed twice
 */
export function buildSnapshot(
  doc: AnyDoc,
  covered: readonly ActorToCover[],
  imported?: ImportSummary,
): Uint8Array | undefined {
  if (new Set(covered.map(({ actor }) => actor)).size !== covered.length) throw new TypeError('covered: an actor twice')
  const listed = covered.map(({ actor, seq, hash, tip }): CoveredActor => {
    return { actor, seq, hash, latestSeq: tip?.seq ?? 0, latestHash: tip?.hash ?? ZERO_32 }
  })
  listed.sort((a, b) => (a.actor < b.actor ? -1 : 1))
  try {
    const payload: SnapshotPayload = { imported, covered: listed, saved: Automerge.save(doc) }
    Automerge.free(openContents(payload).doc)
    return encodeSnapshotPayload(payload)
  } catch (error) {
    if (error instanceof SealogError) return undefined
    throw error
  }
}

/**
 * Checks that a snapshot is exactly the document that the signed tags commit to, whoever made it (DESIGN §6.2).
 *
 * Why it may then be believed. (1) Each listed actor's last covered entry is the proven one, and its tag is the HMAC of
 * the listed latest change hash: so its author signed this hash, for this document, as the tag key is of one document.
 * (2) The guard read the one document chunk that there is, with nothing before or after it, so that no queued change
 * rides along, and judged every change as it does in entries; Automerge loads it, has nothing queued or missing, and has
 * the number of changes and the heads that the guard read. It hashes what it loads: a hash in the document commits to
 * that change and its whole past. (3) The latest change of each actor that is listed with one is in there, with that
 * actor and seq n, and the document holds n changes of this actor. As seqs count up from 1, and every change of such an
 * actor depends directly on the one before, these n are the latest one and changes in its past: each is one that (1)
 * commits to. None is missing, as n counts them; none is added. (4) There are other changes only if the document began
 * with an import. Then the listed heads and count are those that its signed tag commits to; the heads are in the
 * document, and none is in the past of another; they and their past are `count` changes, none of an actor of (3); and
 * changes of nobody in (3) are `count` altogether. So they are the import, whole and alone. (5) Hence two snapshots that
 * cover the same entries hold the same changes, and so does the replay of these entries.
 *
 * What the guard cannot see here is how the entries were framed: in chunks or bundles, how many changes to an entry.
 *
 * What a snapshot does not list it does not cover: these chains are for the caller to apply from their beginning, and
 * whether it covers enough is for the caller to say, by handing in exactly the actors that it must list.
 *
 * An actor without changes has the tag of 32 zero bytes, or of the import where its chain began with that: nothing else
 * may be in a tag without a change. Its id may occur in the import, which its author may have chosen to make so.
 * @returns a document that is the caller's to free
 * @throws SealogError ERR_CONTENT or ERR_TAG with a `DocumentFault` as `details.reason`; ERR_GUARD with the guard's
 */
export function verifySnapshot(options: VerifySnapshotOptions): VerifiedSnapshot {
  const { payload } = options
  checkCoverage(payload.covered, options.proven)
  checkTags(options)
  const { doc, count, importActors } = openContents(payload, options.actor)
  const tips = new Map<ActorId, ChangeTip>()
  for (const { actor, latestSeq, latestHash } of payload.covered) {
    if (latestSeq > 0) tips.set(actor, { seq: latestSeq, hash: latestHash })
  }
  return { doc, count, tips, importActors }
}

function checkCoverage(covered: readonly CoveredActor[], proven: readonly ProvenActor[]): void {
  const entries = new Map(proven.map(entry => [entry.actor, entry]))
  if (entries.size !== proven.length) throw new TypeError('proven: an actor twice')
  if (entries.size !== covered.length) refuseDocument('covered-actors', 'more or fewer than it lists')
  for (const { actor, seq, hash } of covered) {
    const entry = entries.get(actor)
    if (entry === undefined) refuseDocument('covered-actors', 'one that is not proven')
    if (entry.seq !== seq || !equalBytes(entry.hash, hash)) refuseDocument('covered-entry', 'of another place or hash')
  }
}

function checkTags({ payload, proven, tagOf, imported }: VerifySnapshotOptions): void {
  const summary = payload.imported
  if ((summary === undefined) !== (imported === undefined)) refuseDocument('import', 'with or without one')
  const commitment = summary === undefined ? undefined : importCommitment(summary)
  if (imported !== undefined && commitment !== undefined && !equalBytes(imported.tagOf(commitment), imported.tag))
    refuseDocument('import-tag', 'another import')

  const tags = new Map(proven.map(entry => [entry.actor, entry.tag]))
  for (const { actor, latestSeq, latestHash } of payload.covered) {
    const tag = tags.get(actor) as Uint8Array
    const isChange = equalBytes(tagOf(actor, latestHash), tag)
    const isImport = () => latestSeq === 0 && commitment !== undefined && equalBytes(tagOf(actor, commitment), tag)
    if (!isChange && !isImport()) refuseDocument('tag', 'another latest change')
  }
}

interface OpenedSnapshot {
  readonly doc: AnyDoc
  readonly count: number
  readonly importActors: ReadonlySet<string>
}

/** Steps 2 to 4 of the argument: what the bytes themselves must be, whatever the log says. */
function openContents({ imported, covered, saved }: SnapshotPayload, actor?: ActorId): OpenedSnapshot {
  const chunk = readShared(saved)
  const isWriter = countChanges(chunk, covered, imported)
  checkPrevious(chunk, isWriter)
  checkDocumentChanges(chunk, isWriter)
  const doc = loadGuarded(saved, chunk, actor)
  try {
    for (const { actor: author, latestSeq: seq, latestHash: hash } of covered) {
      if (seq > 0 && !isTip(doc, author, { seq, hash })) refuseDocument('latest-change', 'not in the document')
    }
    const isImported = imported === undefined ? undefined : importedChanges(doc, chunk, imported)
    const importActors = new Set<string>()
    for (let i = 0; i < chunk.changes.count; i++) {
      if (isImported?.[i] !== 1) continue
      const author = chunk.changes.actor[i] as number
      if (isWriter[author] === 1) refuseDocument('import-actor', 'a covered one')
      importActors.add(chunk.actors[author] as string)
    }
    return { doc, count: chunk.changes.count, importActors }
  } catch (error) {
    Automerge.free(doc)
    throw error
  }
}

/** @returns 1 for each actor of the chunk that is listed with a change */
function countChanges(
  { actors, changes }: DocumentChunk,
  covered: readonly CoveredActor[],
  imported: ImportSummary | undefined,
): Uint8Array {
  const counts = new Uint32Array(actors.length)
  for (const author of changes.actor) counts[author] = (counts[author] as number) + 1
  const index = new Map(actors.map((actor, i) => [actor, i]))
  const isWriter = new Uint8Array(actors.length)
  let others = changes.count
  for (const { actor, latestSeq } of covered) {
    if (latestSeq === 0) continue
    const i = index.get(actor)
    if (i === undefined || counts[i] !== latestSeq) return refuseDocument('change-count', 'of a covered actor')
    isWriter[i] = 1
    others -= latestSeq
  }
  if (imported === undefined && others > 0) refuseDocument('change-of-nobody', 'not of a listed actor')
  if (imported !== undefined && others !== imported.count) refuseDocument('import-count', 'not of listed actors')
  return isWriter
}

/** Every change of a writer depends directly on its actor's change before, as the guard demands of entries. */
function checkPrevious({ actors, changes }: DocumentChunk, isWriter: Uint8Array): void {
  const { actor, dependency, dependencyStart } = changes
  const previous = new Int32Array(actors.length).fill(-1)
  for (let i = 0; i < changes.count; i++) {
    const author = actor[i] as number
    const before = previous[author] as number
    previous[author] = i
    if (before < 0 || isWriter[author] !== 1) continue
    let at = dependencyStart[i] as number
    const end = dependencyStart[i + 1] as number
    while (at < end && dependency[at] !== before) at++
    if (at === end) refuseDocument('previous-change', 'not a dependency')
  }
}

/** Marks the heads of the import and their past, which must be as many changes as it says. */
function importedChanges(doc: AnyDoc, { actors, changes }: DocumentChunk, imported: ImportSummary): Uint8Array {
  const backend = Automerge.getBackend(doc)
  const index = new Map(actors.map((actor, i) => [actor, i]))
  const headSeqs = actors.map(() => new Set<number>())
  for (const head of imported.heads) {
    const meta = backend.getChangeMetaByHash(toHex(head))
    const author = meta === null ? undefined : index.get(meta.actor)
    if (meta === null || author === undefined) return refuseDocument('import-heads', 'not in the document')
    headSeqs[author]?.add(meta.seq)
  }
  const isHead = new Uint8Array(changes.count)
  for (let i = 0; i < changes.count; i++) {
    if (headSeqs[changes.actor[i] as number]?.has(changes.seq[i] as number)) isHead[i] = 1
  }
  const marked = isHead.slice()
  let count = 0
  // Dependencies come before what depends on them: one pass from the end reaches the whole past.
  for (let i = changes.count - 1; i >= 0; i--) {
    if (marked[i] !== 1) continue
    count++
    for (let at = changes.dependencyStart[i] as number; at < (changes.dependencyStart[i + 1] as number); at++) {
      const position = changes.dependency[at] as number
      if (isHead[position] === 1) refuseDocument('import-heads', 'in the past of another')
      marked[position] = 1
    }
  }
  if (count !== imported.count) refuseDocument('import-count', 'in the past of its heads')
  return marked
}
