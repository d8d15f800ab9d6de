import type { Environment } from 'sealog/protocol'
import type { WebSocket } from 'ws'

/**
 * Ends a socket whose other side is gone without a word: it is pinged at every interval, and must have answered before
 * the next one, or at least have taken some of what was sent before the ping. A socket that the relay itself does not
 * read from at the moment is given another interval.
 * @param interval milliseconds
 * @param onSilent called where it ends the socket
 */
export function keepAlive(
  socket: WebSocket,
  environment: Environment,
  interval: number,
  onSilent: () => void = () => {},
): void {
  let isAlive = true
  let cancel = environment.schedule(interval, beat)
  let queued = 0

  function beat(): void {
    const isTaking = socket.bufferedAmount > 0 && socket.bufferedAmount !== queued
    if (!isAlive && !isTaking && !socket.isPaused) {
      onSilent()
      socket.terminate()
      return
    }
    isAlive = false
    queued = socket.bufferedAmount
    socket.ping()
    cancel = environment.schedule(interval, beat)
  }

  socket.on('pong', () => {
    isAlive = true
  })
  socket.on('close', () => cancel())
}
