import {
  choice,
  type HostPort,
  headsPlace,
  hostPort,
  httpUrl,
  onOff,
  port,
  type StorePlace,
  storePlace,
  text,
  type ValueKind,
  wholeNumber,
  words,
} from './config-values.ts'
import { DEFAULT_LIMITS, type Limits } from './limits.ts'

/** What an operator may settle, besides the limits. Undefined: not settled, and there is no default. */
export interface Settings {
  readonly data: string | undefined
  readonly store: StorePlace | undefined
  readonly storeConnections: number
  readonly heads: string | undefined
  readonly schema: string | undefined
  readonly key: string | undefined
  readonly name: string | undefined
  readonly port: number | undefined
  readonly host: string
  readonly tlsCert: string | undefined
  readonly tlsKey: string | undefined
  readonly trustProxy: number
  readonly metrics: HostPort | undefined
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
  readonly quiet: boolean
  readonly drain: number
  readonly admission: 'open' | 'token' | 'webhook'
  readonly tokens: readonly string[]
  readonly tokensFile: string | undefined
  readonly webhookUrl: string | undefined
  readonly webhookSecret: string | undefined
  readonly webhookSecretFile: string | undefined
  readonly scrub: number
  readonly recover: boolean
  readonly acceptRollback: boolean
  readonly acceptVolatile: boolean
}

/** One setting: how it is read, and what the usage says of it. */
export interface Setting<T> extends ValueKind<T> {
  readonly help: string
  readonly fallback: T
  /** Nobody gets to see its value. */
  readonly isSecret: boolean
}

function setting<T, F>(kind: ValueKind<T>, fallback: F, help: string): Setting<T | F> {
  return { ...kind, fallback, help, isSecret: false }
}

function secret<T, F>(kind: ValueKind<T>, fallback: F, help: string): Setting<T | F> {
  return { ...kind, fallback, help, isSecret: true }
}

/** The one list of settings: what is not in it, no flag, variable or file can say. */
export const SETTINGS: { readonly [K in keyof Settings]: Setting<Settings[K]> } = {
  data: setting(
    text('DIR'),
    undefined,
    'folder of the key, and of the database unless --store says otherwise; created',
  ),
  store: setting(storePlace, undefined, 'where the logs are kept (default: relay.db in the folder --data)'),
  storeConnections: setting(wholeNumber(1, 1000), 10, 'connections to PostgreSQL, besides one that listens'),
  heads: setting(headsPlace, undefined, 'where it is kept what was signed (default: beside the logs, apart from them)'),
  schema: setting(text('NAME'), undefined, 'of the tables in PostgreSQL (default sealog)'),
  key: setting(text('FILE'), undefined, 'the secret key of the relay (default: relay.key in the folder --data)'),
  name: setting(text('NAME'), undefined, 'the name in every checkpoint; settled by the first start'),
  port: setting(port, undefined, 'where to listen; 0 for any free port'),
  host: setting(text('HOST'), '127.0.0.1', 'address to listen on'),
  tlsCert: setting(
    text('FILE'),
    undefined,
    'certificate chain (PEM): the relay speaks TLS itself; read again on SIGHUP',
  ),
  tlsKey: setting(text('FILE'), undefined, 'private key of the certificate (PEM)'),
  trustProxy: setting(wholeNumber(0, 16), 0, 'so many proxies in front of the relay write X-Forwarded-For'),
  metrics: setting(hostPort, undefined, 'where to listen for /metrics, /healthz and /readyz; not for the public'),
  logLevel: setting(choice('debug', 'info', 'warn', 'error'), 'info', 'least level of the lines on stderr'),
  quiet: setting(onOff, false, 'no log on stderr'),
  drain: setting(wholeNumber(0, 3600), 0, 'seconds to go on serving after SIGTERM, while /readyz says no'),
  admission: setting(choice('open', 'token', 'webhook'), 'open', 'who may create spaces'),
  tokens: secret(words, [], 'with --admission token: the tokens. Better in the environment or in a file'),
  tokensFile: setting(text('FILE'), undefined, 'the same, a file with one token in each line'),
  webhookUrl: setting(httpUrl, undefined, 'with --admission webhook: whom to ask'),
  webhookSecret: secret(text('TEXT'), undefined, 'what the questions are authenticated with (HMAC-SHA256)'),
  webhookSecretFile: setting(text('FILE'), undefined, 'the same, a file'),
  scrub: setting(wholeNumber(0), 100, 'entries a second that are read again and checked in the background; 0: none'),
  recover: setting(onOff, false, 'start on an empty database; members give back what was signed'),
  acceptRollback: setting(onOff, false, 'LAST RESORT: go on from what is stored, whatever was signed'),
  acceptVolatile: setting(onOff, false, 'take a PostgreSQL that loses what it confirmed (fsync off); for tests'),
}

