import { assertAdmission } from './admission-token.ts'
import { equalBytes } from './bytes.ts'
import type { KnownWriters } from './crdt/attribution.ts'
import { type DueAudit, loadAudits } from './crdt/delivery-audits.ts'
import { deviceByKey } from './crdt/devices.ts'
import type { DocumentInfo } from './crdt/directory.ts'
import type { DocumentCore } from './crdt/document-core.ts'
import { DocumentSet } from './crdt/document-set.ts'
import { Freshness } from './crdt/freshness.ts'
import type { HistoryEvent } from './crdt/history-events.ts'
import { type LockedDocuments, loadLocked } from './crdt/locked-row.ts'
import { addDeviceBody, deviceKeysOf, joinBody, type Writing } from './crdt/membership.ts'
import { openName } from './crdt/names.ts'
import { addStopped, clearStopped, type Problem, Problems } from './crdt/problems.ts'
import { keysIn } from './crdt/receive.ts'
import type { Replicate } from './crdt/replication.ts'
import { type Stopped, spaceKey } from './crdt/rows.ts'
import { type DeviceSecrets, decodeSecrets, type SpaceSecrets } from './crdt/secrets.ts'
import { SpaceSync } from './crdt/space-sync.ts'
import type { ReplicaStore } from './crdt/store.ts'
import type { SyncLimits } from './crdt/sync-limits.ts'
import { decodeTrustRow, type Vouched } from './crdt/trust.ts'
import { loadView, type StoredView } from './crdt/view-rows.ts'
import { publicKeyOf, type SignatureVerifier } from './crypto/sign.ts'
import { kemPublicKeyOf } from './crypto/wrap.ts'
import type { Environment } from './environment.ts'
import { asSealogError, type ErrorCode, SealogError } from './errors.ts'
import { Emitter, type ListenOptions, type Unsubscribe } from './events.ts'
import { type ActorId, DIRECTORY_DOCUMENT, type DocumentId, idBytes, parseDocumentId, type SpaceId } from './ids.ts'
import { OpenDocuments } from './open-documents.ts'
import type { RelayClient } from './relay/client.ts'
import { type AuditAccess, type AuditOptions, auditAccess } from './space-audit.ts'
import type { Receipt, SpaceDocument } from './space-document.ts'
import {
  type EntryAddress,
  type HistoryOptions,
  historyOf,
  type Past,
  type Reader,
  readersOf,
} from './space-history.ts'
import { keyFingerprint, Membership } from './space-membership.ts'
import type {
  AddDeviceOptions,
  InviteOptions,
  JoinRequest,
  Member,
  OpenInviteInfo,
  PolicyChange,
  SpaceFingerprint,
  SpaceStatus,
  Trust,
} from './space-status.ts'
import { type DeviceKeys, type Policy, type RelayIdentity, type Role, roleNumber } from './verify/control.ts'
import { encodeControlBody } from './verify/control-codec.ts'
import { type ControlState, currentMember, isMemberDevice, latestEpoch } from './verify/control-state.ts'
import { decodeFingerprint, encodeFingerprint, fingerprintDigits, fingerprintOf } from './verify/fingerprint.ts'
import type { VerifiedEntry } from './verify/log.ts'
import { knownDocument } from './verify/state.ts'
import { assertWaitOptions, Condition, type WaitOptions, withLimits } from './waiting.ts'

/** Delay before a store that failed is tried again, in milliseconds. */
const STORE_RETRY = 5_000
/** What ends the attempt to join, rather than delay it. */
const JOIN_FAULTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['ERR_INVITE', 'ERR_RELAY_IDENTITY', 'ERR_FROZEN'])

/** A document of the directory. */
export interface ListedDocument extends DocumentInfo {
  /** It is from before the time that this member may read; `Space.grantHistory` of an admin opens it. */
  readonly locked: boolean
}

export interface SpaceEvents {
  /** The list of documents, or what the directory says of them, changed. */
  documents: { readonly space: Space }
  members: { readonly space: Space }
  status: { readonly space: Space; readonly status: SpaceStatus }
  problem: { readonly space: Space; readonly problem: Problem }
  /** The relay contradicted itself, by its own signatures: sync has ended, local work goes on. */
  frozen: { readonly space: Space; readonly evidence: Uint8Array }
}

