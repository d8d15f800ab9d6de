export { DEFAULT_LIMITS, type Limits, type Log, type LogRecord } from './context.ts'
export type { HttpHook } from './http-requests.ts'
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
export { type SqliteLogStoreOptions, sqliteLogStore } from './log-store-sqlite.ts'
export { type RelayServer, type RelayServerOptions, startRelay } from './server.ts'
