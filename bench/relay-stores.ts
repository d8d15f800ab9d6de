import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type LogStore, postgresLogStore, sqliteLogStore } from 'sealog-relay'
import { type PostgresCluster, postgresPrograms, startCluster } from '../test/helpers/postgres-cluster.ts'

/** Of a statement and of a connection, in milliseconds: a machine under load is what is measured. */
const PATIENCE = 120_000

/** Where the logs of one relay are; as it is handed to another process. */
export type StorePlace =
  | { readonly kind: 'sqlite'; readonly file: string }
  | { readonly kind: 'postgres'; readonly url: string; readonly schema: string }

/** One kind of store, and places in it that are empty. */
export interface Stores {
  readonly kind: StorePlace['kind']
  fresh(): StorePlace
}

export function storeAt(place: StorePlace): LogStore {
  return place.kind === 'sqlite'
    ? sqliteLogStore(place.file)
    : postgresLogStore({ url: place.url, schema: place.schema, timeout: PATIENCE, connectTimeout: PATIENCE })
}

/** Everything that a benchmark leaves on the disk goes with it. */
export interface BenchPlaces {
  readonly stores: readonly Stores[]
  /** A folder that is empty. */
  folder(): string
  remove(): Promise<void>
}

/** SQLite, and PostgreSQL where this machine has it: one cluster for the whole run, with durable commits. */
export async function openPlaces(say: (line: string) => void, needsPostgres = true): Promise<BenchPlaces> {
  const root = mkdtempSync(join(tmpdir(), 'sealog-bench-'))
  // PostgreSQL does not run as root: whoever it runs as must get to its own folder.
  chmodSync(root, 0o755)
  let count = 0
  const folder = (): string => mkdtempSync(join(root, `${count++}-`))
  const stores: Stores[] = [{ kind: 'sqlite', fresh: () => ({ kind: 'sqlite', file: join(folder(), 'relay.db') }) }]
  let cluster: PostgresCluster | undefined
  if (needsPostgres && postgresPrograms() === undefined) {
    say('PostgreSQL was not found (PG_BIN, /usr/lib/postgresql, PATH): SQLite alone')
  } else if (needsPostgres) {
    cluster = await startCluster(join(root, 'postgres'))
    const { url } = cluster
    stores.push({ kind: 'postgres', fresh: () => ({ kind: 'postgres', url, schema: `bench_${count++}` }) })
  }
  return {
    stores,
    folder,
    async remove() {
      await cluster?.stop('immediate')
      rmSync(root, { recursive: true, force: true })
    },
  }
}
