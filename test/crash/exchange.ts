import { decodeRelayMessage, type RelayMessage } from 'sealog/protocol'
import { type RawData, WebSocket } from 'ws'

/** A conversation in which nothing comes for so long has failed, in milliseconds. */
const SILENCE = 10_000

/**
 * One connection to a relay, for one purpose.
 * @param onMessage takes what comes, one after the other; true when the purpose is reached
 * @throws Error when the connection ends before that, nothing comes any more, or `onMessage` throws
 */
export function exchange(
  url: string,
  onMessage: (message: RelayMessage, socket: WebSocket) => boolean | Promise<boolean>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { perMessageDeflate: false, handshakeTimeout: SILENCE })
    let turn = Promise.resolve()
    const end = (settle: () => void): void => {
      clearTimeout(silence)
      socket.terminate()
      settle()
    }
    const fail = (error: unknown): void => end(() => reject(error))
    let silence = setTimeout(() => fail(new Error(`nothing comes from ${url}`)), SILENCE)
    socket.on('error', () => {})
    socket.on('message', (data: RawData) => {
      clearTimeout(silence)
      silence = setTimeout(() => fail(new Error(`nothing comes from ${url}`)), SILENCE)
      turn = turn
        .then(async () => {
          if (await onMessage(decodeRelayMessage(bytesOf(data)), socket)) end(resolve)
        })
        .catch(fail)
    })
    socket.on('close', () => {
      void turn.then(() => fail(new Error(`the connection to ${url} ended`)))
    })
  })
}

/** Node's own kind of bytes, as `ws` hands them out, seen as plain ones. */
export function bytesOf(data: RawData): Uint8Array {
  const buffer = data as Buffer
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}
