// What the check scripts share.
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const PROJECT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')
export const RESULTS = join(PROJECT, 'build/test-results')

/** Ends the check with one line that says what is wrong. */
export function fail(message) {
  console.error(`\n✗ ${message}`)
  process.exit(1)
}

/** Runs a command with its output in view; ends the check where it fails. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: PROJECT, stdio: 'inherit', ...options })
  if (error) fail(`${command}: ${error.message}`)
  if (status !== 0) fail(`failed: ${describe(command, args)}`)
}

/** Runs a command with its output in view. @returns its exit code, 1 where it was killed or could not start */
export function attempt(command, args, options = {}) {
  return spawnSync(command, args, { cwd: PROJECT, stdio: 'inherit', ...options }).status ?? 1
}

/** Runs a command and takes its output; errors of the command are the caller's to judge. */
export function capture(command, args, options = {}) {
  const child = spawnSync(command, args, { cwd: PROJECT, encoding: 'utf8', maxBuffer: 1 << 28, ...options })
  if (child.error) fail(`${command}: ${child.error.message}`)
  return { status: child.status, stdout: child.stdout, stderr: child.stderr }
}

/** Keeps the counts of one runner, to be summed at the end. */
export function writeResult(name, { passed, failed, skipped }) {
  mkdirSync(RESULTS, { recursive: true })
  writeFileSync(join(RESULTS, `${name}.json`), `${JSON.stringify({ passed, failed, skipped })}\n`)
}

function describe(command, args) {
  const name = command === process.execPath ? 'node' : command
  return [name, ...args].join(' ').replaceAll(`${PROJECT}/`, '')
}
