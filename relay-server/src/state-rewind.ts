import {
  type ActorId,
  type ActorRecord,
  type DocumentId,
  type DocumentRecord,
  decodeHeader,
  deleteAt,
  emptyDocument,
  getAt,
  type Header,
  SealogError,
  type StateMap,
  setAt,
  stateKey,
  type WriterRecord,
  writerKey,
} from 'sealog/protocol'
import type { StoredEntry } from './log-store.ts'
import { changesWriter, decodeReplaced, type Replaced } from './replaced.ts'

/** Of one document, what the first of the entries that touched each part of it replaced; undefined: there was none. */
interface ReplacedParts {
  /** Of the document's own record: what its first entry replaced. */
  readonly own: Replaced['document']
  /** The whole record, from the first entry that changed more of it than `contentEnd`. */
  whole: DocumentRecord | undefined
  readonly actors: Map<ActorId, ActorRecord | undefined>
  readonly writers: Map<number, WriterRecord | undefined>
}

/**
 * Sets a state back: takes in the entries from the size wanted on, in order, and then puts what they replaced into the
 * map after them. Of what several entries changed, the first one replaced the value wanted; so each record is set once.
 */
export class StateRewind {
  readonly #documents = new Map<DocumentId, ReplacedParts>()

  add(entry: StoredEntry): void {
    const header = decodeHeader(entry.header)
    const replaced = decodeReplaced(entry.replaced)
    let parts = this.#documents.get(entry.document)
    if (parts === undefined) {
      parts = { own: replaced.document, whole: undefined, actors: new Map(), writers: new Map() }
      this.#documents.set(entry.document, parts)
    }
    if (typeof replaced.document === 'object') parts.whole ??= replaced.document
    if (!parts.actors.has(entry.actor)) parts.actors.set(entry.actor, previousActor(entry.actor, header, replaced))
    if (changesWriter(header) && !parts.writers.has(header.device)) {
      parts.writers.set(header.device, previousWriter(header, replaced))
    }
  }

  /** @param after the documents after the last of the entries @returns those before the first of them */
  apply(after: StateMap<DocumentRecord>): StateMap<DocumentRecord> {
    let documents = after
    for (const [document, parts] of this.#documents) {
      const key = stateKey(document)
      const record = getAt(documents, key)
      if (record === undefined) throw new SealogError('ERR_STORE_CORRUPT', 'an entry of a document without a state')
      documents =
        parts.own === undefined ? deleteAt(documents, key) : setAt(documents, key, recordBefore(record, parts))
    }
    return documents
  }
}

function previousActor(actor: ActorId, header: Header, { actor: replaced }: Replaced): ActorRecord | undefined {
  if (replaced === undefined) return undefined
  const { device, seq, prev } = header
  return { actor, device, seq: seq - 1, hash: prev, retired: false, ...replaced }
}

function previousWriter({ device }: Header, { openActors }: Replaced): WriterRecord | undefined {
  return openActors === undefined ? undefined : { device, open: openActors }
}

function recordBefore(after: DocumentRecord, { own, whole, actors, writers }: ReplacedParts): DocumentRecord {
  const { document, birthEpoch, importTag, importer, snapshots } = whole ?? after
  return {
    ...emptyDocument(document, birthEpoch),
    importTag,
    importer,
    snapshots,
    contentEnd: typeof own === 'number' ? own : (own ?? after).contentEnd,
    actors: setBack(after.actors, actors, stateKey),
    writers: setBack(after.writers, writers, writerKey),
  }
}

function setBack<K, T>(
  after: StateMap<T>,
  before: ReadonlyMap<K, T | undefined>,
  keyOf: (id: K) => Uint8Array,
): StateMap<T> {
  let map = after
  for (const [id, value] of before) map = value === undefined ? deleteAt(map, keyOf(id)) : setAt(map, keyOf(id), value)
  return map
}
