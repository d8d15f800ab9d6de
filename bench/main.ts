// Benchmarks by name. Each compares with something else in the same run, so that the machine does not matter.
import { parseArgs } from 'node:util'
import { benchChange } from './change.ts'
import type { BenchOptions, Figure, Figures } from './measure.ts'
import { benchOpen } from './open.ts'

const BENCHES: Readonly<Record<string, { readonly what: string; run(options: BenchOptions): Promise<Figures> }>> = {
  open: { what: 'opening the recorded paper from the local store, against Automerge.load', run: benchOpen },
  change: { what: 'change() as the caller feels it, against Automerge.change', run: benchChange },
}

const NUMBER = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 })

function usage(): string {
  const lines = Object.entries(BENCHES).map(([name, { what }]) => `  ${name.padEnd(8)} ${what}`)
  return `npm run bench -- NAME [--json] [--edits N]\n\n${lines.join('\n')}\n`
}

function describe({ name, value, unit, atMost }: Figure): string {
  const amount = `${NUMBER.format(value)} ${unit === 'ratio' || unit === 'edits' ? '' : unit}`
  const verdict = atMost === undefined ? '' : `${value <= atMost ? '✓' : '✗'} at most ${atMost}`
  return `  ${name.padEnd(40)} ${amount.padStart(16)}   ${verdict}`.trimEnd()
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: 'boolean' }, edits: { type: 'string' } },
  })
  const [name = '', ...rest] = positionals
  const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined
  if (bench === undefined || rest.length > 0) throw new TypeError(`which benchmark?\n\n${usage()}`)
  const edits = values.edits === undefined ? undefined : Number(values.edits)
  if (edits !== undefined && !(Number.isSafeInteger(edits) && edits > 0))
    throw new TypeError('--edits: expected a number')
  const figures = await bench.run({ edits, say: line => console.log(`· ${line}`) })
  console.log(`\n${Object.values(figures).map(describe).join('\n')}`)
  if (values.json) console.log(JSON.stringify({ bench: name, ...valuesOf(figures) }))
}

function valuesOf(figures: Figures): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).map(([key, { value }]) => [key, value]))
}

try {
  await main()
} catch (error) {
  console.error(error instanceof TypeError ? error.message : error)
  process.exitCode = 1
}
