import type { ActorId, DocumentId } from '../ids.ts'
import type { Advanced, LogView, VerifiedEntry } from '../verify/log.ts'
import {
  encodeActorRecord,
  encodeControlState,
  encodeDocumentRecord,
  findActor,
  findDocument,
  type SpaceState,
} from '../verify/state.ts'
import type { DocumentSet, DocumentUpdate } from './document-set.ts'
import { type Received, receiveEntry } from './receive.ts'
import {
  type ChangeTip,
  type DocumentMeta,
  documentKey,
  encodeFileRow,
  encodeMeta,
  encodeViewRow,
  type FileRow,
  type LocalChange,
  ordinal,
  type Stopped,
  spaceKey,
} from './rows.ts'
import type { SpaceKeys } from './secrets.ts'

/** One store transaction for a verified batch, and what is to be told to the open documents once it is durable. */
export interface Absorbed {
  readonly puts: readonly (readonly [Uint8Array, Uint8Array])[]
  readonly deletes: readonly Uint8Array[]
  readonly updates: ReadonlyMap<DocumentId, DocumentUpdate>
  readonly stopped: readonly { readonly entry: VerifiedEntry; readonly stopped: Stopped }[]
  /** Documents in which an own actor is retired now. */
  readonly retired: readonly DocumentId[]
}

/**
 * Turns a verified batch into one transaction (DESIGN §5.3). Changes nothing by itself; to be called inside
 * `DocumentSet.exclusive`, with all signature checks of the batch passed.
 * @throws SealogError ERR_UPGRADE
 */
export function absorb(advanced: Advanced, note: Uint8Array, documents: DocumentSet, keys: SpaceKeys): Absorbed {
  const { view, entries } = advanced
  const state = view.state as SpaceState
  const drafts = new Map<DocumentId, Draft>()
  const stopped: { entry: VerifiedEntry; stopped: Stopped }[] = []
  const retired: DocumentId[] = []
  for (const entry of entries) {
    if (entry.header.kind === 'control') continue
    const { document } = entry.header
    const draft = drafts.get(document) ?? draftOf(documents, document)
    drafts.set(document, draft)
    const own = entry.actor === documents.ownActor(document)
    if (own && entry.header.kind === 'retire') retired.push(document)
    const received = receiveEntry(entry, {
      keys,
      birthEpoch: findDocument(state, document)?.birthEpoch ?? entry.header.epoch,
      tip: draft.tips.get(entry.actor),
      stopped: draft.stopped.get(entry.actor),
      locals: own ? draft.locals : undefined,
    })
    record(draft, entry, received)
    if (received.outcome === 'stopped') stopped.push({ entry, stopped: received.stopped })
  }
  const updates = new Map<DocumentId, DocumentUpdate>()
  const puts: (readonly [Uint8Array, Uint8Array])[] = []
  const deletes: Uint8Array[] = []
  for (const [document, draft] of drafts) {
    updates.set(document, { meta: metaOf(draft), rows: draft.rows, acknowledged: draft.acknowledged })
    puts.push(...contentRows(view, draft))
    deletes.push(...documents.localKeys(document, draft.proven))
  }
  puts.push(...stateRows(view, entries), [spaceKey(view.space, 'view'), encodeViewRow(view, note)])
  return { puts, deletes, updates, stopped, retired }
}

interface Draft {
  readonly before: DocumentMeta
  readonly tips: Map<ActorId, ChangeTip>
  readonly stopped: Map<ActorId, Stopped>
  /** Own changes that are not proven yet. */
  locals: readonly LocalChange[]
  /** Own changes that this batch proves. */
  readonly proven: LocalChange[]
  acknowledged: ChangeTip | undefined
  /** For the open document. */
  readonly rows: FileRow[]
  /** For the store. */
  readonly files: FileRow[]
  clonedAt: number | undefined
}

function draftOf(documents: DocumentSet, document: DocumentId): Draft {
  const before = documents.meta(document)
  const core = documents.core(document)
  return {
    before,
    tips: new Map(before.tips),
    stopped: new Map(before.stopped),
    locals: core?.locals ?? [],
    proven: [],
    acknowledged: undefined,
    rows: [],
    files: [],
    clonedAt: before.clonedAt,
  }
}

function record(draft: Draft, entry: VerifiedEntry, received: Received): void {
  switch (received.outcome) {
    case 'none':
      return
    case 'stopped':
      draft.stopped.set(entry.actor, received.stopped)
      return
    case 'own': {
      const { tip } = received
      draft.files.push(received.row)
      draft.proven.push(...draft.locals.filter(change => change.seq <= tip.seq))
      draft.locals = draft.locals.filter(change => change.seq > tip.seq)
      draft.acknowledged = tip
      break
    }
    case 'cloned':
      draft.clonedAt ??= entry.index
      draft.files.push(received.row)
      break
    case 'content':
      draft.files.push(received.row)
      draft.rows.push(received.row)
      break
  }
  draft.tips.set(entry.actor, received.tip)
}

function metaOf(draft: Draft): DocumentMeta {
  return {
    ...draft.before,
    tips: draft.tips,
    stopped: draft.stopped,
    nextFile: draft.before.nextFile + draft.files.length,
    clonedAt: draft.clonedAt,
  }
}

function contentRows(view: LogView, draft: Draft): (readonly [Uint8Array, Uint8Array])[] {
  const { document, nextFile } = draft.before
  const files = draft.files.map((row, i): [Uint8Array, Uint8Array] => [
    documentKey(view.space, 'file', document, ordinal(nextFile + i)),
    encodeFileRow(row),
  ])
  return [...files, [documentKey(view.space, 'meta', document), encodeMeta(metaOf(draft))]]
}

/** The rows of the state that these entries touched. */
function stateRows(view: LogView, entries: readonly VerifiedEntry[]): (readonly [Uint8Array, Uint8Array])[] {
  const state = view.state as SpaceState
  const rows = new Map<string, readonly [Uint8Array, Uint8Array]>()
  for (const { header, actor } of entries) {
    const { document } = header
    const documentRecord = findDocument(state, document)
    const actorRecord = documentRecord && findActor(documentRecord, actor)
    if (documentRecord === undefined || actorRecord === undefined) continue
    rows.set(document, [documentKey(view.space, 'state', document), encodeDocumentRecord(documentRecord)])
    rows.set(`${document}/${actor}`, [
      documentKey(view.space, 'state', document, actor),
      encodeActorRecord(actorRecord),
    ])
    if (header.kind === 'control') rows.set('', [spaceKey(view.space, 'control'), encodeControlState(state.control)])
  }
  return [...rows.values()]
}
