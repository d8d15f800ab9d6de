import { concat } from '../bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { hasCode, SealogError } from '../errors.ts'
import type { DocumentId, SpaceId } from '../ids.ts'
import type { PushEntry } from '../relay/log-messages.ts'
import { decodeHeader, INLINE_BODY_LENGTH, MAX_BODY_LENGTH } from '../verify/entry.ts'
import type { Batch, BatchEntry } from '../verify/log.ts'
import type { RelayQuestions } from './relay-questions.ts'

/** An entry to be pushed, with all wraps that it delivers, one after the other. */
export interface OutgoingEntry extends Omit<PushEntry, 'wraps'> {
  readonly wraps?: Uint8Array | undefined
}

/**
 * Bodies that are too long for a frame, on their way in parts (protocol.md R-PART-1, R-PART-2). What comes is unverified:
 * a body counts once it was held against the hash in its header.
 */
export class BodyTransfer {
  readonly #space: SpaceId
  readonly #questions: RelayQuestions

  constructor(space: SpaceId, questions: RelayQuestions) {
    this.#space = space
    this.#questions = questions
  }

  // -- From the relay ---------------------------------------------------------------------------------------------

  /** One part, from this byte on; at most `INLINE_BODY_LENGTH` bytes. @throws SealogError ERR_BODY */
  async part(index: number, offset: number): Promise<Uint8Array> {
    const part = await this.#questions.ask(ref => ({ type: 'get-body', ref, space: this.#space, index, offset }))
    if (part.type !== 'body-part' || part.offset !== offset || part.bytes.length === 0) {
      throw new SealogError('ERR_BODY', `the relay did not serve the body of entry ${index}`, { details: { index } })
    }
    return part.bytes
  }

  /** @throws SealogError ERR_BODY where the relay does not serve it */
  async whole(index: number, length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    for (let offset = 0; offset < length; ) {
      const part = await this.part(index, offset)
      parts.push(part)
      offset += part.length
    }
    return concat(...parts)
  }

  /** Undefined where the relay does not have it: it may have lost it, and serve it later. */
  async ifServed(index: number, length: number): Promise<Uint8Array | undefined> {
    try {
      return await this.whole(index, length)
    } catch (error) {
      if (hasCode(error, 'ERR_BODY')) return undefined
      throw error
    }
  }

  /**
   * The batch with the bodies that were too long to travel in it.
   * @throws SealogError ERR_LIMIT for more than one message may announce
   */
  async completed(batch: Batch, isWanted: (document: DocumentId) => boolean): Promise<Batch> {
    const entries: BatchEntry[] = []
    let total = 0
    for (const [offset, entry] of batch.entries.entries()) {
      const length = entry.body === undefined ? largeBodyLength(entry.header, isWanted) : 0
      total += length
      if (total > MAX_BODY_LENGTH) throw new SealogError('ERR_LIMIT', `bodies of ${total} bytes in one message`)
      const body = length > 0 ? await this.ifServed(batch.from + offset, length) : undefined
      entries.push(body === undefined ? entry : { ...entry, body })
    }
    return { ...batch, entries }
  }

  // -- To the relay -----------------------------------------------------------------------------------------------

  /** What has to be at the relay before the push of the entry. @throws SealogError what the relay answers */
  async putAhead({ header, body, wraps }: OutgoingEntry): Promise<void> {
    if (body !== undefined && body.length > INLINE_BODY_LENGTH) await this.#put(decodeHeader(header).bodyHash, body)
    if (wraps !== undefined) await this.#put(sha256(wraps), wraps)
  }

  async #put(hash: Uint8Array, body: Uint8Array): Promise<void> {
    const { length } = body
    for (let offset = 0; offset < length; offset += INLINE_BODY_LENGTH) {
      const bytes = body.subarray(offset, offset + INLINE_BODY_LENGTH)
      await this.#questions.ask(ref => ({ type: 'put-body', ref, space: this.#space, hash, length, offset, bytes }))
    }
  }
}

/** The entry as it travels in a push, when the rest is ahead of it. */
export function inlinePart({ header, signature, body, wraps }: OutgoingEntry): PushEntry {
  const isInline = body !== undefined && body.length <= INLINE_BODY_LENGTH
  return { header, signature, body: isInline ? body : undefined, wraps: wraps && sha256(wraps) }
}

/** Length of a body that has to be fetched; 0 for others, and for headers that `advance` will not take anyway. */
function largeBodyLength(header: Uint8Array, isWanted: (document: DocumentId) => boolean): number {
  try {
    const { bodyLength, kind, document } = decodeHeader(header)
    return bodyLength > INLINE_BODY_LENGTH && kind !== 'snapshot' && isWanted(document) ? bodyLength : 0
  } catch {
    return 0
  }
}
