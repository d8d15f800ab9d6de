import { createServer, type IncomingMessage, type Server, type ServerOptions } from 'node:http'
import { createServer as createTlsServer, type Server as HttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { MAX_FRAME_LENGTH } from 'sealog/protocol'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import { countConnections } from './connection-gate.ts'
import { forwardedAddress } from './forwarded-address.ts'
import { type HttpHook, httpRequests } from './http-requests.ts'
import { keepAlive } from './keep-alive.ts'
import type { SocketRefusal } from './meter.ts'
import { CLOSE } from './peer.ts'
import type { Readiness } from './readiness.ts'
import type { Relay } from './relay.ts'
import { readTls, type TlsFiles } from './tls.ts'
import { countBytes, webSocketPeer } from './websocket-peer.ts'

/** How often connections are held against the time limits, at least, in milliseconds. */
const CHECKING_INTERVAL = 2000
/** A connection on which nothing moves while it is being answered is cut off after so many milliseconds. */
const STALLED_TIME = 30_000

/**
 * Nobody holds a connection by being slow, nor memory by the length of a request.
 * @param handshakeTime longest wait for a client to bring all of a request, in milliseconds
 */
export function httpLimits(handshakeTime: number): ServerOptions {
  return {
    headersTimeout: handshakeTime,
    requestTimeout: handshakeTime,
    connectionsCheckingInterval: Math.min(CHECKING_INTERVAL, handshakeTime),
    keepAliveTimeout: Math.min(5000, handshakeTime),
    maxHeaderSize: 16_384,
  }
}

/** TCP connections that are no WebSockets, or not yet, in addition to those: in total, and of one client address. */
const PLAIN_CONNECTIONS = 1024
const PLAIN_PER_ADDRESS = 64

export interface HttpServerOptions {
  readonly relay: Relay
  readonly readiness: Readiness
  readonly trustProxy: number
  readonly tls: TlsFiles | undefined
  readonly hook: HttpHook | undefined
}

export interface HttpServer {
  readonly http: Server
  /** Undefined where the relay does not speak TLS itself. */
  readonly https: HttpsServer | undefined
  readonly sockets: ReadonlySet<WebSocket>
}

/**
 * The listener of a relay: WebSockets for replicas, plain HTTP for whoever asks how it is, and for the static proofs.
 * @throws SealogError ERR_RELAY_IDENTITY for a certificate that cannot be used
 */
export function createHttpServer({ relay, readiness, trustProxy, tls, hook }: HttpServerOptions): HttpServer {
  const { name, limits, log, gate, meter } = relay.context
  const { handshakeTime, socketsPerAddress } = limits
  const times = httpLimits(handshakeTime)
  const secure = tls && { ...times, ...readTls(tls), handshakeTimeout: handshakeTime }
  const https = secure && createTlsServer(secure)
  const http: Server = https ?? createServer(times)
  // A WebSocket is freed of it, and has times of its own.
  http.setTimeout(STALLED_TIME)
  countConnections(http, {
    perAddress: trustProxy > 0 || socketsPerAddress === 0 ? 0 : socketsPerAddress + PLAIN_PER_ADDRESS,
    total: limits.sockets + PLAIN_CONNECTIONS,
    onRefused: refused,
  })
  const sockets = new Set<WebSocket>()

  function refused(reason: SocketRefusal, address: string | undefined): void {
    meter.socketRefused(reason)
    log({ level: 'warn', event: 'socket-refused', reason, address, connections: relay.connections })
  }

  function addressOf({ headers, socket }: IncomingMessage): string | undefined {
    const forwarded = headers['x-forwarded-for']
    // Node joins repeated headers of this name by commas.
    return forwardedAddress(socket.remoteAddress, typeof forwarded === 'string' ? forwarded : undefined, trustProxy)
  }

  const hooks = hook === undefined ? [relay.tiles] : [relay.tiles, hook]
  http.on('request', httpRequests({ name, readiness, hooks, addressOf, log }))

  const upgrades = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_FRAME_LENGTH,
    clientTracking: false,
  })
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Before the handshake nobody else listens, and an error nobody listens to ends the process.
    socket.on('error', () => socket.destroy())
    const address = addressOf(request)
    const refusal = gate.admitSocket(address)
    if (refusal !== undefined) {
      refused(refusal, address)
      // Nobody reads from it and no time limit of Node's holds any more: one that the client leaves open would stay.
      socket.once('finish', () => socket.destroy())
      socket.end(
        'HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\nconnection: close\r\ncontent-length: 0\r\n\r\n',
      )
      return
    }
    upgrades.handleUpgrade(request, socket, head, webSocket => {
      sockets.add(webSocket)
      webSocket.on('close', () => sockets.delete(webSocket))
      serve(relay, webSocket, socket, address)
    })
  })
  return { http, https, sockets }
}

function serve(relay: Relay, socket: WebSocket, raw: Duplex, address: string | undefined): void {
  const { environment, limits, log, meter } = relay.context
  const opened = environment.now()
  meter.socketOpened()
  log({ level: 'debug', event: 'socket-opened', address })
  socket.on('error', error => log({ level: 'info', event: 'socket-error', reason: error.message }))
  const session = relay.accept(webSocketPeer(socket), address)
  countBytes(raw, socket, session)
  socket.on('message', (data: RawData, isBinary: boolean) => {
    if (isBinary) session.onFrame(bytesOf(data))
    else session.close(CLOSE.policy, 'text frames are not part of the protocol', 'malformed')
  })
  socket.on('close', code => {
    session.onClose()
    meter.socketClosed()
    log({ level: 'debug', event: 'socket-closed', address, code, milliseconds: environment.now() - opened })
  })
  keepAlive(socket, environment, limits.pingInterval, () => meter.socketEnded('silent'))
}

/** Node's own kind of bytes, as `ws` hands them out, seen as plain ones. */
function bytesOf(data: RawData): Uint8Array {
  const buffer = data as Buffer
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

/** Resolves when it listens. @throws what Node throws where it cannot */
export function listening(http: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once('error', reject)
    http.listen(port, host, () => {
      http.off('error', reject)
      resolve()
    })
  })
}

/** Where it listens. */
export function urlOf(scheme: string, http: Server): string {
  const { address, family, port } = http.address() as AddressInfo
  return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
