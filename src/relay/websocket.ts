import { SealogError } from '../errors.ts'
import type { Connection, ConnectionEvents, Transport } from './transport.ts'

/** What a connection needs of a WebSocket: browsers' own and the `ws` package both have it. */
export interface WebSocketLike {
  binaryType: string
  send(data: Uint8Array<ArrayBuffer>): void
  close(code?: number): void
  addEventListener(type: 'open' | 'message' | 'close' | 'error', listener: (event: never) => void): void
}

const NORMAL_CLOSURE = 1000

/** Connections over the platform's WebSocket, as browsers, service workers and Deno have it. */
export function webSocketTransport(): Transport {
  return { connect: (url, events) => connectWebSocket(() => new WebSocket(url) as WebSocketLike, events) }
}

/**
 * One connection over the socket that `create` makes or promises. Whatever goes wrong, from an address that is none to
 * a connection that breaks, is an `onClose` with ERR_OFFLINE; a peer that sends text, with ERR_MALFORMED.
 */
export function connectWebSocket(
  create: () => WebSocketLike | Promise<WebSocketLike>,
  events: ConnectionEvents,
): Connection {
  /** Frames sent before the socket was open. */
  let waiting: Uint8Array[] | undefined = []
  let socket: WebSocketLike | undefined
  let closed = false

  function end(cause: SealogError | undefined): void {
    if (closed) return
    closed = true
    waiting = undefined
    socket?.close(NORMAL_CLOSURE)
    // A closing handshake can take as long as the other side likes; nobody has to wait for it.
    queueMicrotask(() => events.onClose(cause))
  }

  function open(): void {
    if (closed) return
    const queued = waiting ?? []
    waiting = undefined
    for (const frame of queued) socket?.send(owned(frame))
    events.onOpen()
  }

  function message({ data }: { readonly data: unknown }): void {
    if (closed) return
    if (data instanceof ArrayBuffer) events.onFrame(new Uint8Array(data))
    else end(new SealogError('ERR_MALFORMED', 'a text frame from the relay'))
  }

  function closedByPeer({ code, reason }: { readonly code: number; readonly reason: string }): void {
    const why = reason === '' ? '' : `: ${reason}`
    end(new SealogError('ERR_OFFLINE', `the connection closed with code ${code}${why}`))
  }

  function attach(created: WebSocketLike): void {
    // Says nothing that `close`, which follows, does not; but with `ws`, an error nobody listens to ends the process.
    created.addEventListener('error', () => {})
    if (closed) {
      created.close(NORMAL_CLOSURE)
      return
    }
    socket = created
    socket.binaryType = 'arraybuffer'
    socket.addEventListener('open', open)
    socket.addEventListener('message', message)
    socket.addEventListener('close', closedByPeer)
  }

  // In a later microtask, so that no event comes before the caller holds the connection.
  Promise.resolve()
    .then(create)
    .then(attach)
    .catch((cause: unknown) => end(new SealogError('ERR_OFFLINE', 'cannot connect', { cause })))

  return {
    send(frame) {
      if (closed) return
      if (socket === undefined || waiting !== undefined) waiting?.push(frame)
      else socket.send(owned(frame))
    },
    close: () => end(undefined),
  }
}

/** Frames are never over shared memory, which is the one thing that `WebSocket.send` does not take. */
function owned(frame: Uint8Array): Uint8Array<ArrayBuffer> {
  return frame as Uint8Array<ArrayBuffer>
}
