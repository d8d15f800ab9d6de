import { asArray, asBytes, asOptional, asTuple, asUint, decodeCbor, encodeCbor, optional } from '../codec.ts'
import { type BoundedCache, boundedCache } from '../crypto/bounded-cache.ts'
import { labelledHash } from '../crypto/hash.ts'
import { hasCode } from '../errors.ts'
import { type ActorId, actorIdOf, type DocumentId, documentIdOf, idBytes, type MemberId, memberIdOf } from '../ids.ts'
import { hashControl } from './control-hash.ts'
import type { ControlState } from './control-state.ts'
import { emptyMap, entriesOf, getAt, mapRoot, type StateMap, setAt } from './state-map.ts'

/** The latest of one actor's chain. */
export interface ActorRecord {
  readonly actor: ActorId
  readonly device: number
  readonly seq: number
  readonly hash: Uint8Array
  readonly epoch: number
  readonly tag: Uint8Array
  /** Epoch of the entry that the tag was made for: entries that add no change repeat it. */
  readonly tagEpoch: number
  readonly seenSize: number
  readonly retired: boolean
}

/** How many actors one device has open in one document. */
export interface WriterRecord {
  readonly device: number
  readonly open: number
}

/** A snapshot entry that is still the latest of its author's member. */
export interface SnapshotRecord {
  readonly member: MemberId
  /** Its place in the log. */
  readonly index: number
  /** Its leaf hash, 32 bytes. */
  readonly hash: Uint8Array
  /** It covers the document's entries below this index. */
  readonly seenSize: number
}

export interface DocumentRecord {
  readonly document: DocumentId
  /** Epoch of the document's first entry. */
  readonly birthEpoch: number
  /** Tag of the import that the document began with, 32 bytes; undefined where it began empty. */
  readonly importTag: Uint8Array | undefined
  /** Number of the device that imported it. */
  readonly importer: number | undefined
  /** Index behind the latest entry that brought content; 0 where none did. */
  readonly contentEnd: number
  /** The latest ones of two members, in the order of the log. */
  readonly snapshots: readonly SnapshotRecord[]
  readonly actors: StateMap<ActorRecord>
  readonly writers: StateMap<WriterRecord>
}

/** What the headers of entries `0 … size−1` fold to. Immutable: an update shares what it did not change. */
export interface SpaceState {
  readonly control: ControlState
  readonly documents: StateMap<DocumentRecord>
}

const STATE_KEY = 'sealog/v1/state-key'

/** Where a document or an actor stands in its map. @returns 32 bytes */
export function stateKey(id: DocumentId | ActorId): Uint8Array {
  return stateKeys.get(id, () => labelledHash(STATE_KEY, idBytes(id)))
}

/** The reducer asks for the same few keys several times an entry. */
const stateKeys: BoundedCache<Uint8Array> = boundedCache(4096)

/** Where a device stands in the map of a document's writers. @returns 32 bytes */
export function writerKey(device: number): Uint8Array {
  return labelledHash('sealog/v1/writer-key', encodeCbor(device))
}

/** A document without entries. */
export function emptyDocument(document: DocumentId, birthEpoch: number): DocumentRecord {
  return {
    document,
    birthEpoch,
    importTag: undefined,
    importer: undefined,
    contentEnd: 0,
    snapshots: [],
    actors: emptyMap(hashActor),
    writers: emptyMap(hashWriter),
  }
}

/** The state of a space whose genesis gave `control`. */
export function initialState(control: ControlState): SpaceState {
  return { control, documents: emptyMap(hashDocument) }
}

export function findDocument(state: SpaceState, document: DocumentId): DocumentRecord | undefined {
  return getAt(state.documents, stateKey(document))
}

/** The same of a sparse state, where not every document is known. @returns undefined for one that is not */
export function knownDocument(state: SpaceState | undefined, document: DocumentId): DocumentRecord | undefined {
  try {
    return state && findDocument(state, document)
  } catch (error) {
    if (hasCode(error, 'ERR_PROOF')) return undefined
    throw error
  }
}

export function findActor(record: DocumentRecord, actor: ActorId): ActorRecord | undefined {
  return getAt(record.actors, stateKey(actor))
}

/** @returns the same document with this actor's record replaced, and the actors of its device counted */
export function withActor(record: DocumentRecord, actor: ActorRecord): DocumentRecord {
  const before = findActor(record, actor.actor)
  const change = Number(!actor.retired) - Number(before !== undefined && !before.retired)
  const actors = setAt(record.actors, stateKey(actor.actor), actor)
  // A device that ever wrote here has its place, with none open too: so rows read back give the same map.
  if (change === 0 && before !== undefined) return { ...record, actors }
  const writer = { device: actor.device, open: openActorsOf(record, actor.device) + change }
  return { ...record, actors, writers: setAt(record.writers, writerKey(actor.device), writer) }
}

