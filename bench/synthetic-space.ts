import {
  type ActorId,
  actorIdOf,
  CONTROL_DOCUMENT,
  type DocumentId,
  type DocumentRecord,
  documentIdOf,
  emptyDocument,
  emptyMap,
  hashDocument,
  type StateMap,
  setAt,
  stateKey,
  withActor,
} from 'sealog/protocol'
import { bytesOf } from './synthetic-keys.ts'

export function documentNumber(number: number): DocumentId {
  return documentIdOf(bytesOf(`document ${number}`).slice(0, 16))
}

export function actorNumber(number: number): ActorId {
  return actorIdOf(bytesOf(`actor ${number}`).slice(0, 16))
}

/** A document of so many actors, each of a device of its own. */
export function documentOf(document: DocumentId, actors: number): DocumentRecord {
  let record: DocumentRecord = { ...emptyDocument(document, 0), contentEnd: 100_000 }
  for (let device = 0; device < actors; device++) {
    record = withActor(record, {
      actor: actorNumber(device),
      device,
      seq: 1_000,
      hash: bytesOf(`hash ${device}`),
      epoch: 0,
      tag: bytesOf(`tag ${device}`),
      tagEpoch: 0,
      seenSize: 100_000,
      retired: false,
    })
  }
  return record
}

/**
 * The documents of a space: `size` small ones of one actor, and those given. The small ones share the record of this
 * actor, so that the memory goes into the map; no proof here shows more of them than a hash.
 */
export function documentsOf(size: number, given: readonly DocumentRecord[]): StateMap<DocumentRecord> {
  const { actors, writers } = documentOf(CONTROL_DOCUMENT, 1)
  let documents: StateMap<DocumentRecord> = emptyMap(hashDocument)
  const put = (record: DocumentRecord): void => {
    documents = setAt(documents, stateKey(record.document), record)
  }
  for (let i = 0; i < size; i++) put({ ...emptyDocument(documentNumber(i), 0), contentEnd: i + 1, actors, writers })
  for (const record of given) put(record)
  return documents
}
