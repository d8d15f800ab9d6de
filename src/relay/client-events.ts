import type { SealogError } from '../errors.ts'
import type { PinnedRelay } from '../verify/log.ts'
import type { MailboxAnswer, SpaceAnswer } from './messages.ts'

/** What a relay said of itself on this connection. */
export interface Session {
  readonly relay: PinnedRelay
  /** To be signed in `open`, 32 bytes. */
  readonly challenge: Uint8Array
}

/** How one space listens to the shared connection. */
export interface ChannelEvents {
  onUp(session: Session): void
  onMessage(message: SpaceAnswer): void
  onDown(cause: SealogError | undefined): void
}

/** How somebody who asks for what belongs to no space listens to it. */
export interface VisitorEvents {
  onUp(session: Session): void
  /** Answers to all visitors: the reference says to whom. */
  onMessage(message: MailboxAnswer): void
  onDown(cause: SealogError | undefined): void
  /** The client was closed; nothing comes any more. */
  onClosed(): void
}
