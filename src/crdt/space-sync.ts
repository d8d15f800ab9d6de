import { asSealogError, type SealogError } from '../errors.ts'
import type { DocumentId, MemberId } from '../ids.ts'
import type { Sync } from '../relay/log-messages.ts'
import type { Moment } from '../verify/control-state.ts'
import { isCurrent, type LogView } from '../verify/log.ts'
import { Aftermath } from './aftermath.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import type { Freshness } from './freshness.ts'
import { hasPending, type PreparedControl } from './outbox.ts'
import type { SpaceSecrets } from './secrets.ts'
import type { SpaceSyncOptions } from './space-sync-options.ts'
import { holdsLatestKey } from './standing.ts'
import { assembleSync, type SyncParts } from './sync-assembly.ts'
import { endedByConviction, endOf } from './sync-ends.ts'
import type { Vouched } from './trust.ts'
import type { UncheckedDocument } from './unchecked.ts'

/**
 * Keeps one space in step with its relay: what comes in goes through `Inbound` before anybody sees it, what goes out is
 * sealed at the last moment. This is the life of it, from the start to one of its ends; `assembleSync` says what it
 * consists of.
 */
export class SpaceSync {
  readonly #options: SpaceSyncOptions
  readonly #parts: SyncParts
  readonly #aftermath: Aftermath
  #halted: SealogError | undefined
  #paused = false
  #closed = false

