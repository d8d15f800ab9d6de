import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** A process that is asked to end gets this long before it is made to, in milliseconds. */
const PATIENCE = 5000

const tied = new Set<ChildProcess>()

process.once('exit', () => {
  for (const child of tied) child.kill('SIGKILL')
})

/**
 * Makes sure that a process does not outlive this one, however this one ends. Processes here are detached: what a
 * terminal sends to all of a group is for this one alone.
 */
export function tieToThisProcess(child: ChildProcess): void {
  tied.add(child)
  child.once('exit', () => tied.delete(child))
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
