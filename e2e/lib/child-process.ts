import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { within } from './within.ts'

/** How long a process may take to say that it is ready, and to end, in milliseconds. */
const PATIENCE = 20_000

/** A Node process of this project that says on stdout when it is ready. */
export class NodeProcess {
  /** What it said until it was ready. */
  readonly output: string
  readonly #child: ChildProcess

  private constructor(output: string, child: ChildProcess) {
    this.output = output
    this.#child = child
  }

  /** @param ready how the output ends that says so */
  static async start(script: string, args: readonly string[], ready: RegExp): Promise<NodeProcess> {
    const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      return new NodeProcess(await within(PATIENCE, readUntil(child.stdout, ready)), child)
    } catch (error) {
      child.kill('SIGKILL')
      throw new Error(`${script} did not start`, { cause: error })
    }
  }

  /** Asks it to end. @returns its exit code; `null` if it had to be killed */
  async stop(): Promise<number | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.exitCode
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE)
    const [code] = await exit
    clearTimeout(timer)
    return code
  }
}

async function readUntil(stream: Readable, ready: RegExp): Promise<string> {
  let output = ''
  stream.setEncoding('utf8')
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    output += chunk
    if (!ready.test(output)) continue
    // Nobody reads on, and a full pipe must not stop the process.
    stream.resume()
    return output
  }
  throw new Error(`it ended after: ${output}`)
}
