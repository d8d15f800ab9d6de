// Benchmarks by name. Each compares with something else in the same run, so that the machine does not matter.
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { benchChange } from './change.ts'
import { benchFastForward } from './fast-forward.ts'
import { benchKeys } from './keys.ts'
import { type BenchOptions, type Figure, MissingInput, ratioOf } from './measure.ts'
import { benchOpen } from './open.ts'
import { benchProofs } from './proofs.ts'
import { benchRelay, RELAY_PARTS } from './relay.ts'

interface Bench {
  readonly what: string
  /** Works on the recorded paper, so that `--edits` says how much of it. */
  readonly hasEdits: boolean
  /** Names for `--only`, where it is in parts. */
  readonly parts?: readonly string[]
  run(options: BenchOptions): Promise<readonly Figure[]>
}

const BENCHES: Readonly<Record<string, Bench>> = {
  open: {
    what: 'opening the recorded paper from the local store, against Automerge.load',
    hasEdits: true,
    run: benchOpen,
  },
  change: { what: 'change() as the caller feels it, against Automerge.change', hasEdits: true, run: benchChange },
  proofs: {
    what: 'size of proofs, and time to make and to verify them, on synthetic logs',
    hasEdits: false,
    run: benchProofs,
  },
  'fast-forward': {
    what: 'joining a space with the recorded paper, against Automerge.load and save',
    hasEdits: true,
    run: benchFastForward,
  },
  keys: {
    what: 'rotations, joins and old epochs in spaces of up to 1,000 devices, against plain X25519 wraps',
    hasEdits: false,
    run: benchKeys,
  },
  relay: {
    what: `the relay under load, against bare inserts on the same store; in parts: ${RELAY_PARTS.join(', ')}`,
    hasEdits: false,
    parts: RELAY_PARTS,
    run: benchRelay,
  },
}

const MEASURED = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 })
const COUNTED = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const WIDTH = 58

function usage(): string {
  const lines = Object.entries(BENCHES).map(([name, { what }]) => `  ${name.padEnd(13)} ${what}`)
  return `npm run bench -- NAME [--json] [--edits N] [--only PART]\n\n${lines.join('\n')}\n`
}

function amount(value: number, unit: Figure['unit']): string {
  return (unit === 'ms' || unit === 'µs' ? MEASURED : COUNTED).format(value)
}

function describe(figure: Figure): string {
  const { value, unit, floor, atMost, ratioAtMost, ratioAtLeast } = figure
  const ratio = ratioOf(figure)
  const measuredValue = `${amount(value, unit)} ${unit}`.padStart(15)
  const against =
    ratio === undefined ? '' : `${MEASURED.format(ratio)} ×${floor === undefined ? '' : ` ${amount(floor, unit)}`}`
  if (ratioAtLeast !== undefined) {
    const isMet = ratio !== undefined && ratio >= ratioAtLeast
    return line(figure.case, measuredValue, against, `${isMet ? '✓' : '✗'} at least ${MEASURED.format(ratioAtLeast)} ×`)
  }
  const [measured, limit] = ratioAtMost === undefined ? [value, atMost] : [ratio ?? Number.NaN, ratioAtMost]
  const unitOfLimit = ratioAtMost === undefined ? ` ${unit}` : ' ×'
  const verdict =
    limit === undefined ? '' : `${measured <= limit ? '✓' : '✗'} at most ${MEASURED.format(limit)}${unitOfLimit}`
  return line(figure.case, measuredValue, against, verdict)
}

function line(name: string, value: string, against: string, verdict: string): string {
  return `  ${name.padEnd(WIDTH)} ${value}   ${against.padEnd(18)} ${verdict}`.trimEnd()
}

function asLine(bench: string, figure: Figure): string {
  const { case: name, value, unit, floor } = figure
  const ratio = ratioOf(figure)
  return JSON.stringify({
    bench,
    case: name,
    value: rounded(value),
    unit,
    floor: rounded(floor),
    ratio: rounded(ratio),
  })
}

/** More digits than a measurement has would only be noise. */
function rounded(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Number(value.toPrecision(6))
}

function machine(): string {
  const load = loadavg().map(value => value.toFixed(1))
  return `${cpus().length} processors, load ${load.join(' ')}`
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: 'boolean' }, edits: { type: 'string' }, only: { type: 'string' } },
  })
  const [name = '', ...rest] = positionals
  const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined
  if (bench === undefined || rest.length > 0) throw new TypeError(`which benchmark?\n\n${usage()}`)
  const edits = values.edits === undefined ? undefined : Number(values.edits)
  if (edits !== undefined && !(Number.isSafeInteger(edits) && edits > 0))
    throw new TypeError('--edits: expected a number')
  if (edits !== undefined && !bench.hasEdits) throw new TypeError(`--edits: ${name} works on none`)
  const { only } = values
  if (only !== undefined && !bench.parts?.includes(only)) {
    throw new TypeError(`--only: expected ${bench.parts?.join(', ') ?? `nothing, as ${name} has no parts`}`)
  }
  // With --json, the lines of the figures are all there is on stdout.
  const say = (line: string): void => (values.json ? console.error(`· ${line}`) : console.log(`· ${line}`))
  say(machine())
  const figures = await bench.run({ edits, only, say })
  say(machine())
  if (values.json) for (const figure of figures) console.log(asLine(name, figure))
  else console.log(`\n${figures.map(describe).join('\n')}`)
}

try {
  await main()
} catch (error) {
  const isExpected = error instanceof MissingInput || error instanceof TypeError
  // parseArgs, too, throws a TypeError for an option that it does not know.
  console.error(isExpected ? error.message : error)
  process.exitCode = error instanceof MissingInput ? 0 : 1
}
