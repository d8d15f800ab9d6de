export type { HostPort } from './config-values.ts'
export type { CreationPolicy } from './creation-policy.ts'
export type { HttpHook } from './http-requests.ts'
export { DEFAULT_LIMITS, type Limits } from './limits.ts'
export type { Log, LogRecord } from './log-record.ts'
export type {
  Append,
  EntryRange,
  LogStore,
  StateRows,
  StoredEntry,
  StoredHead,
  StoredIdentity,
  StoredSpace,
  StoredWrap,
} from './log-store.ts'
export { type PostgresLogStoreOptions, postgresLogStore } from './log-store-postgres.ts'
export { type SqliteLogStoreOptions, sqliteLogStore } from './log-store-sqlite.ts'
export { type RelayServer, startRelay } from './server.ts'
export type { RelayServerOptions } from './server-options.ts'
export type { TlsFiles } from './tls.ts'
