import { onTestFinished, vi } from 'vitest'
import { Problems } from '../../src/crdt/problems.ts'

export interface WatchedProblems {
  /** Codes of all that were ever shown, in order. */
  (): readonly string[]
  /** Is one of them shown still? */
  readonly isLeft: () => boolean
}

/**
 * Watches for problems of one cause until the test ends, in every space, from before it can be listened to, and also
 * those that have gone by the time that anybody looks.
 */
export function problemsOf(cause: string): WatchedProblems {
  const added = vi.spyOn(Problems.prototype, 'add')
  const cleared = vi.spyOn(Problems.prototype, 'clear')
  onTestFinished(() => {
    added.mockRestore()
    cleared.mockRestore()
  })
  const latest = ({ mock }: typeof added | typeof cleared): number =>
    Math.max(0, ...mock.invocationCallOrder.filter((_order, i) => mock.calls[i]?.[0] === cause))
  const codes = (): readonly string[] => added.mock.calls.filter(([of]) => of === cause).map(([, { code }]) => code)
  return Object.assign(codes, { isLeft: () => latest(added) > latest(cleared) })
}
