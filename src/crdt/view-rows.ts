import { fromUtf8 } from '../bytes.ts'
import {
  asArray,
  asBytes,
  asBytesUpTo,
  asOptional,
  asText,
  asTuple,
  asUint,
  decodeCbor,
  encodeCbor,
  optional,
} from '../codec.ts'
import { SealogError } from '../errors.ts'
import { type ActorId, type DocumentId, documentIdOf, idBytes, type SpaceId, spaceIdOf } from '../ids.ts'
import { parseNote } from '../verify/checkpoint.ts'
import { decodeRange, encodeRange } from '../verify/compact-range.ts'
import { controlRows, readControlRows } from '../verify/control-rows.ts'
import type { ControlState } from '../verify/control-state.ts'
import type { Anchor, LogView, VerifiedEntry } from '../verify/log.ts'
import {
  actorsOf,
  type DocumentRecord,
  decodeActorRecord,
  decodeDocumentRecord,
  encodeActorRecord,
  encodeDocumentRecord,
  findActor,
  findDocument,
  hashDocument,
  initialState,
  type SpaceState,
  withActor,
  withDocument,
} from '../verify/state.ts'
import type { StateMap } from '../verify/state-map.ts'
import { decodePruned, encodePruned } from '../verify/state-map-codec.ts'
import { touchedBy } from '../verify/tracer.ts'
import { controlKey, documentKey, readRow, rowPrefix, spaceKey } from './rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

/** What a replica has of a space's log, as it stands in the store. */
export interface StoredView {
  readonly view: LogView
  /** The relay's signed note of `view.head`. */
  readonly note: Uint8Array | undefined
  /** Documents that the replica has; undefined where it has all. */
  readonly held: ReadonlySet<DocumentId> | undefined
}

const MAX_VIEW: number = 1024 * 1024
const MAX_SKELETON: number = 64 * 1024 * 1024
const MAX_NOTE = 16 * 1024

/** The view without its state, which has rows of its own. `note` is the head as the relay signed it. */
export function encodeViewRow(view: LogView, note: Uint8Array | undefined): Uint8Array {
  return encodeCbor([
    idBytes(view.space),
    view.relay.name,
    view.relay.key,
    encodeRange(view.range),
    optional(note, bytes => bytes),
    view.anchors.map(anchorFields),
    optional(view.controlRoot, anchorFields),
  ])
}

/** Reads the verified view of a space. @throws SealogError ERR_STORE_CORRUPT */
export async function loadView(store: ReplicaStore, space: SpaceId): Promise<StoredView | undefined> {
  const bytes = await store.get(spaceKey(space, 'view'))
  if (bytes === undefined) return undefined
  const control = await store.scan(controlKey(space))
  const skeleton = await store.get(spaceKey(space, 'skeleton'))
  const rows = await store.scan(rowPrefix(space, 'state'))
  return readRow('view', () => {
    const loaded = control.length === 0 ? undefined : loadState(readControl(control), rows, skeleton)
    return { ...decodeViewRow(bytes, loaded?.state), held: loaded?.held }
  })
}

/** @param state what the row itself does not hold */
export function decodeViewRow(bytes: Uint8Array, state: SpaceState | undefined): Omit<StoredView, 'held'> {
  const fields = asTuple(decodeCbor(bytes, MAX_VIEW), 7, 'view')
  const note = asOptional(fields[4], 'note', (item, what) => asBytesUpTo(item, MAX_NOTE, what))
  const view: LogView = {
    space: spaceIdOf(asBytes(fields[0], 32, 'space')),
    relay: { name: asText(fields[1], 255, 'relay name'), key: asBytes(fields[2], 32, 'relay key') },
    range: decodeRange(asBytesUpTo(fields[3], 4096, 'range')),
    state,
    head: note === undefined ? undefined : parseNote(note).checkpoint,
    anchors: asArray(fields[5], 1024, 'anchors').map(asAnchor),
    controlRoot: asOptional(fields[6], 'control root', asAnchor),
  }
  return { view, note }
}

/**
 * All rows to be written after these entries: the view, what they touched of the state, and the skeleton of a sparse
 * one. Of documents that a sparse replica does not have, nothing is kept but hashes.
 * @param before the control state that is stored already
 */
export function viewRows(
  view: LogView,
  note: Uint8Array | undefined,
  entries: readonly VerifiedEntry[],
  held: ReadonlySet<DocumentId> | undefined,
  before: ControlState | undefined,
): StoreRow[] {
  const { space, state } = view
  const rows: StoreRow[] = [[spaceKey(space, 'view'), encodeViewRow(view, note)]]
  if (state === undefined) return rows
  if (state.control !== before) rows.push(...controlStoreRows(space, state.control, before))
  const touched = touchedBy(entries.filter(entry => held?.has(entry.header.document) ?? true))
  for (const [document, { actors }] of touched) {
    const record = findDocument(state, document)
    if (record !== undefined) rows.push(...documentRows(space, record, actors))
  }
  if (held !== undefined) rows.push(skeletonRow(space, state, held))
  return rows
}

