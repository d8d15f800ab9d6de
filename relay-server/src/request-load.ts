/** Somebody whose requests are counted. */
export interface LoadedSocket {
  /** Looks anew whether it may read on. */
  balance(): void
}

/**
 * Bytes of all requests that are under way on all sockets. Beyond the limit those that have any under way are not read
 * from until it is less again, so that many sockets together do not hold what each of them may.
 */
export class RequestLoad {
  readonly #limit: number
  /** Sockets that wait. */
  readonly #waiting = new Set<LoadedSocket>()
  #bytes = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get bytes(): number {
    return this.#bytes
  }

  get isFull(): boolean {
    return this.#bytes >= this.#limit
  }

  add(bytes: number): void {
    this.#bytes += bytes
  }

  remove(bytes: number): void {
    this.#bytes -= bytes
    if (this.isFull || this.#waiting.size === 0) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const socket of waiting) socket.balance()
  }

  /** Is told when there is room again, once. */
  wait(socket: LoadedSocket): void {
    this.#waiting.add(socket)
  }

  forget(socket: LoadedSocket): void {
    this.#waiting.delete(socket)
  }
}
