import { concat } from '../bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import type { SigningKey } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import { asSealogError, type ErrorCode, hasCode, SealogError } from '../errors.ts'
import type { ActorId, DocumentId, SpaceId } from '../ids.ts'
import { authenticationInput } from '../relay/authentication.ts'
import { type RelayClient, retryDelay, type Session } from '../relay/client.ts'
import type {
  BodyPart,
  Keys,
  PushEntry,
  Received,
  Records,
  Reject,
  ReplicaMessage,
  SpaceAnswer,
  Sync,
} from '../relay/messages.ts'
import { decodeHeader, INLINE_BODY_LENGTH, MAX_BODY_LENGTH } from '../verify/entry.ts'
import { type Batch, type BatchEntry, type PinnedRelay, sameRelay } from '../verify/log.ts'
import type { LogRecord } from '../verify/records.ts'

/** Delay before a space is opened again after something did not verify, in milliseconds; doubles up to the last. */
const FIRST_RETRY = 200
const LAST_RETRY = 30_000
/**
 * A quiet connection is asked for a fresh checkpoint this often, and given up this long after, in milliseconds.
 * Any answer is a sign of life: a large body may take longer than that.
 */
const HEARTBEAT = 25_000
const HEARTBEAT_TIMEOUT = 15_000
/** Longest answer in `records`, in bytes: it is put together in memory. */
const MAX_ANSWER: number = 512 * 1024 * 1024
/** Most parts of one, as parts without anything in them take memory, too: an honest one fills its frames. */
const MAX_ANSWER_PARTS = 4096
/** Stands for no request; never in a message. */
const NO_REF = -1

/** What a replica says when it opens a space on a connection. */
export interface Opening {
  readonly signer: SigningKey
  /** Size of the log that it has. */
  readonly from: number
  /** The entry that begins the space, where the relay may not have it yet. */
  readonly genesis: PushEntry | undefined
  /** Goes with the genesis. */
  readonly admission: string | undefined
  /** Documents that a sparse replica wants the bodies of; undefined for a full one. */
  readonly wants: readonly DocumentId[] | undefined
}

/** An entry to be pushed, with all wraps that it delivers, one after the other. */
export interface OutgoingEntry extends Omit<PushEntry, 'wraps'> {
  readonly wraps?: Uint8Array | undefined
}

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

interface Collecting {
  readonly parts: Records[]
  bytes: number
  readonly resolve: (answer: RecordsAnswer) => void
  readonly reject: (error: SealogError) => void
}

export interface SpaceChannelOptions {
  readonly space: SpaceId
  /** The relay that the space is pinned to. */
  readonly relay: PinnedRelay
  readonly client: RelayClient
  readonly environment: Environment
  readonly opening: () => Opening
  /** Next stretch of the log; called one at a time, in order. What it throws ends in `onFault`. */
  readonly onSync: (message: Sync) => Promise<void>
  /** The relay refused to open the space. @returns whether that was dealt with; otherwise it is a fault */
  readonly onOpenRefused: (error: SealogError) => boolean
  /** What was on its way is lost: the connection ended, or a fault did it. */
  readonly onReset: () => void
  /** Something did not verify or could not be stored. The channel opens anew after a back-off. */
  readonly onFault: (error: SealogError) => void
}

/**
 * The conversation of one space with its relay: opening, requests and answers, one thing at a time, and starting
 * over when the connection is lost or something is wrong. Knows nothing of what is in a batch.
 */
export class SpaceChannel {
  readonly #options: SpaceChannelOptions
  #session: Session | undefined
  /** Grows whenever messages and tasks under way lose their meaning. */
  #generation = 0
  #openRef = NO_REF
  #genesisRef = NO_REF
  #live = false
  #stopped = true
  #retries = 0
  #queue: Promise<void> = Promise.resolve()
  #cancelRetry: () => void = () => {}
  #cancelHeartbeat: () => void = () => {}
  readonly #requests = new Map<
    number,
    { resolve(m: BodyPart | Received | Keys): void; reject(error: SealogError): void }
  >()
  readonly #answers = new Map<number, Collecting>()
  readonly #reads = new Map<number, { resolve(batch: Batch): void; reject(error: SealogError): void }>()
  readonly #barriers = new Map<number, { resolve(): void; reject(error: SealogError): void }>()
  readonly #pushes = new Map<number, (error: SealogError, position: number) => void>()

