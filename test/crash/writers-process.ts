import { type ChildProcess, fork } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ended, isRunning, tieToThisProcess } from './child-process.ts'
import type { ClientEvent, Tell } from './events.ts'
import { within } from './light-crew.ts'
import type { WritersFinished, WritersMessage, WritersOrder } from './writers-child.ts'

const ENTRY = fileURLToPath(new URL('./writers-child.js', import.meta.url))

/** A process with one light client for each space. */
export class WritersProcess {
  readonly #name: string
  readonly #child: ChildProcess
  readonly #finished: Promise<void>

  /** @param log file to which its output is added */
  constructor(order: WritersOrder, log: string, tell: Tell) {
    this.#name = order.name
    const output = openSync(log, 'a')
    const child = fork(ENTRY, [], {
      serialization: 'advanced',
      stdio: ['ignore', output, output, 'ipc'],
      detached: true,
    })
    closeSync(output)
    tieToThisProcess(child)
    this.#finished = new Promise(resolve => {
      child.on('message', (message: ClientEvent | WritersFinished) => {
        if (message.type === 'finished') resolve()
        else tell(message)
      })
    })
    this.#child = child
    this.#send(order)
  }

  /**
   * No new entries; resolves when all that it ever wrote is acknowledged and told, and the process is gone.
   * @throws Error where that takes longer than `patience`, in milliseconds
   */
  async finish(patience: number): Promise<void> {
    if (!isRunning(this.#child)) throw new Error(`${this.#name} ended before it was told to`)
    this.#send({ type: 'stop' })
    await within(patience, this.#finished, `${this.#name}: what it wrote is not acknowledged`)
    await this.kill()
  }

  async kill(): Promise<void> {
    await ended(this.#child, child => child.kill('SIGKILL'))
  }

  #send(message: WritersMessage): void {
    this.#child.send(message)
  }
}
