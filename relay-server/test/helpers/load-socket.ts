import { connect, type Socket } from 'node:net'

const OPCODE = { binary: 2, close: 8, ping: 9, pong: 10 } as const

export interface LoadSocketEvents {
  /** The bytes are good until the call returns. */
  onFrame(frame: Uint8Array): void
  /** Called once. */
  onClose(): void
}

/**
 * As little of a WebSocket client (RFC 6455) as it takes to talk to a relay, so that ten thousand of them fit into one
 * process of a test. Frames are masked, as they must be, with a mask of zeros.
 */
export class LoadSocket {
  readonly #socket: Socket
  readonly #events: LoadSocketEvents
  #chunks: Buffer[] = []
  #length = 0
  /** So many bytes must have come before there is anything to read. */
  #needed = 1
  #rest: Buffer = Buffer.alloc(0)
  #isUpgraded = false

  constructor(port: number, events: LoadSocketEvents) {
    this.#events = events
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.on('data', chunk => this.#take(chunk))
    // What goes wrong is followed by `close`.
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => events.onClose())
    this.#socket.write(
      'GET / HTTP/1.1\r\nhost: relay\r\nupgrade: websocket\r\nconnection: upgrade\r\n' +
        'sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
  }

  send(frame: Uint8Array): void {
    this.#write(OPCODE.binary, frame)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Cuts the connection, without a word. */
  cut(): void {
    this.#socket.destroy()
  }

  #write(opcode: number, payload: Uint8Array): void {
    const { length } = payload
    const head = Buffer.alloc(length < 126 ? 6 : length < 65_536 ? 8 : 14)
    head[0] = 0x80 | opcode
    if (length < 126) head[1] = 0x80 | length
    else if (length < 65_536) {
      head[1] = 0x80 | 126
      head.writeUInt16BE(length, 2)
    } else {
      head[1] = 0x80 | 127
      head.writeBigUInt64BE(BigInt(length), 2)
    }
    this.#socket.cork()
    this.#socket.write(head)
    this.#socket.write(payload)
    this.#socket.uncork()
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#length += chunk.length
    if (this.#length < this.#needed) return
    this.#rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks)
    this.#needed = 1
    if (this.#isUpgraded || this.#takeUpgrade()) while (this.#takeFrame());
    this.#chunks = [this.#rest]
    this.#length = this.#rest.length
  }

  #takeUpgrade(): boolean {
    const end = this.#rest.indexOf('\r\n\r\n')
    if (end < 0) return false
    if (!this.#rest.subarray(0, end).toString('latin1').startsWith('HTTP/1.1 101')) {
      this.cut()
      return false
    }
    this.#isUpgraded = true
    this.#rest = this.#rest.subarray(end + 4)
    return true
  }

  /** @returns whether there was a whole one */
  #takeFrame(): boolean {
    const rest = this.#rest
    if (rest.length < 2) return false
    const short = (rest[1] as number) & 0x7f
    const start = short < 126 ? 2 : short === 126 ? 4 : 10
    if (rest.length < start) return false
    const length = short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2))
    const end = start + length
    if (rest.length < end) {
      this.#needed = end
      return false
    }
    this.#rest = rest.subarray(end)
    const payload = rest.subarray(start, end)
    const opcode = (rest[0] as number) & 0x0f
    if (opcode === OPCODE.ping) this.#write(OPCODE.pong, payload)
    else if (opcode === OPCODE.close) this.#socket.end()
    else this.#events.onFrame(payload)
    return true
  }
}
