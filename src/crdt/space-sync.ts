import type { SignatureVerifier, SigningKey } from '../crypto/sign.ts'
import { nobleSigningKey } from '../crypto/sign-backend.ts'
import type { Environment } from '../environment.ts'
import { asSealogError, hasCode, SealogError } from '../errors.ts'
import { type DocumentId, idBytes, type MemberId, type SpaceId } from '../ids.ts'
import type { RelayClient } from '../relay/client.ts'
import type { Sync } from '../relay/messages.ts'
import { assertChecks } from '../verify/check.ts'
import { encodeNote, originOf, parseNote, relaySignature } from '../verify/checkpoint.ts'
import { roleNumber } from '../verify/control.ts'
import {
  type ControlState,
  currentMember,
  type DeviceRecord,
  isMemberDevice,
  latestEpoch,
  type Moment,
} from '../verify/control-state.ts'
import {
  type Advanced,
  type Anchor,
  advance,
  type Batch,
  isCurrent,
  type LogView,
  type VerifiedEntry,
  withAnchor,
} from '../verify/log.ts'
import { noteKeyHash } from '../verify/note-key.ts'
import { findActor, knownDocument } from '../verify/state.ts'
import { absorb } from './absorb.ts'
import { Admission } from './admission.ts'
import { HELD_BACK } from './adoption-plan.ts'
import { Caretaker } from './caretaker.ts'
import { Cosigner } from './cosigner.ts'
import { auditRows, type DueAudit } from './delivery-audits.ts'
import { deviceByKey } from './devices.ts'
import type { DocumentSet } from './document-set.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import { confirmationRow, type Freshness } from './freshness.ts'
import { type Compared, compareHead, suspectFork } from './heads.ts'
import { KeyKeeper } from './key-keeper.ts'
import type { LockedDocuments } from './locked-row.ts'
import { MissingBodies } from './missing-bodies.ts'
import { Outbound } from './outbound.ts'
import { hasPending, type PreparedControl } from './outbox.ts'
import { addStopped, type Problems } from './problems.ts'
import { recentRows } from './recent-rows.ts'
import { type Replicate, Replication, type RowChange } from './replication.ts'
import { restoreRelay, sizeOfBehind } from './restore.ts'
import { Retry } from './retry.ts'
import { prepareRotation } from './rotation.ts'
import { spaceKey } from './rows.ts'
import type { SealContext } from './seal.ts'
import type { DeviceSecrets, SpaceSecrets } from './secrets.ts'
import { isSnapshotDue, writeSnapshot } from './snapshot-writer.ts'
import { type Opening, SpaceChannel } from './space-channel.ts'
import type { ReplicaStore } from './store.ts'
import type { SyncLimits } from './sync-limits.ts'
import type { Vouched } from './trust.ts'
import { encodeViewRow } from './view-rows.ts'
import { Witness } from './witness.ts'

/** Keys that should be here and did not come are asked for again, in milliseconds. */
const KEY_RETRY = { first: 5_000, most: 10 * 60_000 }
/** Delay before the own entry is made again that could not be stored, in milliseconds. */
const ADMISSION_RETRY = 5_000

/** Delay before a relay whose latest head is too old is asked for another one again, in milliseconds. */
const ASK_AGAIN = 30_000

export interface SpaceSyncOptions {
  readonly space: SpaceId
  readonly store: ReplicaStore
  readonly client: RelayClient
  readonly environment: Environment
  readonly verifier: SignatureVerifier
  readonly documents: DocumentSet
  readonly problems: Problems
  readonly replicate: Replicate
  readonly limits: SyncLimits
  readonly view: LogView
  readonly note: Uint8Array | undefined
  readonly held: ReadonlySet<DocumentId> | undefined
  readonly vouched: Vouched | undefined
  readonly locked: LockedDocuments
  readonly freshness: Freshness
  /** By which the relay convicted itself, where it did. */
  readonly evidence: Uint8Array | undefined
  readonly secrets: SpaceSecrets
  readonly audits: readonly DueAudit[]
  /** Nothing is sealed on a head that is older, in milliseconds. */
  readonly maxHeadAge: number
  /** Builds the own entry by which another device admits this one. @throws SealogError ERR_KEY */
  readonly admissionBody: (keys: SpaceKeys, control: ControlState) => Uint8Array
  /** The store failed, or works again. */
  readonly onStore: (failure: SealogError | undefined) => void
  /** Something that `status` or a waiting caller looks at changed. */
  readonly onUpdate: () => void
  /** Entries were applied; what they changed is visible. */
  readonly onEntries: (entries: readonly VerifiedEntry[]) => void
  /** The relay contradicted itself: sync has ended. */
  readonly onFrozen: (evidence: Uint8Array) => void
}

