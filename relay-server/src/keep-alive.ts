import type { Environment } from 'sealog/protocol'
import type { WebSocket } from 'ws'

/**
 * Ends a socket whose other side is gone without a word: it is pinged at every interval, and must have answered before
 * the next one. A socket that is not read from at the moment is given another interval.
 * @param interval milliseconds
 */
export function keepAlive(socket: WebSocket, environment: Environment, interval: number): void {
  let isAlive = true
  let cancel = environment.schedule(interval, beat)

  function beat(): void {
    if (!isAlive && !socket.isPaused) {
      socket.terminate()
      return
    }
    isAlive = false
    socket.ping()
    cancel = environment.schedule(interval, beat)
  }

  socket.on('pong', () => {
    isAlive = true
  })
  socket.on('close', () => cancel())
}
