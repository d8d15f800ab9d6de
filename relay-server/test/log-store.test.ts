import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { type LogStorePlace, logStoreContract } from '../src/log-store-contract.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'

function sqlitePlace(): LogStorePlace {
  const folder = mkdtempSync(join(tmpdir(), 'sealog-test-'))
  const file = join(folder, 'relay.db')
  return {
    isPersistent: true,
    store: onStatement => sqliteLogStore(file, onStatement && { onStatement }),
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
  describe(`log store contract: ${kind}`, () => {
    for (const { name, run } of logStoreContract(makePlace)) test(name, run)
  })
}
