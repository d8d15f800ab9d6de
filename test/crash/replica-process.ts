import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ended, tieToThisProcess } from './child-process.ts'
import type { ClientEvent, Tell } from './events.ts'
import type { ReplicaAnswer, ReplicaCall, ReplicaOrders } from './replica-orders.ts'

const ENTRY = fileURLToPath(new URL('./replica-child.js', import.meta.url))

interface Waiting {
  readonly resolve: (result: never) => void
  readonly reject: (error: Error) => void
}

export interface ReplicaProcessOptions {
  readonly name: string
  /** File of its store; undefined: in memory, so that it cannot be killed. */
  readonly store: string | undefined
  readonly relay: string
  /** File to which its output is added. */
  readonly log: string
  readonly tell: Tell
}

/** A whole replica in a process of its own, which may be killed and started again on the same store. */
export class ReplicaProcess {
  readonly name: string
  readonly isDurable: boolean
  readonly #options: ReplicaProcessOptions
  readonly #waiting = new Map<number, Waiting>()
  #child: ChildProcess | undefined
  #nextRef = 1

  constructor(options: ReplicaProcessOptions) {
    this.name = options.name
    this.isDurable = options.store !== undefined
    this.#options = options
  }

  /** @param place what to open of its store; undefined at first */
  async start(place?: { readonly space: string; readonly document: string }): Promise<void> {
    const { name, store, relay, log, tell } = this.#options
    const output = openSync(log, 'a')
    const child = fork(ENTRY, [], {
      serialization: 'advanced',
      stdio: ['ignore', output, output, 'ipc'],
      detached: true,
    })
    closeSync(output)
    tieToThisProcess(child)
    this.#child = child
    child.on('message', (message: ClientEvent | ReplicaAnswer) => {
      if (message.type === 'answer') this.#answered(message)
      else tell(message)
    })
    child.on('exit', () => this.#failAll())
    await this.ask('open', { name, store, relay, ...place })
  }

  /** @throws Error where the process fails at it, or ends */
  ask<Order extends keyof ReplicaOrders>(
    order: Order,
    ...args: Parameters<ReplicaOrders[Order]>
  ): ReturnType<ReplicaOrders[Order]> {
    const child = this.#child
    const ref = this.#nextRef++
    const call: ReplicaCall = { ref, order, args }
    const answer = new Promise((resolve, reject) => {
      if (!child?.connected) return reject(new Error(`${this.name} is not running`))
      this.#waiting.set(ref, { resolve, reject })
      child.send(call)
    })
    return answer as ReturnType<ReplicaOrders[Order]>
  }

  /** No goodbye, nothing flushed. Resolves when the process is gone and everything that it told was heard. */
  async kill(): Promise<void> {
    const child = this.#child
    const heard = child?.connected ? once(child, 'disconnect') : undefined
    await ended(child, running => running.kill('SIGKILL'))
    await heard
  }

  #answered({ ref, result, failure }: ReplicaAnswer): void {
    const waiting = this.#waiting.get(ref)
    this.#waiting.delete(ref)
    if (failure !== undefined) waiting?.reject(new Error(`${this.name}: ${failure}`))
    else waiting?.resolve(result as never)
  }

  #failAll(): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(`${this.name} ended`))
    this.#waiting.clear()
  }
}
