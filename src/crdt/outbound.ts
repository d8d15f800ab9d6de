import { toHex } from '../bytes.ts'
import type { Environment } from '../environment.ts'
import { asSealogError, SealogError } from '../errors.ts'
import { CONTROL_DOCUMENT, type DocumentId } from '../ids.ts'
import { retryDelay } from '../relay/retry-delay.ts'
import { decodeHeader } from '../verify/entry.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import type { DocumentSet } from './document-set.ts'
import { editsWaiting, type InFlight, onItsWay } from './in-flight.ts'
import { type ControlRequest, hasPending, type PushPlan, planContent, planControl } from './outbox.ts'
import type { Problems } from './problems.ts'
import { isCongested, isUnsendable } from './refusals.ts'
import type { SealContext, SealedEntry } from './seal.ts'
import type { SpaceChannel } from './space-channel.ts'

/** Own changes are gathered this long before they go out, in milliseconds. */
const GATHER = 15
/** Delay after a push that was refused, in milliseconds: because others were faster; for a while; for good. */
const RETRY_STALE = 100
const RETRY_SOON = 1_000
const RETRY_LATE = 30_000
/** Pushes refused because others were faster, one after the other, before something must be wrong. */
const MOST_STALE = 10

export interface OutboundOptions {
  readonly channel: SpaceChannel
  readonly documents: DocumentSet
  readonly problems: Problems
  readonly environment: Environment
  /** May anything be sent now: is the view current, and sync going on? */
  readonly isReady: () => boolean
  /** Is all that the log has of this document known here? Its chain can go on only from there. */
  readonly isKnown: (document: DocumentId) => boolean
  /** Seals a snapshot of the document as the log has it; undefined where there is no need. */
  readonly snapshot: (document: DocumentId) => Promise<SealedEntry | undefined>
  /** May content be sealed now: in an epoch whose keys are sound, and known to nobody who should not read on? */
  readonly mayWrite: () => boolean
  /** Queues what must come first. */
  readonly prepare: () => Promise<void>
  /** Who seals, on the log as it is now. @throws SealogError where the log admits this device no more */
  readonly sealContext: () => SealContext
  readonly onUpdate: () => void
}

/** What one replica has to say to the log: sealed at the last moment, one push at a time, told when it is proven. */
export class Outbound {
  readonly #options: OutboundOptions
  readonly #controls: ControlRequest[] = []
  /** Documents of which a snapshot is to be made, once nothing else is to be said. */
  readonly #snapshots = new Set<DocumentId>()
  /** Documents that cannot be sent as they are: the others go without them for a while. */
  readonly #held = new Set<DocumentId>()
  /** Documents whose problem is shown until they got through. */
  readonly #refused = new Set<DocumentId>()
  #inFlight: InFlight | undefined
  #isPumping = false
  /** A push was refused: nothing is sent before the next `#pumpIn`. */
  #blocked = false
  /** It was about content, which the relay has no room for: what is about members and keys may still pass. */
  #isCongested = false
  #closed = false
  #staleInARow = 0
  #cancelPump: (() => void) | undefined
  #cancelHeld: () => void = () => {}

  constructor(options: OutboundOptions) {
    this.#options = options
  }

  /** Number of entries with own edits that were sent and have not come back. */
  get inFlight(): number {
    return this.#inFlight === undefined ? 0 : editsWaiting(this.#inFlight)
  }

  /** Nothing is on its way, and no control entry waits. */
  get isIdle(): boolean {
    return this.#inFlight === undefined && this.#controls.length === 0
  }

