import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ended, tieToThisProcess } from './ending.ts'

const HOST = '127.0.0.1'
/** How long the relay may take to answer, in milliseconds. */
const PATIENCE = 30_000

/** The relay of the package `sealog-relay`, as a process that can be killed and started again on the same data. */
export class RelayProcess {
  readonly port: number
  readonly #data: string
  readonly #log: string
  #child: ChildProcess | undefined

  /**
   * @param data folder of its database; must exist
   * @param log file to which its output is added
   */
  constructor(port: number, data: string, log: string) {
    this.port = port
    this.#data = data
    this.#log = log
  }

  static async freePort(): Promise<number> {
    const server = createServer().listen(0, HOST)
    await once(server, 'listening')
    const address = server.address()
    server.close()
    await once(server, 'close')
    if (address === null || typeof address === 'string') throw new Error('no free port')
    return address.port
  }

  /** Resolves when it answers. @throws Error where it ends instead, or stays silent */
  async start(): Promise<void> {
    const output = openSync(this.#log, 'a')
    const args = ['--data', this.#data, '--port', `${this.port}`, '--name', 'relay.example']
    const child = spawn(process.execPath, [commandPath(), ...args], { stdio: ['ignore', output, output] })
    closeSync(output)
    tieToThisProcess(child)
    this.#child = child
    for (const deadline = Date.now() + PATIENCE; !(await this.#answers()); await delay(25)) {
      if (child.exitCode !== null) throw new Error(`the relay ended with code ${child.exitCode}: see ${this.#log}`)
      if (Date.now() > deadline) throw new Error(`the relay does not answer: see ${this.#log}`)
    }
  }

  /** No goodbye, nothing flushed. Resolves when the process is gone. */
  async kill(): Promise<void> {
    await ended(this.#child, child => child.kill('SIGKILL'))
  }

  /** @throws Error where it does not end orderly */
  async stop(): Promise<void> {
    const child = this.#child
    await ended(child, running => running.kill('SIGTERM'))
    if (child?.exitCode !== 0) throw new Error(`the relay did not stop orderly: see ${this.#log}`)
  }

  async #answers(): Promise<boolean> {
    try {
      return (await fetch(`http://${HOST}:${this.port}/healthz`)).ok
    } catch {
      return false
    }
  }
}

/** The command as the package announces it. */
function commandPath(): string {
  const manifest = createRequire(import.meta.url).resolve('sealog-relay/package.json')
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: { 'sealog-relay': string } }
  return join(dirname(manifest), bin['sealog-relay'])
}