/** What each limit is, and its least value, where 0 stands for none. The type demands a line for each. */
export const LIMITS: { readonly [K in keyof Limits]: readonly [least: number, help: string] } = {
  sockets: [1, 'connections at once'],
  socketsPerAddress: [0, 'connections of one client address'],
  unauthenticatedSockets: [1, 'connections on which nobody has authenticated yet'],
  unauthenticatedBytes: [4096, 'bytes that a connection may send before that'],
  unauthenticatedTotal: [0, 'bytes that all of them may send beyond it, to create or restore spaces'],
  unauthenticatedRequests: [1, 'requests of a connection before that'],
  handshakeTime: [100, 'milliseconds until a connection must have sent a whole request'],
  authenticationTime: [100, 'milliseconds until a connection must have opened a space'],
  failuresPerAddress: [0, 'requests a second of one client address that come to nothing'],
  pingInterval: [100, 'milliseconds between two pings of a connection'],
  spacesPerSocket: [1, 'spaces that one connection has open'],
  openBytesPerSocket: [
    0,
    'bytes in memory of the spaces that one connection has open besides the largest, shared ones in part',
  ],
  openBytesPerAddress: [0, 'the same, of one client address'],
  idleSpaces: [0, 'spaces kept in memory while nobody uses them'],
  idleBytes: [0, 'bytes in memory of these'],
  requestsPerSocket: [1, 'requests of one connection under way'],
  requestBytesPerSocket: [65_536, 'bytes of requests of one connection under way'],
  requestBytes: [1_048_576, 'the same, of all connections'],
  sendBytesPerSocket: [1_048_576, 'bytes that one connection may leave unread'],
  stagedBytesPerSocket: [0, 'bytes of large bodies that one connection has under upload'],
  stagedBytes: [0, 'the same, of all connections'],
  groupEntries: [1, 'entries in one transaction'],
  groupBytes: [1_048_576, 'bytes in one transaction'],
  noteAge: [0, 'milliseconds that a checkpoint counts as fresh'],
  mailboxesPerSocket: [0, 'mailboxes that one connection may write to'],
  mailboxWrites: [0, 'writes of one mailbox in an hour'],
  bodyLength: [0, 'bytes of the body of one entry'],
  spaceBytes: [0, 'bytes stored of one space'],
  spaces: [0, 'spaces in total'],
  spacesPerAddress: [0, 'spaces that one client address creates in an hour'],
  entriesPerSpace: [0, 'entries a second into one space'],
  entriesPerDevice: [0, 'entries a second of one device'],
  entriesPerAddress: [0, 'entries a second of one client address'],
  bytesPerSpace: [0, 'bytes of entries a second into one space'],
  bytesPerDevice: [0, 'bytes of entries a second of one device'],
  bytesPerAddress: [0, 'bytes of entries a second of one client address'],
  controlsPerDevice: [0, 'control entries of one device in an hour'],
  readBytesPerDevice: [0, 'bytes a second that one device reads beside what is new'],
  loadBytesPerDevice: [0, 'bytes a second of spaces that are brought into memory for one device'],
  loadBytesPerAddress: [0, 'bytes a second of spaces that are brought into memory for one client address'],
  burstTime: [1000, 'milliseconds of idleness that may be made up for at once'],
}

/** In kebab case, as on the command line. */
export function flagOf(setting: string): string {
  return setting.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}

export function limitFlagOf(limit: string): string {
  return `limit-${flagOf(limit)}`
}

/** A limit is a setting like any other, under its own prefix. */
function limitSettings(): readonly [flag: string, setting: Setting<unknown>][] {
  return Object.entries(LIMITS).map(([limit, [least, help]]) => [
    limitFlagOf(limit),
    setting(wholeNumber(least), DEFAULT_LIMITS[limit as keyof Limits], help),
  ])
}

/** All settings by their flags, limits last. */
export const BY_FLAG: ReadonlyMap<string, Setting<unknown>> = new Map([
  ...Object.entries(SETTINGS).map(([name, each]) => [flagOf(name), each as Setting<unknown>] as const),
  ...limitSettings(),
])
