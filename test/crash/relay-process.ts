import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import type { PinnedRelay } from 'sealog/protocol'
import { ended, isRunning, tieToThisProcess } from './child-process.ts'
import { exchange } from './exchange.ts'
import { type HeldCommand, holdCommand } from './held-command.ts'
import { within } from './light-crew.ts'

const HOST = '127.0.0.1'
const RELAY_NAME = 'relay.example'
/** Where `freePort` looks. */
const FIRST_PORT = 20_000
const PORTS = 12_000
/** How long a relay may take to start, in milliseconds. */
const START_PATIENCE = 60_000

export interface RelayProcessOptions {
  readonly port: number
  /** Arguments that say where data and key are. */
  readonly place: readonly string[]
  /** File to which its output is added. */
  readonly log: string
  /** The command as a file for Node. Default: as the package announces it. */
  readonly command?: string
  /** The next process is loaded while this one runs, and only let go on `launch`. Default false. */
  readonly isHeld?: boolean
}

/** The relay as the package brings it, in a process that is killed and started again. */
export class RelayProcess {
  readonly url: string
  readonly #options: RelayProcessOptions
  #child: ChildProcess | undefined
  /** Resolves to whether the process that was started last listens; false: it has ended before. */
  #listening: Promise<boolean> = Promise.resolve(false)
  #next: HeldCommand | undefined
  #isKilled = false
  #startTime = 500

  constructor(options: RelayProcessOptions) {
    this.#options = options
    this.url = `ws://${HOST}:${options.port}`
  }

  /** How long the last start took that came to its end, in milliseconds. */
  get startTime(): number {
    return this.#startTime
  }

  /** It was started, and does not run any more. */
  get hasEnded(): boolean {
    return this.#child !== undefined && !isRunning(this.#child)
  }

  /** Starts the process; does not wait. */
  launch(): void {
    const child = this.#spawn()
    this.#child = child
    this.#isKilled = false
    const launched = performance.now()
    const said = once(child.stdout as NonNullable<typeof child.stdout>, 'data').then(() => {
      this.#startTime = performance.now() - launched
      // Not before: it would take the time from the one that starts.
      if (this.#options.isHeld === true && !this.#isKilled) this.#next ??= this.#hold()
      return true
    })
    const ended = once(child, 'exit').then(() => false)
    this.#listening = Promise.race([said, ended])
  }

  #spawn(): ChildProcess {
    const next = this.#next
    this.#next = undefined
    if (next !== undefined && isRunning(next.child)) {
      next.run()
      return next.child
    }
    const { log, command = commandPath() } = this.#options
    const output = openSync(log, 'a')
    const args = [command, ...this.#arguments()]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', output], detached: true })
    closeSync(output)
    tieToThisProcess(child)
    return child
  }

  #hold(): HeldCommand {
    const { log, command = commandPath() } = this.#options
    const output = openSync(log, 'a')
    const held = holdCommand(command, this.#arguments(), output)
    closeSync(output)
    return held
  }

  #arguments(): readonly string[] {
    const { place, port } = this.#options
    return [...place, '--port', `${port}`, '--name', RELAY_NAME]
  }

  /**
   * Resolves to true when it listens, to false where it was killed before.
   * @throws Error where it ended by itself, or takes too long
   */
  async listens(): Promise<boolean> {
    let listens = false
    const listening = this.#listening.then(is => {
      listens = is
    })
    await within(START_PATIENCE, listening, `the relay does not listen (${this.#options.log})`)
    if (!listens) this.assertNotEnded()
    return listens
  }

  /** @throws Error where it ended although nobody killed it */
  assertNotEnded(): void {
    const child = this.#child
    if (this.#isKilled || child === undefined || isRunning(child)) return
    const how = child.exitCode ?? child.signalCode
    throw new Error(`the relay ended by itself (${how}): ${this.lastWords()}`)
  }

  /** No goodbye, nothing flushed. Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.assertNotEnded()
    this.#isKilled = true
    await ended(this.#child, child => child.kill('SIGKILL'))
  }

  /** No other follows. Resolves when nothing of it runs. */
  async end(): Promise<void> {
    const next = this.#next?.child
    this.#next = undefined
    await Promise.all([this.kill().catch(() => {}), ended(next, child => child.kill('SIGKILL'))])
  }

  /** The end of its log. */
  lastWords(): string {
    return readFileSync(this.#options.log, 'utf8').slice(-1500)
  }
}

/**
 * A free port below those that the system gives to outgoing connections: a client that tries to reach a relay while it
 * is down must not be given its port, or even be connected with itself.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS)
    const server = createServer().listen(port, HOST)
    try {
      await once(server, 'listening')
    } catch {
      continue
    }
    server.close()
    await once(server, 'close')
    return port
  }
}

/** Who a relay says it is. */
export async function identityOf(url: string): Promise<PinnedRelay> {
  let relay: PinnedRelay | undefined
  await exchange(url, message => {
    if (message.type === 'welcome') relay = { name: message.name, key: message.key }
    return true
  })
  if (relay === undefined) throw new Error('the relay does not greet')
  return relay
}

/** The command as the package announces it. */
function commandPath(): string {
  const manifest = createRequire(import.meta.url).resolve('sealog-relay/package.json')
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: { 'sealog-relay': string } }
  return join(dirname(manifest), bin['sealog-relay'])
}
