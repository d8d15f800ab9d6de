import type { Environment, SignatureVerifier, SigningKey } from 'sealog/protocol'
import type { Gate } from './gate.ts'
import type { Limits } from './limits.ts'
import type { Log } from './log-record.ts'
import type { LogStore } from './log-store.ts'
import type { Meter } from './meter.ts'

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
  readonly meter: Meter
  readonly gate: Gate
  /** Resolves when what has arrived by now has been read, and others had their turn. */
  readonly turn: () => Promise<void>
  /** Entries that were signed and are lost are given up: the operator's last resort. */
  readonly acceptRollback: boolean
}
