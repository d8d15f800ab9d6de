import type { AddressInfo } from 'node:net'
import { type Environment, encodeVerifierKey, platformEnvironment } from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import { Gate } from './gate.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import type { LogStore } from './log-store.ts'
import { sqliteLogStore } from './log-store-sqlite.ts'
import { NO_METER } from './meter.ts'
import type { PrometheusMeter } from './metrics.ts'
import { type MetricsServer, startMetricsServer } from './metrics-server.ts'
import { nodeSigningKey, nodeVerifier } from './node-signatures.ts'
import { type Readiness, storeReadiness } from './readiness.ts'
import { Relay } from './relay.ts'
import { settleIdentity } from './relay-key-file.ts'
import { type Scrub, startScrub } from './scrub.ts'
import { createHttpServer, type HttpServer, listening, urlOf } from './server-http.ts'
import { checkOptions, type RelayServerOptions } from './server-options.ts'
import { createFolder, databaseFileOf, keyFileOf } from './store-place.ts'
import { reloadTls } from './tls.ts'

/** Longest wait, when stopping, for replicas to take their answers and to close, in milliseconds. */
const CLOSING_TIME = 3000
/** Longest wait, when stopping, for a store that does not do what it was asked for, in milliseconds. */
const STORE_TIME = 10_000

/** A relay that listens. */
export interface RelayServer {
  /** `ws://…` or `wss://…`, where it listens. */
  readonly url: string
  readonly port: number
  readonly name: string
  /** The public key of its checkpoints, 32 bytes. */
  readonly key: Uint8Array
  /** The same as a C2SP verifier key, under the relay's name. */
  readonly verifierKey: string
  /** `http://…`, where it is watched; undefined where nobody asked for that. */
  readonly metricsUrl: string | undefined
  /** From now on `/readyz` says no, so that others send new clients elsewhere; it goes on serving. */
  drain(): void
  /** Are there files that it can read again? */
  readonly canReload: boolean
  /** Reads the TLS certificate again: one that cannot be used is logged, and the one before stays in use. */
  reload(): void
  /** Finishes what it has taken, closes all sockets (1001) and the store; idempotent. */
  close(): Promise<void>
}

/**
 * Starts a relay on this machine: SQLite in `data` unless another store is given, WebSocket on `port`.
 * @throws TypeError; SealogError ERR_RELAY_IDENTITY, and what the store throws; what Node throws where a port or the
 * folder cannot be used
 */
export async function startRelay(options: RelayServerOptions): Promise<RelayServer> {
  checkOptions(options)
  const environment = options.environment ?? platformEnvironment()
  const store = storeFor(options)
  // Before anything is opened or made: a policy that cannot work starts nothing.
  const gate = gateOf(options, environment, store)
  const closing: (() => Promise<void>)[] = []
  try {
    await store.open()
    closing.push(() => store.close())
    const meter = options.metrics && (await import('./metrics.ts')).prometheusMeter()
    const relay = new Relay(await contextOf(options, environment, store, gate, meter))
    const readiness = storeReadiness(store, environment)
    const server = createHttpServer({
      relay,
      readiness,
      trustProxy: options.trustProxy ?? 0,
      tls: options.tls,
      hook: options.http,
    })
    const metrics = await watched(options, relay, readiness, meter)
    if (metrics !== undefined) closing.push(() => metrics.close())
    await listening(server.http, options.host ?? '127.0.0.1', options.port)
    const scrub = options.scrub ? startScrub(relay, { entriesPerSecond: options.scrub }) : undefined
    return serverOf({ relay, readiness, server, metrics, scrub, tls: options.tls })
  } catch (error) {
    for (const close of closing.reverse()) await close()
    throw error
  }
}

function storeFor({ store, data = '', acceptRollback = false }: RelayServerOptions): LogStore {
  if (data !== '') createFolder(data)
  return store ?? sqliteLogStore(databaseFileOf(data), { acceptRollback })
}

/** @throws TypeError */
function gateOf(options: RelayServerOptions, environment: Environment, store: LogStore): Gate {
  const { name, log = () => {}, admission } = options
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  return new Gate({ name, limits, environment, log, store, creation: admission })
}

