import type { DocumentId } from '../ids.ts'
import type { ControlState } from '../verify/control-state.ts'
import type { Advanced, LogView } from '../verify/log.ts'
import type { DocumentUpdate } from './content-intake.ts'
import { type Draft, draftEntry, draftOf, metaOf, type StoppedEntry } from './document-draft.ts'
import { encodeMeta } from './document-meta.ts'
import type { DocumentSet } from './document-set.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import { encodeFileRow } from './file-row.ts'
import { historyRows } from './history-rows.ts'
import { keysIn } from './receive.ts'
import { documentKey, ordinal } from './rows.ts'
import { viewRows } from './view-rows.ts'

/** One store transaction for a verified batch, and what is to be told to the open documents once it is durable. */
export interface Absorbed {
  readonly puts: readonly (readonly [Uint8Array, Uint8Array])[]
  readonly deletes: readonly Uint8Array[]
  readonly updates: ReadonlyMap<DocumentId, DocumentUpdate>
  readonly stopped: readonly StoppedEntry[]
  /** Documents in which an own actor is retired now. */
  readonly retired: readonly DocumentId[]
}

/**
 * Turns a verified batch into one transaction (DESIGN §5.3). Changes nothing by itself; to be called inside
 * `DocumentSet.exclusive`, with all signature checks of the batch passed.
 * @param held documents that a sparse replica has; undefined where it has all
 * @param before the control state that is stored already
 * @throws SealogError ERR_UPGRADE
 */
export function absorb(
  advanced: Advanced,
  note: Uint8Array,
  documents: DocumentSet,
  keys: SpaceKeys,
  held: ReadonlySet<DocumentId> | undefined,
  before: ControlState | undefined,
): Absorbed {
  const { view, entries } = advanced
  const keysOf = keysIn(keys, view.state)
  const drafts = new Map<DocumentId, Draft>()
  const stopped: StoppedEntry[] = []
  const retired: DocumentId[] = []
  for (const entry of entries) {
    const { document } = entry.header
    if (entry.header.kind === 'control' || held?.has(document) === false) continue
    const draft = drafts.get(document) ?? draftOf(documents.meta(document), documents.core(document)?.locals ?? [])
    drafts.set(document, draft)
    const own = entry.actor === documents.ownActor(document)
    if (own && entry.header.kind === 'retire') retired.push(document)
    stopped.push(...draftEntry(draft, entry, keysOf, own))
  }
  const updates = new Map<DocumentId, DocumentUpdate>()
  const puts: (readonly [Uint8Array, Uint8Array])[] = []
  const deletes: Uint8Array[] = []
  for (const [document, draft] of drafts) {
    const parked = draft.parked.map(({ entry }) => entry)
    const { files, rows, acknowledged } = draft
    updates.set(document, { meta: metaOf(draft), files, rows, acknowledged, parked })
    puts.push(...contentRows(view, draft), ...documents.parkedRows(document, draft.parked))
    deletes.push(...documents.localKeys(document, draft.proven))
    if (draft.importing !== draft.before.importing) deletes.push(documentKey(view.space, 'import', document))
  }
  puts.push(...viewRows(view, note, entries, held, before), ...historyRows(view.space, entries, before?.count ?? 0))
  return { puts, deletes, updates, stopped, retired }
}

function contentRows(view: LogView, draft: Draft): (readonly [Uint8Array, Uint8Array])[] {
  const { document, nextFile } = draft.before
  const files = draft.files.map((row, i): [Uint8Array, Uint8Array] => [
    documentKey(view.space, 'file', document, ordinal(nextFile + i)),
    encodeFileRow(row),
  ])
  return [...files, [documentKey(view.space, 'meta', document), encodeMeta(metaOf(draft))]]
}
