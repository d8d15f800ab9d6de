import { toHex } from '../bytes.ts'
import { assertCommits } from '../crypto/epoch.ts'
import type { SignatureVerifier, SigningKey } from '../crypto/sign.ts'
import { nobleSigningKey } from '../crypto/sign-backend.ts'
import type { Environment } from '../environment.ts'
import { asSealogError, type ErrorCode, SealogError } from '../errors.ts'
import { CONTROL_DOCUMENT, type DocumentId, type MemberId, type SpaceId } from '../ids.ts'
import { type RelayClient, retryDelay } from '../relay/client.ts'
import type { Sync } from '../relay/messages.ts'
import { assertChecks } from '../verify/check.ts'
import { encodeNote, originOf, parseNote, relaySignature } from '../verify/checkpoint.ts'
import { decodeHeader } from '../verify/entry.ts'
import { type Advanced, advance, isCurrent, type LogView, type VerifiedEntry } from '../verify/log.ts'
import { noteKeyHash } from '../verify/note-key.ts'
import { findActor, findDocument } from '../verify/state.ts'
import { absorb } from './absorb.ts'
import type { DocumentSet } from './document-set.ts'
import { type ControlRequest, hasPending, type PushPlan, planPush } from './outbox.ts'
import { addStopped, type Problems } from './problems.ts'
import { spaceKey } from './rows.ts'
import type { SealContext } from './seal.ts'
import { type DeviceSecrets, encodeSecrets, SpaceKeys, type SpaceSecrets } from './secrets.ts'
import { type Opening, SpaceChannel } from './space-channel.ts'
import type { ReplicaStore } from './store.ts'

/** Own changes are gathered this long before they go out, in milliseconds. */
const GATHER = 15
/** Delay after a push that was refused, in milliseconds: because others were faster; for a while; for good. */
const RETRY_STALE = 100
const RETRY_SOON = 1_000
const RETRY_LATE = 30_000
/** Pushes refused because others were faster, one after the other, before something must be wrong. */
const MOST_STALE = 10

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
  readonly openInvite: (body: Uint8Array, provisional: DeviceSecrets) => Uint8Array
  /** Builds the clear body of the own `join`. */
  readonly joinBody: (keys: SpaceKeys) => Uint8Array
  /** The store failed, or works again. */
  readonly onStore: (failure: SealogError | undefined) => void
  /** Something that `status` or a waiting caller looks at changed. */
  readonly onUpdate: () => void
  /** Entries were applied; what they changed is visible. */
  readonly onEntries: (entries: readonly VerifiedEntry[]) => void
}

/** Refusals that are about one entry, whenever it is sent. */
const UNSENDABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_INVALID_ENTRY',
  'ERR_LIMIT',
  'ERR_BODY',
  'ERR_MALFORMED',
  'ERR_SIGNATURE',
])

interface InFlight {
  readonly plan: PushPlan
  /** Leaf hashes, in hex, of the entries that did not come back yet. */
  readonly waiting: Set<string>
}

/**
 * Keeps one space in step with its relay: what comes in goes through `advance` and one transaction before anybody
 * sees it, what goes out is sealed at the last moment.
 */
export class SpaceSync {
  readonly #options: SpaceSyncOptions
  readonly #channel: SpaceChannel
  #view: LogView
  #note: Uint8Array | undefined
  #secrets: SpaceSecrets
  #keys: SpaceKeys
  #halted: SealogError | undefined
  #paused = false
  #closed = false
  /** The provisional device was refused although its join may have been accepted: then the own one is known. */
  #provisionalRefused = false
  #inFlight: InFlight | undefined
  #pumping = false
  /** A push was refused: nothing is sent before the next `#pumpIn`. */
  #blocked = false
  #cancelPump: (() => void) | undefined
  /** Documents whose problem is shown until they got through. */
  readonly #refused = new Set<DocumentId>()
  #cancelHeld: () => void = () => {}
  #staleInARow = 0
  readonly #controls: ControlRequest[] = []
  /** Documents whose own chain is closed: own changes have yet to be carried over. */
  readonly #retired = new Set<DocumentId>()
  /** Documents that cannot be sent as they are: the others go without them for a while. */
  readonly #held = new Set<DocumentId>()

