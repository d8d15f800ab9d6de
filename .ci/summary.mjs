// The last line of .ci/run: the counts of all runners. Its argument is the exit code of the run so far.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { RESULTS } from './lib.mjs'
import { describeCounts, readResults } from './results.mjs'

const RUNNERS = ['vitest', 'e2e', 'crash', 'docs', 'demo']

const succeeded = process.argv[2] === '0'
// After a failed step, runners that did not start are no failures of their own; otherwise each must have left counts.
const counts = readResults(RUNNERS.filter(name => succeeded || existsSync(join(RESULTS, `${name}.json`))))
if (!succeeded && counts.failed === 0) counts.failed = 1
if (counts.skipped > 0) console.log(describeCounts(counts))
console.log(describeCounts({ ...counts, skipped: 0 }))
process.exitCode = counts.failed > 0 ? 1 : 0
