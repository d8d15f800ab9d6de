import type { Environment, SignatureVerifier, SigningKey } from 'sealog/protocol'
import type { LogStore } from './log-store.ts'

/** One line of the relay's log. Ids, sizes, codes and times; never bodies, keys or names of people. */
export interface LogRecord {
  readonly level: 'info' | 'warn' | 'error'
  readonly event: string
  readonly [field: string]: string | number | boolean | undefined
}

export type Log = (record: LogRecord) => void

/** What one relay, one socket and one group commit may hold. Lengths in bytes, times in milliseconds. */
export interface Limits {
  readonly sockets: number
  readonly spacesPerSocket: number
  /** Spaces kept in memory while nobody uses them. */
  readonly idleSpaces: number
  /** Requests of one socket that are under way; beyond it, nothing more is read. */
  readonly requestsPerSocket: number
  readonly requestBytesPerSocket: number
  /** A socket that has more than this to read is disconnected. */
  readonly sendBytesPerSocket: number
  /** Large bodies under upload. */
  readonly stagedBytesPerSocket: number
  readonly stagedBytes: number
  /** Mailboxes that one socket may write to. */
  readonly mailboxesPerSocket: number
  readonly groupEntries: number
  readonly groupBytes: number
  /** A socket must open a space, or create one, within this time. */
  readonly authenticationTime: number
  /** A pull is answered with a note that is not older. */
  readonly noteAge: number
  /** A socket is pinged this often, and ended if it does not answer before the next ping. */
  readonly pingInterval: number
}

export const DEFAULT_LIMITS: Limits = {
  sockets: 10_000,
  spacesPerSocket: 256,
  idleSpaces: 256,
  requestsPerSocket: 64,
  requestBytesPerSocket: 4 * 1024 * 1024,
  sendBytesPerSocket: 8 * 1024 * 1024,
  stagedBytesPerSocket: 64 * 1024 * 1024,
  stagedBytes: 256 * 1024 * 1024,
  mailboxesPerSocket: 16,
  groupEntries: 1024,
  groupBytes: 16 * 1024 * 1024,
  authenticationTime: 30_000,
  noteAge: 10_000,
  pingInterval: 30_000,
}

/** What every part of one relay works with. */
export interface RelayContext {
  /** The name in every checkpoint. */
  readonly name: string
  readonly signingKey: SigningKey
  readonly verifier: SignatureVerifier
  readonly environment: Environment
  readonly store: LogStore
  readonly limits: Limits
  readonly log: Log
}
