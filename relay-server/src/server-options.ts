import { type Environment, isKeyName } from 'sealog/protocol'
import type { HostPort } from './config-values.ts'
import type { CreationPolicy } from './creation-policy.ts'
import type { HttpHook } from './http-requests.ts'
import type { Limits } from './limits.ts'
import type { Log } from './log-record.ts'
import type { LogStore } from './log-store.ts'
import type { TlsFiles } from './tls.ts'

export interface RelayServerOptions {
  /** Folder of key and database; created if it does not exist. Not needed where both `key` and `store` are given. */
  readonly data?: string
  /** Where the logs are kept; not open yet, the relay opens and closes it. Default: SQLite in `data`. */
  readonly store?: LogStore
  /** The file with the relay's secret. Default: `relay.key` in `data`. */
  readonly key?: string
  /** 0 for any free one. */
  readonly port: number
  /** Address to listen on. Default: 127.0.0.1, as a relay belongs behind something that speaks TLS. */
  readonly host?: string
  /** The name in every checkpoint, for good; a host name that is yours is a fine choice. */
  readonly name: string
  /** To speak TLS itself, 1.2 or later. */
  readonly tls?: TlsFiles
  /** So many proxies in front of the relay append to `X-Forwarded-For`, which says who the client is. Default: 0. */
  readonly trustProxy?: number
  /** Where to listen for `/metrics` (Prometheus), `/healthz` and `/readyz`; it is not for the public. Default: nowhere. */
  readonly metrics?: HostPort
  /** Who may create spaces. Default: everybody. */
  readonly admission?: CreationPolicy
  /** Requests on the same port that are none of the relay's. */
  readonly http?: HttpHook
  readonly log?: Log
  readonly limits?: Partial<Limits>
  /** Entries a second that are read again and checked in the background. Default: 0, none. */
  readonly scrub?: number
  /** Start with a key whose logs are lost, and have them given back by members. */
  readonly recover?: boolean
  /** The last resort, see docs/operating.md: spaces that have lost signed entries go on from what is stored. */
  readonly acceptRollback?: boolean
  readonly environment?: Environment
}

/** @throws TypeError that names the option */
export function checkOptions(options: RelayServerOptions): void {
  const { data, key, store, port, name, trustProxy = 0, scrub = 0 } = options
  const isNeeded = key === undefined || store === undefined
  if (data === undefined ? isNeeded : typeof data !== 'string' || data === '') {
    throw new TypeError('options.data: expected a folder')
  }
  if (key !== undefined && (typeof key !== 'string' || key === '')) throw new TypeError('options.key: expected a file')
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new TypeError('options.port: expected 0 to 65535')
  const isName = typeof name === 'string' && name.length <= 255 && isKeyName(name) && !/\p{Control}/u.test(name)
  if (!isName) throw new TypeError('options.name: expected at most 255 characters without spaces and "+"')
  if (!Number.isInteger(trustProxy) || trustProxy < 0) throw new TypeError('options.trustProxy: expected 0 or more')
  if (!Number.isInteger(scrub) || scrub < 0) throw new TypeError('options.scrub: expected 0 or more entries a second')
}
