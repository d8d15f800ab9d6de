import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { logStoreContract } from '../src/log-store-contract.ts'
import type { LogStorePlace } from '../src/log-store-contract-checks.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'

function sqlitePlace(): LogStorePlace & { readonly file: string } {
  const folder = mkdtempSync(join(tmpdir(), 'sealog-test-'))
  const file = join(folder, 'relay.db')
  return {
    file,
    isPersistent: true,
    store: onStatement => sqliteLogStore(file, onStatement && { onStatement }),
    async backUpLogs() {
      // What was closed is in one file.
      const logs = readFileSync(file)
      return async () => writeFileSync(file, logs)
    },
    remove: async () => rmSync(folder, { recursive: true }),
  }
}

function memoryPlaceOfSqlite(): LogStorePlace {
  return { isPersistent: false, store: onStatement => sqliteLogStore(':memory:', onStatement && { onStatement }) }
}

const PLACES: Readonly<Record<string, () => LogStorePlace>> = {
  SQLite: sqlitePlace,
  'SQLite in memory': memoryPlaceOfSqlite,
  memory: () => ({ isPersistent: false, store: () => memoryLogStore() }),
}

for (const [kind, makePlace] of Object.entries(PLACES)) {
  // Of the fence of an append, among others (R-OPS-6).
  describe(`log store contract: ${kind}`, () => {
    for (const { name, run } of logStoreContract(makePlace)) test(name, run)
  })
}

test('a file of an earlier or a later schema is refused, and left as it is', async () => {
  const place = sqlitePlace()
  const store = place.store()
  await store.open()
  await store.close()
  for (const version of [1, 2, 3, 6]) {
    const before = new Database(place.file)
    before.pragma(`user_version = ${version}`)
    before.close()
    await expect(place.store().open()).rejects.toMatchObject({ code: 'ERR_STORE_SCHEMA' })
    const after = new Database(place.file)
    expect(after.pragma('user_version', { simple: true })).toBe(version)
    after.close()
  }
  await place.remove?.()
})

test('a file with other tables than it should have is refused, and left as it is', async () => {
  const place = sqlitePlace()
  const store = place.store()
  await store.open()
  await store.close()
  const before = new Database(place.file)
  before.exec('DROP TABLE wraps')
  before.close()
  await expect(place.store().open()).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
  const after = new Database(place.file)
  expect(() => after.prepare('SELECT * FROM wraps')).toThrow(/no such table/)
  expect(after.pragma('user_version', { simple: true })).toBe(5)
  after.close()
  await place.remove?.()
})