  constructor(options: SpaceChannelOptions) {
    this.#options = options
  }

  /** The relay answered the opening, and nothing went wrong since. */
  get isLive(): boolean {
    return this.#live
  }

  start(): void {
    if (!this.#stopped) return
    this.#stopped = false
    this.#options.client.attach(this.#options.space, {
      onUp: session => {
        this.#session = session
        if (sameRelay(session.relay, this.#options.relay)) this.open()
        else this.fault(new SealogError('ERR_RELAY_IDENTITY', 'the relay is not the one of this space'))
      },
      onMessage: message => this.#onMessage(message),
      onDown: cause => this.#down(cause),
    })
  }

  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#options.client.detach(this.#options.space)
    this.#down(undefined)
  }

  /** Resolves when the task under way, if any, has ended. */
  async idle(): Promise<void> {
    await this.#queue
  }

  /** Says anew who this is and from where on it wants the log; whatever was under way is dropped. */
  open(): void {
    this.#reset(undefined)
    const session = this.#session
    if (session === undefined || this.#stopped || !sameRelay(session.relay, this.#options.relay)) return
    const generation = this.#generation
    const { client, space } = this.#options
    const { signer, from, genesis, admission, wants } = this.#options.opening()
    if (genesis !== undefined) {
      this.#genesisRef = client.nextRef()
      client.send({ type: 'push', ref: this.#genesisRef, space, entries: [genesis], admission })
    }
    const input = authenticationInput(session.relay, session.challenge, space, signer.publicKey)
    signer.sign(input).then(
      signature => {
        if (generation !== this.#generation) return
        this.#openRef = client.nextRef()
        client.send({ type: 'open', ref: this.#openRef, space, from, device: signer.publicKey, signature, wants })
        this.#awaitAnswer()
      },
      error => {
        if (generation === this.#generation) this.fault(asSealogError(error, 'ERR_KEY', 'cannot sign'))
      },
    )
  }

  /**
   * Something did not verify or could not be stored: nothing of it was kept. The space is opened anew after a
   * back-off: what a relay says once is no more than a problem that is shown.
   */
  fault(error: SealogError): void {
    if (this.#stopped) return
    const { environment, client, space } = this.#options
    client.send({ type: 'leave', space })
    this.#reset(error)
    const full = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** this.#retries++)
    this.#cancelRetry = environment.schedule(retryDelay(environment, full, error), () => this.open())
    this.#options.onFault(error)
  }

  /** A batch was verified and kept: the conversation is sound. */
  sound(message: Sync): void {
    this.#retries = 0
    this.#barriers.get(message.ref)?.resolve()
    this.#barriers.delete(message.ref)
  }

  /** Runs `task` after everything that came before it, unless the conversation starts over meanwhile. */
  enqueue(task: () => Promise<void>): void {
    const generation = this.#generation
    this.#queue = this.#queue.then(async () => {
      if (generation !== this.#generation) return
      try {
        await task()
      } catch (error) {
        if (generation === this.#generation) this.fault(asSealogError(error, 'ERR_STORE', 'sync failed'))
      }
    })
  }

  /** A function that tells whether the conversation has started over since now. */
  guard(): () => boolean {
    const generation = this.#generation
    return () => generation !== this.#generation
  }

  // -- Requests ---------------------------------------------------------------------------------------------------

  /** Resolves when everything the relay had when this was called is applied. @throws SealogError ERR_OFFLINE */
  barrier(): Promise<void> {
    if (!this.#live) return Promise.reject(new SealogError('ERR_OFFLINE', 'not connected'))
    return new Promise((resolve, reject) => {
      const ref = this.#options.client.nextRef()
      this.#barriers.set(ref, { resolve, reject })
      this.#send({ type: 'pull', ref, space: this.#options.space })
    })
  }

  /**
   * Sends entries, large bodies ahead of them. That they were accepted shows in the log.
   * @param onRefused called after everything accepted before has been applied; also where what goes ahead is refused
   */
  async push(
    entries: readonly OutgoingEntry[],
    onRefused: (error: SealogError, position: number) => void,
  ): Promise<void> {
    const over = this.guard()
    for (const [position, entry] of entries.entries()) {
      try {
        await this.#putAhead(entry)
      } catch (error) {
        if (over()) return
        const refusal = asSealogError(error, 'ERR_OFFLINE', 'push failed')
        return this.enqueue(async () => onRefused(refusal, position))
      }
    }
    if (over()) return
    const ref = this.#options.client.nextRef()
    this.#pushes.clear()
    this.#pushes.set(ref, onRefused)
    const inline = entries.map(({ header, signature, body, wraps }) => ({
      header,
      signature,
      body: body !== undefined && body.length <= INLINE_BODY_LENGTH ? body : undefined,
      wraps: wraps && sha256(wraps),
    }))
    this.#send({ type: 'push', ref, space: this.#options.space, entries: inline })
  }

  async #putAhead({ header, body, wraps }: OutgoingEntry): Promise<void> {
    if (body !== undefined && body.length > INLINE_BODY_LENGTH) {
      await this.#putBody(decodeHeader(header).bodyHash, body)
    }
    if (wraps !== undefined) await this.#putBody(sha256(wraps), wraps)
  }

  async #putBody(hash: Uint8Array, body: Uint8Array): Promise<void> {
    const { space } = this.#options
    for (let offset = 0; offset < body.length; offset += INLINE_BODY_LENGTH) {
      const bytes = body.subarray(offset, offset + INLINE_BODY_LENGTH)
      await this.#request(ref => ({ type: 'put-body', ref, space, hash, length: body.length, offset, bytes }))
    }
  }

  /** The wraps of this device in epochs `from … to`; unverified. @throws SealogError what the relay answers */
  async keys(from: number, to: number): Promise<Keys> {
    const answer = await this.#request(ref => ({ type: 'get-keys', ref, space: this.#options.space, from, to }))
    if (answer.type !== 'keys') throw new SealogError('ERR_UNEXPECTED', 'no keys in the answer')
    return answer
  }

  /** The start of an entry's body, at most `INLINE_BODY_LENGTH` bytes; unverified. */
  async bodyStart(index: number): Promise<Uint8Array> {
    return this.#bodyPart(index, 0)
  }

  /** The whole body of an entry; unverified. @throws SealogError ERR_BODY where the relay does not serve it */
  body(index: number, length: number): Promise<Uint8Array> {
    return this.#body(index, length)
  }

  /** The same; undefined where the relay does not have it: it may have lost it, and serve it later. */
  async bodyIfServed(index: number, length: number): Promise<Uint8Array | undefined> {
    try {
      return await this.#body(index, length)
    } catch (error) {
      if (hasCode(error, 'ERR_BODY')) return undefined
      throw error
    }
  }

  /**
   * The batch with the bodies that were too long to travel in it; unverified like the rest.
   * @param isWanted documents whose bodies are wanted
   * @throws SealogError ERR_LIMIT for more than one message may announce
   */
  async withLargeBodies(batch: Batch, isWanted: (document: DocumentId) => boolean): Promise<Batch> {
    const entries: BatchEntry[] = []
    let total = 0
    for (const [offset, entry] of batch.entries.entries()) {
      const length = entry.body === undefined ? largeBodyLength(entry.header, isWanted) : 0
      total += length
      if (total > MAX_BODY_LENGTH) throw new SealogError('ERR_LIMIT', `bodies of ${total} bytes in one message`)
      const body = length > 0 ? await this.bodyIfServed(batch.from + offset, length) : undefined
      entries.push(body === undefined ? entry : { ...entry, body })
    }
    return { ...batch, entries }
  }

  async #body(index: number, length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    for (let offset = 0; offset < length; ) {
      const part = await this.#bodyPart(index, offset)
      parts.push(part)
      offset += part.length
    }
    return concat(...parts)
  }

  async #bodyPart(index: number, offset: number): Promise<Uint8Array> {
    const { space } = this.#options
    const part = await this.#request(ref => ({ type: 'get-body', ref, space, index, offset }))
    if (part.type !== 'body-part' || part.offset !== offset || part.bytes.length === 0) {
      throw new SealogError('ERR_BODY', `the relay did not serve the body of entry ${index}`, { details: { index } })
    }
    return part.bytes
  }

  /** Entries out of the middle of the log; unverified. @throws SealogError what the relay answers, ERR_LIMIT */
  records(request: RecordsRequest): Promise<RecordsAnswer> {
    return new Promise((resolve, reject) => {
      const ref = this.#options.client.nextRef()
      this.#answers.set(ref, { parts: [], bytes: 0, resolve, reject })
      this.#send({ ...request, ref, space: this.#options.space })
    })
  }

  /**
   * The same, handled in its turn: after everything that came before the answer on this connection, and before
   * everything that comes behind it. So a document arrives exactly as of the view.
   */
  recordsInTurn(
    request: RecordsRequest,
    onAnswer: (answer: RecordsAnswer) => Promise<void>,
    onRefused: (error: SealogError) => void,
  ): void {
    const over = this.guard()
    const ref = this.#options.client.nextRef()
    this.#answers.set(ref, {
      parts: [],
      bytes: 0,
      resolve: answer => this.enqueue(() => onAnswer(answer)),
      reject: error => {
        if (!over()) this.enqueue(async () => onRefused(error))
      },
    })
    this.#send({ ...request, ref, space: this.#options.space })
  }

  /** A stretch of headers, from the log as the relay has it by now; unverified. */
  read(from: number, to: number): Promise<Batch> {
    return new Promise((resolve, reject) => {
      const ref = this.#options.client.nextRef()
      this.#reads.set(ref, { resolve, reject })
      this.#send({ type: 'read', ref, space: this.#options.space, from, to })
    })
  }

  /** Hands over a note with an own cosignature. */
  async cosign(note: Uint8Array): Promise<void> {
    await this.#request(ref => ({ type: 'cosign', ref, space: this.#options.space, note }))
  }

  /** Gives the relay back what it lost; each part is a frame of its own. */
  async restore(note: Uint8Array, from: number, entries: readonly PushEntry[], more: boolean): Promise<void> {
    await this.#request(ref => ({ type: 'restore', ref, space: this.#options.space, note, from, entries, more }))
  }

  #request(message: (ref: number) => ReplicaMessage): Promise<BodyPart | Received | Keys> {
    return new Promise((resolve, reject) => {
      const ref = this.#options.client.nextRef()
      this.#requests.set(ref, { resolve, reject })
      this.#send(message(ref))
    })
  }

  #send(message: ReplicaMessage): void {
    this.#options.client.send(message)
  }

