import { concat, toHex } from '../bytes.ts'
import { assertCommits } from '../crypto/epoch.ts'
import { nobleSigningKey } from '../crypto/sign-backend.ts'
import type { SignatureVerifier, SigningKey } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import { asSealogError, type ErrorCode, SealogError } from '../errors.ts'
import type { DocumentId, MemberId, SpaceId } from '../ids.ts'
import { authenticationInput } from '../relay/authentication.ts'
import { type ChannelEvents, jittered, type RelayClient, type Session } from '../relay/client.ts'
import type { BodyPart, Received, Reject, Sync } from '../relay/messages.ts'
import { assertChecks } from '../verify/check.ts'
import { decodeHeader, INLINE_BODY_LENGTH } from '../verify/entry.ts'
import { advance, type Batch, type BatchEntry, isCurrent, type LogView, type VerifiedEntry } from '../verify/log.ts'
import { absorb } from './absorb.ts'
import type { DocumentSet } from './document-set.ts'
import { type ControlRequest, hasPending, type PushPlan, planPush } from './outbox.ts'
import type { Problems } from './problems.ts'
import { spaceKey } from './rows.ts'
import type { SealContext, SealedEntry } from './seal.ts'
import { type DeviceSecrets, encodeSecrets, SpaceKeys, type SpaceSecrets } from './secrets.ts'
import type { ReplicaStore } from './store.ts'

/** Own changes are gathered this long before they go out, in milliseconds. */
const GATHER = 15
/** Delay before a space is opened again after something did not verify, in milliseconds; doubles up to the last. */
const FIRST_RETRY = 200
const LAST_RETRY = 30_000
/** A quiet connection is asked for a fresh checkpoint this often, and given up this long after. */
const HEARTBEAT = 25_000
const HEARTBEAT_TIMEOUT = 15_000

export interface SpaceSyncOptions {
  readonly space: SpaceId
  readonly store: ReplicaStore
  readonly client: RelayClient
  readonly environment: Environment
  readonly verifier: SignatureVerifier
  readonly documents: DocumentSet
  readonly problems: Problems
  readonly view: LogView
  readonly note: Uint8Array | undefined
  readonly secrets: SpaceSecrets
  /** Opens the wrap of the invite in this control body. @returns `S_e` */
  readonly openInvite: (body: Uint8Array) => Uint8Array
  /** Builds the clear body of the own `join`. */
  readonly joinBody: (keys: SpaceKeys) => Uint8Array
  /** Something that `status` or a waiting caller looks at changed. */
  readonly onUpdate: () => void
  /** Entries were applied; what they changed is visible. */
  readonly onEntries: (entries: readonly VerifiedEntry[]) => void
}

interface InFlight {
  readonly ref: number
  readonly plan: PushPlan
  readonly waiting: Set<string>
}

/**
 * Keeps one space in step with its relay: what comes in goes through `advance` and one transaction before anybody
 * sees it, what goes out is sealed at the last moment.
 */
export class SpaceSync {
  readonly #options: SpaceSyncOptions
  #view: LogView
  #note: Uint8Array | undefined
  #secrets: SpaceSecrets
  #keys: SpaceKeys
  #confirmedAt: number | undefined
  #session: Session | undefined
  /** Grows whenever messages under way lose their meaning. */
  #generation = 0
  #openRef = 0
  #genesisRef = 0
  #live = false
  #closed = false
  #paused = false
  #halted: SealogError | undefined
  #retries = 0
  #inFlight: InFlight | undefined
  #pushTimer: (() => void) | undefined
  #pumping = false
  #blockedUntil = 0
  #queue: Promise<void> = Promise.resolve()
  #retryTimer: () => void = () => {}
  #heartbeatTimer: () => void = () => {}
  readonly #controls: ControlRequest[] = []
  readonly #requests = new Map<number, { resolve(m: BodyPart | Received): void; reject(error: SealogError): void }>()
  readonly #barriers = new Map<number, { resolve(): void; reject(error: SealogError): void }>()

