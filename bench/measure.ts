/** Stretches of calls that are timed. */
const STRETCHES = 5

/** One measured amount. With `--json` it is one line; so its case is stable, and says what it is about by itself. */
export interface Figure {
  readonly case: string
  readonly value: number
  readonly unit: 'ms' | 'µs' | 'bytes' | 'edits' | 'entries' | 'messages' | 'entries/s' | 'messages/s'
  /** What the value is to be held against, in the same unit and from the same run. */
  readonly floor?: number
  /** The value as a multiple of the floor, where that was measured pair by pair; by default of these two. */
  readonly ratio?: number
  /** The budget of DESIGN §11, where it has one: for the value, */
  readonly atMost?: number
  /** or for the ratio, */
  readonly ratioAtMost?: number
  /** where more is better. */
  readonly ratioAtLeast?: number
}

export interface BenchOptions {
  /** Edits of the recorded history to work on, at most. */
  readonly edits: number | undefined
  /** The one part of a benchmark in parts that is wanted. */
  readonly only: string | undefined
  /** Says what is going on. */
  readonly say: (line: string) => void
}

/** What this machine does not have, and the benchmark needs. */
export class MissingInput extends Error {}

/** @returns undefined where the figure is held against nothing */
export function ratioOf({ value, floor, ratio }: Figure): number | undefined {
  return ratio ?? (floor === undefined ? undefined : value / floor)
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
 * Time of one call, which is too short to be timed alone: the median of some stretches of calls, after one that does
 * not count. Each call gets its number, so that it can have work of its own.
 * @returns microseconds
 */
export function microseconds(calls: number, task: (number: number) => unknown): number {
  const stretches: number[] = []
  for (let stretch = 0; stretch <= STRETCHES; stretch++) {
    const start = performance.now()
    for (let i = 0; i < calls; i++) task(i)
    if (stretch > 0) stretches.push((1000 * (performance.now() - start)) / calls)
  }
  return median(stretches)
}

/**
 * Runs the tasks in turns, so that whatever else the machine does meets all of them alike.
 * @returns for each task what it returned, one per round
 */
export async function inTurns<T = number>(
  rounds: number,
  tasks: readonly (() => Promise<T>)[],
): Promise<readonly T[][]> {
  const results = tasks.map((): T[] => [])
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < tasks.length; turn++) {
      // Who comes first changes from round to round.
      const i = (turn + round) % tasks.length
      results[i]?.push(await (tasks[i] as () => Promise<T>)())
    }
  }
  return results
}
