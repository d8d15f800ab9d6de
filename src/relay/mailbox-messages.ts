import { bytesUpTo, record, uint } from '../format.ts'
import { MAX_MAILBOX_LENGTH } from './message-limits.ts'
import { type MessageFormat, publicKey, signature } from './message-parts.ts'

/**
 * Leaves sealed bytes in a mailbox, in the place of what stood there with a smaller counter. Like every request of no
 * space it is answered by `received` or `reject` with the address in the place of the space.
 */
export interface PutMailbox {
  readonly type: 'put-mailbox'
  readonly ref: number
  /** The mailbox's Ed25519 key, 32 bytes. */
  readonly address: Uint8Array
  readonly counter: number
  /** At most `MAX_MAILBOX_LENGTH` of them. */
  readonly bytes: Uint8Array
  /** By the mailbox's key over `putMailboxInput`, 64 bytes. */
  readonly signature: Uint8Array
}

/** What stands in a mailbox comes as it was put there. */
const STANDING = { ref: uint, address: publicKey, counter: uint, bytes: bytesUpTo(MAX_MAILBOX_LENGTH), signature }

export const putMailbox: MessageFormat<PutMailbox> = record(STANDING)

/** Asks for what stands in a mailbox; whoever asks needs its key, and no space. */
export interface GetMailbox {
  readonly type: 'get-mailbox'
  readonly ref: number
  /** The mailbox's Ed25519 key, 32 bytes. */
  readonly address: Uint8Array
  /** By the mailbox's key over `getMailboxInput`, 64 bytes. */
  readonly signature: Uint8Array
}

export const getMailbox: MessageFormat<GetMailbox> = record({ ref: uint, address: publicKey, signature })

/** What stands in a mailbox, in answer to `get-mailbox`. */
export interface MailboxContent {
  readonly type: 'mailbox'
  readonly ref: number
  /** The mailbox's Ed25519 key, 32 bytes. */
  readonly address: Uint8Array
  readonly counter: number
  readonly bytes: Uint8Array
  /** As it came with the `put-mailbox`, 64 bytes. */
  readonly signature: Uint8Array
}

export const mailboxContent: MessageFormat<MailboxContent> = record(STANDING)
