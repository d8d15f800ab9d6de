import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

const HOST = '127.0.0.1'

/** One address for several, and a network that fails on demand. */
export interface TcpProxy {
  readonly port: number
  /** `ws://…` */
  readonly url: string
  /** Nothing passes any more, in either direction, and nothing is said; for connections there are and new ones. */
  stall(): void
  /** All connections end with a reset; new ones pass. */
  reset(): void
  close(): Promise<void>
}

/**
 * Passes each connection on to one of these, trying one after the other from a random one on until one answers.
 * @param targets `scheme://host:port`
 */
export async function startProxy(targets: readonly string[]): Promise<TcpProxy> {
  const places = targets.map(target => new URL(target))
  const open = new Set<Socket>()
  let isStalled = false

  function pair(client: Socket, target: Socket): void {
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      from.on('data', chunk => {
        if (!to.write(chunk)) from.pause()
      })
      to.on('drain', () => {
        if (!isStalled) from.resume()
      })
      from.on('end', () => to.end())
      from.on('close', () => to.destroy())
    }
    if (isStalled) for (const socket of [client, target]) socket.pause()
    else client.resume()
  }

  function dial(client: Socket, tries: number, place: number): void {
    const { hostname, port } = places[place % places.length] as URL
    const target = connect({ host: hostname, port: Number(port) })
    track(target)
    const giveUp = (): void => {
      if (tries > 1) dial(client, tries - 1, place + 1)
      else client.destroy()
    }
    target.once('error', giveUp)
    target.once('connect', () => {
      target.off('error', giveUp)
      pair(client, target)
    })
  }

  function track(socket: Socket): void {
    open.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket))
  }

  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, client => {
    track(client)
    dial(client, places.length, Math.floor(Math.random() * places.length))
  })
  server.listen(0, HOST)
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    url: `ws://${HOST}:${address.port}`,
    stall() {
      isStalled = true
      for (const socket of open) socket.pause()
    },
    reset() {
      isStalled = false
      for (const socket of open) socket.resetAndDestroy()
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of open) socket.destroy()
      await closed
    },
  }
}
