import type { RelayContext } from './context.ts'
import { nextGroup, type Waiting } from './push-queue.ts'

/** What is asked of one space: what arrives while a group of requests is served makes up the next one. */
export class RequestLine<T extends Waiting> {
  readonly #context: Pick<RelayContext, 'limits' | 'turn'>
  readonly #serve: (group: readonly T[]) => Promise<void>
  #waiting: readonly T[] = []
  #arrived: T[] = []
  #isServing = false

  /** @param serve serves a group, of one request at least; never rejects */
  constructor(context: Pick<RelayContext, 'limits' | 'turn'>, serve: (group: readonly T[]) => Promise<void>) {
    this.#context = context
    this.#serve = serve
  }

  add(request: T): void {
    this.#arrived.push(request)
    if (!this.#isServing) void this.#run()
  }

  async #run(): Promise<void> {
    this.#isServing = true
    while (this.#waiting.length > 0 || this.#arrived.length > 0) {
      // What arrives together shares a group, and what is for other spaces gets its turn between two.
      await this.#context.turn()
      await this.#serve(this.#takeGroup())
    }
    this.#isServing = false
  }

  #takeGroup(): readonly T[] {
    const { groupEntries, groupBytes } = this.#context.limits
    const queue = [...this.#waiting, ...this.#arrived]
    const { group, rest } = nextGroup(queue, { entries: groupEntries, bytes: groupBytes })
    this.#waiting = rest
    this.#arrived = []
    return group
  }
}
