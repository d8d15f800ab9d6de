import type { Environment } from '../environment.ts'

/**
 * How long work on the thread of an application goes on before whatever else waits has its turn, in milliseconds. The
 * step that was begun by then is finished: together they stay below the 50 ms that a person notices.
 */
const SLICE = 25

/**
 * Cuts long work into slices.
 * @param most steps after which others have their turn whatever the clock says, which may be coarse
 * @returns to be awaited between any two steps: at once where the slice is not used up, otherwise after everybody else
 */
export function paced(environment: Pick<Environment, 'now' | 'schedule'>, most: number): () => Promise<void> {
  let begun = environment.now()
  let steps = 0
  return async () => {
    steps++
    if (steps < most && environment.now() - begun < SLICE) return
    await new Promise<void>(resolve => {
      environment.schedule(0, resolve)
    })
    begun = environment.now()
    steps = 0
  }
}
