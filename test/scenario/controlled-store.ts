import type { ReplicaStore, StoreBatch } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'

export type Operation =
  | { readonly name: 'get'; readonly key: string }
  | { readonly name: 'scan'; readonly key: string }
  | { readonly name: 'commit'; readonly batch: StoreBatch }

export interface ControlledStore extends ReplicaStore {
  /** Runs before each operation, which waits for it and fails as it does. */
  before: (operation: Operation) => Promise<void> | void
  /** Runs after a commit took effect, before its caller hears of it. */
  after: (batch: StoreBatch) => Promise<void> | void
}

/** A store whose moments a test decides about. */
export function controlledStore(inner: ReplicaStore = memoryStore()): ControlledStore {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
  const store: ControlledStore = {
    before: () => {},
    after: () => {},
    open: () => inner.open(),
    close: () => inner.close(),
    get: async key => {
      await store.before({ name: 'get', key: text(key) })
      return inner.get(key)
    },
    scan: async prefix => {
      await store.before({ name: 'scan', key: text(prefix) })
      return inner.scan(prefix)
    },
    commit: async batch => {
      await store.before({ name: 'commit', batch })
      await inner.commit(batch)
      await store.after(batch)
    },
  }
  return store
}

/** Does a batch write a row of this kind (`local`, `file`, `meta`, …)? */
export function writes(batch: StoreBatch, kind: string): boolean {
  return batch.puts.some(([key]) => new TextDecoder().decode(key).split('/')[2] === kind)
}

/** A promise that a test keeps. */
export function latch(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {}
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  return { opened, open: () => open() }
}

/** The same rows in a store of its own: a backup, or a cloned machine. The given store must be closed. */
export async function copyOf(store: ReplicaStore): Promise<ReplicaStore> {
  await store.open()
  const rows = await store.scan(new Uint8Array(0))
  await store.close()
  const copy = memoryStore()
  await copy.open()
  await copy.commit({ puts: [...rows], deletes: [] })
  await copy.close()
  return copy
}
