import type { NodeProcess } from '../lib/child-process.ts'
import type { Profile } from '../lib/profile.ts'
import type { Report } from '../lib/report.ts'
import type { Mode, Served } from '../lib/serve.ts'

/** What a suite works with. */
export interface World {
  readonly report: Report
  /** For files of this suite; not there yet, removed in the end. */
  readonly folder: string
  /** The pages under test; each mode is prepared once. */
  site(mode: Mode): Promise<Served>
  /** A browser profile that is empty; closed when the suite is over. */
  profile(): Promise<Profile>
  /** A process of this project; ended with the run. */
  start(...command: Parameters<typeof NodeProcess.start>): Promise<NodeProcess>
}

/** @throws Error with what was promised */
export function expect(condition: boolean, promise: string): asserts condition {
  if (!condition) throw new Error(`broken promise: ${promise}`)
}

/** @throws Error with both values */
export function expectEqual(actual: unknown, wanted: unknown, promise: string): void {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(wanted)]
  expect(left === right, `${promise}; wanted ${right}, got ${left}`)
}