export interface SpaceOptions {
  readonly id: SpaceId
  readonly store: ReplicaStore
  readonly client: RelayClient
  readonly environment: Environment
  readonly verifier: SignatureVerifier
  readonly replicate: Replicate
  /** In milliseconds. */
  readonly staleAfter: number
  /** Nothing is sealed on a head that is older, in milliseconds. */
  readonly maxHeadAge: number
  readonly limits: SyncLimits
  /** There may be a new head. */
  readonly onHead: (space: Space) => void
  readonly onClosed: (space: Space) => void
}

/** Members, one changelog and its documents: the unit of trust and of keys. */
export class Space {
  readonly id: SpaceId
  readonly #options: SpaceOptions
  readonly #documents: DocumentSet
  readonly #problems = new Problems(problem => this.#emitter.emit('problem', { space: this, problem }))
  readonly #emitter = new Emitter<SpaceEvents>()
  readonly #condition = new Condition()
  readonly #open: OpenDocuments
  readonly #provenIndex = new Map<DocumentId, number>()
  readonly #sync: SpaceSync
  readonly #membership: Membership
  #storage: SpaceStatus['storage'] = 'ok'
  #cancelRetry: () => void = () => {}
  #statusQueued = false
  #closing: Promise<void> | undefined

  private constructor(options: SpaceOptions, loaded: LoadedSpace) {
    this.id = options.id
    this.#options = options
    const { environment, store, client, verifier } = options
    this.#documents = new DocumentSet({
      space: options.id,
      store,
      random: environment.random,
      devicePublicKey: publicKeyOf(loaded.secrets.device.signing),
      isUsed: document => this.#open.isUsed(document),
      onChanged: (document, batch, source) => this.#open.tell(document, batch, source),
      keysOf: (document, epoch) => keysIn(this.#sync.keys, this.#sync.view.state)(document, epoch),
      onStopped: (document, stopped) => this.#onStopped(document, stopped),
      onReleased: (_document, actor) => clearStopped(this.#problems, actor),
      onFlush: failure => this.#onFlush(failure),
    })
    this.#open = new OpenDocuments({
      documents: this.#documents,
      environment,
      assertWritable: () => this.#assertWritable(),
      receipt: core => this.#receipt(core),
      writers: core => this.#writers(core),
      onLocalChange: () => this.#onUpdate(),
      onDirectoryChange: () => this.#onDirectoryChange(),
      onUsed: document => this.#sync.want(document),
    })
    const space = idBytes(options.id)
    this.#sync = new SpaceSync({
      space: options.id,
      store,
      client,
      environment,
      verifier,
      documents: this.#documents,
      problems: this.#problems,
      ...loaded,
      replicate: options.replicate,
      limits: options.limits,
      maxHeadAge: options.maxHeadAge,
      admissionBody: (keys, control) => admissionBody(loaded.secrets, { space, environment, keys, control }),
      onStore: failure => this.#onStore(failure),
      onUpdate: () => this.#onUpdate(),
      onEntries: entries => this.#onEntries(entries),
      onFrozen: evidence => {
        this.#problem('frozen', new SealogError('ERR_FROZEN', 'the relay contradicted itself: sync has ended'))
        this.#emitter.emit('frozen', { space: this, evidence })
      },
    })
    this.#membership = new Membership({
      space: options.id,
      environment,
      sync: this.#sync,
      spaceName: () => this.name,
      current: (limits, task) => this.#whenCurrent(limits, false, task),
      keyed: (limits, task) => this.#whenCurrent(limits, true, task),
    })
  }

  /** Opens a space of the local store and starts to sync it. @throws SealogError ERR_UNKNOWN_SPACE, ERR_STORE… */
  static async open(options: SpaceOptions): Promise<Space> {
    const space = new Space(options, await loadSpace(options))
    await space.#documents.load()
    await space.#documents.open(DIRECTORY_DOCUMENT)
    for (const meta of space.#documents.metas()) space.#onStopped(meta.document, meta.stopped)
    space.#sync.listed(space.documents().map(({ id }) => id))
    await space.#sync.start()
    return space
  }

  // -- What it is -------------------------------------------------------------------------------------------------

  get #control(): ControlState | undefined {
    return this.#sync.view.state?.control
  }

  /** Empty as long as the space's first entry has not arrived. */
  get name(): string {
    return openName(this.#sync.keys, 'space', this.#control?.spaceName)
  }

  /** This person, also while the log does not have it yet, or not any more. */
  get me(): Member {
    const own = this.members().find(member => member.me)
    if (own !== undefined) return own
    const { member: id, secrets } = this.#sync
    const since = { index: 0, epoch: 0 }
    return { id, name: secrets.memberName, role: this.#ownRole(), history: 'all', me: true, since, devices: [] }
  }

  /** Who is in the space now, with their devices; who was, `history` tells. */
  members(): readonly Member[] {
    return this.#membership.members()
  }

  /** Invites that nobody has used. */
  invites(): readonly OpenInviteInfo[] {
    return this.#membership.invites()
  }

  /** Who has used an approved invite and waits for `approve` or `decline`. */
  requests(): readonly JoinRequest[] {
    return this.#membership.requests()
  }

  /** Of the keys with which this device asks to join; to be compared with what who approves sees. */
  get ownFingerprint(): string {
    const { device } = this.#sync.secrets
    return keyFingerprint(publicKeyOf(device.signing), kemPublicKeyOf(device.kem))
  }

  #ownRole(): Role {
    const control = this.#control
    const role = control && currentMember(control, this.#sync.member)?.role
    return role ?? (this.#sync.secrets.admission?.type === 'genesis' ? 'owner' : 'reader')
  }

  get status(): SpaceStatus {
    let unsaved = 0
    let pending = 0
    for (const core of this.#documents.cores()) {
      unsaved += core.unsaved().length
      pending += core.pending().length
    }
    return {
      connection: this.#sync.isPaused ? 'paused' : this.#options.client.state,
      membership: this.#standing,
      local: { unsaved, pending, sequenced: this.#sync.inFlight },
      confirmed: this.#confirmed(),
      trust: this.#trust(),
      frozen: this.#sync.evidence !== undefined,
      storage: this.#storage,
      halted: this.#sync.halted,
    }
  }

  get #standing(): SpaceStatus['membership'] {
    if (this.#sync.removed !== undefined) return 'removed'
    if (this.isAdmitted) return 'member'
    return this.#sync.isPending ? 'pending' : 'joining'
  }

  #confirmed(): SpaceStatus['confirmed'] {
    const { view, freshness } = this.#sync
    const at = view.head?.time
    const { environment, staleAfter } = this.#options
    const stale = at === undefined || environment.now() - at > staleAfter
    return { size: view.range.size, at, stale, byOther: freshness.latest }
  }

  #trust(): Trust {
    const { vouched } = this.#sync
    if (vouched === undefined) return { level: 'verified' }
    const { target, by, audited } = vouched
    return { level: 'vouched', size: target.size, by, audited: audited.range.size }
  }

  /** What a person should know about: entries that did not verify, members whose changes were refused, a full disk. */
  get problems(): readonly Problem[] {
    return this.#problems.list()
  }

  // -- Documents --------------------------------------------------------------------------------------------------

  /** All documents of the directory, archived ones and those that this member may not read included. */
  documents(): readonly ListedDocument[] {
    return this.#open.list().map(info => ({ ...info, locked: this.#sync.isLocked(info.id) }))
  }

  /**
   * A new document with this content; at once, offline too.
   * @param options.name what people call it (encrypted like all content)
   * @param options.type what kind of document the application says it is
   * @throws SealogError ERR_CLOSED, ERR_READ_ONLY, ERR_GUARD, ERR_STORE…; TypeError
   */
  async createDocument<T extends object = Record<string, unknown>>(
    initial: T = {} as T,
    options: { readonly name?: string; readonly type?: string } = {},
  ): Promise<SpaceDocument<T>> {
    if (typeof initial !== 'object' || initial === null || Array.isArray(initial)) {
      throw new TypeError('initial: expected an object')
    }
    const { name = '', type = '' } = options
    if (typeof name !== 'string') throw new TypeError('name: expected a string')
    if (typeof type !== 'string') throw new TypeError('type: expected a string')
    this.#assertWritable()
    return this.#open.create(initial, name, type)
  }

  /**
   * A new document that begins with a foreign `Automerge.save()`, history and all. The whole of it counts as said by
   * this member; whoever wrote it elsewhere cannot write on here under the same actor ids.
   * @param saved one Automerge document, at most 15 MiB
   * @throws SealogError ERR_GUARD for what the content rules refuse, ERR_CONTENT for what does not load, ERR_LIMIT,
   * ERR_CLOSED, ERR_READ_ONLY, ERR_STORE…; TypeError
   */
  async importDocument<T = Record<string, unknown>>(
    saved: Uint8Array,
    options: { readonly name?: string; readonly type?: string } = {},
  ): Promise<SpaceDocument<T>> {
    if (!(saved instanceof Uint8Array)) throw new TypeError('saved: expected bytes')
    const { name = '', type = '' } = options
    if (typeof name !== 'string') throw new TypeError('name: expected a string')
    if (typeof type !== 'string') throw new TypeError('type: expected a string')
    this.#assertWritable()
    return this.#open.import(saved, name, type)
  }

  /** @throws SealogError ERR_UNKNOWN_DOCUMENT, ERR_LOCKED, ERR_CLOSED; TypeError for what is not a document id */
  async openDocument<T = Record<string, unknown>>(id: string): Promise<SpaceDocument<T>> {
    this.#assertOpen()
    if (this.#sync.isLocked(parseDocumentId(id))) {
      throw new SealogError('ERR_LOCKED', 'the document is from before the time that this member may read')
    }
    return this.#open.open(id)
  }

  /** Marks a document as archived (or not): it stays, with all its content. */
  async archiveDocument(id: string, archived = true): Promise<void> {
    this.#assertWritable()
    await this.#open.archive(id, archived)
  }

  #receipt(core: DocumentCore): Receipt {
    const target = core.lastOwnSeq
    const isProven = (): boolean => (core.locals[0]?.seq ?? target + 1) > target
    const state = (): Receipt['state'] => {
      if (isProven()) return 'proven'
      if (core.unsaved().length > 0) return 'unsaved'
      return this.#sync.inFlight > 0 ? 'sequenced' : 'pending'
    }
    return {
      state: state(),
      index: this.#provenIndex.get(core.document),
      proven: (options = {}) => {
        const holds = (): boolean => {
          if (isProven()) return true
          this.#assertGoingOn()
          return false
        }
        return this.#wait(options, signal => this.#until(holds, signal))
      },
    }
  }

  #writers(core: DocumentCore): KnownWriters {
    const { tips, importing } = this.#documents.meta(core.document)
    const { state } = this.#sync.view
    const own = {
      actor: core.actor,
      member: this.#sync.member,
      device: this.#sync.device,
      hasUnsent: core.locals.length > 0,
      hasImported: importing !== undefined,
    }
    return { control: state?.control, record: knownDocument(state, core.document), tips, own }
  }

  // -- What happened ----------------------------------------------------------------------------------------------

  /**
   * Everything that ever changed members, devices, roles, keys and policy: who did what to whom, with the place in the
   * log, as data and in words. Complete, and from verified entries; times are by their authors' clocks.
   * @throws SealogError ERR_CLOSED, ERR_STORE…; TypeError
   */
  async history(options: HistoryOptions = {}): Promise<readonly HistoryEvent[]> {
    this.#assertOpen()
    return historyOf(this.#past(), this.#options.store, options)
  }

  /**
   * Who could read an entry: the members whose devices, or whose invites, were given keys that open it, until now. Not
   * who did read it, nor who was handed a copy.
   * @throws SealogError ERR_UNKNOWN_DOCUMENT, ERR_CLOSED; TypeError
   */
  readers(entry: EntryAddress): readonly Reader[] {
    this.#assertOpen()
    return readersOf(this.#past(), entry)
  }

  #past(): Past {
    const { view, keys } = this.#sync
    return { view, keys }
  }

  // -- Sync -------------------------------------------------------------------------------------------------------

  /**
   * Resolves when everything local is proven, and everything the relay had at that moment is applied. Offline it
   * waits.
   * @throws SealogError ERR_TIMEOUT, ERR_ABORTED, ERR_CLOSED; ERR_FROZEN where the relay contradicted itself;
   * ERR_REMOVED where this device was removed from the space; ERR_UPGRADE where a later version is needed to go on;
   * ERR_UNAUTHORIZED or ERR_QUOTA where the relay does not take in a space that was created here: see `setAdmission`
   */
  sync(options: WaitOptions = {}): Promise<void> {
    return this.#wait(options, async signal => {
      for (;;) {
        await this.#documents.flush().catch(() => {})
        this.#sync.push()
        await this.#until(() => {
          this.#assertGoingOn()
          return this.#sync.isCurrent && this.#sync.isSettled && this.#sync.isComplete
        }, signal)
        const size = this.#sync.view.range.size
        const answered = await this.#sync.barrier().then(
          () => true,
          () => false,
        )
        // Whatever came or was written meanwhile is part of the promise too.
        const isDone = this.#sync.isSettled && this.#sync.isCurrent && this.#sync.isComplete
        if (answered && isDone && this.#sync.view.range.size >= size) return
        if (signal?.aborted) return
      }
    })
  }

  /**
   * What the relay is shown from now on, where it refused to take in this space, which was created here: the same as
   * `admission` of `createSpace`. Everything that was written meanwhile is kept, and goes out once it is admitted.
   * Without effect where the relay has the space. @param token of 1 to 256 bytes
   * @throws SealogError ERR_CLOSED, ERR_STORE…; TypeError
   */
  async setAdmission(token: string): Promise<void> {
    assertAdmission(token, 'token')
    this.#assertOpen()
    await this.#sync.setAdmission(token)
  }

  // -- What others were shown -------------------------------------------------------------------------------------

  /** The relay's latest signed word about this space, to be passed on to others. Undefined before the first. */
  get head(): Uint8Array | undefined {
    return this.#sync.note
  }

  /**
   * Holds what the relay said to somebody else (their `head`) against what it said here. Resolves where the two are one
   * log. A head that is ahead of this replica is kept: the log must lead there.
   * @throws SealogError ERR_FROZEN where the relay contradicted itself; ERR_PROOF where it does not show that the two
   * are one log; ERR_CHECKPOINT, ERR_CHECKPOINT_SIGNATURE for what is not its word about this space; ERR_TIMEOUT,
   * ERR_ABORTED, ERR_CLOSED
   */
  compareHead(head: Uint8Array, options: WaitOptions = {}): Promise<void> {
    if (!(head instanceof Uint8Array)) throw new TypeError('head: expected bytes')
    this.#assertOpen()
    return this.#wait(options, async signal => {
      await this.#until(() => {
        this.#assertGoingOn()
        return this.#sync.isCurrent
      }, signal)
      await this.#sync.compareHead(head)
    })
  }

  /**
   * Twelve groups of five digits, equal on all devices that see the same members by the same log: to be compared in
   * person, or by scanning `qr`. Undefined as long as the log has not arrived.
   */
  fingerprint(): SpaceFingerprint | undefined {
    const hash = fingerprintOf(this.#sync.view)
    const note = this.#sync.note
    if (hash === undefined || note === undefined) return undefined
    return { digits: fingerprintDigits(hash), qr: encodeFingerprint({ space: this.id, hash, note }) }
  }

  /**
   * Compares a scanned fingerprint, and the head in it.
   * @returns whether both see the same members: if not, one of the two may just lack the latest change of membership
   * @throws SealogError ERR_MALFORMED, ERR_UPGRADE; and as `compareHead`
   */
  async verifyFingerprint(qr: string, options: WaitOptions = {}): Promise<boolean> {
    const other = decodeFingerprint(qr)
    if (other.space !== this.id) throw new SealogError('ERR_MALFORMED', 'the fingerprint of another space')
    await this.compareHead(other.note, options)
    const own = fingerprintOf(this.#sync.view)
    return own !== undefined && equalBytes(own, other.hash)
  }

  /**
   * Lets somebody who is no member audit the log by standard tools, as static files over HTTP (C2SP tlog-tiles). Made
   * without the relay, offline too; good until it expires, or this device leaves the space. Whoever has it can read who
   * writes when, to which document and how much, as the relay can: never content, names or titles.
   * @throws SealogError ERR_REMOVED, ERR_UNAUTHORIZED where this device is not admitted yet, ERR_CLOSED; TypeError
   */
  async auditAccess(options: AuditOptions = {}): Promise<AuditAccess> {
    this.#assertOpen()
    return auditAccess(this.#sync, this.#options.environment, options)
  }

  /** By which anybody can see that the relay contradicted itself (`sealog verify`); undefined where it did not. */
  exportEvidence(): Uint8Array | undefined {
    return this.#sync.evidence
  }

  /** Stops talking to the relay; local work goes on. */
  pause(): void {
    this.#sync.pause()
    this.#onUpdate()
  }

  resume(): void {
    this.#assertOpen()
    this.#sync.resume()
    this.#onUpdate()
  }

  // -- Members, devices, keys --------------------------------------------------------------------------------------
  // All of these wait until the relay's log is here, and until their entry is proven in it. They throw
  // ERR_UNAUTHORIZED where the role does not allow it, ERR_INVALID_ENTRY (`details.reason`) where the rules of the space
  // forbid it, what ends `sync`, ERR_TIMEOUT, ERR_ABORTED, ERR_CLOSED; TypeError.

  /**
   * Makes an invite: a link for one person, who joins with `Replica.joinSpace`. The two kinds differ in what the link is
   * worth to a thief: see `InviteOptions.kind`.
   */
  invite(options: InviteOptions = {}): Promise<string> {
    return this.#membership.invite(options)
  }

  /** Makes an instant link for one more device of this person: it is a key, show it to nobody else. */
  inviteDevice(options: AddDeviceOptions = {}): Promise<string> {
    return this.#membership.inviteDevice(options)
  }

  /** Ends an invite that nobody has used: by its link, or by its id in `invites`. */
  revokeInvite(invite: string | number, options: WaitOptions = {}): Promise<void> {
    return this.#membership.revokeInvite(invite, options)
  }

  /** Lets in who asks. Compare the fingerprint with that person first: the name is only what it says. */
  approve(request: number, options: WaitOptions = {}): Promise<void> {
    return this.#membership.approve(request, options)
  }

  decline(request: number, options: WaitOptions = {}): Promise<void> {
    return this.#membership.decline(request, options)
  }

  /**
   * Removes a member with all devices and open invites. From the entry on it can write nothing, and whoever has seen
   * the entry seals nothing that it could read: a new epoch starts first.
   */
  removeMember(member: string, options: WaitOptions = {}): Promise<void> {
    return this.#membership.removeMember(member, options)
  }

  /** The same for one device: a lost one, of oneself or of somebody below. The last one of a member removes the member. */
  removeDevice(device: number, options: WaitOptions = {}): Promise<void> {
    return this.#membership.removeDevice(device, options)
  }

  renameDevice(device: number, name: string, options: WaitOptions = {}): Promise<void> {
    return this.#membership.renameDevice(device, name, options)
  }

  /** One more device of this person, whose keys are known; see `Replica.createRecovery`. @returns its number */
  addDevice(keys: DeviceKeys, name: string, options: WaitOptions = {}): Promise<number> {
    return this.#membership.addDevice(keys, name, options)
  }

  /** The same as `inviteDevice`, for keys that somebody else knows already. */
  inviteDeviceKeys(provisional: DeviceSecrets, expiresIn: number, options: WaitOptions = {}): Promise<void> {
    return this.#membership.inviteDeviceKeys(provisional, expiresIn, options)
  }

  /** Is this signing key (32 bytes) one of a device that is here now? */
  hasDevice(signing: Uint8Array): boolean {
    return this.deviceOfKey(signing) !== undefined
  }

  /** Number of the current device with this signing key, 32 bytes. */
  deviceOfKey(signing: Uint8Array): number | undefined {
    const device = this.#control && deviceByKey(this.#control, signing)
    return isMemberDevice(device) ? device.number : undefined
  }

  /** Where the space is kept. */
  get relay(): RelayIdentity {
    const { relay } = this.#sync.view
    return { name: relay.name, key: relay.key, url: this.#sync.secrets.url }
  }

  setRole(member: string, role: Role, options: WaitOptions = {}): Promise<void> {
    return this.#membership.setRole(member, role, options)
  }

  /** Leaves the space with all devices: what is here stays readable. The last owner cannot. */
  leave(options: WaitOptions = {}): Promise<void> {
    return this.#membership.leave(options)
  }

  /** Renames the space (admins), or oneself. */
  rename(what: 'space' | 'me', name: string, options: WaitOptions = {}): Promise<void> {
    if (what !== 'space' && what !== 'me') throw new TypeError('what: expected space or me')
    return this.#membership.rename(what === 'me' ? 'member' : 'space', name, options)
  }

  /** Lets a `from-join` member read what was written from the start of this epoch on; 0 is the first. */
  grantHistory(member: string, from = 0, options: WaitOptions = {}): Promise<void> {
    return this.#membership.grantHistory(member, from, options)
  }

  /**
   * Starts a new epoch: what is written from then on opens with a key that only the present members get.
   * @throws SealogError ERR_RATE_LIMITED where this member did so less than 16 entries ago, with no reason on record
   */
  rotateKeys(options: WaitOptions = {}): Promise<void> {
    return this.#membership.rotateKeys(options)
  }

  /** Undefined as long as the log has not arrived. */
  get policy(): Policy | undefined {
    return this.#membership.policy
  }

  /** By owners. */
  setPolicy(change: PolicyChange, options: WaitOptions = {}): Promise<void> {
    return this.#membership.setPolicy(change, options)
  }

  /** The log proves that this device is a member, or it is the one that founded the space. */
  get isAdmitted(): boolean {
    const { admission } = this.#sync.secrets
    return admission === undefined || admission.type === 'genesis'
  }

  /**
   * Resolves once this device is admitted and has the log.
   * @throws SealogError ERR_INVITE, ERR_RELAY_IDENTITY; and what ends `sync`
   */
  joined(signal?: AbortSignal): Promise<void> {
    return this.#until(() => {
      if (!this.isAdmitted && this.#sync.removed !== undefined) {
        throw new SealogError('ERR_INVITE', 'the request to join was declined')
      }
      this.#assertGoingOn()
      if (this.isAdmitted) return this.#sync.isCurrent && this.#sync.isComplete
      const refused = this.#problems.list().find(({ code }) => JOIN_FAULTS.has(code))
      if (refused !== undefined) throw new SealogError(refused.code, refused.message)
      return false
    }, signal)
  }

  on<Type extends keyof SpaceEvents>(
    type: Type,
    listener: (event: SpaceEvents[Type]) => void,
    options?: ListenOptions,
  ): Unsubscribe {
    return this.#emitter.on(type, listener, options)
  }

  /**
   * Flushes to the store; does not wait for the network. Idempotent: every call settles when the space is closed.
   * @throws SealogError ERR_STORE… where own changes could not be stored
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    // Not before `#closing` is set, so that whoever is told sees a closed space.
    await Promise.resolve()
    this.#condition.changed()
    this.#cancelRetry()
    this.#open.close()
    await this.#sync.close()
    try {
      await this.#documents.close()
    } finally {
      this.#emitter.clear()
      this.#options.onClosed(this)
    }
  }

  /** `close` was called. */
  get isClosed(): boolean {
    return this.#closing !== undefined
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // -- Inside -----------------------------------------------------------------------------------------------------

  /** Another replica of this device was told this by the relay. What is wrong with it is shown. */
  heard(note: Uint8Array): void {
    if (this.isClosed || !this.#sync.isCurrent) return
    this.#sync.compareHead(note).then(
      () => this.#problems.clear('head'),
      error => {
        const failure = asSealogError(error, 'ERR_PROOF', 'a head could not be compared')
        if (!this.isClosed && failure.code !== 'ERR_OFFLINE') this.#problem('head', failure)
      },
    )
  }

  /** The connection went up or down. */
  connectionChanged(client: RelayClient, cause: SealogError | undefined): void {
    if (client !== this.#options.client) return
    if (cause !== undefined && cause.code !== 'ERR_OFFLINE') this.#problem('connection', cause)
    else if (this.#options.client.state === 'online') this.#problems.clear('connection')
    this.#onUpdate()
  }

  #problem(cause: string, error: SealogError): void {
    const since = this.#options.environment.now()
    this.#problems.add(cause, { code: error.code, message: error.message, since })
  }

  #onDirectoryChange(): void {
    this.#sync.listed(this.documents().map(({ id }) => id))
    this.#emitter.emit('documents', { space: this })
  }

  #onStopped(document: DocumentId, stopped: ReadonlyMap<ActorId, Stopped>): void {
    const now = this.#options.environment.now()
    for (const [actor, stop] of stopped) addStopped(this.#problems, document, actor, stop, now)
  }

  #onFlush(failure: SealogError | undefined): void {
    this.#onStore(failure)
    if (failure === undefined) this.#sync.push()
    this.#onUpdate()
  }

  #onStore(failure: SealogError | undefined): void {
    if (failure !== undefined) {
      this.#storage = failure.code === 'ERR_STORE_FULL' ? 'full' : 'failed'
      this.#problem('store', failure)
      this.#cancelRetry()
      if (!this.isClosed) this.#cancelRetry = this.#options.environment.schedule(STORE_RETRY, () => this.#flush())
    } else if (this.#storage !== 'ok') {
      // It took something else: all is well once it took what is unsaved.
      if (this.#documents.isDirty) return this.#flush()
      this.#storage = 'ok'
      this.#problems.clear('store')
    }
  }

  #flush(): void {
    void this.#documents.flush().catch(() => {})
  }

  #onEntries(entries: readonly VerifiedEntry[]): void {
    let membersChanged = false
    for (const entry of entries) {
      if (entry.header.kind === 'control') membersChanged = true
      const core = this.#documents.core(entry.header.document)
      if (core?.actor === entry.actor) this.#provenIndex.set(entry.header.document, entry.index)
    }
    if (membersChanged) this.#emitter.emit('members', { space: this })
    this.#options.onHead(this)
  }

  #onUpdate(): void {
    this.#condition.changed()
    if (this.#statusQueued) return
    this.#statusQueued = true
    queueMicrotask(() => {
      this.#statusQueued = false
      if (!this.isClosed) this.#emitter.emit('status', { space: this, status: this.status })
    })
  }

  #whenCurrent<T>(limits: WaitOptions, needsKeys: boolean, task: (control: ControlState) => Promise<T>): Promise<T> {
    this.#assertOpen()
    return this.#wait(limits, async signal => task(await this.#currentControl(needsKeys, signal)))
  }

  async #currentControl(needsKeys: boolean, signal: AbortSignal | undefined): Promise<ControlState> {
    await this.#until(() => {
      this.#assertGoingOn()
      const isReady = this.#sync.isCurrent && this.isAdmitted && this.#control !== undefined
      return isReady && (!needsKeys || (this.#sync.holdsKey && this.#control?.rotation !== 'tainted'))
    }, signal)
    return this.#control as ControlState
  }

  #until(holds: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    return this.#condition.until(() => {
      this.#assertOpen()
      return holds()
    }, signal)
  }

  #wait<T>(options: WaitOptions, task: (signal: AbortSignal | undefined) => Promise<T>): Promise<T> {
    assertWaitOptions(options)
    const stop = new AbortController()
    const limited = withLimits(this.#options.environment, options, task(stop.signal))
    return limited.finally(() => stop.abort())
  }

  #assertOpen(): void {
    if (this.isClosed) throw new SealogError('ERR_CLOSED', 'the space was closed')
  }

  /** @throws SealogError where no wait for the relay would end, as far as this replica can tell */
  #assertGoingOn(): void {
    const { ended, turnedAway } = this.#sync
    const reason = ended ?? turnedAway
    if (reason !== undefined) throw reason
  }

  #assertWritable(): void {
    this.#assertOpen()
    if (this.#sync.removed !== undefined) throw removed()
    const role = this.#ownRole()
    if (roleNumber(role) < roleNumber('writer')) {
      throw new SealogError('ERR_READ_ONLY', `a member of role ${role} cannot write`)
    }
  }
}