  constructor(options: SpaceSyncOptions) {
    this.#options = options
    this.#view = options.view
    this.#note = options.note
    this.#secrets = options.secrets
    this.#keys = new SpaceKeys(options.secrets.epochs)
    this.#confirmedAt = options.view.head?.time
  }

  get view(): LogView {
    return this.#view
  }

  /** The relay's signed note of the view's head. */
  get note(): Uint8Array | undefined {
    return this.#note
  }

  get secrets(): SpaceSecrets {
    return this.#secrets
  }

  /** The member that this device belongs to, as the log says; before it does, as it was meant to be. */
  get member(): MemberId {
    const number = this.#deviceNumber(this.#secrets.device)
    const record = number === undefined ? undefined : this.#view.state?.control.devices.get(number)
    return record?.member ?? this.#secrets.member
  }

  get keys(): SpaceKeys {
    return this.#keys
  }

  get confirmedAt(): number | undefined {
    return this.#confirmedAt
  }

  /** Connected, authenticated, and every entry of the relay's log is here. */
  get isCurrent(): boolean {
    return this.#live && isCurrent(this.#view)
  }

  get isPaused(): boolean {
    return this.#paused
  }

  /** Set when this build can go no further. */
  get halted(): SealogError | undefined {
    return this.#halted
  }

  /** Own entries that are in the log but whose batch is not complete yet, or that wait for their place. */
  get inFlight(): number {
    return this.#inFlight?.waiting.size ?? 0
  }

  /** Nothing of this replica waits for the relay. */
  get isSettled(): boolean {
    if (this.#inFlight !== undefined || this.#controls.length > 0 || this.#secrets.admission !== undefined) return false
    for (const core of this.#options.documents.cores()) {
      if (core.locals.length > 0 || hasPending({ view: this.#view }, this.#options.documents, core)) return false
    }
    return true
  }

  start(): void {
    const events: ChannelEvents = {
      onUp: session => this.#onUp(session),
      onMessage: message => this.#onMessage(message),
      onDown: cause => this.#onDown(cause),
    }
    this.#options.client.attach(this.#options.space, events)
  }

  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#options.client.detach(this.#options.space)
    this.#onDown(undefined)
  }

  resume(): void {
    if (!this.#paused || this.#closed) return
    this.#paused = false
    this.start()
  }

  /** Ends everything under way; nothing that is half done becomes visible. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#options.client.detach(this.#options.space)
    this.#onDown(undefined)
    const closed = new SealogError('ERR_CLOSED', 'the space was closed')
    for (const request of this.#controls.splice(0)) request.reject(closed)
    await this.#queue
  }

  /** Own changes are in the store: they go out soon, together with what else comes until then. */
  push(): void {
    if (this.#pushTimer !== undefined || this.#closed) return
    this.#pushTimer = this.#options.environment.schedule(GATHER, () => {
      this.#pushTimer = undefined
      this.#pump()
    })
  }

  /** Appends a control entry. @returns its index, once proven */
  control(body: () => Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#controls.push({ body, incarnation: this.#secrets.incarnation, resolve, reject })
      this.push()
    })
  }

  /** Resolves when everything the relay had when this was called is applied. @throws SealogError ERR_OFFLINE */
  barrier(): Promise<void> {
    if (!this.#live) return Promise.reject(new SealogError('ERR_OFFLINE', 'not connected'))
    return new Promise((resolve, reject) => {
      const ref = this.#options.client.nextRef()
      this.#barriers.set(ref, { resolve, reject })
      this.#options.client.send({ type: 'pull', ref, space: this.#options.space })
    })
  }

  // -- The connection ---------------------------------------------------------------------------------------------

  #onUp(session: Session): void {
    this.#session = session
    this.#open()
  }

  #onDown(cause: SealogError | undefined): void {
    this.#session = undefined
    this.#reset(cause)
    this.#options.onUpdate()
  }

