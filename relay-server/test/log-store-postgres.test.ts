import { test, vi } from 'vitest'
import { describePostgres } from '../../test/helpers/postgres.ts'
import { logStoreContract } from '../src/log-store-contract.ts'
import type { LogStorePlace } from '../src/log-store-contract-checks.ts'
import { sharedLogStoreContract } from '../src/log-store-contract-shared.ts'
import { postgresLogStore } from '../src/log-store-postgres.ts'

// A server of its own is started, and brought down: on a busy machine all of it takes its time.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

describePostgres('log store contract: PostgreSQL', cluster => {
  let schemas = 0

  function place(): LogStorePlace {
    const schema = `contract_${++schemas}`
    return {
      isPersistent: true,
      store: () => postgresLogStore({ url: cluster.url, schema, connections: 3 }),
      backUpLogs: () => cluster.dump(schema),
      remove: async () => void (await cluster.query(`DROP SCHEMA IF EXISTS ${schema}, ${schema}_heads CASCADE`)),
    }
  }

  for (const { name, run } of [...logStoreContract(place), ...sharedLogStoreContract(place)]) test(name, run)
})
