// `npm run test:crash -- --cycles N --store sqlite|postgres [--relays K] [--replicas R] [--seed S] [--json]`
import { parseArgs } from 'node:util'
import { type CrashReport, crash } from './crash.ts'

const USAGE = `npm run test:crash -- --cycles N --store sqlite|postgres [--relays K] [settings] [--json]

  --cycles N    how often a relay is killed (default 100)
  --store       sqlite (default), or postgres: a server of its own in a temporary folder
  --relays K    processes of one relay, of which a random one is killed each time (default 1; more need postgres)
  --replicas R  whole replicas, besides the light clients (default 3)
  --seed S      of the moments at which processes are killed (default 1)
  --keep        leaves data and logs where they are, and says where
  --json        the last line is {"cycles", "acknowledged", "lost", "conflictingHeads", "converged"}

A signal ends the cycles early, and the verdict is on those that were.
`

/** In the end, for everything to be acknowledged and everybody to be equal, in milliseconds. */
const PATIENCE = 90_000

function countOf(name: string, text: string, least: number): number {
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < least)
    throw new TypeError(`--${name}: expected a number from ${least} on`)
  return count
}

function readArguments() {
  const { values } = parseArgs({
    options: {
      cycles: { type: 'string', default: '100' },
      store: { type: 'string', default: 'sqlite' },
      relays: { type: 'string', default: '1' },
      replicas: { type: 'string', default: '3' },
      seed: { type: 'string', default: '1' },
      keep: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const { store, keep, json } = values
  if (store !== 'sqlite' && store !== 'postgres') throw new TypeError('--store: expected sqlite or postgres')
  const relays = countOf('relays', values.relays, 1)
  if (relays > 1 && store === 'sqlite') throw new TypeError('--relays: several processes need --store postgres')
  const numbers = {
    cycles: countOf('cycles', values.cycles, 1),
    replicas: countOf('replicas', values.replicas, 0),
    seed: countOf('seed', values.seed, 0),
  }
  return { json, options: { store, relays, keep, patience: PATIENCE, ...numbers } as const }
}

function describe({ faults, refusals, saved, seconds, cycleSeconds, cycles }: CrashReport): void {
  const each = Math.round((1000 * cycleSeconds) / cycles)
  console.error(`${cycles} cycles in ${seconds} s, ${each} ms each; ${saved} edits of replicas`)
  console.error(`refused: ${JSON.stringify(refusals)}`)
  for (const fault of faults) console.error(`✗ ${fault}`)
}

async function run(): Promise<void> {
  let parsed: ReturnType<typeof readArguments>
  try {
    parsed = readArguments()
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`)
    process.exitCode = 2
    return
  }
  const report = await crash({
    ...parsed.options,
    signal: brokenOff.signal,
    progress: (cycle, { acknowledged, contradictions, faults }) => {
      console.error(
        `${cycle} cycles: ${acknowledged} acknowledged, ${contradictions} contradictions, ${faults.length} faults`,
      )
    },
  })
  describe(report)
  const { cycles, acknowledged, lost, conflictingHeads, converged, faults } = report
  const verdict = { cycles, acknowledged, lost, conflictingHeads, converged }
  if (parsed.json) console.log(JSON.stringify(verdict))
  else console.log(verdict)
  process.exitCode = lost === 0 && conflictingHeads === 0 && converged && faults.length === 0 ? 0 : 1
}

// Whoever has seen enough gets a verdict on the cycles so far; whoever insists, none.
const brokenOff = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (brokenOff.signal.aborted) process.exit(1)
    brokenOff.abort()
  })
}
await run()
