import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { LOW_WATER, type Peer } from './peer.ts'
import type { RelaySession } from './session.ts'

/** What a session sees of a WebSocket. */
export function webSocketPeer(socket: WebSocket): Peer {
  const waiting: (() => void)[] = []

  function isDrained(): boolean {
    return socket.bufferedAmount <= LOW_WATER || socket.readyState !== socket.OPEN
  }

  function wake(): void {
    if (isDrained()) for (const resume of waiting.splice(0)) resume()
  }

  socket.on('close', wake)
  return {
    send(frame) {
      // The callback comes when the frame was handed to the operating system, or failed: then `close` follows.
      if (socket.readyState === socket.OPEN) socket.send(frame, { binary: true }, wake)
    },
    buffered: () => socket.bufferedAmount,
    async drained() {
      if (!isDrained()) await new Promise<void>(resolve => waiting.push(resolve))
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close: (code, reason) => socket.close(code, reason),
  }
}

/**
 * Tells the session what comes in, byte by byte, as a WebSocket itself shows nothing of a frame before all of it is
 * there. Of a socket that has sent too much nothing more is read, whether or not it takes part in closing.
 * @param raw the connection that carries the socket, whose handshake is over
 */
export function countBytes(raw: Duplex, socket: WebSocket, session: RelaySession): void {
  raw.on('data', (chunk: Uint8Array) => {
    if (!session.onReceived(chunk.length)) socket.terminate()
  })
}
