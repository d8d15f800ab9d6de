/** One measured amount, and what DESIGN §11 wants of it, where it does. */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: 'ms' | 'µs' | 'ratio' | 'bytes' | 'edits'
  /** The budget, in the same unit. */
  readonly atMost?: number
}

/** What a benchmark found out: figures under stable keys. */
export type Figures = Readonly<Record<string, Figure>>

export interface BenchOptions {
  /** Edits of the recorded history to work on, at most. */
  readonly edits: number | undefined
  /** Says what is going on. */
  readonly say: (line: string) => void
}

/** The one in the middle, or between the two in the middle. @throws RangeError where there are none */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('the median of nothing')
  const sorted = [...values].sort((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return ((sorted[Math.floor(middle)] as number) + (sorted[Math.ceil(middle)] as number)) / 2
}

/** @returns milliseconds */
export async function timed(task: () => unknown): Promise<number> {
  const start = performance.now()
  await task()
  return performance.now() - start
}

/**
 * Runs the tasks in turns, so that whatever else the machine does meets all of them alike.
 * @returns for each task its times in milliseconds, one per round
 */
export async function inTurns(rounds: number, tasks: readonly (() => Promise<number>)[]): Promise<readonly number[][]> {
  const times = tasks.map((): number[] => [])
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < tasks.length; turn++) {
      // Who comes first changes from round to round.
      const i = (turn + round) % tasks.length
      times[i]?.push(await (tasks[i] as () => Promise<number>)())
    }
  }
  return times
}
