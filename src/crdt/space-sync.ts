import { toHex } from '../bytes.ts'
import { assertCommits } from '../crypto/epoch.ts'
import type { SignatureVerifier, SigningKey } from '../crypto/sign.ts'
import { nobleSigningKey } from '../crypto/sign-backend.ts'
import type { Environment } from '../environment.ts'
import { asSealogError, hasCode, SealogError } from '../errors.ts'
import type { DocumentId, MemberId, SpaceId } from '../ids.ts'
import type { RelayClient } from '../relay/client.ts'
import type { Sync } from '../relay/messages.ts'
import { assertChecks } from '../verify/check.ts'
import { encodeNote, originOf, parseNote, relaySignature } from '../verify/checkpoint.ts'
import { roleNumber } from '../verify/control.ts'
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
import { Cosigner } from './cosigner.ts'
import type { DocumentSet } from './document-set.ts'
import { confirmationRow, type Freshness } from './freshness.ts'
import { type Compared, compareHead } from './heads.ts'
import { MissingBodies } from './missing-bodies.ts'
import { Outbound } from './outbound.ts'
import { hasPending } from './outbox.ts'
import { addStopped, type Problems } from './problems.ts'
import { recentRows } from './recent-rows.ts'
import { type Replicate, Replication, type RowChange } from './replication.ts'
import { restoreRelay, sizeOfBehind } from './restore.ts'
import { spaceKey } from './rows.ts'
import type { SealContext } from './seal.ts'
import type { DeviceSecrets, SpaceKeys, SpaceSecrets } from './secrets.ts'
import { isSnapshotDue, writeSnapshot } from './snapshot-writer.ts'
import { type Opening, SpaceChannel } from './space-channel.ts'
import type { ReplicaStore } from './store.ts'
import type { SyncLimits } from './sync-limits.ts'
import type { Vouched } from './trust.ts'
import { encodeViewRow } from './view-rows.ts'
import { Witness } from './witness.ts'

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
  readonly freshness: Freshness
  /** By which the relay convicted itself, where it did. */
  readonly evidence: Uint8Array | undefined
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
  readonly #replication: Replication
  readonly #witness: Witness
  readonly #missing: MissingBodies
  readonly #cosigner: Cosigner
  #cancelSnapshots: (() => void) | undefined
  #view: LogView
  #note: Uint8Array | undefined
  #evidence: Uint8Array | undefined
  #halted: SealogError | undefined
  #comparing: Promise<void> = Promise.resolve()
  /** Why a batch could not be read that the relay signed. */
  #unknown: SealogError | undefined
  #paused = false
  #closed = false
  /** Documents whose own chain is closed: own changes have yet to be carried over. */
  readonly #retired = new Set<DocumentId>()

  constructor(options: SpaceSyncOptions) {
    this.#options = options
    this.#view = options.view
    this.#note = options.note
    this.#evidence = options.evidence
    this.#admission = new Admission(options)
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
      prepare: () => this.#admission.queueJoin(this.#outbound),
      sealContext: () => this.#sealContext(),
      onUpdate: options.onUpdate,
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
      view: () => this.#view,
      note: () => this.#note,
      keys: () => this.keys,
      self: () => ({ member: this.member, device: this.#deviceNumber(this.secrets.device) }),
      checkEpochs: view => this.#checkEpochs(view),
      replaceView: (view, note, change) => this.#replaceView(view, note, change),
      commit: change => this.#commit(change),
      onEntries: options.onEntries,
      isAdmitted: () => this.secrets.admission === undefined,
      onRetired: document => this.#retired.add(document),
      onAdopted: () => this.#carryOver(),
      onEvidence: evidence => void this.#freeze(evidence),
      onUpdate: options.onUpdate,
    })
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
    return this.#admission.keys
  }

  /** Connected, authenticated, and every entry of the relay's log is here. */
  get isCurrent(): boolean {
    return this.#channel.isLive && isCurrent(this.#view)
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
    const number = this.#deviceNumber(this.secrets.device)
    const record = number === undefined ? undefined : this.#view.state?.control.devices.get(number)
    return record?.member ?? this.secrets.member
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
    const isEnded = this.#halted !== undefined || this.#evidence !== undefined
    if (!isEnded && !this.#closed && !this.#paused) this.#channel.start()
  }

  #isRetired(document: DocumentId): boolean {
    const actor = this.#options.documents.ownActor(document)
    const record = knownDocument(this.#view.state, document)
    return (actor && record && findActor(record, actor))?.retired === true
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
    this.#outbound.close()
    this.#replication.close()
    this.#missing.stop()
    this.#cancelSnapshots?.()
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

  /** Appends a control entry. @returns its index, once proven */
  control(body: () => Uint8Array): Promise<number> {
    return this.#outbound.control(body, this.secrets.incarnation)
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
    const { admission, epochs } = this.secrets
    const genesis = admission?.type === 'genesis' && this.#view.state === undefined ? admission.entry : undefined
    // As long as nothing can be read, only the end of the log is asked for: the invite's secret comes first.
    const from = epochs.length === 0 ? (this.#view.anchors.at(-1)?.size ?? 0) : this.#replication.openFrom
    return { signer: signerOf(this.#device()), from, genesis, wants: this.#replication.wants }
  }

  #onOpenRefused(error: SealogError): boolean {
    if (error.code === 'ERR_RELAY_BEHIND') {
      void this.#restore(error)
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
      if (!over()) this.#channel.fault(asSealogError(failure, 'ERR_RELAY_BEHIND', 'the relay could not be restored'))
    }
  }

  #onFault(error: SealogError): void {
    const { problems, environment } = this.#options
    const index = error.details.index === undefined ? {} : { index: error.details.index }
    problems.add('sync', { code: error.code, message: error.message, since: environment.now(), ...index })
    if (error.code.startsWith('ERR_STORE')) this.#options.onStore(error)
    // Only what the relay signed ends anything: an answer that is to be proven yet may be asked for again.
    if (error === this.#unknown) {
      this.#halted = error
      this.#channel.stop()
    }
    this.#options.onUpdate()
  }

  #device(): DeviceSecrets {
    return this.#admission.device(this.#deviceNumber(this.secrets.device) !== undefined)
  }

  #deviceNumber(device: DeviceSecrets): number | undefined {
    const wanted = toHex(signerOf(device).publicKey)
    for (const [number, record] of this.#view.state?.control.devices ?? []) {
      if (record.removed === undefined && toHex(record.signing) === wanted) return number
    }
    return undefined
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
    if (this.secrets.epochs.length === 0) return this.#fetchSecret()
    const over = this.#channel.guard()
    if (await this.#replication.skip(claimedSize(message.batch))) {
      if (!over()) this.#channel.open()
      return
    }
    // Only the end was asked for, as a skip was to come first.
    if (message.batch.from > this.#view.range.size && this.#view.state === undefined) return this.#channel.open()
    const batch = await this.#channel.withLargeBodies(message.batch, document => this.#replication.isKnown(document))
    const before = this.#view
    const advanced = this.#advance(batch)
    await assertChecks(this.#options.verifier, advanced.checks)
    if (over()) return
    await this.#checkEpochs(advanced.view)
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
    const absorbed = absorb({ ...advanced, view }, note, documents, this.keys, this.#replication.held)
    const recent = recentRows(view.space, batch)
    const confirmed = freshness.after(advanced.entries, view, this.member)
    await this.#commit({
      puts: [
        ...absorbed.puts,
        ...recent.puts,
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
    await documents.settle()
  }

  async #absorbed(entries: readonly VerifiedEntry[]): Promise<void> {
    this.#options.problems.clear('sync')
    this.#options.problems.clear('restore')
    this.#outbound.settle(entries)
    this.#replication.noticed(entries)
    this.#options.onEntries(entries)
    await this.#carryOver()
  }

  async #afterwards(): Promise<void> {
    const { documents, onStore, onUpdate } = this.#options
    if (this.#isAdmitted() && (await this.#admission.finish())) this.#channel.open()
    await documents.tidy().catch(error => onStore(asSealogError(error, 'ERR_STORE', 'the store failed')))
    this.#outbound.clearProblems({ view: this.#view }, this.isSettled)
    onUpdate()
    this.#outbound.pump()
    if (!this.isCurrent) return
    this.#replication.resume()
    this.#missing.resume(onUpdate)
    this.#serveOthers()
  }

  /** What helps others to catch up: snapshots, and a word for the log that was verified here. */
  #serveOthers(): void {
    const device = this.#deviceNumber(this.secrets.device)
    if (device === undefined || this.secrets.admission !== undefined || this.#note === undefined) return
    if (this.vouched === undefined) {
      void this.#cosigner.resume(this.#view, this.#note, device, signerOf(this.secrets.device))
    }
    if (this.#cancelSnapshots !== undefined || !this.#mayWrite()) return
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

  #mayWrite(): boolean {
    const role = this.#view.state?.control.members.get(this.member)?.role
    return role !== undefined && roleNumber(role) >= roleNumber('writer')
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

  /** The secrets this replica holds are those that the log commits to. @throws SealogError ERR_KEY */
  async #checkEpochs(view: LogView): Promise<void> {
    const epochs = view.state?.control.epochs
    if (epochs === this.#view.state?.control.epochs) return
    try {
      for (const [epoch, commitments] of (epochs ?? []).entries()) {
        const secret = this.secrets.epochs[epoch]
        if (secret !== undefined) assertCommits(secret, commitments)
      }
    } catch (error) {
      // A secret that came with an invite, before there was a log to hold it against: the true one may still come.
      const isUnproven = this.secrets.admission?.type === 'join' && this.#view.state === undefined
      if (isUnproven) await this.#admission.forget()
      throw error
    }
  }

  /** Before anything can be opened, the secret in the invite is needed; the log will prove that it is the right one. */
  async #fetchSecret(): Promise<void> {
    const { admission } = this.secrets
    if (admission?.type !== 'join') throw new SealogError('ERR_STORE_CORRUPT', 'a space without secrets')
    const over = this.#channel.guard()
    const body = await this.#channel.bodyStart(admission.index)
    if (over()) return
    await this.#admission.open(body)
    this.#channel.open()
  }

  /** The entry that admits this device is proven, but the secrets still hold what it took. */
  #isAdmitted(): boolean {
    const { admission, device } = this.secrets
    return admission !== undefined && this.#deviceNumber(device) !== undefined
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