  // -- Answers ----------------------------------------------------------------------------------------------------

  #onMessage(message: SpaceAnswer): void {
    if (this.#live && message.type !== 'reject') this.#armHeartbeat()
    switch (message.type) {
      case 'body-part':
      case 'received':
      case 'keys':
        this.#requests.get(message.ref)?.resolve(message)
        this.#requests.delete(message.ref)
        return
      case 'records':
        return this.#onRecords(message)
      case 'sync': {
        const reading = this.#reads.get(message.ref)
        if (reading !== undefined) {
          this.#reads.delete(message.ref)
          return reading.resolve(message.batch)
        }
        // What still comes of an opening that was given up is not for this one.
        if (!this.#live && message.ref !== this.#openRef) return
        this.#live = true
        this.#armHeartbeat()
        return this.enqueue(() => this.#options.onSync(message))
      }
      case 'reject':
        return this.#onReject(message)
    }
  }

  #onRecords(message: Records): void {
    const answer = this.#answers.get(message.ref)
    if (answer === undefined) return
    answer.parts.push(message)
    answer.bytes += lengthOf(message)
    if (answer.bytes > MAX_ANSWER || answer.parts.length > MAX_ANSWER_PARTS) {
      this.#answers.delete(message.ref)
      const { length } = answer.parts
      return answer.reject(new SealogError('ERR_LIMIT', `an answer of ${answer.bytes} bytes in ${length} parts`))
    }
    if (message.more) return
    this.#answers.delete(message.ref)
    answer.resolve({
      head: concat(...answer.parts.map(part => part.head)),
      records: answer.parts.flatMap(part => part.records),
    })
  }

  #onReject(reject: Reject): void {
    const error = rejection(reject)
    const waiting = this.#requests.get(reject.ref) ?? this.#answers.get(reject.ref) ?? this.#reads.get(reject.ref)
    const onRefused = this.#pushes.get(reject.ref)
    if (waiting !== undefined) {
      this.#requests.delete(reject.ref)
      this.#answers.delete(reject.ref)
      this.#reads.delete(reject.ref)
      waiting.reject(error)
    } else if (this.#barriers.has(reject.ref)) {
      this.fault(error)
    } else if (onRefused !== undefined) {
      this.#pushes.delete(reject.ref)
      this.enqueue(async () => onRefused(error, reject.position))
    } else if (reject.ref === this.#genesisRef) {
      // The genesis may have arrived before, its acknowledgement not: then the log will show it.
      if (error.code !== 'ERR_SPACE_EXISTS') this.fault(error)
    } else if (reject.ref === this.#openRef && error.code !== 'ERR_REMOVED') {
      if (!this.#options.onOpenRefused(error)) this.fault(error)
    } else if (error.code === 'ERR_REMOVED') {
      // What led to it came before, and is looked at first.
      this.enqueue(async () => {
        if (!this.#options.onOpenRefused(error)) this.fault(error)
      })
    } else if (reject.ref === 0 && this.#live) this.fault(error)
  }

  #down(cause: SealogError | undefined): void {
    this.#session = undefined
    this.#reset(cause)
  }

  #reset(cause: SealogError | undefined): void {
    this.#generation++
    this.#live = false
    this.#openRef = NO_REF
    this.#genesisRef = NO_REF
    this.#cancelRetry()
    this.#cancelHeartbeat()
    const offline = cause ?? new SealogError('ERR_OFFLINE', 'connection closed')
    const waiting = [
      ...this.#requests.values(),
      ...this.#answers.values(),
      ...this.#reads.values(),
      ...this.#barriers.values(),
    ]
    this.#requests.clear()
    this.#answers.clear()
    this.#reads.clear()
    this.#barriers.clear()
    this.#pushes.clear()
    for (const { reject } of waiting) reject(offline)
    this.#options.onReset()
  }

  #armHeartbeat(): void {
    this.#cancelHeartbeat()
    this.#cancelHeartbeat = this.#options.environment.schedule(HEARTBEAT, () => {
      this.#awaitAnswer()
      this.barrier().catch(() => {})
    })
  }

  #awaitAnswer(): void {
    this.#cancelHeartbeat()
    this.#cancelHeartbeat = this.#options.environment.schedule(HEARTBEAT_TIMEOUT, () => {
      this.#options.client.reconnect(new SealogError('ERR_OFFLINE', 'the relay no longer answers'))
    })
  }
}