/** @returns the same state with this document's record replaced */
export function withDocument(state: SpaceState, record: DocumentRecord): SpaceState {
  return { control: state.control, documents: setAt(state.documents, stateKey(record.document), record) }
}

/** Number of actors of this device in this document that are not retired. */
export function openActorsOf(record: DocumentRecord, device: number): number {
  return getAt(record.writers, writerKey(device))?.open ?? 0
}

/**
 * The commitment that a checkpoint carries (DESIGN §5.2).
 * @returns 32 bytes
 */
export function stateRoot(state: SpaceState): Uint8Array {
  return stateRootOf(mapRoot(state.documents), state.control)
}

/** The same where of the documents only their root (32 bytes) is known. */
export function stateRootOf(documentsRoot: Uint8Array, control: ControlState): Uint8Array {
  return labelledHash('sealog/v1/state', documentsRoot, hashControl(control))
}

export function documentsOf(state: SpaceState): Iterable<DocumentRecord> {
  return valuesOf(state.documents)
}

export function actorsOf(record: DocumentRecord): Iterable<ActorRecord> {
  return valuesOf(record.actors)
}

// -- Rows: how a state is kept, one for each document and each actor; for the rest see control-rows.ts ---------------

export function encodeActorRecord(record: ActorRecord): Uint8Array {
  return encodeCbor([
    idBytes(record.actor),
    record.device,
    record.seq,
    record.hash,
    record.epoch,
    record.tag,
    record.tagEpoch,
    record.seenSize,
    record.retired ? 1 : 0,
  ])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT */
export function decodeActorRecord(bytes: Uint8Array): ActorRecord {
  const fields = asTuple(decodeCbor(bytes, 256), 9, 'actor record')
  return {
    actor: actorIdOf(asBytes(fields[0], 16, 'actor')),
    device: asUint(fields[1], 'device'),
    seq: asUint(fields[2], 'seq'),
    hash: asBytes(fields[3], 32, 'hash'),
    epoch: asUint(fields[4], 'epoch'),
    tag: asBytes(fields[5], 32, 'tag'),
    tagEpoch: asUint(fields[6], 'epoch of the tag'),
    seenSize: asUint(fields[7], 'seenSize'),
    retired: asUint(fields[8], 'retired', 1) === 1,
  }
}

/** Of a document only what its actors do not say. */
export function encodeDocumentRecord(record: DocumentRecord): Uint8Array {
  return encodeCbor([
    idBytes(record.document),
    record.birthEpoch,
    optional(record.importTag, tag => tag),
    optional(record.importer, device => device),
    record.contentEnd,
    record.snapshots.map(({ member, index, hash, seenSize }) => [idBytes(member), index, hash, seenSize]),
  ])
}

/** The record without its actors. @throws SealogError ERR_MALFORMED, ERR_LIMIT */
export function decodeDocumentRecord(bytes: Uint8Array): DocumentRecord {
  const fields = asTuple(decodeCbor(bytes, 512), 6, 'document record')
  return {
    ...emptyDocument(documentIdOf(asBytes(fields[0], 16, 'document')), asUint(fields[1], 'birth epoch')),
    importTag: asOptional(fields[2], 'import tag', (item, what) => asBytes(item, 32, what)),
    importer: asOptional(fields[3], 'importer', (item, what) => asUint(item, what)),
    contentEnd: asUint(fields[4], 'content end'),
    snapshots: asArray(fields[5], MAX_SNAPSHOTS, 'snapshots').map(item => {
      const row = asTuple(item, 4, 'snapshot')
      return {
        member: memberIdOf(asBytes(row[0], 16, 'member')),
        index: asUint(row[1], 'index'),
        hash: asBytes(row[2], 32, 'hash'),
        seenSize: asUint(row[3], 'seenSize'),
      }
    }),
  }
}

export function encodeWriterRecord(record: WriterRecord): Uint8Array {
  return encodeCbor([record.device, record.open])
}

/** @throws SealogError ERR_MALFORMED, ERR_LIMIT */
export function decodeWriterRecord(bytes: Uint8Array): WriterRecord {
  const fields = asTuple(decodeCbor(bytes, 32), 2, 'writer record')
  return { device: asUint(fields[0], 'device'), open: asUint(fields[1], 'open actors') }
}

/** Snapshots of so many members stay the latest (DESIGN §5.4). */
export const MAX_SNAPSHOTS = 2

export function hashActor(record: ActorRecord): Uint8Array {
  return labelledHash('sealog/v1/actor-record', encodeActorRecord(record))
}

export function hashWriter(record: WriterRecord): Uint8Array {
  return labelledHash('sealog/v1/writer-record', encodeWriterRecord(record))
}

export function hashDocument(record: DocumentRecord): Uint8Array {
  const { actors, writers } = record
  return labelledHash('sealog/v1/document-record', encodeDocumentRecord(record), mapRoot(actors), mapRoot(writers))
}

function* valuesOf<T>(map: StateMap<T>): Iterable<T> {
  for (const [, value] of entriesOf(map)) yield value
}
