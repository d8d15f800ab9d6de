import { decodeRelayMessage } from 'sealog/protocol'
import type { Relay } from 'sealog-relay/testing'
import type { AuthoredSpace } from './relay-author.ts'
import { headOf, TYPE } from './relay-frames.ts'

/**
 * A writer that follows the log, on a connection without a network: what the relay sends is looked at and dropped, so
 * that only its own work counts.
 */
export class Writer {
  readonly #session: ReturnType<Relay['accept']>
  readonly #space: AuthoredSpace
  readonly #number: number
  readonly #frames: Uint8Array[] = []
  #challenge = new Uint8Array(0)
  #waiting: ((frame: Uint8Array) => void) | undefined
  #ref = 0

  /** @param number which of the space's writers this is */
  constructor(relay: Relay, space: AuthoredSpace, number: number) {
    this.#space = space
    this.#number = number
    this.#session = relay.accept({
      send: frame => this.#onFrame(frame),
      buffered: () => 0,
      drained: async () => {},
      pause: () => {},
      resume: () => {},
      close: (code, reason) => console.error(`the relay closed a connection: ${code} ${reason}`),
    })
  }

  async create(): Promise<void> {
    await this.#ask(this.#space.create(++this.#ref))
  }

  async open(): Promise<void> {
    await this.#ask(this.#space.open(++this.#ref, this.#challenge))
  }

  /** Makes pushes of one entry each ahead: `pushAll` sends them. */
  prepare(count: number, bodyLength: number): void {
    for (let i = 1; i <= count; i++) this.#frames.push(this.#space.push(this.#ref + i, this.#number, bodyLength))
  }

  /** One push after the other, each when the one before is acknowledged. */
  async pushAll(): Promise<void> {
    for (const frame of this.#frames.splice(0)) {
      this.#ref++
      await this.#ask(frame)
    }
  }

  close(): void {
    this.#session.onClose()
  }

  async #ask(frame: Uint8Array): Promise<void> {
    const answered = new Promise<Uint8Array>(resolve => {
      this.#waiting = resolve
    })
    this.#session.onFrame(frame)
    const answer = await answered
    if (headOf(answer).type === TYPE.reject) throw new Error(JSON.stringify(decodeRelayMessage(answer)))
  }

  #onFrame(frame: Uint8Array): void {
    const { type, ref } = headOf(frame)
    if (type === TYPE.welcome) {
      const welcome = decodeRelayMessage(frame)
      if (welcome.type === 'welcome') this.#challenge = welcome.challenge.slice()
    } else if (ref === this.#ref) this.#waiting?.(frame)
  }
}