function lengthOf({ head, records }: Records): number {
  return records.reduce((sum, record) => sum + record.header.length + (record.body?.length ?? 0) + 256, head.length)
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

/** What a relay may answer. Anything else, this side's own codes among them, is a failure of the relay. */
const RELAY_CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'ERR_BODY',
  'ERR_INVALID_ENTRY',
  'ERR_INVITE',
  'ERR_LIMIT',
  'ERR_MALFORMED',
  'ERR_QUOTA',
  'ERR_RATE_LIMITED',
  'ERR_RELAY_BEHIND',
  'ERR_RELAY_IDENTITY',
  'ERR_RELAY_STORAGE',
  'ERR_REMOVED',
  'ERR_ROLLBACK',
  'ERR_SIGNATURE',
  'ERR_SPACE_EXISTS',
  'ERR_STALE_CHAIN',
  'ERR_STALE_EPOCH',
  'ERR_UNAUTHORIZED',
  'ERR_UNEXPECTED',
  'ERR_UNKNOWN_SPACE',
])

function rejection(reject: Reject): SealogError {
  const details = { ...(reject.retryAfter > 0 ? { retryAfter: reject.retryAfter } : {}), index: reject.position }
  const code = RELAY_CODES.has(reject.code) ? (reject.code as ErrorCode) : 'ERR_RELAY_INTERNAL'
  return new SealogError(code, `the relay answered ${reject.code}: ${reject.message}`, { details })
}
