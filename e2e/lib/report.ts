import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT } from './project.ts'
import { within } from './within.ts'

/** Longest time for one check, in milliseconds; on a machine that is idle none takes a tenth of it. */
const PATIENCE = 60_000

/** The checks of this run: a line for each, and their counts. */
export class Report {
  readonly #counts = { passed: 0, failed: 0, skipped: 0 }

  get failed(): number {
    return this.#counts.failed
  }

  /** Runs one check, named after what it promises. @throws what the check threw, since later ones build on it */
  async check(name: string, run: () => Promise<void>, patience: number = PATIENCE): Promise<void> {
    const start = performance.now()
    try {
      await within(patience, run())
    } catch (error) {
      this.fail(name)
      throw error
    }
    this.#counts.passed++
    console.log(`✓ ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`)
  }

  fail(name: string): void {
    this.#counts.failed++
    console.log(`✗ ${name}`)
  }

  /** What this machine has not got: skipped, unless it is required. */
  missing(what: string, required: boolean): void {
    if (required) return this.fail(what)
    this.#counts.skipped++
    console.log(`- skipped: ${what}`)
  }

  /** Leaves the counts for whoever sums them up. */
  write(): void {
    const folder = join(PROJECT, 'build/test-results')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'e2e.json'), `${JSON.stringify(this.#counts)}\n`)
    const { passed, failed, skipped } = this.#counts
    console.log(`e2e: ${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  }
}
