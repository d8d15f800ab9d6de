import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import type { RefusedRow } from './content.ts'
import {
  type DocumentMeta,
  decodeFileRow,
  decodeLocalRow,
  documentKey,
  encodeFileRow,
  encodeLocalRow,
  encodeMeta,
  type FileRow,
  type LocalChange,
  ordinal,
  type Stopped,
} from './rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

/** The rows of the documents of one space in a replica's store. */
export class DocumentRows {
  readonly #space: SpaceId
  readonly #store: ReplicaStore

  constructor(space: SpaceId, store: ReplicaStore) {
    this.#space = space
    this.#store = store
  }

  /** Proven content, in order. */
  async files(document: DocumentId): Promise<readonly FileRow[]> {
    const rows = await this.#store.scan(documentKey(this.#space, 'file', document, ''))
    return rows.map(([, value]) => decodeFileRow(value))
  }

  async fileKeys(document: DocumentId): Promise<readonly Uint8Array[]> {
    return (await this.#store.scan(documentKey(this.#space, 'file', document, ''))).map(([key]) => key)
  }

  /** Keys of the entries with these places in the log. */
  async entryKeys(document: DocumentId, indices: ReadonlySet<number>): Promise<readonly Uint8Array[]> {
    const rows = await this.#store.scan(documentKey(this.#space, 'file', document, ''))
    return rows.flatMap(([key, value]) => {
      const row = decodeFileRow(value)
      return row.kind === 'entry' && indices.has(row.index) ? [key] : []
    })
  }

  /** Own changes that are not proven. */
  async locals(document: DocumentId): Promise<readonly LocalChange[]> {
    const rows = await this.#store.scan(documentKey(this.#space, 'local', document, ''))
    return rows.map(([key, value]) => decodeLocalRow(key, value))
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

  localKey(document: DocumentId, seq: number): Uint8Array {
    return documentKey(this.#space, 'local', document, ordinal(seq))
  }
}

/** Where each of these actors stops. */
export function stopsOf(refused: readonly RefusedRow[]): ReadonlyMap<ActorId, Stopped> {
  const stops = new Map<ActorId, Stopped>()
  for (const { row, reason } of refused) {
    if (row.actor === undefined || stops.has(row.actor)) continue
    stops.set(row.actor, { reason, index: row.index, code: 'ERR_CONTENT' })
  }
  return stops
}
