import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { type PostgresCluster, postgresCluster, postgresPrograms } from './postgres-cluster.ts'

const REQUIRED = (process.env.SEALOG_REQUIRE ?? '').split(',').includes('postgres')
const MISSING = 'PostgreSQL is not installed: set PG_BIN to the folder of its programs'
/** For making a cluster and for ending it, in milliseconds. */
const HOOK_TIMEOUT = 90_000

/**
 * A suite with a PostgreSQL server of its own, running from before its first test to after its last one. Without the
 * programs it is one skipped test that says what is missing, or a failing one where `SEALOG_REQUIRE` lists `postgres`.
 */
export function describePostgres(name: string, suite: (cluster: PostgresCluster) => void): void {
  if (postgresPrograms() === undefined) {
    describe(name, () => {
      it(`needs PostgreSQL: ${MISSING}`, context => {
        if (REQUIRED) throw new Error(MISSING)
        context.skip(MISSING)
      })
    })
    return
  }
  describe(name, () => {
    const folder = join(tmpdir(), `sealog-postgres-${randomBytes(6).toString('hex')}`)
    const cluster = postgresCluster(folder)
    beforeAll(() => cluster.start(), HOOK_TIMEOUT)
    afterAll(async () => {
      await cluster.stop('immediate')
      rmSync(folder, { recursive: true, force: true })
    }, HOOK_TIMEOUT)
    suite(cluster)
  })
}