async function contextOf(
  options: RelayServerOptions,
  environment: Environment,
  store: LogStore,
  gate: Gate,
  meter: PrometheusMeter | undefined,
): Promise<RelayContext> {
  const { name, data = '', log = () => {}, acceptRollback = false, recover = false } = options
  const keyFile = options.key ?? keyFileOf(data)
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const seed = await settleIdentity({ keyFile, name, store, random: environment.random, log, recover })
  if (acceptRollback) log({ level: 'warn', event: 'rollback-allowed', reason: 'spaces go on from what is stored' })
  return {
    name,
    signingKey: await nodeSigningKey(seed),
    verifier: await nodeVerifier(),
    environment,
    store,
    limits,
    log,
    meter: meter ?? NO_METER,
    gate,
    acceptRollback,
    turn: () => new Promise(resolve => setImmediate(resolve)),
  }
}

async function watched(
  { metrics }: RelayServerOptions,
  { context: { name, log } }: Relay,
  readiness: Readiness,
  meter: PrometheusMeter | undefined,
): Promise<MetricsServer | undefined> {
  if (metrics === undefined || meter === undefined) return undefined
  return await startMetricsServer(metrics, meter, { name, readiness, log })
}

/** A moment that is so many milliseconds away. */
function deadlineIn(delay: number, environment: Environment): { readonly passed: Promise<void>; cancel(): void } {
  let cancel = (): void => {}
  const passed = new Promise<void>(resolve => {
    cancel = environment.schedule(delay, resolve)
  })
  return { passed, cancel: () => cancel() }
}

interface Running {
  readonly relay: Relay
  readonly readiness: Readiness
  readonly server: HttpServer
  readonly metrics: MetricsServer | undefined
  readonly scrub: Scrub | undefined
  readonly tls: RelayServerOptions['tls']
}

function serverOf({ relay, readiness, server, metrics, scrub, tls }: Running): RelayServer {
  const { http, https, sockets } = server
  const { name, signingKey, environment, store, log } = relay.context
  const { publicKey } = signingKey
  const url = urlOf(https === undefined ? 'ws' : 'wss', http)
  let closing: Promise<void> | undefined

  async function close(): Promise<void> {
    readiness.drain()
    log({ level: 'info', event: 'stopping', connections: relay.connections })
    const closed = new Promise<void>(resolve => http.close(() => resolve()))
    const replicas = deadlineIn(CLOSING_TIME, environment)
    const last = deadlineIn(STORE_TIME, environment)
    let isStoreClosed = false
    try {
      await Promise.race([scrub?.stop(), last.passed])
      await relay.close(replicas.passed, last.passed)
      // Sockets end by themselves when the other side closes too; those whose other side does not are cut.
      await Promise.race([closed, replicas.passed])
      for (const socket of sockets) socket.terminate()
      http.closeAllConnections()
      await metrics?.close()
      isStoreClosed = await Promise.race([store.close().then(() => true), last.passed.then(() => false)])
    } finally {
      replicas.cancel()
      last.cancel()
    }
    if (!isStoreClosed) log({ level: 'error', event: 'store-hangs', reason: 'the store did not close in time' })
    log({ level: 'info', event: 'stopped' })
  }

  http.on('error', error => log({ level: 'error', event: 'http-error', reason: error.message }))
  log({ level: 'info', event: 'listening', url, name, metrics: metrics?.url })
  return {
    url,
    port: (http.address() as AddressInfo).port,
    name,
    key: publicKey,
    verifierKey: encodeVerifierKey(name, publicKey),
    metricsUrl: metrics?.url,
    drain() {
      log({ level: 'info', event: 'draining', connections: relay.connections })
      readiness.drain()
    },
    canReload: https !== undefined,
    reload() {
      if (https === undefined || tls === undefined) return
      try {
        reloadTls(https, tls)
        log({ level: 'info', event: 'tls-reloaded' })
      } catch (error) {
        log({ level: 'error', event: 'tls-reload-failed', reason: error instanceof Error ? error.message : 'unknown' })
      }
    },
    close() {
      closing ??= close()
      return closing
    },
  }
}
