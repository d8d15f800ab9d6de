import type { ActorId } from '../ids.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import { type ChangeTip, entryBefore } from './chain-place.ts'
import type { DocumentMeta, Stopped } from './document-meta.ts'
import type { FileRow } from './file-row.ts'
import { importedActors } from './import-payload.ts'
import type { LocalChange } from './local-row.ts'
import { type ParkedBody, parkedEntry, placeOf } from './parked-rows.ts'
import { type KeysOf, type Received, receiveEntry } from './receive.ts'

/** An entry from which on nothing of its actor is applied. */
export interface StoppedEntry {
  readonly entry: VerifiedEntry
  readonly stopped: Stopped
}

/** What becomes of a document by some entries. */
export interface Draft {
  readonly before: DocumentMeta
  readonly stopped: Map<ActorId, Stopped>
  importer: ActorId | undefined
  importing: Uint8Array | undefined
  /** Actors that wrote changes in the import, where that is among these entries. */
  imported: ReadonlySet<string> | undefined
  /** Own changes that are not proven yet. */
  locals: readonly LocalChange[]
  /** Own changes that this batch proves. */
  readonly proven: LocalChange[]
  acknowledged: ChangeTip | undefined
  /** For the open document. */
  readonly rows: FileRow[]
  /** For the store. */
  readonly files: FileRow[]
  /** Entries of parked actors, with what is there of their bodies. */
  readonly parked: ParkedBody[]
  clonedAt: number | undefined
  since: DocumentMeta['since']
}

/** @param locals own changes that are not proven yet */
export function draftOf(before: DocumentMeta, locals: readonly LocalChange[]): Draft {
  return {
    before,
    stopped: new Map(before.stopped),
    importer: before.importer,
    importing: before.importing,
    imported: undefined,
    locals,
    proven: [],
    acknowledged: undefined,
    rows: [],
    files: [],
    parked: [],
    clonedAt: before.clonedAt,
    since: before.since,
  }
}

/**
 * Takes the next entry of the document in.
 * @param isOwn is it of the own actor?
 * @returns the entry where its actor stops there
 */
export function draftEntry(
  draft: Draft,
  entry: VerifiedEntry,
  keysOf: KeysOf,
  isOwn: boolean,
): readonly StoppedEntry[] {
  // One that occurs in the import is nobody's: what it wrote is refused here as everywhere, see displacement.ts.
  const own = isOwn && draft.imported?.has(entry.actor) !== true
  const awaitsImport = draft.importer !== undefined && draft.importer !== entry.actor
  const received = receiveEntry(entry, {
    keysOf,
    stopped: draft.stopped.get(entry.actor),
    awaitsImport,
    importing: draft.importing,
    locals: own ? draft.locals : undefined,
  })
  // Behind an import that is parked, an own entry waits like any other: whether it counts is not known yet.
  record(draft, entry, received, own && !awaitsImport)
  draft.since = sinceAfter(draft.since, entry)
  const stopped = draft.stopped.get(entry.actor)
  return received.outcome === 'stopped' && stopped !== undefined ? [{ entry, stopped }] : []
}

function record(draft: Draft, entry: VerifiedEntry, received: Received, own: boolean): void {
  switch (received.outcome) {
    case 'none':
      return
    case 'imported':
      draft.importing = undefined
      return
    case 'behind':
      draft.parked.push({ entry: parkedEntry(entry), body: entry.body })
      return
    case 'stopped':
      park(draft, entry, received.code)
      // Not known to be one of the own changes: somebody else may write under the own actor.
      if (own) draft.clonedAt ??= entry.index
      return
    case 'own': {
      const { tip } = received.row
      draft.files.push(received.row)
      if (tip === undefined) return
      draft.proven.push(...draft.locals.filter(change => change.seq <= tip.seq))
      draft.locals = draft.locals.filter(change => change.seq > tip.seq)
      draft.acknowledged = tip
      return
    }
    case 'cloned':
      draft.clonedAt ??= entry.index
      draft.files.push(received.row)
      return
    case 'content':
      draft.files.push(received.row)
      draft.rows.push(received.row)
      if (received.row.kind === 'import') draft.imported = importedActors(received.row.bytes)
      return
  }
}

function park(draft: Draft, entry: VerifiedEntry, code: string): void {
  const { index, header, actor, body } = entry
  const covered = entryBefore(placeOf(header))
  draft.stopped.set(actor, { reason: 'parked', index, code, covered, needs: undefined })
  draft.parked.push({ entry: parkedEntry(entry), body })
  if (header.kind === 'import') draft.importer = actor
}

/** The bookkeeping after it. */
export function metaOf(draft: Draft): DocumentMeta {
  return {
    ...draft.before,
    stopped: draft.stopped,
    importer: draft.importer,
    importing: draft.importing,
    nextFile: draft.before.nextFile + draft.files.length,
    clonedAt: draft.clonedAt,
    since: draft.since,
  }
}

/** What a snapshot does not cover yet is little: it counts from zero. */
function sinceAfter({ entries, bytes }: DocumentMeta['since'], { header }: VerifiedEntry): DocumentMeta['since'] {
  if (header.kind === 'snapshot') return { entries: 0, bytes: 0 }
  return header.kind === 'retire' ? { entries, bytes } : { entries: entries + 1, bytes: bytes + header.bodyLength }
}