/**
 * Keeps one space in step with its relay: what comes in goes through `advance` and one transaction before anybody
 * sees it, what goes out is sealed at the last moment.
 */
export class SpaceSync {
  readonly #options: SpaceSyncOptions
  readonly #channel: SpaceChannel
  readonly #outbound: Outbound
  readonly #admission: Admission
  readonly #keeper: KeyKeeper
  readonly #caretaker: Caretaker
  readonly #replication: Replication
  readonly #witness: Witness
  readonly #missing: MissingBodies
  readonly #keyRetry: Retry
  readonly #cosigner: Cosigner
  #cancelSnapshots: (() => void) | undefined
  #cancelAdmission: (() => void) | undefined
  /** The relay was asked for a later head. */
  #cancelAsk: (() => void) | undefined
  #view: LogView
  #note: Uint8Array | undefined
  #evidence: Uint8Array | undefined
  #halted: SealogError | undefined
  #comparing: Promise<void> = Promise.resolve()
  /** Why the relay does not take this space in. */
  #turnedAway: SealogError | undefined
  /** Why a batch could not be read that the relay signed. */
  #unknown: SealogError | undefined
  #paused = false
  /** Whom the relay knows this connection as. */
  #openedAs: DeviceSecrets
  #closed = false
  /** Documents whose own chain is closed: own changes have yet to be carried over. */
  readonly #retired = new Set<DocumentId>()