  /** Forgets whatever was under way. */
  #reset(cause: SealogError | undefined): void {
    this.#generation++
    this.#live = false
    this.#inFlight = undefined
    this.#retryTimer()
    this.#heartbeatTimer()
    const offline = cause ?? new SealogError('ERR_OFFLINE', 'connection closed')
    for (const request of this.#requests.values()) request.reject(offline)
    for (const barrier of this.#barriers.values()) barrier.reject(offline)
    this.#requests.clear()
    this.#barriers.clear()
  }

  /** Asks for the log from where this replica is; before an invite's secret is known, for that first. */
  #open(): void {
    this.#reset(undefined)
    const session = this.#session
    if (session === undefined || this.#closed || this.#halted !== undefined) return
    const generation = this.#generation
    const { client, space } = this.#options
    const { admission } = this.#secrets
    if (admission?.type === 'genesis' && this.#view.state === undefined) {
      this.#genesisRef = client.nextRef()
      client.send({ type: 'push', ref: this.#genesisRef, space, entries: [admission.entry] })
    }
    const lacksSecret = this.#secrets.epochs.length === 0
    const from = lacksSecret ? (this.#view.anchors.at(-1)?.size ?? 0) : this.#view.range.size
    const signer = this.#signer()
    const input = authenticationInput(session.relay, session.challenge, space, signer.publicKey)
    signer.sign(input).then(
      signature => {
        if (generation !== this.#generation) return
        this.#openRef = client.nextRef()
        client.send({ type: 'open', ref: this.#openRef, space, from, device: signer.publicKey, signature })
      },
      error => this.#fault(asSealogError(error, 'ERR_KEY', 'cannot sign')),
    )
  }

  /** The device that may speak at this point: before the own join is proven, the provisional one. */
  #device(): DeviceSecrets {
    const { admission, device } = this.#secrets
    if (admission?.type !== 'join') return device
    return this.#deviceNumber(device) === undefined ? admission.provisional : device
  }

  #signer(): SigningKey {
    return signerOf(this.#device())
  }

  #deviceNumber(device: DeviceSecrets): number | undefined {
    const wanted = toHex(signerOf(device).publicKey)
    for (const [number, record] of this.#view.state?.control.devices ?? []) {
      if (record.removed === undefined && toHex(record.signing) === wanted) return number
    }
    return undefined
  }

  #onMessage(message: Sync | Reject | BodyPart | Received): void {
    if (this.#closed) return
    switch (message.type) {
      case 'body-part':
      case 'received':
        this.#requests.get(message.ref)?.resolve(message)
        this.#requests.delete(message.ref)
        return
      case 'sync':
        if (!this.#live && message.ref !== this.#openRef) return
        if (this.#secrets.epochs.length === 0) return this.#fetchSecret()
        this.#live = true
        this.#enqueue(() => this.#onSync(message))
        return
      case 'reject':
        this.#onReject(message)
    }
  }

  #enqueue(task: () => Promise<void>): void {
    const generation = this.#generation
    this.#queue = this.#queue.then(async () => {
      if (generation !== this.#generation || this.#closed) return
      try {
        await task()
      } catch (error) {
        if (generation === this.#generation) this.#fault(asSealogError(error, 'ERR_STORE', 'sync failed'))
      }
    })
  }

  /**
   * Something did not verify or could not be stored: nothing of it was kept. The space is opened anew after a
   * back-off; what a relay says once is no more than a problem that is shown.
   */
  #fault(error: SealogError): void {
    const { environment, client, problems, space } = this.#options
    problems.add('sync', { code: error.code, message: error.message, since: environment.now(), ...indexOf(error) })
    if (error.code === 'ERR_UPGRADE') this.#halted = error
    client.send({ type: 'leave', space })
    this.#reset(error)
    const full = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** this.#retries++)
    this.#retryTimer = environment.schedule(jittered(environment, full), () => this.#open())
    this.#options.onUpdate()
  }

  #onReject(reject: Reject): void {
    const error = rejection(reject)
    const request = this.#requests.get(reject.ref) ?? this.#barriers.get(reject.ref)
    if (request !== undefined) {
      this.#requests.delete(reject.ref)
      this.#barriers.delete(reject.ref)
      return request.reject(error)
    }
    // The genesis may have arrived before, its acknowledgement not: then the log will show it.
    const genesisRefused = reject.ref === this.#genesisRef && error.code !== 'ERR_SPACE_EXISTS'
    if (genesisRefused || reject.ref === this.#openRef || (reject.ref === 0 && this.#live)) return this.#fault(error)
    if (this.#inFlight?.ref === reject.ref) this.#enqueue(() => this.#onPushRejected(error, reject.position))
  }

  // -- Inbound ----------------------------------------------------------------------------------------------------

  async #onSync(message: Sync): Promise<void> {
    const generation = this.#generation
    const batch = await this.#withLargeBodies(message.batch)
    const advanced = advance(this.#view, batch)
    await assertChecks(this.#options.verifier, advanced.checks)
    if (generation !== this.#generation || this.#closed) return
    this.#checkEpochs(advanced.view)
    const retired = await this.#options.documents.exclusive(() => this.#absorb(advanced.view, advanced.entries, batch))
    for (const document of retired) await this.#options.documents.carryOver(document)
    this.#retries = 0
    this.#options.problems.clear('sync')
    this.#confirmedAt = advanced.view.head?.time
    this.#settlePush(advanced.entries)
    this.#options.onEntries(advanced.entries)
    this.#barriers.get(message.ref)?.resolve()
    this.#barriers.delete(message.ref)
    this.#options.onUpdate()
    if (generation !== this.#generation) return
    this.#armHeartbeat()
    if (this.#admitted()) await this.#finishAdmission()
    for (const core of this.#options.documents.cores()) {
      await this.#options.documents.compactIfDue(core.document, false)
    }
    this.#pump()
  }

  async #absorb(
    view: LogView,
    entries: readonly VerifiedEntry[],
    batch: Batch,
  ): Promise<readonly DocumentId[]> {
    const { documents, store, problems, environment } = this.#options
    const absorbed = absorb({ view, entries, checks: [] }, batch.note, documents, this.#keys)
    await store.commit({ puts: absorbed.puts, deletes: absorbed.deletes })
    this.#view = view
    this.#note = batch.note
    for (const { entry, stopped } of absorbed.stopped) {
      problems.add(`actor/${entry.actor}`, {
        code: stopped.code as ErrorCode,
        message: `entry ${entry.index} by device ${entry.header.device} is ${stopped.reason}: nothing after it is applied`,
        since: environment.now(),
        document: entry.header.document,
        actor: entry.actor,
        index: entry.index,
      })
    }
    for (const [document, update] of absorbed.updates) {
      const refused = documents.applied(document, update)
      if (refused.length > 0) await documents.refuse(document, refused)
    }
    return absorbed.retired
  }

  /** The secrets this replica holds are those that the log commits to. @throws SealogError ERR_KEY */
  #checkEpochs(view: LogView): void {
    if (view.state === this.#view.state || view.state?.control.epochs === this.#view.state?.control.epochs) return
    for (const [epoch, commitments] of (view.state?.control.epochs ?? []).entries()) {
      const secret = this.#secrets.epochs[epoch]
      if (secret !== undefined) assertCommits(secret, commitments)
    }
  }

  async #withLargeBodies(batch: Batch): Promise<Batch> {
    const entries: BatchEntry[] = []
    for (const [offset, entry] of batch.entries.entries()) {
      const length = entry.body === undefined ? decodeHeader(entry.header).bodyLength : 0
      const body = length > INLINE_BODY_LENGTH ? await this.#fetchBody(batch.from + offset, length) : entry.body
      entries.push({ ...entry, body })
    }
    return { ...batch, entries }
  }

  /** The body of one entry in parts; unverified. @param length in bytes, undefined: as much as comes */
  async #fetchBody(index: number, length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    for (let offset = 0; offset < length; ) {
      const part = await this.#request(ref => ({ type: 'get-body', ref, space: this.#options.space, index, offset }))
      if (part.type !== 'body-part' || part.offset !== offset || part.bytes.length === 0) {
        throw new SealogError('ERR_BODY', `the relay did not serve the body of entry ${index}`)
      }
      parts.push(part.bytes)
      offset += part.bytes.length
    }
    return concat(...parts)
  }

  #request(message: (ref: number) => Parameters<RelayClient['send']>[0]): Promise<BodyPart | Received> {
    return new Promise((resolve, reject) => {
      const ref = this.#options.client.nextRef()
      this.#requests.set(ref, { resolve, reject })
      this.#options.client.send(message(ref))
    })
  }

  // -- Admission --------------------------------------------------------------------------------------------------

  /** Before anything can be opened, the secret in the invite is needed; the log will prove that it is the right one. */
  #fetchSecret(): void {
    const { admission } = this.#secrets
    if (admission?.type !== 'join') return this.#fault(new SealogError('ERR_STORE_CORRUPT', 'a space without secrets'))
    const { index } = admission
    this.#openRef = 0
    const fetched = this.#request(ref => ({ type: 'get-body', ref, space: this.#options.space, index, offset: 0 }))
    fetched.then(
      part => {
        this.#enqueue(async () => {
          if (part.type !== 'body-part') throw new SealogError('ERR_BODY', 'the relay did not serve the invite')
          const secret = this.#options.openInvite(part.bytes)
          await this.#keepSecrets({ ...this.#secrets, epochs: [secret] })
          this.#open()
        })
      },
      error => this.#fault(asSealogError(error, 'ERR_INVITE', 'the invite could not be fetched')),
    )
  }

  async #keepSecrets(secrets: SpaceSecrets): Promise<void> {
    const { store, space } = this.#options
    await store.commit({ puts: [[spaceKey(space, 'secrets'), encodeSecrets(secrets)]], deletes: [] })
    this.#secrets = secrets
    this.#keys = new SpaceKeys(secrets.epochs)
  }

  /** The entry that admits this device is proven, but the secrets still hold what it took. */
  #admitted(): boolean {
    const { admission, device } = this.#secrets
    return admission !== undefined && this.#deviceNumber(device) !== undefined
  }

  async #finishAdmission(): Promise<void> {
    const wasProvisional = this.#secrets.admission?.type === 'join'
    await this.#keepSecrets({ ...this.#secrets, admission: undefined })
    this.#options.onUpdate()
    if (wasProvisional) this.#open()
  }

