import { closeSync, openSync, writeSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { decodeRelayMessage, encodeMessage, type Sync } from 'sealog/protocol'
import { BINARY, encodeFrame, type Frame, FrameReader } from './websocket-frames.ts'

const HOST = '127.0.0.1'

/** What somebody in between makes of a stretch of the log. */
export type Tampering = (message: Sync) => Sync

/**
 * The network between the replicas and the relay, in the hands of somebody who keeps everything that passes, and may
 * change what the relay says.
 */
export class Wire {
  readonly #target: number
  readonly #raw: number
  readonly #payloads: number
  readonly #sockets = new Set<Socket>()
  readonly #server: Server
  #bytes = 0
  #tampering: Tampering | undefined

  private constructor(target: number, raw: string, payloads: string) {
    this.#target = target
    this.#raw = openSync(raw, 'w')
    this.#payloads = openSync(payloads, 'w')
    this.#server = createServer(socket => this.#join(socket))
  }

  /**
   * @param target port of the relay on this machine
   * @param raw file for the bytes as they pass
   * @param payloads file for the messages without framing and masks, each in one piece
   */
  static async start(target: number, raw: string, payloads: string): Promise<Wire> {
    const wire = new Wire(target, raw, payloads)
    await new Promise<void>((resolve, reject) => {
      wire.#server.once('error', reject).listen(0, HOST, resolve)
    })
    return wire
  }

  /** Where replicas find the relay. */
  get url(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the wire is not there')
    return `ws://${HOST}:${address.port}`
  }

  /** Bytes that passed, in both directions, handshakes and framing included. */
  get bytes(): number {
    return this.#bytes
  }

  /** From now on, every stretch of the log passes through `tampering`; undefined: nothing is touched. */
  tamper(tampering: Tampering | undefined): void {
    this.#tampering = tampering
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>(resolve => {
      this.#server.close(() => resolve())
    })
    closeSync(this.#raw)
    closeSync(this.#payloads)
  }

  #join(replica: Socket): void {
    const relay = connect(this.#target, HOST)
    for (const socket of [replica, relay]) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      // A process at the other end was killed: `close`, which follows, says all there is to say.
      socket.on('error', () => {})
    }
    this.#carry(replica, relay, frame => frame.raw)
    this.#carry(relay, replica, frame => this.#fromRelay(frame))
  }

  #carry(from: Socket, to: Socket, pass: (frame: Frame) => Uint8Array): void {
    const reader = new FrameReader()
    const send = (bytes: Uint8Array): void => {
      this.#bytes += bytes.length
      writeSync(this.#raw, bytes)
      if (!to.write(bytes)) from.pause()
    }
    from.on('data', chunk => {
      const { head, frames } = reader.read(chunk)
      if (head !== undefined) send(head)
      for (const frame of frames) {
        writeSync(this.#payloads, frame.payload)
        send(pass(frame))
      }
    })
    to.on('drain', () => from.resume())
    from.on('close', () => {
      this.#sockets.delete(from)
      to.destroy()
    })
  }

  #fromRelay(frame: Frame): Uint8Array {
    if (this.#tampering === undefined || frame.opcode !== BINARY || !frame.isWhole) return frame.raw
    const message = decodeRelayMessage(frame.payload)
    if (message.type !== 'sync') return frame.raw
    return encodeFrame(BINARY, encodeMessage(this.#tampering(message)))
  }
}
