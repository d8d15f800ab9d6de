import { toUtf8 } from '../bytes.ts'
import { listSpaces, spaceKey } from './rows.ts'
import type { ReplicaStore, StoreRow } from './store.ts'
import { keyText } from './store-arguments.ts'

/** Which rows of a store nobody may read who has only the disk. */
export interface SecretRows {
  has(key: Uint8Array): boolean
  /** All of them that there are, as the store has them. */
  load(store: ReplicaStore): Promise<readonly StoreRow[]>
}

const SECRET = /^(space\/[^/]+\/secrets|recovery)(\/|$)/

/**
 * The rows with keys of this device: `space/<id>/secrets`, `recovery`, and whatever is filed below them (rows.ts). Rows
 * of a space are there only while it is listed: both come and go in one batch. So the list leads to all of them, and
 * nothing has to be read of the documents.
 */
export const SECRET_ROWS: SecretRows = {
  has: isSecret,
  load: async store => {
    const rows = [...(await store.scan(toUtf8('recovery')))]
    for (const space of await listSpaces(store)) rows.push(...(await store.scan(spaceKey(space, 'secrets'))))
    return rows.filter(([key]) => isSecret(key))
  },
}

function isSecret(key: Uint8Array): boolean {
  return SECRET.test(keyText(key))
}