  /** The join, prepared once and kept, so that the keys it names are never lost. */
  async #queueJoin(): Promise<void> {
    const { admission } = this.#secrets
    if (admission?.type !== 'join' || this.#controls.length > 0) return
    const body = admission.body ?? this.#options.joinBody(this.#keys)
    if (admission.body === undefined) {
      await this.#keepSecrets({ ...this.#secrets, admission: { ...admission, body } })
    }
    this.#controls.push({
      body: () => body,
      incarnation: this.#secrets.incarnation,
      resolve: () => {},
      reject: () => {},
    })
  }

  // -- Outbound ---------------------------------------------------------------------------------------------------

  #pump(): void {
    if (this.#pumping || this.#closed || !this.isCurrent || this.#inFlight !== undefined) return
    const { environment } = this.#options
    if (environment.now() < this.#blockedUntil) return
    this.#pumping = true
    this.#enqueue(async () => {
      try {
        await this.#pushNext()
      } finally {
        this.#pumping = false
      }
    })
    // A task of a generation that ended never runs.
    void this.#queue.then(() => {
      this.#pumping = false
    })
  }

  async #pushNext(): Promise<void> {
    if (!this.isCurrent || this.#inFlight !== undefined) return
    const generation = this.#generation
    await this.#queueJoin()
    const context = this.#sealContext()
    if (context === undefined) return
    const plan = await planPush(context, this.#options.documents, this.#controls)
    if (plan.entries.length === 0 || generation !== this.#generation) return
    const ref = this.#options.client.nextRef()
    this.#inFlight = { ref, plan, waiting: new Set(plan.entries.map(entry => toHex(entry.hash))) }
    this.#options.onUpdate()
    void this.#send(ref, plan.entries).catch(error => {
      if (generation === this.#generation) this.#fault(asSealogError(error, 'ERR_OFFLINE', 'push failed'))
    })
  }

  #sealContext(): SealContext | undefined {
    const secrets = this.#device()
    const device = this.#deviceNumber(secrets)
    if (device === undefined) return undefined
    const signer = signerOf(secrets)
    return { view: this.#view, keys: this.#keys, signer, device, random: this.#options.environment.random }
  }

  async #send(ref: number, entries: readonly SealedEntry[]): Promise<void> {
    const { client, space } = this.#options
    for (const entry of entries) if (entry.body.length > INLINE_BODY_LENGTH) await this.#upload(entry)
    const inline = entries.map(({ header, signature, body }) => ({
      header,
      signature,
      body: body.length > INLINE_BODY_LENGTH ? undefined : body,
    }))
    client.send({ type: 'push', ref, space, entries: inline })
  }

  async #upload({ header, body }: SealedEntry): Promise<void> {
    const hash = decodeHeader(header).bodyHash
    for (let offset = 0; offset < body.length; offset += INLINE_BODY_LENGTH) {
      const bytes = body.subarray(offset, offset + INLINE_BODY_LENGTH)
      const { space } = this.#options
      await this.#request(ref => ({ type: 'put-body', ref, space, hash, length: body.length, offset, bytes }))
    }
  }

  /** Own entries that came back proven. */
  #settlePush(entries: readonly VerifiedEntry[]): void {
    const push = this.#inFlight
    if (push === undefined) return
    for (const entry of entries) {
      const hash = toHex(entry.hash)
      if (!push.waiting.delete(hash)) continue
      if (push.plan.control?.hash !== hash) continue
      this.#controls.splice(this.#controls.indexOf(push.plan.control.request), 1)
      push.plan.control.request.resolve(entry.index)
    }
    if (push.waiting.size === 0) {
      this.#inFlight = undefined
      this.#options.problems.clear('push')
    }
  }

  async #onPushRejected(error: SealogError, position: number): Promise<void> {
    const push = this.#inFlight
    this.#inFlight = undefined
    if (push === undefined) return
    const { environment, problems } = this.#options
    const stale = error.code === 'ERR_STALE_CHAIN' || error.code === 'ERR_STALE_EPOCH'
    if (!stale) problems.add('push', { code: error.code, message: error.message, since: environment.now() })
    const { control } = push.plan
    if (control !== undefined && position === 0 && !error.retryable) {
      this.#controls.splice(this.#controls.indexOf(control.request), 1)
      control.request.reject(error)
    }
    const full = stale ? 100 : Math.max(error.details.retryAfter ?? 0, error.retryable ? 1000 : LAST_RETRY)
    this.#blockedUntil = environment.now() + jittered(environment, full)
    environment.schedule(this.#blockedUntil - environment.now() + 1, () => this.#pump())
    this.#options.onUpdate()
  }

  #armHeartbeat(): void {
    const { environment, client } = this.#options
    this.#heartbeatTimer()
    this.#heartbeatTimer = environment.schedule(HEARTBEAT, () => {
      const answered = this.barrier()
      this.#heartbeatTimer = environment.schedule(HEARTBEAT_TIMEOUT, () => {
        client.reconnect(new SealogError('ERR_OFFLINE', 'the relay no longer answers'))
      })
      answered.catch(() => {})
    })
  }
}

/** Deriving a public key costs as much as a signature. */
const signers = new WeakMap<DeviceSecrets, SigningKey>()

function signerOf(device: DeviceSecrets): SigningKey {
  const signer = signers.get(device) ?? nobleSigningKey(device.signing)
  signers.set(device, signer)
  return signer
}

function rejection(reject: Reject): SealogError {
  const details = { ...(reject.retryAfter > 0 ? { retryAfter: reject.retryAfter } : {}), index: reject.position }
  return new SealogError(reject.code as ErrorCode, `the relay answered: ${reject.message}`, { details })
}

function indexOf(error: SealogError): { index?: number } {
  return error.details.index === undefined ? {} : { index: error.details.index }
}
