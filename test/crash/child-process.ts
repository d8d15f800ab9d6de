import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** A process that is asked to end gets this long before it is made to, in milliseconds. */
const PATIENCE = 5000

/** Makes sure that a process does not outlive this one, however this one ends. */
export function tieToThisProcess(child: ChildProcess): void {
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  child.once('exit', () => process.off('exit', kill))
}

export function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

/** Tells a process to end, by whatever `tell` does, and resolves when it is gone. */
export async function ended(child: ChildProcess | undefined, tell: (child: ChildProcess) => void): Promise<void> {
  if (child === undefined || !isRunning(child)) return
  const gone = once(child, 'exit')
  tell(child)
  const force = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
  await gone
  clearTimeout(force)
}
