import { bytesOf, bytesUpTo, type Format, listOf, maybe, type RecordFormat } from '../format.ts'
import { INLINE_BODY_LENGTH, MAX_HEADER_LENGTH } from '../verify/entry.ts'

/** How a message is written, behind the number of its type. */
export type MessageFormat<Message extends { readonly type: string }> = RecordFormat<Omit<Message, 'type'>>

const MAX_NOTE_LENGTH: number = 16 * 1024
/** Hashes of one proof: twice as many as a log of 2⁵³ entries needs. */
const MAX_PROOF_LENGTH = 128

export const hash: Format<Uint8Array> = bytesOf(32)
export const publicKey: Format<Uint8Array> = bytesOf(32)
export const signature: Format<Uint8Array> = bytesOf(64)
export const note: Format<Uint8Array> = bytesUpTo(MAX_NOTE_LENGTH)
export const proof: Format<readonly Uint8Array[]> = listOf(MAX_PROOF_LENGTH, hash)
export const header: Format<Uint8Array> = bytesUpTo(MAX_HEADER_LENGTH)
/** The body of an entry, or a part of one. */
export const inline: Format<Uint8Array> = bytesUpTo(INLINE_BODY_LENGTH)
export const inlineBody: Format<Uint8Array | undefined> = maybe(inline)
