import type { WebSocket } from 'ws'
import { LOW_WATER, type Peer } from './peer.ts'

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
