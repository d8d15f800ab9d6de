import { concat } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import type { BodyPart } from '../relay/body-messages.ts'
import type { RelayClient } from '../relay/client.ts'
import type { Keys } from '../relay/key-messages.ts'
import type { ReplicaMessage, SpaceAnswer } from '../relay/messages.ts'
import type { Records } from '../relay/proof-messages.ts'
import type { Received } from '../relay/session-messages.ts'
import type { Batch } from '../verify/log.ts'
import type { LogRecord } from '../verify/records.ts'

/** Longest answer in `records`, in bytes: it is put together in memory. */
const MAX_ANSWER: number = 512 * 1024 * 1024
/** Most parts of one, as parts without anything in them take memory, too: an honest one fills its frames. */
const MAX_ANSWER_PARTS = 4096

/** All parts of an answer in `records`, put together. */
export interface RecordsAnswer {
  readonly head: Uint8Array
  readonly records: readonly LogRecord[]
}

/** A request that is answered by `records`. */
export type RecordsRequest =
  | {
      readonly type: 'skip'
      readonly at: number
      readonly from: number
      readonly attestations: number
      readonly prove: readonly number[]
    }
  | { readonly type: 'get-document'; readonly document: DocumentId; readonly snapshot: number }
  | {
      readonly type: 'get-chain'
      readonly document: DocumentId
      readonly actor: ActorId
      readonly from: number
      readonly to: number
    }

/** A message that is the whole answer to a question. */
export type WholeAnswer = BodyPart | Received | Keys

/** What becomes of a question. Called within the frame that settles it, so the order of frames is theirs, too. */
interface Asked<T> {
  readonly resolve: (answer: T) => void
  readonly reject: (error: SealogError) => void
}

interface Collecting extends Asked<RecordsAnswer> {
  readonly parts: Records[]
  bytes: number
}

/**
 * Questions to the relay that wait for their answers, each under a number of its own. Answers are unverified: whoever
 * asked judges them.
 */
export class RelayQuestions {
  readonly #space: SpaceId
  readonly #client: Pick<RelayClient, 'nextRef' | 'send'>
  readonly #whole = new Map<number, Asked<WholeAnswer>>()
  readonly #records = new Map<number, Collecting>()
  readonly #stretches = new Map<number, Asked<Batch>>()

  constructor(space: SpaceId, client: Pick<RelayClient, 'nextRef' | 'send'>) {
    this.#space = space
    this.#client = client
  }

  /** @param message under this number @throws SealogError what the relay answers */
  ask(message: (ref: number) => ReplicaMessage): Promise<WholeAnswer> {
    return new Promise((resolve, reject) => {
      const ref = this.#client.nextRef()
      this.#whole.set(ref, { resolve, reject })
      this.#client.send(message(ref))
    })
  }

  /** Entries out of the middle of the log. @throws SealogError what the relay answers, ERR_LIMIT */
  records(request: RecordsRequest): Promise<RecordsAnswer> {
    return new Promise((resolve, reject) => this.collect(request, resolve, reject))
  }

  /** The same, for whom it matters what came before the answer, and what comes behind it. */
  collect(
    request: RecordsRequest,
    resolve: (answer: RecordsAnswer) => void,
    reject: (error: SealogError) => void,
  ): void {
    const ref = this.#client.nextRef()
    this.#records.set(ref, { parts: [], bytes: 0, resolve, reject })
    this.#client.send({ ...request, ref, space: this.#space })
  }

  /** A stretch of headers, from the log as the relay has it by now. @throws SealogError what the relay answers */
  stretch(from: number, to: number): Promise<Batch> {
    return new Promise((resolve, reject) => {
      const ref = this.#client.nextRef()
      this.#stretches.set(ref, { resolve, reject })
      this.#client.send({ type: 'read', ref, space: this.#space, from, to })
    })
  }

  /** @returns whether the message belongs to a question, or can belong to nothing else */
  answered(message: Exclude<SpaceAnswer, { type: 'reject' }>): boolean {
    switch (message.type) {
      case 'records':
        this.#onRecords(message)
        return true
      case 'sync': {
        const stretch = this.#stretches.get(message.ref)
        this.#stretches.delete(message.ref)
        stretch?.resolve(message.batch)
        return stretch !== undefined
      }
      default: {
        const question = this.#whole.get(message.ref)
        this.#whole.delete(message.ref)
        question?.resolve(message)
        return true
      }
    }
  }

  /** @returns whether the refusal is the answer to a question */
  refused(ref: number, error: SealogError): boolean {
    const question = this.#whole.get(ref) ?? this.#records.get(ref) ?? this.#stretches.get(ref)
    if (question === undefined) return false
    this.#whole.delete(ref)
    this.#records.delete(ref)
    this.#stretches.delete(ref)
    question.reject(error)
    return true
  }

  /** No answer counts any more. */
  abandon(reason: SealogError): void {
    const waiting = [...this.#whole.values(), ...this.#records.values(), ...this.#stretches.values()]
    this.#whole.clear()
    this.#records.clear()
    this.#stretches.clear()
    for (const { reject } of waiting) reject(reason)
  }

  #onRecords(message: Records): void {
    const answer = this.#records.get(message.ref)
    if (answer === undefined) return
    answer.parts.push(message)
    answer.bytes += lengthOf(message)
    if (answer.bytes > MAX_ANSWER || answer.parts.length > MAX_ANSWER_PARTS) {
      this.#records.delete(message.ref)
      const { length } = answer.parts
      return answer.reject(new SealogError('ERR_LIMIT', `an answer of ${answer.bytes} bytes in ${length} parts`))
    }
    if (message.more) return
    this.#records.delete(message.ref)
    answer.resolve({
      head: concat(...answer.parts.map(part => part.head)),
      records: answer.parts.flatMap(part => part.records),
    })
  }
}

/** As it takes memory. */
function lengthOf({ head, records }: Records): number {
  return records.reduce((sum, record) => sum + record.header.length + (record.body?.length ?? 0) + 256, head.length)
}
