import { cpSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { startCluster } from '../helpers/postgres-cluster.ts'

/** Where the processes of a relay keep their data. */
export interface Place {
  /** Arguments of the relay process with this number. */
  argumentsOf(relay: number): readonly string[]
  /** Called while a relay process is down, before it starts again. */
  beforeStart(relay: number): void
  close(): Promise<void>
}

/** One process, SQLite. */
export function sqlitePlace(folder: string): Place {
  const data = join(folder, 'relay')
  return { argumentsOf: () => ['--data', data], beforeStart: () => {}, close: async () => {} }
}

/** Any number of processes, one PostgreSQL of one's own. */
export async function postgresPlace(folder: string): Promise<Place> {
  const cluster = await startCluster(join(folder, 'postgres'))
  const url = await cluster.createDatabase()
  const data = join(folder, 'relay')
  return {
    argumentsOf: () => ['--data', data, '--store', url],
    beforeStart: () => {},
    close: () => cluster.stop('immediate'),
  }
}

/**
 * A disk that has forgotten after every crash what was written in the run before it: a store that acknowledges what is
 * not durable. The checker must find out.
 */
export function forgetfulPlace(folder: string): Place {
  const data = join(folder, 'relay')
  const kept = join(folder, 'kept')
  return {
    argumentsOf: () => ['--data', data],
    beforeStart() {
      if (existsSync(kept)) {
        rmSync(data, { recursive: true })
        cpSync(kept, data, { recursive: true })
      } else if (existsSync(data)) {
        cpSync(data, kept, { recursive: true })
      }
    },
    close: async () => {},
  }
}

/**
 * Each process has its own copy of the data, and so its own log under one key: what two processes do that do not agree.
 * The checker must find out.
 */
export function splitPlace(folder: string): Place {
  const dataOf = (relay: number): string => join(folder, `relay-${relay}`)
  return {
    argumentsOf: relay => ['--data', dataOf(relay)],
    beforeStart(relay) {
      if (relay > 0 && !existsSync(dataOf(relay))) cpSync(dataOf(0), dataOf(relay), { recursive: true })
    },
    close: async () => {},
  }
}