function removed(): SealogError {
  return new SealogError('ERR_REMOVED', 'this device was removed from the space')
}

/** The entry by which another device admits this one: of an invite, or after a recovery. @throws SealogError ERR_KEY */
function admissionBody(
  { admission, device, member, memberName, deviceName }: SpaceSecrets,
  at: Pick<Writing, 'space' | 'keys'> & { readonly environment: Environment; readonly control: ControlState },
): Uint8Array {
  const { space, keys, environment, control } = at
  const { random } = environment
  const writing = { space, keys, random, time: environment.now(), epoch: latestEpoch(control) }
  const own = deviceKeysOf(device, space, member)
  if (admission?.type === 'recovery') {
    const history = currentMember(control, member)?.history ?? 'all'
    return encodeControlBody(addDeviceBody(writing, own, history, deviceName))
  }
  const secret = (admission?.type === 'join' ? admission.nameKey : undefined) ?? keys.namesSecret(writing.epoch)
  return encodeControlBody(joinBody(writing, own, { member: memberName, device: deviceName }, secret))
}

interface LoadedSpace extends StoredView {
  readonly secrets: SpaceSecrets
  readonly vouched: Vouched | undefined
  readonly freshness: Freshness
  readonly evidence: Uint8Array | undefined
  readonly audits: readonly DueAudit[]
  readonly locked: LockedDocuments
}

async function loadSpace({ id, store }: SpaceOptions): Promise<LoadedSpace> {
  const secrets = await store.get(spaceKey(id, 'secrets'))
  const stored = await loadView(store, id)
  if (secrets === undefined || stored === undefined) {
    throw new SealogError('ERR_UNKNOWN_SPACE', 'no space of this id is in the local store')
  }
  const trust = await store.get(spaceKey(id, 'trust'))
  return {
    ...stored,
    secrets: decodeSecrets(secrets),
    vouched: trust === undefined ? undefined : decodeTrustRow(trust),
    locked: await loadLocked(store, id),
    freshness: new Freshness(await store.get(spaceKey(id, 'confirmed'))),
    evidence: await store.get(spaceKey(id, 'evidence')),
    audits: await loadAudits(store, id),
  }
}