  /** Appends a control entry. @returns its index, once proven; undefined where it was not needed any more */
  control(prepare: ControlRequest['prepare'], incarnation: Uint8Array, insists = true): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      this.#controls.push({ prepare, incarnation, insists, resolve, reject })
      if (this.#isCongested) this.#pumpIn(GATHER)
      else this.push()
    })
  }

  /** Makes a snapshot of this document when there is time. */
  snapshot(document: DocumentId): void {
    this.#snapshots.add(document)
    this.push()
  }

  get hasControls(): boolean {
    return this.#controls.length > 0
  }

  /** Something may be ready to go: it does soon, together with what else comes until then. */
  push(): void {
    if (this.#cancelPump === undefined) this.#pumpIn(GATHER)
  }

  /** Sends at once what is ready, unless something is on its way. */
  pump(): void {
    const { channel, isReady } = this.#options
    if (this.#isPumping || this.#closed || this.#blocked || this.#inFlight !== undefined || !isReady()) return
    this.#isPumping = true
    channel.enqueue(async () => {
      try {
        await this.#pushNext()
      } finally {
        this.#isPumping = false
      }
    })
  }

  #pumpIn(delay: number): void {
    this.#cancelPump?.()
    if (this.#closed) return
    this.#cancelPump = this.#options.environment.schedule(delay, () => {
      this.#cancelPump = undefined
      this.#blocked = false
      this.#isCongested = false
      this.pump()
    })
  }

  /** What was on its way is lost. */
  reset(): void {
    this.#inFlight = undefined
    this.#isPumping = false
  }

  /** Nothing that waits will ever be sent. */
  abandon(reason: SealogError): void {
    for (const request of this.#controls.splice(0)) request.reject(reason)
  }

  close(): void {
    this.#closed = true
    this.#cancelPump?.()
    this.#cancelHeld()
    this.abandon(new SealogError('ERR_CLOSED', 'the space was closed'))
  }

  async #pushNext(): Promise<void> {
    const { channel, isReady, prepare, onUpdate } = this.#options
    if (!isReady() || this.#inFlight !== undefined) return
    const over = channel.guard()
    await prepare()
    const [request] = this.#controls
    const plan = request === undefined ? await this.#planContent() : await this.#planControl(request)
    if (plan.entries.length === 0 || over()) return
    this.#inFlight = onItsWay(plan)
    onUpdate()
    // Not awaited: answers come through the same queue.
    void channel
      .push(plan.entries, (error, position) => this.#onPushRefused(error, position))
      .catch(error => {
        if (!over()) channel.fault(asSealogError(error, 'ERR_OFFLINE', 'push failed'))
      })
  }

  /** What cannot be made, or is not needed any more, makes room for what comes next. */
  async #planControl(request: ControlRequest): Promise<PushPlan> {
    try {
      const plan = await planControl(this.#options.sealContext(), request)
      if (plan.entries.length > 0) return plan
      request.resolve(undefined)
    } catch (error) {
      request.reject(error)
    }
    this.#controls.splice(this.#controls.indexOf(request), 1)
    this.#options.onUpdate()
    this.push()
    return { entries: [], control: request }
  }

  async #planContent(): Promise<PushPlan> {
    const { documents, isKnown, mayWrite, sealContext } = this.#options
    if (!mayWrite()) return { entries: [], control: undefined }
    const plan = await planContent(sealContext(), documents, {
      isHeld: document => this.#held.has(document) || !isKnown(document),
      onUnsendable: (document, error) => this.#hold(document, error),
    })
    return plan.entries.length > 0 ? plan : this.#planSnapshot()
  }

  async #planSnapshot(): Promise<PushPlan> {
    for (const document of this.#snapshots) {
      this.#snapshots.delete(document)
      const entry = await this.#options.snapshot(document)
      if (entry !== undefined) return { entries: [entry], control: undefined }
    }
    return { entries: [], control: undefined }
  }

  /** Own entries that came back proven, by an acknowledgement or, where that was lost, in a catch-up. */
  settle(entries: readonly VerifiedEntry[]): void {
    for (const entry of entries) {
      if (this.#inFlight?.waiting.delete(toHex(entry.hash))) this.#staleInARow = 0
      if (entry.control !== undefined) this.#settleControl(toHex(entry.header.bodyHash), entry.index)
    }
    if (this.#inFlight?.waiting.size !== 0) return
    this.#inFlight = undefined
    this.#options.channel.landed()
    this.#options.problems.clear('push')
  }

  #settleControl(bodyHash: string, index: number): void {
    const at = this.#controls.findIndex(request => request.sent === bodyHash)
    if (at >= 0) for (const request of this.#controls.splice(at, 1)) request.resolve(index)
  }

  /** However they got there: what is in the log is no problem any more. */
  clearProblems(context: Pick<SealContext, 'view'>, isSettled: boolean): void {
    const { documents, problems } = this.#options
    if (isSettled) problems.clear('push')
    for (const document of this.#refused) {
      const core = documents.core(document)
      if (core !== undefined && hasPending(context, documents, core)) continue
      this.#refused.delete(document)
      this.#held.delete(document)
      problems.clear(`push/${document}`)
    }
  }

  #onPushRefused(error: SealogError, position: number): void {
    const push = this.#inFlight
    this.#inFlight = undefined
    if (push === undefined) return
    const { channel, environment, problems, onUpdate } = this.#options
    // It lost the end of its log since this connection was opened: that comes first.
    if (error.code === 'ERR_RELAY_BEHIND') return channel.fault(error)
    const isStale = error.code === 'ERR_STALE_CHAIN' || error.code === 'ERR_STALE_EPOCH'
    const entry = push.plan.entries[position]
    const header = entry && decodeHeader(entry.header)
    // Another member was faster, or there is nothing new any more, or no room: nobody waits for it.
    if (header?.kind === 'snapshot') {
      if (!isCongested(error)) return this.push()
      this.#snapshots.clear()
      this.#isCongested = true
      return this.#waitFor(retryDelay(environment, RETRY_LATE, error))
    }
    const document = header?.document
    const isItsOwnFault = isUnsendable(error) && document !== undefined && document !== CONTROL_DOCUMENT
    const { control } = push.plan
    // Whoever wanted the entry is told, and nothing else has to wait for it.
    const isTold = control !== undefined && position === 0 && !(error.retryable && control.insists)
    if (isItsOwnFault) this.#hold(document, error)
    else if (!isStale && !isTold) {
      problems.add('push', { code: error.code, message: error.message, since: environment.now() })
    }
    if (isTold) {
      const at = this.#controls.indexOf(control)
      if (at >= 0) this.#controls.splice(at, 1)
      control.reject(error)
    }
    // The entries that came first should be on their way. Where they do not come, the log is asked for anew.
    this.#staleInARow = isStale ? this.#staleInARow + 1 : 0
    if (this.#staleInARow >= MOST_STALE) {
      this.#staleInARow = 0
      return channel.fault(error)
    }
    this.#isCongested = isCongested(error) && control === undefined
    const isOverWith = isStale || isItsOwnFault || (isTold && !error.retryable)
    const delay = isOverWith ? RETRY_STALE : error.retryable ? RETRY_SOON : RETRY_LATE
    this.#waitFor(retryDelay(environment, delay, error))
    onUpdate()
  }

  #waitFor(delay: number): void {
    this.#blocked = true
    this.#pumpIn(delay)
  }

  /** What is to be sent of one document is refused as it is: the others go on without it for a while. */
  #hold(document: DocumentId, { code, message }: SealogError): void {
    const { environment, problems } = this.#options
    problems.add(`push/${document}`, { code, message, since: environment.now(), document })
    this.#held.add(document)
    this.#refused.add(document)
    this.#cancelHeld()
    this.#cancelHeld = environment.schedule(RETRY_LATE, () => {
      this.#held.clear()
      this.push()
    })
  }
}