  constructor(options: SpaceSyncOptions) {
    this.#options = options
    this.#parts = assembleSync(options, {
      isReady: () => this.isCurrent && !this.#closed,
      onSync: message => this.#onSync(message),
      onFault: error => this.#onFault(error),
      onKeys: () => this.#aftermath.goOn(),
      onContradiction: evidence => this.#freeze(evidence),
      append: prepare => this.control(prepare, false),
    })
    this.#aftermath = new Aftermath({
      ...options,
      ...this.#parts,
      isCurrent: () => this.isCurrent,
      isSettled: () => this.isSettled,
      onEnded: reason => this.#end(reason),
    })
  }

  // -- How it stands ----------------------------------------------------------------------------------------------

  get view(): LogView {
    return this.#parts.log.view
  }

  /** The relay's signed note of the view's head. */
  get note(): Uint8Array | undefined {
    return this.#parts.log.note
  }

  get secrets(): SpaceSecrets {
    return this.#parts.admission.secrets
  }

  get keys(): SpaceKeys {
    return this.#parts.keeper.keys
  }

  /** Number of this device, where it speaks for a member. */
  get device(): number | undefined {
    return this.#parts.standing.device
  }

  /** The member that this device belongs to, as the log says; before it does, as it was meant to be. */
  get member(): MemberId {
    return this.#parts.standing.member
  }

  /** Somebody has yet to approve this device. */
  get isPending(): boolean {
    return this.#parts.standing.isPending
  }

  /** When this device was removed from the space, as the log proves. */
  get removed(): Moment | undefined {
    return this.#parts.standing.removed
  }

  /** All that this member should have been given of the epoch in force is here. */
  get holdsKey(): boolean {
    const control = this.view.state?.control
    return control !== undefined && holdsLatestKey(control, this.member, this.keys)
  }

  /** Connected, authenticated, and every entry of the relay's log is here. */
  get isCurrent(): boolean {
    return this.#parts.channel.isLive && isCurrent(this.view)
  }

  /** Is it known that this member may not read the document? */
  isLocked(document: DocumentId): boolean {
    return this.#parts.replication.isLocked(document)
  }

  /** Every document that this replica wants is here. */
  get isComplete(): boolean {
    return this.#parts.replication.isComplete
  }

  /** Nothing of this replica waits for the relay. */
  get isSettled(): boolean {
    const { outbound, retired } = this.#parts
    const { documents } = this.#options
    if (!outbound.isIdle || this.secrets.admission !== undefined || retired.isWaiting) return false
    const at = { view: this.view }
    return [...documents.cores()].every(core => core.locals.length === 0 && !hasPending(at, documents, core))
  }

  get isPaused(): boolean {
    return this.#paused
  }

  /** Number of own entries that were sent and have not come back. */
  get inFlight(): number {
    return this.#parts.outbound.inFlight
  }

  /** What a fast-forward rests on, until it was audited. */
  get vouched(): Vouched | undefined {
    return this.#parts.replication.vouched
  }

  /** Documents that came as a snapshot, until they are held against every entry that it covers. */
  get unchecked(): ReadonlyMap<DocumentId, UncheckedDocument> {
    return this.#parts.replication.unchecked
  }

  get freshness(): Freshness {
    return this.#options.freshness
  }

  /** Set when this build can go no further. */
  get halted(): SealogError | undefined {
    return this.#halted
  }

  /** Why the relay does not take this space in, as of its last answer: it is asked again, but nobody should wait for it. */
  get turnedAway(): SealogError | undefined {
    return this.#parts.openings.turnedAway
  }

  /** By which the relay convicted itself. */
  get evidence(): Uint8Array | undefined {
    return this.#parts.log.evidence
  }

  /** Why nothing of this replica will ever be sent any more, if so: whoever waits for it is told. */
  get ended(): SealogError | undefined {
    return endOf(this)
  }

  // -- It begins, rests and ends ----------------------------------------------------------------------------------

  /** Ends what a crash may have interrupted, then starts to sync. */
  async start(): Promise<void> {
    const { retired, replication } = this.#parts
    const { documents, onStore } = this.#options
    retired.findInterrupted()
    // What was here before a skip is wanted again, whether or not somebody opens it: it may have something to send.
    for (const { document } of documents.metas()) replication.want(document)
    await retired.carryOver().catch(error => onStore(asSealogError(error, 'ERR_STORE', 'the store failed')))
    this.#start()
  }

  #start(): void {
    if (this.ended === undefined && !this.#closed && !this.#paused) this.#parts.channel.start()
  }

  pause(): void {
    this.#paused = true
    this.#parts.channel.stop()
  }

  resume(): void {
    this.#paused = false
    this.#start()
  }

  /** Ends everything under way; nothing that is half done becomes visible. */
  async close(): Promise<void> {
    const { caretaker, keyWatch, ownAdmission, outbound, replication, missing, aid, gate, channel } = this.#parts
    this.#closed = true
    for (const part of [caretaker, keyWatch, ownAdmission, outbound, replication, aid, gate]) part.close()
    missing.stop()
    channel.stop()
    await channel.idle()
  }

  // -- What comes in ----------------------------------------------------------------------------------------------

  async #onSync(message: Sync): Promise<void> {
    const { channel } = this.#parts
    const over = channel.guard()
    const entries = await this.#parts.inbound.take(message)
    if (entries === undefined) return
    // The batch is in the store: whatever fails from here on, its entries count.
    await this.#aftermath.count(entries)
    if (over()) return
    channel.sound(message)
    await this.#aftermath.goOn()
  }

  // -- What goes out, and what is asked for ------------------------------------------------------------------------

  /** Something may be ready to go: it does soon, together with what else comes until then. */
  push(): void {
    this.#parts.outbound.push()
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
    return this.#parts.outbound.control(prepare, this.secrets.incarnation, insists)
  }

  /** The entry that starts the next epoch. @returns undefined where this replica has nothing to lead back to */
  rotation(): Promise<PreparedControl | undefined> {
    return this.#parts.caretaker.rotation()
  }

  /** Somebody opened this document: it is to be here. */
  want(document: DocumentId): void {
    this.#parts.replication.want(document)
  }

  /** The directory lists these documents. */
  listed(documents: Iterable<DocumentId>): void {
    this.#parts.replication.listed(documents)
  }

  /** Resolves when everything the relay had when this was called is applied. @throws SealogError ERR_OFFLINE */
  barrier(): Promise<void> {
    return this.#parts.channel.barrier()
  }

  /** What the relay is shown from now on, as long as it does not have this space. @throws SealogError ERR_STORE… */
  async setAdmission(token: string): Promise<void> {
    const { admission, openings, channel } = this.#parts
    if (!(await admission.keepToken(token))) return
    openings.welcomed()
    this.#options.problems.clear('sync')
    this.#options.onUpdate()
    channel.open()
  }

  /** Holds the relay's word to somebody else against what it said here. @throws SealogError see `HeardHeads.compare` */
  compareHead(note: Uint8Array): Promise<void> {
    return this.#parts.heads.compare(note)
  }

  // -- When something is wrong ------------------------------------------------------------------------------------

  #onFault(error: SealogError): void {
    const { problems, environment, onStore, onUpdate } = this.#options
    const index = error.details.index === undefined ? {} : { index: error.details.index }
    problems.add('sync', { code: error.code, message: error.message, since: environment.now(), ...index })
    if (error.code.startsWith('ERR_STORE')) onStore(error)
    this.#parts.openings.faulted(error)
    // Only what the relay signed ends anything: an answer that is to be proven yet may be asked for again.
    if (error === this.#parts.inbound.unknown) {
      this.#halted = error
      this.#end(error)
    }
    onUpdate()
  }

  /** Sync ends for good; what is here stays readable, and local work goes on. */
  async #freeze(evidence: Uint8Array): Promise<void> {
    const { onFrozen, onStore, onUpdate } = this.#options
    const store = this.#parts.log.convict(evidence)
    if (store === undefined) return
    this.#end(endedByConviction())
    onFrozen(evidence)
    onUpdate()
    await store().catch(error => onStore(asSealogError(error, 'ERR_STORE', 'the store failed')))
  }

  /** Nothing comes or goes any more. */
  #end(reason: SealogError): void {
    this.#parts.channel.stop()
    this.#parts.outbound.abandon(reason)
  }
}
