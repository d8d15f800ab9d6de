import * as Automerge from '@automerge/automerge/slim'
import { equalBytes } from '../bytes.ts'
import { ZERO_32 } from '../crypto/hash.ts'
import { changeTag } from '../crypto/keyring.ts'
import type { DocumentId } from '../ids.ts'
import type { LogView } from '../verify/log.ts'
import { type ActorRecord, actorsOf, type DocumentRecord, knownDocument } from '../verify/state.ts'
import type { AnyDoc } from './content.ts'
import type { DocumentMeta } from './document-meta.ts'
import type { DocumentSet } from './document-set.ts'
import { summaryOf } from './guarded-document.ts'
import { type SealContext, type SealedEntry, sealSnapshot } from './seal.ts'
import { type ActorToCover, buildSnapshot } from './snapshot.ts'

/** What fits into a body that every space takes (16 MiB), with room for padding. */
const MAX_PAYLOAD: number = 15 * 1024 * 1024

/** Content since the latest snapshot that makes another one worth the while. */
export interface SnapshotLimits {
  readonly entries: number
  /** Of bodies. */
  readonly bytes: number
  /** Longest time that a replica waits for another to be faster, in milliseconds. */
  readonly delay: number
}

export const DEFAULT_SNAPSHOT_LIMITS: SnapshotLimits = { entries: 512, bytes: 512 * 1024, delay: 10_000 }

/** @param share 0 … 1, drawn anew for each replica and time: so that not all of them think so at once */
export function isSnapshotDue(
  { since, clonedAt }: DocumentMeta,
  limits: Omit<SnapshotLimits, 'delay'>,
  share: number,
): boolean {
  if (clonedAt !== undefined) return false
  return since.entries >= limits.entries * (1 + share) || since.bytes >= limits.bytes * (1 + share)
}

/**
 * Seals a snapshot of all that the verified log has of a document (DESIGN §5.4, §6.2).
 * @returns undefined where it would cover nothing new, or where the document cannot be told in one
 */
export async function writeSnapshot(
  context: SealContext,
  documents: DocumentSet,
  document: DocumentId,
): Promise<SealedEntry | undefined> {
  const { view, keys } = context
  const record = knownDocument(view.state, document)
  const core = documents.core(document) ?? (await documents.open(document))
  const meta = documents.meta(document)
  const { incarnation } = meta
  if (record === undefined || incarnation === undefined || meta.clonedAt !== undefined) return undefined
  // What is shown is then exactly what is proven.
  if (core.locals.length > 0 || !isNews(record, view)) return undefined
  const tag = (epoch: number): Uint8Array =>
    changeTag(keys.forDocument(document, record.birthEpoch, epoch).tag, ZERO_32)
  const covered = coveredBy(record, meta, tag)
  const payload = buildSnapshot(core.doc, covered, importIn(core.doc, record, covered))
  if (payload === undefined || payload.length > MAX_PAYLOAD) return undefined
  return sealSnapshot(context, document, incarnation, payload, tag)
}

function isNews({ contentEnd, snapshots }: DocumentRecord, { range }: LogView): boolean {
  const covered = Math.max(0, ...snapshots.map(snapshot => snapshot.seenSize))
  return contentEnd > covered && range.size > covered
}

/** Each actor up to its latest entry; one that is stopped, up to where its content was taken. */
function coveredBy(
  record: DocumentRecord,
  { stopped, tips }: DocumentMeta,
  tagOfNothing: (epoch: number) => Uint8Array,
): readonly ActorToCover[] {
  const covered: ActorToCover[] = []
  for (const item of actorsOf(record)) {
    const { actor, seq, hash } = item
    const stop = stopped.get(actor)
    const end = stop === undefined ? { seq, hash } : stop.covered
    const tip = tips.get(actor)
    const isTrue = tip !== undefined || (stop === undefined && isTagOfNothing(item, record, tagOfNothing))
    if (end === undefined || !isTrue) continue
    covered.push({ actor, ...end, tip })
  }
  return covered
}

/**
 * Of an actor without changes: does its tag say so? A chain may begin with a snapshot, whose tag nobody has held against
 * anything. Under any other tag whoever checks this snapshot would take it for a wrong one, and its author for a liar.
 */
function isTagOfNothing(
  { tag, tagEpoch }: ActorRecord,
  { importTag }: DocumentRecord,
  tagOfNothing: (epoch: number) => Uint8Array,
): boolean {
  if (importTag !== undefined && equalBytes(tag, importTag)) return true
  return equalBytes(tag, tagOfNothing(tagEpoch))
}

/** What the document began with: the changes of all who are not covered. */
function importIn(
  doc: AnyDoc,
  { importTag }: DocumentRecord,
  covered: readonly ActorToCover[],
): Parameters<typeof buildSnapshot>[2] {
  if (importTag === undefined) return undefined
  const listed = new Set<string>(covered.map(({ actor }) => actor))
  const changes = Automerge.getBackend(doc)
    .getChangesMeta([])
    .filter(({ actor }) => !listed.has(actor))
  const passed = new Set(changes.flatMap(({ deps }) => deps))
  const heads = changes.map(({ hash }) => hash).filter(hash => !passed.has(hash))
  return changes.length === 0 ? undefined : summaryOf(heads, changes.length)
}
