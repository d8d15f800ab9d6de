import { mkdirSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import {
  defaultVerifier,
  type Environment,
  encodeVerifierKey,
  isKeyName,
  MAX_FRAME_LENGTH,
  platformEnvironment,
  SealogError,
  signingKeyFromSeed,
} from 'sealog/protocol'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import { DEFAULT_LIMITS, type Limits, type Log } from './context.ts'
import { type HttpHook, httpRequests } from './http-requests.ts'
import { keepAlive } from './keep-alive.ts'
import type { LogStore } from './log-store.ts'
import { sqliteLogStore } from './log-store-sqlite.ts'
import { CLOSE } from './peer.ts'
import { Relay } from './relay.ts'
import { assertDatabaseOfKey, databaseFileOf, settleIdentity } from './relay-key-file.ts'
import { webSocketPeer } from './websocket-peer.ts'

/** Longest wait for a client to send its request, in milliseconds. */
const HANDSHAKE_TIMEOUT = 10_000
/** Longest wait, when stopping, for replicas to take their answers and to close, in milliseconds. */
const CLOSING_TIME = 3000

export interface RelayServerOptions {
  /** Folder with database and key; created if it does not exist. */
  readonly data: string
  /** 0 for any free one. */
  readonly port: number
  /** Address to listen on. Default: 127.0.0.1, as a relay belongs behind something that speaks TLS. */
  readonly host?: string
  /** The name in every checkpoint, for good; a host name that is yours is a fine choice. */
  readonly name: string
  /** Requests on the same port that are none of the relay's. */
  readonly http?: HttpHook
  readonly log?: Log
  readonly limits?: Partial<Limits>
  readonly environment?: Environment
}

/** A relay that listens. */
export interface RelayServer {
  /** `ws://…`, where it listens. */
  readonly url: string
  readonly port: number
  readonly name: string
  /** The public key of its checkpoints, 32 bytes. */
  readonly key: Uint8Array
  /** The same as a C2SP verifier key, under the relay's name. */
  readonly verifierKey: string
  /** Finishes what it has taken, closes all sockets (1001) and the store; idempotent. */
  close(): Promise<void>
}

/**
 * Starts a relay on this machine: SQLite in `data`, WebSocket on `port`.
 * @throws TypeError; SealogError ERR_RELAY_IDENTITY, and what the store throws; what Node throws where the port or the
 * folder cannot be used
 */
export async function startRelay(options: RelayServerOptions): Promise<RelayServer> {
  checkOptions(options)
  const { data, name, port, host = '127.0.0.1' } = options
  const environment = options.environment ?? platformEnvironment()
  const log = options.log ?? (() => {})
  const store = await openStore(data)
  try {
    const seed = await settleIdentity(data, name, store, environment.random)
    const relay = new Relay({
      name,
      signingKey: signingKeyFromSeed(seed),
      verifier: await defaultVerifier(),
      environment,
      store,
      limits: { ...DEFAULT_LIMITS, ...options.limits },
      log,
    })
    const sockets = new Set<WebSocket>()
    const http = createHttpServer(relay, sockets, options.http)
    await listen(http, host, port)
    http.on('error', error => log({ level: 'error', event: 'http-error', reason: error.message }))
    const server = serverOf(relay, http, sockets)
    log({ level: 'info', event: 'listening', url: server.url, name })
    return server
  } catch (error) {
    await store.close()
    throw error
  }
}

function checkOptions({ data, port, name }: RelayServerOptions): void {
  if (typeof data !== 'string' || data === '') throw new TypeError('options.data: expected a folder')
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new TypeError('options.port: expected 0 to 65535')
  const isName = typeof name === 'string' && name.length <= 255 && isKeyName(name) && !/\p{Control}/u.test(name)
  if (!isName) throw new TypeError('options.name: expected at most 255 characters without spaces and "+"')
}

async function openStore(data: string): Promise<LogStore> {
  try {
    mkdirSync(data, { recursive: true, mode: 0o700 })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new SealogError('ERR_STORE', `the data folder cannot be used: ${reason}`, { cause })
  }
  assertDatabaseOfKey(data)
  const store = sqliteLogStore(databaseFileOf(data))
  await store.open()
  return store
}

function listen(http: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once('error', reject)
    http.listen(port, host, () => {
      http.off('error', reject)
      resolve()
    })
  })
}

function serverOf(relay: Relay, http: Server, sockets: ReadonlySet<WebSocket>): RelayServer {
  const { name, signingKey, environment, store, log } = relay.context
  const { address, family, port } = http.address() as AddressInfo
  const key = signingKey.publicKey
  let closing: Promise<void> | undefined

  async function close(): Promise<void> {
    log({ level: 'info', event: 'stopping', connections: relay.connections })
    const closed = new Promise<void>(resolve => http.close(() => resolve()))
    let cancel = (): void => {}
    const deadline = new Promise<void>(resolve => {
      cancel = environment.schedule(CLOSING_TIME, resolve)
    })
    await relay.close(deadline)
    // Sockets end by themselves when the other side closes too; those whose other side does not are cut.
    await Promise.race([closed, deadline])
    for (const socket of sockets) socket.terminate()
    http.closeAllConnections()
    cancel()
    await store.close()
    log({ level: 'info', event: 'stopped' })
  }

  return {
    url: `ws://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    port,
    name,
    key,
    verifierKey: encodeVerifierKey(name, key),
    close() {
      closing ??= close()
      return closing
    },
  }
}

function createHttpServer(relay: Relay, sockets: Set<WebSocket>, hook: HttpHook | undefined): Server {
  const { name, limits, log } = relay.context
  const http = createServer({ headersTimeout: HANDSHAKE_TIMEOUT, requestTimeout: HANDSHAKE_TIMEOUT })
  http.on(
    'request',
    httpRequests(() => ({ status: 'ok', name }), hook),
  )
  const upgrades = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_FRAME_LENGTH,
    clientTracking: false,
  })
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Before the handshake nobody else listens, and an error nobody listens to ends the process.
    socket.on('error', () => socket.destroy())
    if (relay.connections >= limits.sockets) {
      log({ level: 'warn', event: 'too-many-sockets', connections: relay.connections })
      socket.end('HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
      return
    }
    upgrades.handleUpgrade(request, socket, head, webSocket => {
      sockets.add(webSocket)
      webSocket.on('close', () => sockets.delete(webSocket))
      serve(relay, webSocket)
    })
  })
  return http
}

function serve(relay: Relay, socket: WebSocket): void {
  const { environment, limits, log } = relay.context
  socket.on('error', error => log({ level: 'info', event: 'socket-error', reason: error.message }))
  const session = relay.accept(webSocketPeer(socket))
  socket.on('message', (data: RawData, isBinary: boolean) => {
    if (isBinary) session.onFrame(bytesOf(data))
    else session.close(CLOSE.policy, 'text frames are not part of the protocol')
  })
  socket.on('close', () => session.onClose())
  keepAlive(socket, environment, limits.pingInterval)
}

/** Node's own kind of bytes, as `ws` hands them out, seen as plain ones. */
function bytesOf(data: RawData): Uint8Array {
  const buffer = data as Buffer
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}
