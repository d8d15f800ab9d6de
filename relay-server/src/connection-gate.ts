import type { Server, Socket } from 'node:net'
import { addressKey } from './client-address.ts'

/** A listener whose connections are counted, and what becomes of those that are too many. */
interface ConnectionGateOptions {
  /** Connections of one client address; 0: no such limit. */
  readonly perAddress: number
  /** Connections in total. */
  readonly total: number
  /** One was cut off at once, as there were so many already, or so many of its address. */
  readonly onRefused: (why: 'full' | 'address', address: string | undefined) => void
}

/**
 * Counts connections from the moment that the system accepts them, before a word of TLS or HTTP: who opens many and says
 * nothing on any of them leaves room for others. Nothing is answered to one that is too many. How long one may take to
 * say what it wants is bounded by the time limits of the server.
 *
 * Only the other end of the connection is known by then: behind a proxy, that is the proxy, and `perAddress` is not for
 * it.
 */
export function countConnections(server: Server, { perAddress, total, onRefused }: ConnectionGateOptions): void {
  const byAddress = new Map<string, number>()
  server.maxConnections = total
  server.on('drop', data => onRefused('full', data?.remoteAddress))
  if (perAddress === 0) return

  server.on('connection', (socket: Socket) => {
    const key = addressKey(socket.remoteAddress)
    if (key === undefined) return
    const count = byAddress.get(key) ?? 0
    if (count >= perAddress) {
      onRefused('address', socket.remoteAddress)
      socket.destroy()
      return
    }
    byAddress.set(key, count + 1)
    socket.once('close', () => {
      const left = (byAddress.get(key) ?? 1) - 1
      if (left > 0) byAddress.set(key, left)
      else byAddress.delete(key)
    })
  })
}
