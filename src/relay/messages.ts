import type { BodyPart, GetBody, PutBody } from './body-messages.ts'
import type { GetKeys, Keys } from './key-messages.ts'
import type { Cosign, Pull, Push, Restore, Sync } from './log-messages.ts'
import type { GetMailbox, MailboxContent, PutMailbox } from './mailbox-messages.ts'
import type { GetChain, GetDocument, Read, Records, Skip } from './proof-messages.ts'
import type { Leave, Open, Received, Reject, Welcome } from './session-messages.ts'

/**
 * The messages between a replica and a relay (protocol.md §7). A `ref` is chosen by the replica, grows with each
 * request on a socket, and comes back in the answer; 0 stands in what the relay sends by itself.
 */
export const PROTOCOL_VERSION = 1

/** What a relay says of a space. */
export type SpaceAnswer = Sync | Reject | BodyPart | Received | Records | Keys
/** What a relay answers to a `MailboxRequest`. */
export type MailboxAnswer = MailboxContent | Reject | Received
export type RelayMessage = Welcome | SpaceAnswer | MailboxAnswer
/** What a replica asks of a space. */
export type SpaceRequest =
  | Open
  | Pull
  | Push
  | PutBody
  | GetBody
  | Skip
  | GetDocument
  | GetChain
  | GetKeys
  | Read
  | Cosign
  | Restore
  | Leave
export type MailboxRequest = PutMailbox | GetMailbox
export type ReplicaMessage = SpaceRequest | MailboxRequest
export type Message = RelayMessage | ReplicaMessage
