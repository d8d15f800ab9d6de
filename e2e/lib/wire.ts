import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

const HOST = '127.0.0.1'

/**
 * The way from one browser profile to the relay: a TCP port of its own that leads there, and that can be cut. Whatever
 * else the profile talks to, such as the server of its page, is not touched.
 */
export class Wire {
  readonly port: number
  readonly #server: Server
  readonly #sockets: Set<Socket>
  readonly #fate: { isCut: boolean }

  private constructor(port: number, server: Server, sockets: Set<Socket>, fate: { isCut: boolean }) {
    this.port = port
    this.#server = server
    this.#sockets = sockets
    this.#fate = fate
  }

  /** @param target port of the relay on this machine */
  static async open(target: number): Promise<Wire> {
    const sockets = new Set<Socket>()
    const fate = { isCut: false }
    const server = createServer(near => {
      if (fate.isCut) {
        near.resetAndDestroy()
        return
      }
      const far = connect(target, HOST)
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(socket)
        socket.on('error', () => other.destroy())
        socket.on('close', () => {
          sockets.delete(socket)
          other.destroy()
        })
        socket.pipe(other)
      }
    })
    server.listen(0, HOST)
    await once(server, 'listening')
    const address = server.address()
    if (typeof address !== 'object' || address === null) throw new Error('no port')
    return new Wire(address.port, server, sockets, fate)
  }

  /** Breaks every connection, and each one that is tried from now on. */
  cut(): void {
    this.#fate.isCut = true
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  mend(): void {
    this.#fate.isCut = false
  }

  async close(): Promise<void> {
    this.cut()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
