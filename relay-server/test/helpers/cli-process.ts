import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { parseVerifierKey } from 'sealog/protocol'
import { onTestFinished } from 'vitest'
import { nodeWebSocketTransport } from '../../../src/relay/websocket-node.ts'
import { TestReplica, until } from './replica.ts'

/** How long a start may take on a busy machine, in milliseconds. */
const PATIENCE = 40_000

export interface Running {
  readonly child: ChildProcess
  readonly exited: Promise<number | NodeJS.Signals | null>
  stdout(): string
  stderr(): string
  /** Lines of the log so far. */
  events(): readonly Readonly<Record<string, unknown>>[]
}

export interface Listening extends Running {
  readonly url: string
  readonly name: string
  readonly key: Uint8Array
  /** Where it is watched, if it is. */
  readonly metrics: string
}

/** The command with these arguments; killed with the test at the latest. @param path of the bundled command */
export function runCli(path: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const child = spawn(process.execPath, [path, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  const output = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].on('data', chunk => {
      output[stream] += chunk
    })
  }
  const exited = new Promise<number | NodeJS.Signals | null>(resolve => {
    // `close` and not `exit`: all output has come by then.
    child.on('close', (code, signal) => resolve(signal ?? code))
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return {
    child,
    exited,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    events: () =>
      output.stderr
        .split('\n')
        .slice(0, -1)
        .filter(line => line.startsWith('{'))
        .map(line => JSON.parse(line)),
  }
}

function listeningEvent(running: Running): Readonly<Record<string, unknown>> | undefined {
  return running.events().find(({ event }) => event === 'listening')
}

/** A relay by this name on a free port, once it says that it listens. */
export async function listeningCli(
  path: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Listening> {
  const running = runCli(path, ['--port', '0', '--name', 'relay.example', ...args], env)
  for (const end = Date.now() + PATIENCE; Date.now() < end; await delay(5)) {
    // The log comes another way than the line that it listens, and may come later.
    if (running.stdout().endsWith('\n') && (args.includes('--quiet') || listeningEvent(running) !== undefined)) break
    if (running.child.exitCode !== null) break
  }
  const [, url, name, verifierKey] = running.stdout().trim().split(' ')
  if (url === undefined || name === undefined || verifierKey === undefined) throw new Error(running.stderr())
  const { metrics = '' } = listeningEvent(running) ?? {}
  return { ...running, url, name, key: parseVerifierKey(verifierKey).publicKey, metrics: String(metrics) }
}

/** A connection that speaks the protocol by hand, once the relay has greeted or turned it away. */
export async function connected(relay: Listening): Promise<TestReplica> {
  const replica = new TestReplica(nodeWebSocketTransport(), relay.url)
  await until(() => replica.messages.length > 0 || replica.isClosed, 'welcome')
  return replica
}
