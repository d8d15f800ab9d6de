import { expect, test } from 'vitest'
import type { FailingStoreOptions } from '../../src/crdt/store-failing.ts'
import { failingStore } from '../../src/crdt/store-failing.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'

const KEY = Uint8Array.of(1)
const PUT = { puts: [[KEY, KEY]], deletes: [] } as const

test('gets, scans and commits are counted, opening and closing are not', async () => {
  const store = failingStore(memoryStore())
  await store.open()
  expect(store.operations).toBe(0)
  await store.get(KEY)
  await store.scan(KEY)
  await store.commit(PUT)
  expect(store.operations).toBe(3)
  await store.close()
  expect(store.operations).toBe(3)
})

test('the operation is chosen in the order of the calls, and is the only one that fails', async () => {
  const store = failingStore(memoryStore(), { failAt: 2, code: 'ERR_STORE_FULL' })
  await store.open()
  const outcomes = await Promise.allSettled([store.commit(PUT), store.get(KEY), store.scan(KEY), store.commit(PUT)])
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
  expect(outcomes[1]).toMatchObject({ reason: { code: 'ERR_STORE_FULL' } })
})

test.each([
  ['before', 0],
  ['after', 1],
] as const)('a commit that fails %s its effect leaves %d rows', async (mode, rows) => {
  const store = failingStore(memoryStore(), { failAt: 1, mode })
  await store.open()
  await expect(store.commit(PUT)).rejects.toMatchObject({ code: 'ERR_STORE' })
  expect(await store.scan(KEY)).toHaveLength(rows)
})

test('an operation that fails by itself keeps its own error', async () => {
  const store = failingStore(memoryStore(), { failAt: 1, mode: 'after' })
  await expect(store.get(KEY)).rejects.toMatchObject({ code: 'ERR_CLOSED' })
})

test.each([{ failAt: 0 }, { failAt: 1.5 }, { failAt: '1' }, { mode: 'during' }])('%j is a TypeError', options => {
  expect(() => failingStore(memoryStore(), options as FailingStoreOptions)).toThrow(TypeError)
})
