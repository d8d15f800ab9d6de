import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Call, FromReplica, ReplicaCommands, ReplicaEvent } from './commands.ts'
import { ended, tieToThisProcess } from './ending.ts'

const ENTRY = fileURLToPath(new URL('./replica-process.js', import.meta.url))

interface Waiting {
  readonly resolve: (result: never) => void
  readonly reject: (error: Error) => void
}

export interface ReplicaOptions {
  readonly name: string
  /** File of its store. */
  readonly store: string
  readonly relay: string
  /** File to which its output is added. */
  readonly log: string
}

/** A replica in a process of its own, as its parent sees it. */
export class ReplicaHandle {
  readonly name: string
  /** Asks for something, and resolves or rejects as the process answers. */
  readonly ask: ReplicaCommands
  readonly #options: ReplicaOptions
  readonly #waiting = new Map<number, Waiting>()
  readonly #listeners = new Set<(event: ReplicaEvent) => void>()
  #child: ChildProcess | undefined
  #nextRef = 1

  constructor(options: ReplicaOptions) {
    this.name = options.name
    this.#options = options
    this.ask = new Proxy({} as ReplicaCommands, {
      get:
        (_, name) =>
        (...args: readonly unknown[]) =>
          this.#call(name as keyof ReplicaCommands, args),
    })
  }

  /** Starts the process, and opens what is in the store. */
  async start(): Promise<void> {
    const { store, relay, name, log } = this.#options
    const output = openSync(log, 'a')
    const child = fork(ENTRY, [], { stdio: ['ignore', output, output, 'ipc'] })
    closeSync(output)
    tieToThisProcess(child)
    this.#child = child
    child.on('message', (message: FromReplica) => this.#onMessage(message))
    child.on('exit', () => this.#onExit())
    await this.ask.open({ store, relay, name })
  }

  /** @returns a function that unsubscribes */
  listen(listener: (event: ReplicaEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** No goodbye, nothing flushed. Resolves when the process is gone and everything it said was heard. */
  async kill(): Promise<void> {
    const heard = this.#channelClosed()
    await ended(this.#child, child => child.kill('SIGKILL'))
    await heard
  }

  /** Closes the replica, then ends the process. */
  async stop(): Promise<void> {
    await this.ask.close()
    await ended(this.#child, child => child.disconnect())
  }

  async #channelClosed(): Promise<void> {
    if (this.#child?.connected) await once(this.#child, 'disconnect')
  }

  #call(name: keyof ReplicaCommands, args: readonly unknown[]): Promise<never> {
    const child = this.#child
    if (!child?.connected) return Promise.reject(new Error(`${this.name} is not running: see ${this.#options.log}`))
    const ref = this.#nextRef++
    const call: Call = { ref, name, args }
    return new Promise((resolve, reject) => {
      this.#waiting.set(ref, { resolve, reject })
      child.send(call)
    })
  }

  #onMessage(message: FromReplica): void {
    if ('event' in message) {
      for (const listener of [...this.#listeners]) listener(message.event)
      return
    }
    const waiting = this.#waiting.get(message.ref)
    this.#waiting.delete(message.ref)
    if ('failure' in message) waiting?.reject(new Error(`${this.name}: ${message.failure} (${this.#options.log})`))
    else waiting?.resolve(message.result as never)
  }

  #onExit(): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(`${this.name} ended: see ${this.#options.log}`))
    this.#waiting.clear()
  }
}
