import { asArray, asBytes, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { type DocumentId, documentIdOf, idBytes, type SpaceId } from '../ids.ts'
import { readRow, spaceKey } from './rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'

/** Documents that this member may not read, with the epoch in which each was born: what the log has shown so far. */
export type LockedDocuments = ReadonlyMap<DocumentId, number>

const MAX_ROW: number = 64 * 1024 * 1024

export function lockedRow(space: SpaceId, locked: LockedDocuments): StoreRow {
  return [spaceKey(space, 'locked'), encodeCbor([...locked].map(([document, birth]) => [idBytes(document), birth]))]
}

/** @throws SealogError ERR_STORE… */
export async function loadLocked(store: ReplicaStore, space: SpaceId): Promise<LockedDocuments> {
  const bytes = await store.get(spaceKey(space, 'locked'))
  if (bytes === undefined) return new Map()
  return readRow('locked documents', () => {
    const rows = asArray(decodeCbor(bytes, MAX_ROW), 1_000_000, 'locked documents')
    return new Map(
      rows.map(item => {
        const row = asTuple(item, 2, 'locked document')
        return [documentIdOf(asBytes(row[0], 16, 'document')), asUint(row[1], 'birth epoch')]
      }),
    )
  })
}
