import * as Automerge from '@automerge/automerge/slim'
import { concat, fromHex, toHex } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import type { ActorId } from '../ids.ts'
import type { ChangeTip } from './chain-place.ts'
import type { FileRow } from './file-row.ts'
import type { LocalChange } from './local-row.ts'

/** An Automerge document, and one step of how it became another. */
export type Doc<T> = Automerge.Doc<T>
export type Patch = Automerge.Patch

/** An Automerge document of any shape. */
export type AnyDoc = Automerge.Doc<Record<string, unknown>>

/** How a document became another. */
export interface PatchBatch {
  readonly before: AnyDoc
  readonly doc: AnyDoc
  readonly patches: Automerge.Patch[]
}

/** Number of changes applied to a document (not those queued for want of dependencies). */
export function changeCount(doc: AnyDoc): number {
  return Automerge.stats(doc).numChanges
}

export function emptyDoc(actor: ActorId): AnyDoc {
  return Automerge.init<Record<string, unknown>>({ actor })
}

/**
 * Applies the content of several entries in one call of Automerge, and checks the outcome against what they
 * announced (DESIGN §6.3): as many changes more, every announced latest change there, nothing left waiting.
 * Automerge drops what it cannot read without a word, hence the check.
 * @returns undefined where the check fails; the given document is then not to be used any more
 */
export function applyRows(doc: AnyDoc, rows: readonly FileRow[]): PatchBatch | undefined {
  const expected = rows.reduce((sum, row) => sum + row.count, changeCount(doc))
  const patches: Automerge.Patch[] = []
  const patchCallback = (batch: Automerge.Patch[]): void => {
    patches.push(...batch)
  }
  try {
    const next = Automerge.loadIncremental(doc, concat(...rows.map(row => row.bytes)), { patchCallback })
    if (
      changeCount(next) !== expected ||
      !rows.every(row => row.tip === undefined || isTip(next, row.actor, row.tip))
    ) {
      return undefined
    }
    return { before: doc, doc: next, patches }
  } catch {
    return undefined
  }
}

/**
 * Opens a document from rows that this replica judged or wrote itself: the last saved form, and what came after it.
 * @throws SealogError ERR_STORE_CORRUPT
 */
export function loadRows(actor: ActorId, rows: readonly FileRow[]): AnyDoc {
  const [first, ...rest] = rows
  const start = first?.kind === 'saved' ? loadSaved(first, actor) : emptyDoc(actor)
  const others = first?.kind === 'saved' ? rest : rows
  if (others.length === 0) return start
  const applied = applyRows(start, others)
  if (applied === undefined) throw new SealogError('ERR_STORE_CORRUPT', 'stored changes do not load')
  return applied.doc
}

/** The document as it was at these heads, built anew: for the rare case that something has to be taken back. */
export function rebuildAt(doc: AnyDoc, heads: Automerge.Heads, actor: ActorId): AnyDoc {
  const backend = Automerge.getBackend(doc)
  const later = new Set(backend.getChangesMeta(heads).map(meta => meta.hash))
  const chunks = backend
    .getChangesMeta([])
    .filter(meta => !later.has(meta.hash))
    .map(meta => backend.getChangeByHash(meta.hash) as Uint8Array)
  return Automerge.loadIncremental(emptyDoc(actor), concat(...chunks))
}

/** The document without these changes, on which no others of it build; the given one stays as it is. */
export function withoutChanges(doc: AnyDoc, changes: readonly LocalChange[], actor: ActorId): AnyDoc {
  const left = new Set(changes.map(({ hash }) => toHex(hash)))
  const backend = Automerge.getBackend(doc)
  const chunks = backend
    .getChangesMeta([])
    .filter(({ hash }) => !left.has(hash))
    .map(({ hash }) => backend.getChangeByHash(hash) as Uint8Array)
  return Automerge.loadIncremental(emptyDoc(actor), concat(...chunks))
}

/** Is `hash` in the document, as the change `seq` of `actor`? */
export function isTip(doc: AnyDoc, actor: ActorId | undefined, tip: ChangeTip): boolean {
  const meta = Automerge.getBackend(doc).getChangeMetaByHash(toHex(tip.hash))
  return meta !== null && meta.actor === actor && meta.seq === tip.seq
}

/** Is this change in the document? */
export function hasChange(doc: AnyDoc, hash: Uint8Array): boolean {
  return Automerge.getBackend(doc).getChangeMetaByHash(toHex(hash)) !== null
}

/** The latest change of an actor in the document, among those with a seq below `before`. */
export function latestChange(doc: AnyDoc, actor: ActorId, before: number): ChangeTip | undefined {
  let latest: ChangeTip | undefined
  for (const meta of Automerge.getBackend(doc).getChangesMeta([])) {
    if (meta.actor !== actor || meta.seq >= before || meta.seq <= (latest?.seq ?? 0)) continue
    latest = { seq: meta.seq, hash: fromHex(meta.hash) }
  }
  return latest
}

export interface Compacted {
  readonly bytes: Uint8Array
  readonly count: number
}

/**
 * The whole document as one compact chunk, given out only after it was loaded again and compared
 * (DESIGN §6.3: there are documents that save but do not load).
 * @returns undefined where the saved form does not load to the same document
 */
export function compact(doc: AnyDoc): Compacted | undefined {
  try {
    const bytes = Automerge.save(doc)
    const again = Automerge.load<Record<string, unknown>>(bytes)
    const count = changeCount(doc)
    const same = changeCount(again) === count && sameHeads(Automerge.getHeads(again), Automerge.getHeads(doc))
    Automerge.free(again)
    return same ? { bytes, count } : undefined
  } catch {
    return undefined
  }
}

/** The same of stored rows alone: where own changes are on their way, what is proven is not what is shown. */
export function compactRows(actor: ActorId, files: readonly FileRow[]): Compacted | undefined {
  const doc = loadRows(actor, files)
  const compacted = compact(doc)
  Automerge.free(doc)
  return compacted
}

function sameHeads(a: Automerge.Heads, b: Automerge.Heads): boolean {
  return a.length === b.length && a.every(head => b.includes(head))
}

export function localRow(actor: ActorId, change: LocalChange): FileRow {
  return {
    kind: 'raw',
    count: 1,
    index: 0,
    actor,
    chain: undefined,
    tip: { seq: change.seq, hash: change.hash },
    bytes: change.bytes,
  }
}

function loadSaved(row: FileRow, actor: ActorId): AnyDoc {
  try {
    const doc = Automerge.load<Record<string, unknown>>(row.bytes, { actor })
    if (changeCount(doc) === row.count) return doc
  } catch (cause) {
    throw new SealogError('ERR_STORE_CORRUPT', 'a saved document does not load', { cause })
  }
  throw new SealogError('ERR_STORE_CORRUPT', 'a saved document has lost changes')
}
