import 'fake-indexeddb/auto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test, vi } from 'vitest'
import type { StorePlace } from '../../src/crdt/store-contract.ts'
import { storeContract } from '../../src/crdt/store-contract.ts'
import { indexedDbStore } from '../../src/crdt/store-indexeddb.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { nodeStore } from '../../src/crdt/store-node.ts'
import { FakeWebLocks } from '../helpers/web-locks.ts'

afterEach(() => {
  vi.unstubAllGlobals()
})

describe('memory', () => {
  runContract(() => {
    const first = memoryStore()
    return { store: () => first.twin() }
  })
})

describe('Node', () => {
  runContract(() => {
    const folder = mkdtempSync(join(tmpdir(), 'sealog-contract-'))
    return {
      store: () => nodeStore(join(folder, 'replica.db')),
      remove: async () => rmSync(folder, { recursive: true }),
    }
  })
})

describe('IndexedDB with Web Locks', () => {
  beforeEach(() => {
    vi.stubGlobal('navigator', { locks: new FakeWebLocks() })
  })
  runContract(indexedDbPlace)
})

describe('IndexedDB without Web Locks', () => {
  beforeEach(() => {
    vi.stubGlobal('navigator', undefined)
  })
  runContract(indexedDbPlace)
})

let places = 0

function indexedDbPlace(): StorePlace {
  places++
  const name = `contract-${places}`
  return {
    store: () => indexedDbStore(name),
    remove: () =>
      new Promise((resolve, reject) => {
        const request = indexedDB.deleteDatabase(`sealog/${name}`)
        request.onsuccess = () => resolve()
        request.onerror = () => reject(request.error)
        request.onblocked = () => reject(new Error('a closed store still holds its database'))
      }),
  }
}

function runContract(makePlace: () => StorePlace): void {
  for (const { name, run } of storeContract(makePlace)) test(name, { timeout: 30_000 }, run)
}
