import type { BenchOptions, Figure } from './measure.ts'
import { benchAppends } from './relay-appends.ts'
import { benchFanOut, benchLatency, benchNeighbours, benchSockets } from './relay-live.ts'
import { benchProcesses } from './relay-scale.ts'
import { benchStart } from './relay-start.ts'
import { type BenchPlaces, openPlaces } from './relay-stores.ts'

type Part = (options: BenchOptions, places: BenchPlaces) => Promise<readonly Figure[]>

const PARTS: Readonly<Record<string, Part>> = {
  appends: benchAppends,
  latency: benchLatency,
  neighbours: benchNeighbours,
  'fan-out': benchFanOut,
  sockets: benchSockets,
  processes: benchProcesses,
  start: benchStart,
}

export const RELAY_PARTS: readonly string[] = Object.keys(PARTS)

/** Those that work on SQLite alone. */
const WITHOUT_POSTGRES: readonly string[] = ['fan-out', 'sockets']

/** The relay as an operator runs it: on SQLite, and on PostgreSQL where this machine has it. */
export async function benchRelay(options: BenchOptions): Promise<readonly Figure[]> {
  const { only, say } = options
  const places = await openPlaces(say, only === undefined || !WITHOUT_POSTGRES.includes(only))
  const figures: Figure[] = []
  try {
    for (const [name, run] of Object.entries(PARTS)) {
      if (only !== undefined && only !== name) continue
      const start = performance.now()
      figures.push(...(await run(options, places)))
      say(`${name}: ${((performance.now() - start) / 1000).toFixed(0)} s`)
    }
  } finally {
    await places.remove()
  }
  return figures
}
