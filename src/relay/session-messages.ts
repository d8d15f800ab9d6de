import { SealogError } from '../errors.ts'
import { documentId, type Format, listOf, maybe, record, spaceId, textUpTo, uint, uintUpTo } from '../format.ts'
import type { DocumentId, SpaceId } from '../ids.ts'
import { hasControl, isKeyName } from '../verify/note-key.ts'
import { MAX_RETRY_AFTER, MAX_WANTS } from './message-limits.ts'
import { hash, type MessageFormat, publicKey, signature } from './message-parts.ts'

/** First on every socket, from the relay. */
export interface Welcome {
  readonly type: 'welcome'
  readonly version: number
  readonly name: string
  /** Checkpoint key, 32 bytes. */
  readonly key: Uint8Array
  /** 32 random bytes to sign in `open`. */
  readonly challenge: Uint8Array
}

/** A name that a checkpoint can carry: otherwise a replica would pin what it can never verify anything of. */
const relayName: Format<string> = {
  write: name => name,
  read: (item, what) => {
    const name = textUpTo(255).read(item, what)
    if (!isKeyName(name) || hasControl(name)) {
      throw new SealogError('ERR_MALFORMED', 'relay name: expected one without spaces, control characters and "+"')
    }
    return name
  },
}

export const welcome: MessageFormat<Welcome> = record({
  version: uint,
  name: relayName,
  key: publicKey,
  challenge: hash,
})

/** Authenticates for one space and asks for its log from `from` on, then live. */
export interface Open {
  readonly type: 'open'
  readonly ref: number
  readonly space: SpaceId
  readonly from: number
  /** The device's Ed25519 key, 32 bytes. */
  readonly device: Uint8Array
  /** Over `authenticationInput`, 64 bytes. */
  readonly signature: Uint8Array
  /**
   * Undefined: all bodies, and no tracers, as the replica knows the whole state. Otherwise the documents whose bodies
   * are wanted, and tracers for all; each `get-document` adds its own.
   */
  readonly wants: readonly DocumentId[] | undefined
}

export const open: MessageFormat<Open> = record({
  ref: uint,
  space: spaceId,
  from: uint,
  device: publicKey,
  signature,
  wants: maybe(listOf(MAX_WANTS, documentId)),
})

/** No more of this space on this socket. */
export interface Leave {
  readonly type: 'leave'
  readonly space: SpaceId
}

export const leave: MessageFormat<Leave> = record({ space: spaceId })

/** What was handed over was taken: a part of a body, a note, a part of a log, the content of a mailbox. */
export interface Received {
  readonly type: 'received'
  readonly ref: number
  readonly space: SpaceId
}

export const received: MessageFormat<Received> = record({ ref: uint, space: spaceId })

/** A request that was not carried out; for a push: entries before `position` were, the rest were not. */
export interface Reject {
  readonly type: 'reject'
  readonly ref: number
  readonly space: SpaceId
  readonly code: string
  readonly message: string
  readonly position: number
  /** Milliseconds after which to try again; 0: no such advice. */
  readonly retryAfter: number
}

export const reject: MessageFormat<Reject> = record({
  ref: uint,
  space: spaceId,
  // As text, so that an old client can show a code that it does not know.
  code: textUpTo(64),
  message: textUpTo(1024),
  position: uint,
  retryAfter: uintUpTo(MAX_RETRY_AFTER),
})
