import type { QueryResult } from 'pg'
import { afterEach, beforeEach } from 'vitest'
import { describePostgres } from '../../../test/helpers/postgres.ts'
import type { PostgresCluster } from '../../../test/helpers/postgres-cluster.ts'
import type { LogStore } from '../../src/log-store.ts'
import { type PostgresLogStoreOptions, postgresLogStore } from '../../src/log-store-postgres.ts'

/** Each test's own database, and stores in it. */
export interface PostgresStores {
  readonly cluster: PostgresCluster
  /** Of the database of this test, empty when it begins. */
  url(): string
  /** A store in it, not open. */
  store(options?: Partial<PostgresLogStoreOptions>): LogStore
  /** An open one; it is closed with the test. */
  opened(options?: Partial<PostgresLogStoreOptions>): Promise<LogStore>
  /** One statement on a connection of its own. */
  sql(text: string, at?: string): Promise<QueryResult>
}

/** A suite over stores in a PostgreSQL server of its own, with an empty database for each test. */
export function describePostgresStores(name: string, suite: (stores: PostgresStores) => void): void {
  describePostgres(name, cluster => {
    const stores: LogStore[] = []
    let url = ''

    beforeEach(async () => {
      url = await cluster.createDatabase()
    })
    afterEach(async () => {
      for (const store of stores.splice(0)) await store.close()
    })

    const store = (options: Partial<PostgresLogStoreOptions> = {}): LogStore =>
      postgresLogStore({ url, connections: 2, ...options })

    suite({
      cluster,
      url: () => url,
      store,
      async opened(options) {
        const made = store(options)
        stores.push(made)
        await made.open()
        return made
      },
      sql: (text, at = url) => cluster.query(text, [], at),
    })
  })
}
