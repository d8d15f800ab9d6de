// The packed library in a real browser, with a real relay. Arguments: names of suites, for some of them only.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findChromium, INSTALL_HINT } from './lib/chromium.ts'
import { Cleanup } from './lib/cleanup.ts'
import { isRequired } from './lib/project.ts'
import { Report } from './lib/report.ts'
import { runSuites } from './run-suites.ts'

const report = new Report()
const cleanup = new Cleanup()

/** How long a run that was broken off may take to come to its end, in milliseconds. */
const LAST_PATIENCE = 20_000

/** Takes everything away from the run, which then fails and ends like any other. */
function breakOff(reason: unknown): void {
  if (cleanup.hasBegun) return
  console.error(reason)
  report.fail('the run was broken off')
  void cleanup.run()
  setTimeout(() => process.exit(1), LAST_PATIENCE).unref()
}

async function run(executable: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'sealog-e2e-'))
  try {
    await runSuites({ executable, folder, wanted: process.argv.slice(2) }, report, cleanup)
  } catch (error) {
    console.error(error)
    if (report.failed === 0) report.fail('the run could not start')
  } finally {
    await cleanup.run()
    await rm(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

for (const event of ['SIGINT', 'SIGTERM', 'uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, breakOff)
}
const executable = findChromium()
if (executable === undefined) report.missing(INSTALL_HINT, isRequired('chromium'))
else await run(executable)
report.write()
process.exitCode = report.failed > 0 ? 1 : 0