  constructor(options: SpaceSyncOptions) {
    this.#options = options
    this.#view = options.view
    this.#note = options.note
    this.#secrets = options.secrets
    this.#keys = new SpaceKeys(options.secrets.epochs)
    this.#channel = new SpaceChannel({
      space: options.space,
      relay: options.view.relay,
      client: options.client,
      environment: options.environment,
      opening: () => this.#opening(),
      onSync: message => this.#onSync(message),
      onOpenRefused: error => this.#onOpenRefused(error),
      onReset: () => {
        this.#inFlight = undefined
        this.#pumping = false
        options.onUpdate()
      },
      onFault: error => this.#onFault(error),
    })
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

  get keys(): SpaceKeys {
    return this.#keys
  }

  /** Connected, authenticated, and every entry of the relay's log is here. */
  get isCurrent(): boolean {
    return this.#channel.isLive && isCurrent(this.#view)
  }

  get isPaused(): boolean {
    return this.#paused
  }

  /** Set when this build can go no further. */
  get halted(): SealogError | undefined {
    return this.#halted
  }

  /** Number of own entries that were sent and have not come back. */
  get inFlight(): number {
    return this.#inFlight?.waiting.size ?? 0
  }

  /** Nothing of this replica waits for the relay. */
  get isSettled(): boolean {
    if (this.#inFlight !== undefined || this.#controls.length > 0 || this.#secrets.admission !== undefined) return false
    if (this.#retired.size > 0) return false
    for (const core of this.#options.documents.cores()) {
      if (core.locals.length > 0 || hasPending({ view: this.#view }, this.#options.documents, core)) return false
    }
    return true
  }

  /** The member that this device belongs to, as the log says; before it does, as it was meant to be. */
  get member(): MemberId {
    const number = this.#deviceNumber(this.#secrets.device)
    const record = number === undefined ? undefined : this.#view.state?.control.devices.get(number)
    return record?.member ?? this.#secrets.member
  }

  /** Ends what a crash may have interrupted, then starts to sync. */
  async start(): Promise<void> {
    for (const { document } of this.#options.documents.metas())
      if (this.#isRetired(document)) this.#retired.add(document)
    await this.#carryOver().catch(error => this.#options.onStore(asSealogError(error, 'ERR_STORE', 'the store failed')))
    if (!this.#closed) this.#channel.start()
  }

  #isRetired(document: DocumentId): boolean {
    const actor = this.#options.documents.ownActor(document)
    const record = this.#view.state && findDocument(this.#view.state, document)
    return (actor && record && findActor(record, actor))?.retired === true
  }

  pause(): void {
    this.#paused = true
    this.#channel.stop()
  }

  resume(): void {
    this.#paused = false
    if (this.#halted === undefined && !this.#closed) this.#channel.start()
  }

  /** Ends everything under way; nothing that is half done becomes visible. */
  async close(): Promise<void> {
    this.#closed = true
    this.#cancelPump?.()
    this.#cancelHeld()
    this.#channel.stop()
    const closed = new SealogError('ERR_CLOSED', 'the space was closed')
    for (const request of this.#controls.splice(0)) request.reject(closed)
    await this.#channel.idle()
  }

  /** Resolves when everything the relay had when this was called is applied. @throws SealogError ERR_OFFLINE */
  barrier(): Promise<void> {
    return this.#channel.barrier()
  }

  /** Something may be ready to go: it does soon, together with what else comes until then. */
  push(): void {
    if (this.#cancelPump === undefined) this.#pumpIn(GATHER)
  }

  #pumpIn(delay: number): void {
    this.#cancelPump?.()
    if (this.#closed) return
    this.#cancelPump = this.#options.environment.schedule(delay, () => {
      this.#cancelPump = undefined
      this.#blocked = false
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

  // -- The conversation -------------------------------------------------------------------------------------------

  #opening(): Opening {
    const { admission, epochs } = this.#secrets
    const genesis = admission?.type === 'genesis' && this.#view.state === undefined ? admission.entry : undefined
    // As long as nothing can be read, only the end of the log is asked for: the invite's secret comes first.
    const from = epochs.length === 0 ? (this.#view.anchors.at(-1)?.size ?? 0) : this.#view.range.size
    return { signer: signerOf(this.#device()), from, genesis }
  }

  #onOpenRefused(error: SealogError): boolean {
    const { admission } = this.#secrets
    if (error.code !== 'ERR_UNAUTHORIZED' || admission?.type !== 'join') return false
    if (admission.body !== undefined && !this.#provisionalRefused) {
      this.#provisionalRefused = true
      this.#channel.open()
    } else {
      this.#provisionalRefused = false
      this.#channel.fault(new SealogError('ERR_INVITE', 'the invite was used already, or revoked'))
    }
    return true
  }

  #onFault(error: SealogError): void {
    const { problems, environment } = this.#options
    const index = error.details.index === undefined ? {} : { index: error.details.index }
    problems.add('sync', { code: error.code, message: error.message, since: environment.now(), ...index })
    if (error.code.startsWith('ERR_STORE')) this.#options.onStore(error)
    if (error.code === 'ERR_UPGRADE') {
      this.#halted = error
      this.#channel.stop()
    }
    this.#options.onUpdate()
  }

  /** The device that may speak at this point: before the own join is proven, the provisional one. */
  #device(): DeviceSecrets {
    const { admission, device } = this.#secrets
    if (admission?.type !== 'join' || this.#provisionalRefused) return device
    return this.#deviceNumber(device) === undefined ? admission.provisional : device
  }

  #deviceNumber(device: DeviceSecrets): number | undefined {
    const wanted = toHex(signerOf(device).publicKey)
    for (const [number, record] of this.#view.state?.control.devices ?? []) {
      if (record.removed === undefined && toHex(record.signing) === wanted) return number
    }
    return undefined
  }

  // -- Inbound ----------------------------------------------------------------------------------------------------

  async #onSync(message: Sync): Promise<void> {
    if (this.#secrets.epochs.length === 0) return this.#fetchSecret()
    const { documents, problems } = this.#options
    const over = this.#channel.guard()
    const batch = await this.#channel.withLargeBodies(message.batch)
    const advanced = advance(this.#view, batch)
    await assertChecks(this.#options.verifier, advanced.checks)
    if (over()) return
    await this.#checkEpochs(advanced.view)
    await documents.exclusive(() => this.#absorb(advanced, bareNote(batch.note, advanced.view)))
    // The batch is in the store: whatever fails from here on, its entries count.
    problems.clear('sync')
    this.#settlePush(advanced.entries)
    this.#options.onEntries(advanced.entries)
    await this.#carryOver()
    if (!over()) this.#channel.sound(message)
    if (this.#isAdmitted()) await this.#finishAdmission()
    await documents.tidy().catch(error => this.#options.onStore(asSealogError(error, 'ERR_STORE', 'the store failed')))
    this.#clearPush()
    this.#options.onUpdate()
    this.#pump()
  }

  /** However they got there: what is in the log is no problem any more. */
  #clearPush(): void {
    const { documents, problems } = this.#options
    if (this.isSettled) problems.clear('push')
    for (const document of this.#refused) {
      const core = documents.core(document)
      if (core !== undefined && hasPending({ view: this.#view }, documents, core)) continue
      this.#refused.delete(document)
      this.#held.delete(document)
      problems.clear(`push/${document}`)
    }
  }

  /** Makes a verified batch durable, then visible. */
  async #absorb(advanced: Advanced, note: Uint8Array): Promise<void> {
    const { documents, store, problems, environment } = this.#options
    const absorbed = absorb(advanced, note, documents, this.#keys)
    await store.commit({ puts: absorbed.puts, deletes: absorbed.deletes })
    this.#options.onStore(undefined)
    this.#view = advanced.view
    this.#note = note
    for (const { entry, stopped } of absorbed.stopped) {
      addStopped(problems, entry.header.document, entry.actor, stopped, environment.now())
    }
    for (const [document, update] of absorbed.updates) {
      const refused = documents.applied(document, update)
      if (refused.length > 0) await documents.refuse(document, refused)
    }
    for (const document of absorbed.retired) this.#retired.add(document)
  }

  /** @throws SealogError ERR_STORE…; then it is tried again after the next batch */
  async #carryOver(): Promise<void> {
    const { documents, problems, environment } = this.#options
    for (const document of [...this.#retired]) {
      const cause = `carry-over/${document}`
      try {
        await documents.carryOver(document)
        problems.clear(cause)
      } catch (error) {
        const { code, message } = asSealogError(error, 'ERR_CONTENT', 'own changes cannot be carried over')
        if (code.startsWith('ERR_STORE') && code !== 'ERR_STORE_CORRUPT') throw error
        problems.add(cause, { code, message, since: environment.now(), document })
      }
      this.#retired.delete(document)
    }
  }

  /** The secrets this replica holds are those that the log commits to. @throws SealogError ERR_KEY */
  async #checkEpochs(view: LogView): Promise<void> {
    const epochs = view.state?.control.epochs
    if (epochs === this.#view.state?.control.epochs) return
    try {
      for (const [epoch, commitments] of (epochs ?? []).entries()) {
        const secret = this.#secrets.epochs[epoch]
        if (secret !== undefined) assertCommits(secret, commitments)
      }
    } catch (error) {
      // A secret that came with an invite, before there was a log to hold it against: the true one may still come.
      const isUnproven = this.#secrets.admission?.type === 'join' && this.#view.state === undefined
      if (isUnproven) await this.#keepSecrets({ ...this.#secrets, epochs: [] })
      throw error
    }
  }

  // -- Admission --------------------------------------------------------------------------------------------------

  /** Before anything can be opened, the secret in the invite is needed; the log will prove that it is the right one. */
  async #fetchSecret(): Promise<void> {
    const { admission } = this.#secrets
    if (admission?.type !== 'join') throw new SealogError('ERR_STORE_CORRUPT', 'a space without secrets')
    const over = this.#channel.guard()
    const secret = this.#options.openInvite(await this.#channel.bodyStart(admission.index), admission.provisional)
    if (over()) return
    await this.#keepSecrets({ ...this.#secrets, epochs: [secret] })
    this.#channel.open()
  }

  async #keepSecrets(secrets: SpaceSecrets): Promise<void> {
    const { store, space } = this.#options
    await store.commit({ puts: [[spaceKey(space, 'secrets'), encodeSecrets(secrets)]], deletes: [] })
    this.#secrets = secrets
    this.#keys = new SpaceKeys(secrets.epochs)
  }

  /** The entry that admits this device is proven, but the secrets still hold what it took. */
  #isAdmitted(): boolean {
    const { admission, device } = this.#secrets
    return admission !== undefined && this.#deviceNumber(device) !== undefined
  }

  async #finishAdmission(): Promise<void> {
    const asProvisional = this.#secrets.admission?.type === 'join' && !this.#provisionalRefused
    await this.#keepSecrets({ ...this.#secrets, admission: undefined })
    if (asProvisional) this.#channel.open()
  }

  /** The join, prepared once and kept, so that the keys it names are never lost. */
  async #queueJoin(): Promise<void> {
    const { admission } = this.#secrets
    if (admission?.type !== 'join' || this.#controls.length > 0) return
    const body = admission.body ?? this.#options.joinBody(this.#keys)
    if (admission.body === undefined) await this.#keepSecrets({ ...this.#secrets, admission: { ...admission, body } })
    const { incarnation } = this.#secrets
    this.#controls.push({ body: () => body, incarnation, resolve: () => {}, reject: () => {} })
  }

  // -- Outbound ---------------------------------------------------------------------------------------------------

  #pump(): void {
    if (this.#pumping || this.#closed || !this.isCurrent || this.#inFlight !== undefined) return
    if (this.#blocked) return
    this.#pumping = true
    this.#channel.enqueue(async () => {
      try {
        await this.#pushNext()
      } finally {
        this.#pumping = false
      }
    })
  }

  async #pushNext(): Promise<void> {
    if (!this.isCurrent || this.#inFlight !== undefined) return
    const over = this.#channel.guard()
    await this.#queueJoin()
    const context = this.#sealContext()
    if (context === undefined) throw new SealogError('ERR_INVITE', 'the log admits this device no more')
    const plan = await planPush(context, this.#options.documents, this.#controls, {
      isHeld: document => this.#held.has(document),
      onUnsendable: (document, error) => this.#hold(document, error),
    })
    if (plan.entries.length === 0 || over()) return
    this.#inFlight = { plan, waiting: new Set(plan.entries.map(entry => toHex(entry.hash))) }
    this.#options.onUpdate()
    // Not awaited: answers come through the same queue.
    void this.#channel
      .push(plan.entries, (error, position) => this.#onPushRefused(error, position))
      .catch(error => {
        if (!over()) this.#channel.fault(asSealogError(error, 'ERR_OFFLINE', 'push failed'))
      })
  }

  #sealContext(): SealContext | undefined {
    const secrets = this.#device()
    const device = this.#deviceNumber(secrets)
    if (device === undefined) return undefined
    const { random } = this.#options.environment
    return { view: this.#view, keys: this.#keys, signer: signerOf(secrets), device, random }
  }

  /** Own entries that came back proven, by an acknowledgement or, where that was lost, in a catch-up. */
  #settlePush(entries: readonly VerifiedEntry[]): void {
    const { problems } = this.#options
    for (const entry of entries) {
      if (this.#inFlight?.waiting.delete(toHex(entry.hash))) this.#staleInARow = 0
      if (entry.control !== undefined) this.#settleControl(toHex(entry.header.bodyHash), entry.index)
    }
    if (this.#inFlight?.waiting.size !== 0) return
    this.#inFlight = undefined
    problems.clear('push')
  }

  #settleControl(bodyHash: string, index: number): void {
    const at = this.#controls.findIndex(request => request.sent === bodyHash)
    if (at >= 0) for (const request of this.#controls.splice(at, 1)) request.resolve(index)
  }

  #onPushRefused(error: SealogError, position: number): void {
    const push = this.#inFlight
    this.#inFlight = undefined
    if (push === undefined) return
    const { environment, problems } = this.#options
    const isStale = error.code === 'ERR_STALE_CHAIN' || error.code === 'ERR_STALE_EPOCH'
    const entry = push.plan.entries[position]
    const document = entry && decodeHeader(entry.header).document
    const isItsOwnFault = UNSENDABLE.has(error.code) && document !== undefined && document !== CONTROL_DOCUMENT
    if (isItsOwnFault) this.#hold(document, error)
    else if (!isStale) problems.add('push', { code: error.code, message: error.message, since: environment.now() })
    const { control } = push.plan
    if (control !== undefined && position === 0 && !error.retryable) {
      const at = this.#controls.indexOf(control)
      if (at >= 0) this.#controls.splice(at, 1)
      control.reject(error)
    }
    // The entries that came first should be on their way. Where they do not come, the log is asked for anew.
    this.#staleInARow = isStale ? this.#staleInARow + 1 : 0
    if (this.#staleInARow >= MOST_STALE) {
      this.#staleInARow = 0
      return this.#channel.fault(error)
    }
    const delay = isStale || isItsOwnFault ? RETRY_STALE : error.retryable ? RETRY_SOON : RETRY_LATE
    this.#blocked = true
    this.#pumpIn(retryDelay(environment, delay, error))
    this.#options.onUpdate()
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

/** Deriving a public key costs as much as a signature. */
const signers = new WeakMap<DeviceSecrets, SigningKey>()

function signerOf(device: DeviceSecrets): SigningKey {
  const signer = signers.get(device) ?? nobleSigningKey(device.signing)
  signers.set(device, signer)
  return signer
}

/** The note with the relay's own line only: nobody answers for what else was attached, and invites carry it along. */
function bareNote(bytes: Uint8Array, { relay, space }: LogView): Uint8Array {
  const note = parseNote(bytes)
  const key = { name: originOf(relay.name, space), publicKey: relay.key }
  const signature = relaySignature(note, key)
  return encodeNote(note.checkpoint, [{ name: key.name, keyHash: noteKeyHash(key.name, key.publicKey), signature }])
}
