// What the runners counted, from build/test-results/.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RESULTS } from './lib.mjs'

/** Sums the counts of these runners. One that left no readable result counts as one failure. */
export function readResults(names) {
  const sum = { passed: 0, failed: 0, skipped: 0 }
  for (const counts of names.map(readResult)) for (const key of Object.keys(sum)) sum[key] += counts[key]
  return sum
}

export function describeCounts({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}

/** Tests of this runner that failed once and then passed, and what the failure said. */
export function secondAttempts(name) {
  const path = join(RESULTS, `${name}.json`)
  if (!existsSync(path)) return []
  const { testResults } = JSON.parse(readFileSync(path, 'utf8'))
  return testResults
    .flatMap(file => file.assertionResults)
    .filter(test => test.status === 'passed' && test.failureMessages.length > 0)
    .map(test => ({ name: test.fullName, message: test.failureMessages[0] }))
}

function readResult(name) {
  const path = join(RESULTS, `${name}.json`)
  if (!existsSync(path)) return { passed: 0, failed: 1, skipped: 0 }
  try {
    const result = JSON.parse(readFileSync(path, 'utf8'))
    const counts = 'numTotalTests' in result ? fromVitest(result) : result
    if (![counts.passed, counts.failed, counts.skipped].every(Number.isSafeInteger)) throw new Error('no counts')
    return counts
  } catch (error) {
    console.error(`✗ ${path}: ${error.message}`)
    return { passed: 0, failed: 1, skipped: 0 }
  }
}

/** A file that did not even load has no tests that could fail; it must count nevertheless. */
function fromVitest(result) {
  const unloaded = result.testResults.filter(file => file.status === 'failed' && !file.assertionResults.some(isFailure))
  return {
    passed: result.numPassedTests,
    failed: result.numFailedTests + unloaded.length,
    skipped: result.numPendingTests + result.numTodoTests,
  }
}

function isFailure(test) {
  return test.status === 'failed'
}
