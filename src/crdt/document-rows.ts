import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import { entryBefore } from './chain-place.ts'
import { type DocumentMeta, decodeMeta, encodeMeta, type Stopped } from './document-meta.ts'
import { decodeFileRow, encodeFileRow, type FileRow } from './file-row.ts'
import type { RefusedRow } from './guarded-content.ts'
import { decodeLocalRow, encodeLocalRow, type LocalChange } from './local-row.ts'
import { decodeParkedEntry, encodeParkedEntry, type ParkedEntry } from './parked-rows.ts'
import { documentKey, lastPart, ordinal, rowPrefix } from './rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

/** The rows of the documents of one space in a replica's store. */
export class DocumentRows {
  readonly #space: SpaceId
  readonly #store: ReplicaStore

  constructor(space: SpaceId, store: ReplicaStore) {
    this.#space = space
    this.#store = store
  }

  async metas(): Promise<readonly DocumentMeta[]> {
    return (await this.#store.scan(rowPrefix(this.#space, 'meta'))).map(([, value]) => decodeMeta(value))
  }

  /** Documents with own changes that are not proven. */
  async pending(): Promise<ReadonlySet<DocumentId>> {
    const rows = await this.#store.scan(rowPrefix(this.#space, 'local'))
    return new Set(rows.map(([key]) => documentOf(key)))
  }

  /** Proven content, in order: what was judged, and what was not. */
  async files(meta: DocumentMeta): Promise<{ judged: readonly FileRow[]; unjudged: readonly FileRow[] }> {
    const rows = await this.#store.scan(documentKey(this.#space, 'file', meta.document, ''))
    const first = rows.findIndex(([key]) => Number.parseInt(lastPart(key), 16) >= meta.judged)
    const files = rows.map(([, value]) => decodeFileRow(value))
    return first < 0 ? { judged: files, unjudged: [] } : { judged: files.slice(0, first), unjudged: files.slice(first) }
  }

  async fileKeys(document: DocumentId): Promise<readonly Uint8Array[]> {
    return (await this.#store.scan(documentKey(this.#space, 'file', document, ''))).map(([key]) => key)
  }

  /** Keys of the entries with these places in the log. */
  async entryKeys(document: DocumentId, indices: ReadonlySet<number>): Promise<readonly Uint8Array[]> {
    const rows = await this.#store.scan(documentKey(this.#space, 'file', document, ''))
    return rows.flatMap(([key, value]) => {
      const row = decodeFileRow(value)
      return row.actor !== undefined && indices.has(row.index) ? [key] : []
    })
  }

  /** Own changes that are not proven. */
  async locals(document: DocumentId): Promise<readonly LocalChange[]> {
    const rows = await this.#store.scan(documentKey(this.#space, 'local', document, ''))
    return rows.map(([key, value]) => decodeLocalRow(key, value))
  }

  /** All parked entries whose content has yet to come, by document. */
  async missing(): Promise<readonly (readonly [DocumentId, ParkedEntry])[]> {
    return (await this.#store.scan(rowPrefix(this.#space, 'parked'))).flatMap(([key, value]) => {
      const entry = decodeParkedEntry(key, value)
      if (entry.content !== 'missing') return []
      return [[documentOf(key), entry]]
    })
  }

  /** Parked entries of a document, in the order of the log. */
  async parked(document: DocumentId): Promise<readonly ParkedEntry[]> {
    const rows = await this.#store.scan(documentKey(this.#space, 'parked', document, ''))
    return rows.map(([key, value]) => decodeParkedEntry(key, value))
  }

  /** Of a parked entry: its body, or where that was opened its row. */
  body(document: DocumentId, index: number): Promise<Uint8Array | undefined> {
    return this.#store.get(documentKey(this.#space, 'body', document, ordinal(index)))
  }

  parkedRows(document: DocumentId, entry: ParkedEntry, body: Uint8Array | undefined): readonly StoreRow[] {
    const part = ordinal(entry.index)
    const row: StoreRow = [documentKey(this.#space, 'parked', document, part), encodeParkedEntry(entry)]
    return body === undefined ? [row] : [row, [documentKey(this.#space, 'body', document, part), body]]
  }

  parkedKeys(document: DocumentId, index: number): readonly Uint8Array[] {
    return [
      documentKey(this.#space, 'parked', document, ordinal(index)),
      documentKey(this.#space, 'body', document, ordinal(index)),
    ]
  }

  metaRow(meta: DocumentMeta): StoreRow {
    return [documentKey(this.#space, 'meta', meta.document), encodeMeta(meta)]
  }

  fileRow(document: DocumentId, place: number, row: FileRow): StoreRow {
    return [documentKey(this.#space, 'file', document, ordinal(place)), encodeFileRow(row)]
  }

  localRow(document: DocumentId, change: LocalChange): StoreRow {
    return [this.localKey(document, change.seq), encodeLocalRow(change)]
  }

  localKeys(document: DocumentId, changes: readonly LocalChange[]): readonly Uint8Array[] {
    return changes.map(({ seq }) => this.localKey(document, seq))
  }

  localKey(document: DocumentId, seq: number): Uint8Array {
    return documentKey(this.#space, 'local', document, ordinal(seq))
  }
}

/** The document in a key of the form `…/<doc>/<part>`. */
function documentOf(key: Uint8Array): DocumentId {
  return lastPart(key.subarray(0, key.lastIndexOf(0x2f))) as DocumentId
}

/** Where each of these actors stops. */
export function stopsOf(refused: readonly RefusedRow[]): ReadonlyMap<ActorId, Stopped> {
  const stops = new Map<ActorId, Stopped>()
  for (const { row, reason, code, needs } of refused) {
    if (row.actor === undefined || row.chain === undefined || stops.has(row.actor)) continue
    stops.set(row.actor, { reason, index: row.index, code, covered: entryBefore(row.chain), needs })
  }
  return stops
}
