// What of `npm run test:crash` runs with all other tests: 200 kills, and stores that are wrong on purpose, which the
// same checks must find. Leaves its counts in the file of its argument.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { postgresPrograms } from '../helpers/postgres-cluster.ts'
import { type CrashOptions, type CrashReport, crash } from './crash.ts'

const SOUND = { replicas: 3, seed: 20_260_105, patience: 60_000, keep: false }
/** Clients of a store that is wrong never get what they wait for. */
const WRONG = { relays: 1, replicas: 0, seed: 7, patience: 1500, keep: false }

interface Part {
  readonly name: string
  readonly options: CrashOptions
  /** What must hold of the report, by name. */
  readonly checks: Readonly<Record<string, (report: CrashReport) => boolean>>
}

const HELD: Part['checks'] = {
  'much was acknowledged': ({ acknowledged, cycles }) => acknowledged >= cycles,
  'nothing acknowledged is lost': ({ lost }) => lost === 0,
  'nobody is shown two heads for one size': ({ conflictingHeads }) => conflictingHeads === 0,
  'all replicas and relays converge': ({ converged }) => converged,
  'nothing else that must not happen': ({ faults }) => faults.length === 0,
}

const PARTS: readonly Part[] = [
  {
    name: 'a disk that forgets',
    options: { ...WRONG, cycles: 3, store: 'forgetful' },
    checks: { 'is found to have lost entries': ({ lost }) => lost > 0 },
  },
  {
    name: 'two processes that do not agree',
    options: { ...WRONG, cycles: 3, store: 'split', relays: 2 },
    checks: { 'are found to have signed conflicting heads': ({ conflictingHeads }) => conflictingHeads > 0 },
  },
  { name: 'sqlite: 100 cycles', options: { ...SOUND, cycles: 100, store: 'sqlite', relays: 1 }, checks: HELD },
  { name: 'postgres: 70 cycles', options: { ...SOUND, cycles: 70, store: 'postgres', relays: 1 }, checks: HELD },
  {
    name: 'postgres, three processes: 30 cycles',
    options: { ...SOUND, cycles: 30, store: 'postgres', relays: 3 },
    checks: HELD,
  },
]

const counts = { passed: 0, failed: 0, skipped: 0 }

function count(name: string, outcome: keyof typeof counts, why = ''): void {
  counts[outcome]++
  const mark = { passed: '✓', failed: '✗', skipped: '–' }[outcome]
  console.log(` ${mark} crash > ${name}${why === '' ? '' : `: ${why}`}`)
}

async function runPart({ name, options, checks }: Part): Promise<void> {
  const names = Object.keys(checks).map(check => `${name}: ${check}`)
  if (options.store === 'postgres' && postgresPrograms() === undefined) {
    const isRequired = (process.env.SEALOG_REQUIRE ?? '').split(',').includes('postgres')
    for (const each of names) count(each, isRequired ? 'failed' : 'skipped', 'PostgreSQL is not installed')
    return
  }
  try {
    const report = await crash(options)
    for (const [check, holds] of Object.entries(checks)) {
      const isHeld = holds(report)
      count(`${name}: ${check}`, isHeld ? 'passed' : 'failed', isHeld ? '' : JSON.stringify(report))
    }
    console.log(`   ${report.acknowledged} entries acknowledged, ${report.saved} edits saved, ${report.seconds} s`)
  } catch (error) {
    for (const each of names) count(each, 'failed', String(error))
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
for (const part of PARTS) await runPart(part)
const [file] = process.argv.slice(2)
if (file !== undefined) {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(counts)}\n`)
}
process.exitCode = counts.failed > 0 ? 1 : 0