/** The same where the view was replaced by something else than entries; the documents are written apart. */
export function replacedViewRows(
  view: LogView,
  note: Uint8Array | undefined,
  held: ReadonlySet<DocumentId>,
  before: ControlState | undefined,
): StoreRow[] {
  const { space, state } = view
  const rows: StoreRow[] = [[spaceKey(space, 'view'), encodeViewRow(view, note)]]
  if (state === undefined) return rows
  if (state.control !== before) rows.push(...controlStoreRows(space, state.control, before))
  rows.push(skeletonRow(space, state, held))
  return rows
}

/** The rows of one document: of these actors, or of all. */
export function documentRows(space: SpaceId, record: DocumentRecord, actors?: Iterable<ActorId>): StoreRow[] {
  const { document } = record
  const rows: StoreRow[] = [[documentKey(space, 'state', document), encodeDocumentRecord(record)]]
  for (const actor of actors ?? [...actorsOf(record)].map(item => item.actor)) {
    const found = findActor(record, actor)
    if (found !== undefined) rows.push([documentKey(space, 'state', document, actor), encodeActorRecord(found)])
  }
  return rows
}

/** @param before the state that is stored already; undefined: none of it */
function controlStoreRows(space: SpaceId, control: ControlState, before: ControlState | undefined): StoreRow[] {
  return controlRows(control, before).map(({ name, value }) => [controlKey(space, name), value])
}

function readControl(rows: readonly StoreRow[]): ControlState {
  return readControlRows(rows.map(([key, value]) => ({ name: fromUtf8(key).split('/').slice(3).join('/'), value })))
}

/**
 * Of a sparse replica: the tree of the documents down to those that it has, each of which stands there by its id; the
 * records themselves have rows of their own.
 */
function skeletonRow(space: SpaceId, state: SpaceState, held: ReadonlySet<DocumentId>): StoreRow {
  const tree = encodePruned(state.documents, record => idBytes(record.document))
  return [spaceKey(space, 'skeleton'), encodeCbor([[...held].map(idBytes), tree])]
}

interface LoadedState {
  readonly state: SpaceState
  readonly held: ReadonlySet<DocumentId> | undefined
}

function loadState(control: ControlState, rows: readonly StoreRow[], skeleton: Uint8Array | undefined): LoadedState {
  const records = readRecords(rows)
  if (skeleton !== undefined) return loadSparse(control, records, skeleton)
  let state = initialState(control)
  for (const record of records.values()) state = withDocument(state, record)
  return { state, held: undefined }
}

function loadSparse(
  control: ControlState,
  records: ReadonlyMap<DocumentId, DocumentRecord>,
  skeleton: Uint8Array,
): LoadedState {
  const fields = asTuple(decodeCbor(skeleton, MAX_SKELETON), 2, 'skeleton')
  const held = asArray(fields[0], 1_000_000, 'held').map(item => documentIdOf(asBytes(item, 16, 'held')))
  const documents: StateMap<DocumentRecord> = decodePruned(asBytesUpTo(fields[1], MAX_SKELETON, 'tree'), {
    hashValue: hashDocument,
    decodeValue: bytes => {
      const record = records.get(documentIdOf(asBytes(bytes, 16, 'document')))
      if (record === undefined) throw new SealogError('ERR_STORE_CORRUPT', 'a document without its record')
      return record
    },
    maxLength: MAX_SKELETON,
    maxNodes: MAX_SKELETON,
  })
  return { state: { control, documents }, held: new Set(held) }
}

function readRecords(rows: readonly StoreRow[]): ReadonlyMap<DocumentId, DocumentRecord> {
  const records = new Map<DocumentId, DocumentRecord>()
  for (const [key, value] of rows) {
    const parts = fromUtf8(key).split('/')
    const document = (parts[3] ?? '') as DocumentId
    if (parts.length === 4) {
      records.set(document, decodeDocumentRecord(value))
      continue
    }
    const record = records.get(document)
    if (record === undefined) throw new SealogError('ERR_STORE_CORRUPT', 'an actor of an unknown document')
    records.set(document, withActor(record, decodeActorRecord(value)))
  }
  return records
}

function anchorFields({ size, root, note }: Anchor): Parameters<typeof encodeCbor>[0] {
  return [size, root, optional(note, bytes => bytes)]
}

function asAnchor(item: Parameters<typeof asTuple>[0]): Anchor {
  const fields = asTuple(item, 3, 'anchor')
  return {
    size: asUint(fields[0], 'size'),
    root: asBytes(fields[1], 32, 'root'),
    note: asOptional(fields[2], 'note', (bytes, what) => asBytesUpTo(bytes, MAX_NOTE, what)),
  }
}