  constructor(options: SpaceSyncOptions) {
    this.#options = options
    this.#view = options.view
    this.#note = options.note
    this.#evidence = options.evidence
    this.#admission = new Admission(options)
    this.#openedAs = options.secrets.device
    this.#witness = new Witness(options.view, options.note)
    this.#channel = new SpaceChannel({
      space: options.space,
      relay: options.view.relay,
      client: options.client,
      environment: options.environment,
      opening: () => this.#opening(),
      onSync: message => this.#onSync(message),
      onOpenRefused: error => this.#onOpenRefused(error),
      onReset: () => {
        this.#keeper.forgetTries()
        this.#outbound.reset()
        this.#replication.reset()
        options.onUpdate()
      },
      onFault: error => this.#onFault(error),
    })
    this.#outbound = new Outbound({
      channel: this.#channel,
      documents: options.documents,
      problems: options.problems,
      environment: options.environment,
      isReady: () => !this.#closed && this.isCurrent,
      isKnown: document => this.#replication.isKnown(document),
      snapshot: document => writeSnapshot(this.#sealContext(), options.documents, document),
      mayWrite: () => this.#mayWrite(),
      prepare: () => this.#queueAdmission(),
      sealContext: () => this.#sealContext(),
      onUpdate: options.onUpdate,
    })
    this.#keeper = new KeyKeeper({
      space: idBytes(options.space),
      channel: this.#channel,
      problems: options.problems,
      environment: options.environment,
      epochs: options.secrets.epochs,
      keep: epochs => this.#admission.keepEpochs(epochs),
    })
    this.#caretaker = new Caretaker({
      space: options.space,
      keeper: this.#keeper,
      environment: options.environment,
      problems: options.problems,
      view: () => this.#view,
      device: () => this.device,
      isCurrent: () => this.isCurrent && !this.#closed,
      append: prepare => this.control(prepare, false),
      forget: keys => this.#commit({ puts: [], deletes: keys }),
      audits: options.audits,
    })
    this.#replication = new Replication({
      channel: this.#channel,
      verifier: options.verifier,
      environment: options.environment,
      documents: options.documents,
      problems: options.problems,
      replicate: options.replicate,
      limits: options.limits.skip,
      held: options.held,
      vouched: options.vouched,
      locked: options.locked,
      view: () => this.#view,
      note: () => this.#note,
      keys: () => this.keys,
      self: () => ({ member: this.member, device: this.#deviceNumber(this.secrets.device) }),
      gatherKeys: (view, entries) => this.#gatherKeys(view, entries),
      replaceView: (view, note, change) => this.#replaceView(view, note, change),
      commit: change => this.#commit(change),
      onEntries: options.onEntries,
      isJoining: options.secrets.admission !== undefined && options.secrets.admission.type !== 'genesis',
      isAdmitted: () => this.secrets.admission === undefined,
      onRetired: document => this.#retired.add(document),
      onAdopted: () => this.#carryOver(),
      onEvidence: evidence => void this.#freeze(evidence),
      onUpdate: options.onUpdate,
    })
    this.#keyRetry = new Retry({ ...KEY_RETRY, environment: options.environment, attempt: () => this.#retryKeys() })
    this.#missing = new MissingBodies(this.#channel, options.documents, options.environment)
    this.#cosigner = new Cosigner({
      channel: this.#channel,
      environment: options.environment,
      ...options.limits.cosign,
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
    return this.#admission.secrets
  }

  get keys(): SpaceKeys {
    return this.#keeper.keys
  }

  /** Number of this device, where it speaks for a member. */
  get device(): number | undefined {
    const record = this.#recordOf(this.secrets.device)
    return isMemberDevice(record) ? record.number : undefined
  }

  /** Somebody has yet to approve this device. */
  get isPending(): boolean {
    return this.#recordOf(this.secrets.device)?.standing === 'pending'
  }

  /**
   * All that this member should have been given of the epoch in force is here; who was just promoted gets it with the
   * next.
   */
  get holdsKey(): boolean {
    const control = this.#view.state?.control
    if (control === undefined) return false
    const kind = this.keys.kindOf(latestEpoch(control))
    const isPartial = currentMember(control, this.member)?.history !== 'all' || control.rotation === 'due'
    return kind === 'all' || (kind === 'read' && isPartial)
  }

  /** When this device was removed from the space, as the log proves. */
  get removed(): Moment | undefined {
    return this.#recordOf(this.secrets.device)?.removed
  }

  /** Connected, authenticated, and every entry of the relay's log is here. */
  get isCurrent(): boolean {
    return this.#channel.isLive && isCurrent(this.#view)
  }

  /** Is it known that this member may not read the document? */
  isLocked(document: DocumentId): boolean {
    return this.#replication.isLocked(document)
  }

  /** Every document that this replica wants is here. */
  get isComplete(): boolean {
    return this.#replication.isComplete
  }

  get isPaused(): boolean {
    return this.#paused
  }

  /** Set when this build can go no further. */
  get halted(): SealogError | undefined {
    return this.#halted
  }

  /** Why nothing of this replica will ever be sent any more, if so: whoever waits for it is told. */
  get ended(): SealogError | undefined {
    if (this.#evidence !== undefined) return new SealogError('ERR_FROZEN', 'the relay contradicted itself')
    if (this.removed !== undefined) return new SealogError('ERR_REMOVED', 'this device was removed from the space')
    return this.#halted
  }

  /** Why the relay does not take this space in, as of its last answer: it is asked again, but nobody should wait for it. */
  get turnedAway(): SealogError | undefined {
    return this.#turnedAway
  }

  /** By which the relay convicted itself. */
  get evidence(): Uint8Array | undefined {
    return this.#evidence
  }

  /** What a fast-forward rests on, until it was audited. */
  get vouched(): Vouched | undefined {
    return this.#replication.vouched
  }

  get freshness(): Freshness {
    return this.#options.freshness
  }

  /** Number of own entries that were sent and have not come back. */
  get inFlight(): number {
    return this.#outbound.inFlight
  }

  /** Nothing of this replica waits for the relay. */
  get isSettled(): boolean {
    if (!this.#outbound.isIdle || this.secrets.admission !== undefined || this.#retired.size > 0) return false
    for (const core of this.#options.documents.cores()) {
      if (core.locals.length > 0 || hasPending({ view: this.#view }, this.#options.documents, core)) return false
    }
    return true
  }

  /** The member that this device belongs to, as the log says; before it does, as it was meant to be. */
  get member(): MemberId {
    return this.#recordOf(this.secrets.device)?.member ?? this.secrets.member
  }

  /** Ends what a crash may have interrupted, then starts to sync. */
  async start(): Promise<void> {
    for (const { document } of this.#options.documents.metas()) {
      if (this.#isRetired(document)) this.#retired.add(document)
      // What was here before a skip is wanted again, whether or not somebody opens it: it may have something to send.
      this.#replication.want(document)
    }
    await this.#carryOver().catch(error => this.#options.onStore(asSealogError(error, 'ERR_STORE', 'the store failed')))
    this.#start()
  }

  #start(): void {
    const isEnded = this.#halted !== undefined || this.#evidence !== undefined || this.removed !== undefined
    if (!isEnded && !this.#closed && !this.#paused) this.#channel.start()
  }

  #isRetired(document: DocumentId): boolean {
    const actor = this.#options.documents.ownActor(document)
    const record = knownDocument(this.#view.state, document)
    return (actor && record && findActor(record, actor))?.retired === true
  }

  /** What the relay is shown from now on, as long as it does not have this space. @throws SealogError ERR_STORE… */
  async setAdmission(token: string): Promise<void> {
    if (!(await this.#admission.keepToken(token))) return
    this.#turnedAway = undefined
    this.#options.problems.clear('sync')
    this.#options.onUpdate()
    this.#channel.open()
  }

  pause(): void {
    this.#paused = true
    this.#channel.stop()
  }

  resume(): void {
    this.#paused = false
    this.#start()
  }

  /** Ends everything under way; nothing that is half done becomes visible. */
  async close(): Promise<void> {
    this.#closed = true
    this.#caretaker.close()
    this.#keyRetry.stop()
    this.#cancelAdmission?.()
    this.#outbound.close()
    this.#replication.close()
    this.#missing.stop()
    this.#cancelSnapshots?.()
    this.#cancelAsk?.()
    this.#channel.stop()
    await this.#channel.idle()
  }

  /** Resolves when everything the relay had when this was called is applied. @throws SealogError ERR_OFFLINE */
  barrier(): Promise<void> {
    return this.#channel.barrier()
  }

  /** Something may be ready to go: it does soon, together with what else comes until then. */
  push(): void {
    this.#outbound.push()
  }

  /**
   * Appends a control entry.
   * @param prepare called anew for each attempt
   * @param insists where it was too late, is it tried again at once?
   * @returns its index, once proven; undefined where there was no need any more
   */
  control(prepare: () => Promise<PreparedControl | undefined>, insists = true): Promise<number | undefined> {
    const { ended } = this
    if (ended !== undefined) return Promise.reject(ended)
    return this.#outbound.control(prepare, this.secrets.incarnation, insists)
  }

  /** The entry that starts the next epoch. @returns undefined where this replica has nothing to lead back to */
  rotation(): Promise<PreparedControl | undefined> {
    const control = this.#view.state?.control
    if (control === undefined) return Promise.resolve(undefined)
    const { space, environment } = this.#options
    return prepareRotation({ space: idBytes(space), control, keeper: this.#keeper, environment })
  }

  /** Somebody opened this document: it is to be here. */
  want(document: DocumentId): void {
    this.#replication.want(document)
  }

  /** The directory lists these documents. */
  listed(documents: Iterable<DocumentId>): void {
    this.#replication.listed(documents)
  }

  // -- The conversation -------------------------------------------------------------------------------------------

  #opening(): Opening {
    const { admission } = this.secrets
    const genesis = admission?.type === 'genesis' && this.#view.state === undefined ? admission.entry : undefined
    this.#openedAs = this.#device()
    const token = admission?.type === 'genesis' ? admission.token : undefined
    const { openFrom, wants } = this.#replication
    return { signer: signerOf(this.#openedAs), from: openFrom, genesis, admission: token, wants }
  }

  #onOpenRefused(error: SealogError): boolean {
    if (error.code === 'ERR_RELAY_BEHIND') {
      void this.#restore(error)
      return true
    }
    if (error.code === 'ERR_REMOVED' && this.removed !== undefined) return true
    // Another one has taken its place by now.
    if (error.code === 'ERR_REMOVED' && this.#openedAs !== this.#device()) {
      this.#channel.open()
      return true
    }
    // The log admits this device, so the relay's may have become shorter than that.
    const isMember = this.secrets.admission === undefined && this.#deviceNumber(this.secrets.device) !== undefined
    if (error.code === 'ERR_UNAUTHORIZED' && isMember) {
      void this.#restore(error)
      return true
    }
    const outcome = this.#admission.refused(error)
    if (outcome === 'again') this.#channel.open()
    if (outcome === 'lost') {
      this.#channel.fault(new SealogError('ERR_INVITE', 'the invite was used already, or revoked'))
    }
    return outcome !== undefined
  }

  /** The relay lost the end of the log: it gets back what this replica has of it (DESIGN §5.5). */
  async #restore(error: SealogError): Promise<void> {
    const { store, problems, environment } = this.#options
    const over = this.#channel.guard()
    try {
      const isBehind = error.code === 'ERR_RELAY_BEHIND'
      const from = isBehind ? error.details.index : await sizeOfBehind(this.#channel, store, this.#view, this.#note)
      if (from === undefined) throw error
      const message = `the relay has ${from} entries of ${this.#view.range.size}`
      problems.add('restore', { code: 'ERR_RELAY_BEHIND', message, since: environment.now() })
      await restoreRelay(this.#channel, store, this.#view, this.#note, from)
      problems.clear('restore')
      if (!over()) this.#channel.open()
    } catch (failure) {
      if (over()) return
      // It does not wait for what it lost, but has gone on without.
      if (hasCode(failure, 'ERR_ROLLBACK')) problems.clear('restore')
      this.#channel.fault(asSealogError(failure, 'ERR_RELAY_BEHIND', 'the relay could not be restored'))
    }
  }

  #onFault(error: SealogError): void {
    const { problems, environment } = this.#options
    const index = error.details.index === undefined ? {} : { index: error.details.index }
    problems.add('sync', { code: error.code, message: error.message, since: environment.now(), ...index })
    if (error.code.startsWith('ERR_STORE')) this.#options.onStore(error)
    if (this.#isTurnedAway(error)) this.#turnedAway = error
    // Only what the relay signed ends anything: an answer that is to be proven yet may be asked for again.
    if (error === this.#unknown) {
      this.#halted = error
      this.#channel.stop()
      this.#outbound.abandon(error)
    }
    this.#options.onUpdate()
  }

  #device(): DeviceSecrets {
    return this.#admission.device(this.#deviceNumber(this.secrets.device) !== undefined)
  }

  /** Number of a device that was not removed; also of one that is provisional or waits for approval. */
  #deviceNumber(device: DeviceSecrets): number | undefined {
    const record = this.#recordOf(device)
    return record?.removed === undefined ? record?.number : undefined
  }

  #recordOf(device: DeviceSecrets): DeviceRecord | undefined {
    const control = this.#view.state?.control
    return control && deviceByKey(control, signerOf(device).publicKey)
  }

  #sealContext(): SealContext {
    const secrets = this.#device()
    const device = this.#deviceNumber(secrets)
    if (device === undefined) throw new SealogError('ERR_INVITE', 'the log admits this device no more')
    const { random } = this.#options.environment
    return { view: this.#view, keys: this.keys, signer: signerOf(secrets), device, random }
  }

  // -- Inbound ----------------------------------------------------------------------------------------------------

  async #onSync(message: Sync): Promise<void> {
    const over = this.#channel.guard()
    if (await this.#replication.skip(claimedSize(message.batch))) {
      if (!over()) this.#channel.open()
      return
    }
    // Only the end was asked for, as a skip was to come first.
    if (message.batch.from > this.#view.range.size && this.#view.state === undefined) return this.#channel.open()
    const batch = await this.#channel.withLargeBodies(message.batch, document => this.#replication.isKnown(document))
    const before = this.#view
    const advanced = await this.#advanceOrSuspect(batch)
    await assertChecks(this.#options.verifier, advanced.checks)
    if (over()) return
    await this.#gatherKeys(advanced.view, advanced.entries)
    if (over()) return
    await this.#options.documents.exclusive(async () => {
      // A head may have come in since, to which these entries have to lead as well.
      await this.#absorb(this.#view === before ? advanced : this.#advance(batch), batch)
    })
    // The batch is in the store: whatever fails from here on, its entries count.
    await this.#absorbed(advanced.entries)
    if (over()) return
    this.#channel.sound(message)
    await this.#afterwards()
  }

  /** What does not fit is refused; and where the relay itself proves that it has gone on from another log, that is all. */
  async #advanceOrSuspect(batch: Batch): Promise<Advanced> {
    const over = this.#channel.guard()
    try {
      return this.#advance(batch)
    } catch (error) {
      const isFork = hasCode(error, 'ERR_ROOT_MISMATCH') || hasCode(error, 'ERR_PROOF')
      if (isFork && this.#evidence === undefined) {
        const evidence = await suspectFork(batch.note, this.#view, this.#note, this.#channel)
        if (evidence !== undefined && !over()) await this.#freeze(evidence)
      }
      throw error
    }
  }

  #advance(batch: Batch): Advanced {
    try {
      return advance(this.#view, batch)
    } catch (error) {
      if (hasCode(error, 'ERR_UPGRADE')) this.#unknown = error
      const evidence = this.#witness.suspect(batch)
      if (evidence !== undefined) void this.#freeze(evidence)
      throw error
    }
  }

  /** Makes a verified batch durable, then visible. */
  async #absorb(advanced: Advanced, batch: Batch): Promise<void> {
    const { documents, problems, environment, freshness } = this.#options
    // What is owed to the store about documents comes before anything new.
    await documents.settle()
    const note = bareNote(batch.note, advanced.view)
    const { state } = advanced.view
    const view = { ...advanced.view, state: state && this.#replication.keep(state) }
    const absorbed = absorb(
      { ...advanced, view },
      note,
      documents,
      this.keys,
      this.#replication.held,
      this.#view.state?.control,
    )
    const recent = recentRows(view.space, batch)
    const confirmed = freshness.after(advanced.entries, view, this.member)
    await this.#commit({
      puts: [
        ...absorbed.puts,
        ...recent.puts,
        ...(state === undefined ? [] : auditRows(view.space, state.control, advanced.entries)),
        ...(confirmed === undefined ? [] : [confirmationRow(view.space, confirmed)]),
      ],
      deletes: [...absorbed.deletes, ...recent.deletes],
    })
    this.#view = view
    this.#note = note
    if (confirmed !== undefined) freshness.keep(confirmed)
    this.#witness.accepted(view, note, batch)
    for (const { entry, stopped } of absorbed.stopped) {
      addStopped(problems, entry.header.document, entry.actor, stopped, environment.now())
    }
    for (const [document, update] of absorbed.updates) documents.applied(document, update)
    for (const document of absorbed.retired) this.#retired.add(document)
    if (state !== undefined) this.#caretaker.noticed(state.control, advanced.entries)
    await documents.settle()
  }

  /** The relay does not take in a space that it does not have yet. */
  #isTurnedAway({ code }: SealogError): boolean {
    const isNew = this.secrets.admission?.type === 'genesis' && this.#view.state === undefined
    return isNew && (code === 'ERR_UNAUTHORIZED' || code === 'ERR_QUOTA')
  }

  async #absorbed(entries: readonly VerifiedEntry[]): Promise<void> {
    this.#turnedAway = undefined
    this.#options.problems.clear('sync')
    this.#options.problems.clear('restore')
    this.#outbound.settle(entries)
    this.#replication.noticed(entries)
    this.#options.onEntries(entries)
    await this.#carryOver()
  }

  async #afterwards(): Promise<void> {
    const { documents, onStore, onUpdate } = this.#options
    if (this.#isAdmitted()) await this.#admission.finish()
    // Nothing more comes of a space that this device was removed from: it was told by a proven entry.
    if (this.removed !== undefined) {
      this.#channel.stop()
      this.#outbound.abandon(new SealogError('ERR_REMOVED', 'this device was removed from the space'))
    } else if (this.#openedAs !== this.#device()) this.#channel.open()
    await documents.tidy().catch(error => onStore(asSealogError(error, 'ERR_STORE', 'the store failed')))
    this.#outbound.clearProblems({ view: this.#view }, this.isSettled)
    this.#tellReader()
    onUpdate()
    this.#outbound.pump()
    if (!this.isCurrent) return
    this.#replication.resume()
    this.#missing.resume(onUpdate)
    this.#caretaker.look()
    this.#serveOthers()
  }

  /** What helps others to catch up: snapshots, and a word for the log that was verified here. */
  #serveOthers(): void {
    const { device } = this
    if (device === undefined || this.secrets.admission !== undefined || this.#note === undefined) return
    if (this.vouched === undefined) {
      void this.#cosigner.resume(this.#view, this.#note, device, signerOf(this.secrets.device))
    }
    if (this.#cancelSnapshots !== undefined || !this.#isWriter()) return
    const { documents, environment, limits } = this.#options
    const share = (environment.random(1)[0] ?? 0) / 255
    const due = [...documents.metas()].filter(meta => isSnapshotDue(meta, limits.snapshot, share))
    if (due.length === 0) return
    this.#cancelSnapshots = environment.schedule(limits.snapshot.delay * share, () => {
      this.#cancelSnapshots = undefined
      for (const { document } of due) {
        const isDue = isSnapshotDue(documents.meta(document), limits.snapshot, 0)
        if (isDue && this.#replication.isKnown(document)) this.#outbound.snapshot(document)
      }
    })
  }

  /** Who was made a reader keeps what was not sent: it goes out once it may write again. */
  #tellReader(): void {
    const { documents, problems, environment } = this.#options
    const isReader = this.device !== undefined && !this.#isWriter()
    const isHeldBack = isReader && [...documents.cores()].some(core => core.locals.length > 0)
    const message = 'this member may only read now: changes that were not sent stay on this device'
    if (isHeldBack) problems.add('read-only', { code: 'ERR_READ_ONLY', message, since: environment.now() })
    else problems.clear('read-only')
  }

  #isWriter(): boolean {
    const control = this.#view.state?.control
    const role = this.device === undefined ? undefined : control && currentMember(control, this.member)?.role
    return role !== undefined && roleNumber(role) >= roleNumber('writer')
  }

  /**
   * Nothing is sealed under an epoch whose secret this replica has not held against its commitments, nor where somebody
   * who was removed knows it, nor on a head that is too old to tell, nor short of one that somebody else was shown:
   * what the relay keeps back may be a removal.
   */
  #mayWrite(): boolean {
    const control = this.#view.state?.control
    if (control === undefined || !this.#isWriter() || this.#isShort()) return false
    return control.rotation !== 'tainted' && this.holdsKey && this.#isFresh()
  }

  /** Has the relay signed a longer log to somebody else than it shows here? */
  #isShort(): boolean {
    const { anchors, range } = this.#view
    const { problems, environment } = this.#options
    const ahead = anchors.find(({ size }) => size > range.size)
    if (ahead === undefined) {
      problems.clear('head-ahead')
      return false
    }
    const message = `the relay shows ${range.size} entries, and signed ${ahead.size} to others: nothing is sent before they are here`
    problems.add('head-ahead', { code: 'ERR_ROLLBACK', message, since: environment.now() })
    return true
  }

  #isFresh(): boolean {
    const { problems, environment, maxHeadAge } = this.#options
    const age = environment.now() - (this.#view.head?.time ?? 0)
    if (age <= maxHeadAge) {
      problems.clear('head-age')
      return true
    }
    // A log in which nobody writes grows old by itself: that the relay has no later word shows when it is asked.
    if (this.#cancelAsk === undefined) {
      this.#askForHead()
      return false
    }
    const message = `the relay's latest signature is ${Math.round(age / 1000)} seconds old: nothing is sent on it`
    problems.add('head-age', { code: 'ERR_STALE_HEAD', message, since: environment.now() })
    return false
  }

  #askForHead(): void {
    this.#cancelAsk = this.#options.environment.schedule(ASK_AGAIN, () => {
      this.#cancelAsk = undefined
      this.#outbound.push()
    })
    // The answer comes as any other batch, after which what waits is tried again.
    this.#channel.barrier().catch(() => {})
  }

  async #commit({ puts, deletes }: RowChange): Promise<void> {
    await this.#options.store.commit({ puts, deletes })
    this.#options.onStore(undefined)
  }

  async #replaceView(view: LogView, note: Uint8Array, change: RowChange): Promise<void> {
    await this.#commit(change)
    this.#view = view
    this.#note = note
    this.#witness.accepted(view, note, undefined)
  }

  /** @throws SealogError ERR_STORE…; then it is tried again after the next batch */
  async #carryOver(): Promise<void> {
    const { documents, problems, environment } = this.#options
    for (const document of [...this.#retired]) {
      const cause = `carry-over/${document}`
      if (documents.meta(document).clonedAt === HELD_BACK) {
        this.#retired.delete(document)
        this.#replication.refetch(document)
        continue
      }
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

  /** The secrets of the epochs in this view, as far as this device may know them; before anything is opened with them. */
  async #gatherKeys(view: LogView, entries: readonly VerifiedEntry[]): Promise<void> {
    const control = view.state?.control
    const device = this.#device()
    const record = control && deviceByKey(control, signerOf(device).publicKey)
    if (control === undefined || record === undefined || !isCurrentReader(record)) return
    const isNew = await this.#keeper.gather(control, { number: record.number, kem: device.kem }, entries)
    if (isNew) await this.#options.documents.keysArrived()
    if (isNew) this.#replication.keysArrived()
    if (!this.#closed) this.#keyRetry.isLacking(this.#keeper.isLacking)
  }

  /** Keys that the relay withheld, or served wrongly. */
  #retryKeys(): void {
    if (this.#closed || !this.#channel.isLive) return
    this.#channel.enqueue(async () => {
      this.#keeper.forgetTries()
      await this.#gatherKeys(this.#view, [])
      await this.#afterwards()
    })
  }

  /** The own entry of a device that another one admits, sent as that one. */
  async #queueAdmission(): Promise<void> {
    const { admission, incarnation } = this.secrets
    const isOwn = admission === undefined || admission.type === 'genesis'
    if (
      isOwn ||
      this.#cancelAdmission !== undefined ||
      this.#outbound.hasControls ||
      this.#deviceNumber(this.secrets.device) !== undefined
    )
      return
    // The key under which names are sealed comes with the next epoch, which is about to start: also where one started
    // while the entry waited for its turn.
    const canSeal = (): boolean => {
      const control = this.#view.state?.control
      if (control === undefined) return false
      const hasNameKey = admission.type === 'join' && admission.nameKey !== undefined
      return hasNameKey || (control.rotation !== 'tainted' && this.keys.kindOf(latestEpoch(control)) !== undefined)
    }
    if (!canSeal()) return
    const prepare = async (): Promise<PreparedControl | undefined> => {
      const control = this.#view.state?.control
      if (control === undefined || !canSeal()) return undefined
      return this.#admission.sending({ body: this.#options.admissionBody(this.keys, control) })
    }
    // Whether it came through shows in the log.
    this.#outbound.control(prepare, incarnation).catch(error => {
      const failure = asSealogError(error, 'ERR_INVITE', 'the invite could not be used')
      const { problems, environment, onStore } = this.#options
      if (failure.code === 'ERR_CLOSED') return
      if (!failure.retryable) {
        problems.add('join', { code: 'ERR_INVITE', message: failure.message, since: environment.now() })
        return
      }
      // The invite is as good as before.
      if (failure.code.startsWith('ERR_STORE')) onStore(failure)
      this.#cancelAdmission = environment.schedule(ADMISSION_RETRY, () => {
        this.#cancelAdmission = undefined
        this.#outbound.push()
      })
    })
  }

  /** The entry that makes this device a member's is proven, but the secrets still hold what it took. */
  #isAdmitted(): boolean {
    return this.secrets.admission !== undefined && this.device !== undefined
  }

  // -- Heads of others, and what the relay contradicts ----------------------------------------------------------------

  /**
   * Holds the relay's word to somebody else against what it said here (DESIGN §5.5).
   * @throws SealogError ERR_CHECKPOINT… where it is not the relay's word about this space; ERR_PROOF where the relay
   * does not show that the two are one log; ERR_FROZEN where it contradicted itself
   */
  compareHead(note: Uint8Array): Promise<void> {
    // One at a time, so that what comes of an earlier one is never shown after what comes of a later one.
    const compared = this.#comparing.then(() => this.#compareHead(note, false))
    this.#comparing = compared.catch(() => {})
    return compared
  }

  /** @param isAwaited everything has come that the relay had when the head came */
  async #compareHead(note: Uint8Array, isAwaited: boolean): Promise<void> {
    const head = bareNote(note, this.#view)
    const compared = await this.#compared(head)
    this.#witness.heard(head)
    const evidence = compared.evidence ?? this.#witness.suspect(undefined)
    if (evidence !== undefined) await this.#freeze(evidence)
    if (this.#evidence !== undefined) throw new SealogError('ERR_FROZEN', 'the relay signed two logs')
    const { problems, environment } = this.#options
    if (compared.refused !== undefined) {
      const { code, message } = compared.refused
      problems.add('head', { code, message, since: environment.now() })
      throw compared.refused
    }
    problems.clear('head')
    const { anchor } = compared
    if (anchor === undefined) return
    // What the relay sent before it signed this head may still be on its way here, and is no rollback.
    if (!isAwaited) await this.#channel.barrier().catch(() => {})
    // A log that grew past it in the meantime was not held against it.
    if (!isAwaited || !(await this.#keepAnchor(anchor))) await this.#compareHead(note, true)
  }

  /** @returns whether entries must lead there from now on: not where they are here already */
  #keepAnchor(anchor: Anchor): Promise<boolean> {
    return this.#options.documents.exclusive(async () => {
      if (anchor.size <= this.#view.range.size) return false
      const anchors = withAnchor(this.#view.anchors, anchor)
      if (anchors === this.#view.anchors) return true
      const view = { ...this.#view, anchors }
      await this.#commit({ puts: [[spaceKey(view.space, 'view'), encodeViewRow(view, this.#note)]], deletes: [] })
      this.#view = view
      return true
    })
  }

  /** The relay's word to somebody else, with what there is against it: it may contradict other words than the view. */
  async #compared(head: Uint8Array): Promise<Compared & { readonly refused?: SealogError }> {
    try {
      return await compareHead(head, this.#view, this.#note, this.#channel, this.#options.verifier)
    } catch (error) {
      if (hasCode(error, 'ERR_PROOF')) return { refused: error }
      throw error
    }
  }

  /** Sync ends for good; what is here stays readable, and local work goes on. */
  async #freeze(evidence: Uint8Array): Promise<void> {
    if (this.#evidence !== undefined) return
    this.#evidence = evidence
    this.#channel.stop()
    this.#outbound.abandon(new SealogError('ERR_FROZEN', 'the relay contradicted itself'))
    const { space, onFrozen, onStore, onUpdate } = this.#options
    onFrozen(evidence)
    onUpdate()
    try {
      await this.#commit({ puts: [[spaceKey(space, 'evidence'), evidence]], deletes: [] })
    } catch (error) {
      onStore(asSealogError(error, 'ERR_STORE', 'the store failed'))
    }
  }
}

/** What the relay says without proof; 0 where it says nothing that can be read. */
function claimedSize({ note }: Batch): number {
  try {
    return parseNote(note).checkpoint.size
  } catch {
    return 0
  }
}

/** Does the device hold, or get, secrets of epochs? */
function isCurrentReader({ standing, removed }: DeviceRecord): boolean {
  return removed === undefined && (standing === 'member' || standing === 'provisional')
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
