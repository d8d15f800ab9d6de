import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { tieToThisProcess } from './child-process.ts'

/**
 * Runs in the process before the command does: loads what the command will load, of which nothing has an effect by
 * itself, and waits for the word. What follows is the command as it is, which finds its modules in memory.
 */
const HOLD = `
const modules = process.env.SEALOG_CRASH_HELD.split(' ')
delete process.env.SEALOG_CRASH_HELD
for (const url of modules) await import(url)
await new Promise(resolve => process.stdin.once('data', resolve))
process.stdin.destroy()
`

/** A command of Node that is loaded and does not run yet. */
export interface HeldCommand {
  readonly child: ChildProcess
  /** Lets it run, as soon as it is loaded. */
  run(): void
}

/**
 * To load a relay takes longer than to start it, and nothing that could be lost is at stake meanwhile: done ahead, more
 * of the moments at which it is killed are moments at which it works.
 * @param command a file of a package that has an entry point
 * @param stderr where its errors go: a descriptor
 */
export function holdCommand(command: string, args: readonly string[], stderr: number): HeldCommand {
  const require = createRequire(command)
  const modules = ['sealog-relay', 'better-sqlite3', 'pg'].map(name => pathToFileURL(require.resolve(name)).href)
  const child = spawn(
    process.execPath,
    ['--import', `data:text/javascript,${encodeURIComponent(HOLD)}`, command, ...args],
    {
      stdio: ['pipe', 'pipe', stderr],
      detached: true,
      env: { ...process.env, SEALOG_CRASH_HELD: modules.join(' ') },
    },
  )
  // It may be killed before it was told.
  child.stdin?.on('error', () => {})
  tieToThisProcess(child)
  return { child, run: () => void child.stdin?.end('run\n') }
}
