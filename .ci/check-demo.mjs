// Judges what the demonstration reports: the file named by the argument ends in one JSON object.
import { readFileSync } from 'node:fs'
import { fail, writeResult } from './lib.mjs'

const isCount = value => Number.isSafeInteger(value) && value >= 0
const isAmount = value => Number.isFinite(value) && value > 0
const isCode = value => typeof value === 'string' && value.startsWith('ERR_')

const EXPECTED = {
  edits: value => isCount(value) && value > 0,
  entries: value => isCount(value) && value > 0,
  converged: value => value === true,
  contentMatches: value => value === true,
  relayKills: value => isCount(value) && value >= 3,
  replicaKills: value => isCount(value) && value >= 3,
  inFlightAtKill: value => isCount(value) && value > 0,
  lostChanges: value => value === 0,
  duplicatedChanges: value => value === 0,
  plaintextHits: value => value === 0,
  // The same search over an unencrypted save: a search that cannot find anything proves nothing.
  plaintextControlHits: value => isCount(value) && value > 0,
  wireBytesPerEdit: isAmount,
  entriesPerSecond: isAmount,
  'detected.bitFlip': isCode,
  'detected.swap': isCode,
  'detected.drop': isCode,
  'detected.rollback': isCode,
}

function readReport(path) {
  const last = readFileSync(path, 'utf8').trimEnd().split('\n').at(-1)
  try {
    return JSON.parse(last)
  } catch {
    fail(`the demonstration does not end in a JSON object but in: ${last.slice(0, 200)}`)
  }
}

const [, , path] = process.argv
if (path === undefined) fail('usage: check-demo.mjs FILE')
const report = readReport(path)
let failed = 0
for (const [key, holds] of Object.entries(EXPECTED)) {
  const value = key.split('.').reduce((object, part) => object?.[part], report)
  if (holds(value)) continue
  failed++
  console.error(`✗ demonstration: ${key} is ${JSON.stringify(value)}`)
}
const passed = Object.keys(EXPECTED).length - failed
console.log(`demonstration: ${passed} of ${passed + failed} values are as they must be`)
writeResult('demo', { passed, failed, skipped: 0 })
if (failed > 0) process.exitCode = 1
