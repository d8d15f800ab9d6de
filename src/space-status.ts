import type { SealogError } from './errors.ts'
import type { MemberId } from './ids.ts'
import type { ConnectionState } from './relay/client.ts'
import type { Role } from './verify/control.ts'
import type { WaitOptions } from './waiting.ts'

export interface Member {
  readonly id: MemberId
  readonly name: string
  readonly role: Role
  readonly me: boolean
}

export interface SpaceStatus {
  readonly connection: ConnectionState | 'paused'
  /** Own changes: only in memory; in the local store; and how many of their entries are on the way through the relay. */
  readonly local: { readonly unsaved: number; readonly pending: number; readonly sequenced: number }
  /** The verified log: number of entries, and the time (Unix, ms) that the relay signed with it. */
  readonly confirmed: { readonly size: number; readonly at: number | undefined }
  /** Every entry of the log was verified, one by one. */
  readonly trust: 'verified'
  readonly storage: 'ok' | 'full' | 'failed'
  /** Set when sync cannot go on with this version of the library. */
  readonly halted: SealogError | undefined
}

export interface InviteOptions extends WaitOptions {
  readonly role?: Role
  /** Milliseconds from now; default a week. */
  readonly expiresIn?: number
  /** Address of the app, to which the invite is added as a fragment; default: a bare `sealog:` link. */
  readonly base?: string
}
