import { SealogError } from '../errors.ts'
import type { ReplicaStore, StoreRow } from './store.ts'
import type { OwnBatch } from './store-arguments.ts'
import { keyText } from './store-arguments.ts'
import type { StoreSession } from './store-session.ts'
import { sessionStore } from './store-session.ts'

/** A store in memory: for tests, and for replicas that are to leave no trace. Its rows outlive `close`. */
export interface MemoryStore extends ReplicaStore {
  /** Another store over the same rows and the same lock, as a restarted process would open it. Starts closed. */
  twin(): MemoryStore
}

export function memoryStore(): MemoryStore {
  return storeOver({ rows: new Map(), locked: false })
}

interface Place {
  /** By the text of the key, which sorts as the key does. */
  readonly rows: Map<string, StoreRow>
  locked: boolean
}

function storeOver(place: Place): MemoryStore {
  return { ...sessionStore(() => beginSession(place)), twin: () => storeOver(place) }
}

async function beginSession(place: Place): Promise<StoreSession> {
  if (place.locked) throw new SealogError('ERR_STORE_LOCKED', 'another store over the same rows is open')
  place.locked = true
  const { rows } = place
  return {
    get: async key => {
      const row = rows.get(keyText(key))
      return row && new Uint8Array(row[1])
    },
    scan: async prefix => {
      const start = keyText(prefix)
      const found = [...rows.keys()].filter(text => text.startsWith(start)).sort()
      return found.map(text => copyRow(rows.get(text) as StoreRow))
    },
    commit: async batch => apply(rows, batch),
    close: async () => {
      place.locked = false
    },
  }
}

function apply(rows: Map<string, StoreRow>, batch: OwnBatch): void {
  for (const key of batch.deletes) rows.delete(keyText(key))
  for (const row of batch.puts) rows.set(keyText(row[0]), row)
}

function copyRow([key, value]: StoreRow): StoreRow {
  return [new Uint8Array(key), new Uint8Array(value)]
}
