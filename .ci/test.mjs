// Runs every test runner, whatever the others say, and sums their counts. Each runner leaves
// build/test-results/<name>.json; one that leaves none counts as one failure.
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { attempt, PROJECT, RESULTS } from './lib.mjs'
import { describeCounts, readResults, secondAttempts } from './results.mjs'

const VITEST = join(PROJECT, 'node_modules/vitest/vitest.mjs')
const json = join(RESULTS, 'vitest.json')

const RUNNERS = [
  {
    name: 'vitest',
    command: process.execPath,
    // Machines stall. What fails twice fails; what passes at the second attempt is shown below, with what it said.
    args: [VITEST, 'run', '--retry=1', '--reporter=default', '--reporter=json', `--outputFile.json=${json}`],
  },
  { name: 'e2e', command: 'npm', args: ['run', '--silent', 'test:e2e'], needs: 'e2e/run.mjs' },
  {
    name: 'crash',
    command: process.execPath,
    args: [join(PROJECT, 'build/test/crash/ci.js'), join(RESULTS, 'crash.json')],
    needs: 'test/crash/ci.ts',
  },
]

rmSync(RESULTS, { recursive: true, force: true })
const present = RUNNERS.filter(({ needs }) => needs === undefined || existsSync(join(PROJECT, needs)))
const broken = present.filter(({ command, args }) => attempt(command, args) !== 0).map(({ name }) => name)
const counts = readResults(present.map(({ name }) => name))
for (const { name, message } of secondAttempts('vitest')) {
  console.log(`\n! passed only at the second attempt: ${name}\n${message}`)
}
console.log(`\n${describeCounts(counts)}`)
if (broken.length > 0) console.error(`✗ failed: ${broken.join(', ')}`)
process.exitCode = broken.length > 0 || counts.failed > 0 ? 1 : 0
