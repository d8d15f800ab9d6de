import { SealogError } from '../errors.ts'
import { MAX_FRAME_LENGTH } from './message-limits.ts'
import type { Transport } from './transport.ts'
import { connectWebSocket, type WebSocketLike } from './websocket.ts'

/** Longest wait for the answer to the handshake, in milliseconds. */
const HANDSHAKE_TIMEOUT = 10_000

/**
 * Connections over the `ws` package, for Node, which has no WebSocket of its own before version 22. The package is
 * loaded by the first `connect`; where it is missing, that connection closes with ERR_OFFLINE, which names it.
 */
export function nodeWebSocketTransport(): Transport {
  return { connect: (url, events) => connectWebSocket(() => openSocket(url), events) }
}

async function openSocket(url: string): Promise<WebSocketLike> {
  const { WebSocket } = await loadPackage()
  return new WebSocket(url, {
    perMessageDeflate: false,
    maxPayload: MAX_FRAME_LENGTH,
    handshakeTimeout: HANDSHAKE_TIMEOUT,
  }) as WebSocketLike
}

async function loadPackage(): Promise<typeof import('ws')> {
  try {
    return await import('ws')
  } catch (cause) {
    throw new SealogError('ERR_OFFLINE', 'connections need the package ws (npm install ws)', {
      cause,
      retryable: false,
    })
  }
}
