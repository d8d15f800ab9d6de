import { Client } from 'pg'
import { expect, test, vi } from 'vitest'
import { SPACE } from '../src/log-store-contract-samples.ts'
import { isStoreBusy } from '../src/storage-error.ts'
import { describePostgresStores } from './helpers/postgres-stores.ts'

// A server of its own is started, and brought down: on a busy machine all of it takes its time.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

describePostgresStores('PostgreSQL store: connections that are all in use', ({ url, opened, sql }) => {
  test('are waited for in line, and not for longer than a connection may take', async () => {
    const store = await opened({ connections: 1, connectTimeout: 2000 })
    const other = new Client({ connectionString: url() })
    await other.connect()
    try {
      await other.query('BEGIN')
      await other.query('LOCK TABLE sealog.spaces IN ACCESS EXCLUSIVE MODE')
      const first = store.readSize(SPACE)
      const late = await store.readHead(SPACE).catch((error: unknown) => error)
      expect(late).toMatchObject({ code: 'ERR_STORE', retryable: true, details: { reason: 'busy' } })
      expect(isStoreBusy(late)).toBe(true)

      const waiting = store.readHead(SPACE)
      await other.query('COMMIT')
      expect(await first).toEqual({ size: 0, bytes: 0, floor: 0 })
      expect(await waiting).toBeUndefined()
    } finally {
      await other.end()
    }
  })

  test('are another thing than a database that is not there', async () => {
    const store = await opened({ connections: 1, connectTimeout: 2000 })
    const elsewhere = new URL(url())
    const name = elsewhere.pathname.slice(1)
    elsewhere.pathname = '/postgres'
    await sql(`ALTER DATABASE "${name}" WITH ALLOW_CONNECTIONS false`, elsewhere.href)
    await sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`, elsewhere.href)
    const refused = await store.readHead(SPACE).catch((error: unknown) => error)
    const again = await store.readHead(SPACE).catch((error: unknown) => error)
    expect([refused, again].map(isStoreBusy)).toEqual([false, false])
    expect(again).toMatchObject({ code: 'ERR_STORE' })
  })
})
