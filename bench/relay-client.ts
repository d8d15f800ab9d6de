import { decodeRelayMessage, MAX_FRAME_LENGTH } from 'sealog/protocol'
import { WebSocket } from 'ws'
import type { AuthoredSpace } from './relay-author.ts'
import { endOf, headOf, TYPE } from './relay-frames.ts'

/** A client over a real socket. What it is sent it looks at no further than it must. */
export class Client {
  readonly #socket: WebSocket
  readonly #challenge: Uint8Array
  readonly #waiting = new Map<number, (frame: Uint8Array) => void>()
  readonly #frames: Uint8Array[] = []
  #ref = 0
  /** Behind the last entry that it was sent. */
  position = 0
  /** Called with each stretch of the log, and where it ends. */
  onEntries: (end: number) => void = () => {}

  private constructor(socket: WebSocket, challenge: Uint8Array) {
    this.#socket = socket
    this.#challenge = challenge
    socket.on('message', (data: Uint8Array) => this.#onFrame(data))
  }

  static async connect(url: string): Promise<Client> {
    const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: MAX_FRAME_LENGTH })
    const first = await new Promise<Uint8Array>((resolve, reject) => {
      socket.once('message', (data: Uint8Array) => resolve(data))
      socket.once('error', reject)
    })
    const welcome = decodeRelayMessage(new Uint8Array(first))
    if (welcome.type !== 'welcome') throw new Error(`expected a welcome: ${welcome.type}`)
    return new Client(socket, welcome.challenge)
  }

  create(space: AuthoredSpace): Promise<void> {
    return this.#ask(ref => space.create(ref))
  }

  open(space: AuthoredSpace, from = 0): Promise<void> {
    return this.#ask(ref => space.open(ref, this.#challenge, from))
  }

  /** Makes pushes of one entry each ahead; nothing else may be asked before all of them are sent. */
  prepare(space: AuthoredSpace, writer: number, count: number, bodyLength: number): void {
    const first = this.#ref + this.#frames.length + 1
    for (let i = 0; i < count; i++) this.#frames.push(space.push(first + i, writer, bodyLength))
  }

  /** Sends the next of them. @returns how long its acknowledgement took, in milliseconds */
  async pushNext(): Promise<number> {
    const frame = this.#frames.shift()
    if (frame === undefined) throw new Error('nothing is prepared')
    const start = performance.now()
    await this.#ask(() => frame)
    return performance.now() - start
  }

  /** One after the other, each when the one before is acknowledged. */
  async pushAll(): Promise<void> {
    while (this.#frames.length > 0) await this.pushNext()
  }

  /** Resolves when it was sent all entries below `size`. */
  async reach(size: number): Promise<void> {
    if (this.position >= size) return
    await new Promise<void>(resolve => {
      const before = this.onEntries
      this.onEntries = end => {
        before(end)
        if (end < size) return
        this.onEntries = before
        resolve()
      }
    })
  }

  async close(): Promise<void> {
    if (this.#socket.readyState === WebSocket.CLOSED) return
    const closed = new Promise<void>(resolve => this.#socket.once('close', () => resolve()))
    this.#socket.close()
    await closed
  }

  async #ask(frameOf: (ref: number) => Uint8Array): Promise<void> {
    const ref = ++this.#ref
    const frame = frameOf(ref)
    const answered = new Promise<Uint8Array>(resolve => this.#waiting.set(ref, resolve))
    this.#socket.send(frame)
    const answer = await answered
    if (headOf(answer).type === TYPE.reject) throw new Error(JSON.stringify(decodeRelayMessage(new Uint8Array(answer))))
  }

  #onFrame(frame: Uint8Array): void {
    const { type, ref } = headOf(frame)
    if (type === TYPE.sync) {
      this.position = endOf(frame)
      this.onEntries(this.position)
    }
    const waiting = this.#waiting.get(ref)
    this.#waiting.delete(ref)
    waiting?.(frame)
  }
}
