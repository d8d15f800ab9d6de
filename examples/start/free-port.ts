import { once } from 'node:events'
import { createServer } from 'node:net'

/** How many ports are tried after the wanted one. */
const ATTEMPTS = 50

/** The wanted port, or the next free one. 0 stands for any. */
export async function freePort(host: string, wanted: number): Promise<number> {
  for (let port = wanted; ; port++) {
    try {
      return await listenOnce(host, port)
    } catch (error) {
      const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
      if (!isTaken || port === wanted + ATTEMPTS || port === 65_535) throw error
    }
  }
}

async function listenOnce(host: string, port: number): Promise<number> {
  const server = createServer().listen(port, host)
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : port
}
