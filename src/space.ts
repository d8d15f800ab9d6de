import { assertAdmission } from './admission-token.ts'
import { deviceByKey } from './crdt/devices.ts'
import type { DocumentInfo } from './crdt/directory.ts'
import type { HistoryEvent } from './crdt/history-events.ts'
import { openName } from './crdt/names.ts'
import type { Problem } from './crdt/problems.ts'
import type { DeviceSecrets } from './crdt/secrets.ts'
import type { ReplicaStore } from './crdt/store.ts'
import { publicKeyOf } from './crypto/sign.ts'
import { kemPublicKeyOf } from './crypto/wrap.ts'
import { SealogError } from './errors.ts'
import { Emitter, type ListenOptions, type Unsubscribe } from './events.ts'
import { parseDocumentId, type SpaceId } from './ids.ts'
import type { RelayClient } from './relay/client.ts'
import { type AuditAccess, type AuditOptions, auditAccess } from './space-audit.ts'
import { ControlWriter } from './space-control.ts'
import type { SpaceDocument } from './space-document.ts'
import { SpaceEngine, type SpaceEngineOptions } from './space-engine.ts'
import { scannedFingerprint, shownFingerprint } from './space-fingerprint.ts'
import { type EntryAddress, type HistoryOptions, historyOf, type Reader, readersOf } from './space-history.ts'
import { Invites } from './space-invites.ts'
import { type LoadedSpace, loadSpace } from './space-loading.ts'
import { Membership } from './space-membership.ts'
import { invitesOf, keyFingerprint, membersOf, type Onlooker, requestsOf } from './space-people.ts'
import { rotateKeys, setPolicy } from './space-policy.ts'
import { isAdmitted, roleIn } from './space-standing.ts'
import type {
  AddDeviceOptions,
  InviteOptions,
  JoinRequest,
  Member,
  OpenInviteInfo,
  PolicyChange,
  SpaceFingerprint,
  SpaceStatus,
} from './space-status.ts'
import type { DeviceKeys, Policy, RelayIdentity, Role } from './verify/control.ts'
import { type ControlState, isMemberDevice } from './verify/control-state.ts'
import type { WaitOptions } from './waiting.ts'

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

export interface SpaceOptions extends SpaceEngineOptions {
  /** There may be a new head. */
  readonly onHead: (space: Space) => void
  readonly onClosed: (space: Space) => void
}

/** Members, one changelog and its documents: the unit of trust and of keys. */
export class Space {
  readonly id: SpaceId
  readonly #store: ReplicaStore
  readonly #emitter = new Emitter<SpaceEvents>()
  readonly #engine: SpaceEngine
  readonly #writer: ControlWriter
  readonly #invites: Invites
  readonly #membership: Membership

  private constructor(options: SpaceOptions, loaded: LoadedSpace) {
    const { id, store, environment } = options
    this.id = id
    this.#store = store
    this.#engine = new SpaceEngine(options, loaded, {
      documents: () => this.#emitter.emit('documents', { space: this }),
      members: () => this.#emitter.emit('members', { space: this }),
      status: status => this.#emitter.emit('status', { space: this, status }),
      problem: problem => this.#emitter.emit('problem', { space: this, problem }),
      frozen: evidence => this.#emitter.emit('frozen', { space: this, evidence }),
      head: () => options.onHead(this),
      closed: () => {
        this.#emitter.clear()
        options.onClosed(this)
      },
    })
    const { sync, progress } = this.#engine
    this.#writer = new ControlWriter({
      space: id,
      environment,
      sync,
      whenCurrent: (limits, needsKeys, task) => progress.whenCurrent(limits, needsKeys, task),
    })
    this.#invites = new Invites(id, this.#writer, () => this.name)
    this.#membership = new Membership(this.#writer)
  }

  /** Opens a space of the local store and starts to sync it. @throws SealogError ERR_UNKNOWN_SPACE, ERR_STORE… */
  static async open(options: SpaceOptions): Promise<Space> {
    const space = new Space(options, await loadSpace(options.store, options.id))
    await space.#engine.start()
    return space
  }

  // -- What it is -------------------------------------------------------------------------------------------------

  get #control(): ControlState | undefined {
    return this.#engine.sync.view.state?.control
  }

  get #onlooker(): Onlooker {
    const { keys, member, device } = this.#engine.sync
    return { control: this.#control, keys, member, device }
  }

  /** Empty as long as the space's first entry has not arrived. */
  get name(): string {
    return openName(this.#engine.sync.keys, 'space', this.#control?.spaceName)
  }

  /** This person, also while the log does not have it yet, or not any more. */
  get me(): Member {
    const own = this.members().find(member => member.me)
    if (own !== undefined) return own
    const { sync } = this.#engine
    const since = { index: 0, epoch: 0 }
    const { memberName: name } = sync.secrets
    return { id: sync.member, name, role: roleIn(sync), history: 'all', me: true, since, devices: [] }
  }

  /** Who is in the space now, with their devices; who was, `history` tells. */
  members(): readonly Member[] {
    return membersOf(this.#onlooker)
  }

  /** Invites that nobody has used. */
  invites(): readonly OpenInviteInfo[] {
    return invitesOf(this.#onlooker)
  }

  /** Who has used an approved invite and waits for `approve` or `decline`. */
  requests(): readonly JoinRequest[] {
    return requestsOf(this.#onlooker)
  }

  /** Of the keys with which this device asks to join; to be compared with what who approves sees. */
  get ownFingerprint(): string {
    const { device } = this.#engine.sync.secrets
    return keyFingerprint(publicKeyOf(device.signing), kemPublicKeyOf(device.kem))
  }

  get status(): SpaceStatus {
    return this.#engine.status
  }

  /** What a person should know about: entries that did not verify, members whose changes were refused, a full disk. */
  get problems(): readonly Problem[] {
    return this.#engine.problems.list()
  }

  // -- Documents --------------------------------------------------------------------------------------------------

  /** All documents of the directory, archived ones and those that this member may not read included. */
  documents(): readonly ListedDocument[] {
    const { handles, sync } = this.#engine
    return handles.list().map(info => ({ ...info, locked: sync.isLocked(info.id) }))
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
    this.#engine.assertWritable()
    return this.#engine.handles.create(initial, name, type)
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
    this.#engine.assertWritable()
    return this.#engine.handles.import(saved, name, type)
  }

  /** @throws SealogError ERR_UNKNOWN_DOCUMENT, ERR_LOCKED, ERR_CLOSED; TypeError for what is not a document id */
  async openDocument<T = Record<string, unknown>>(id: string): Promise<SpaceDocument<T>> {
    this.#engine.assertOpen()
    if (this.#engine.sync.isLocked(parseDocumentId(id))) {
      throw new SealogError('ERR_LOCKED', 'the document is from before the time that this member may read')
    }
    return this.#engine.handles.open(id)
  }

  /** Marks a document as archived (or not): it stays, with all its content. */
  async archiveDocument(id: string, archived = true): Promise<void> {
    this.#engine.assertWritable()
    await this.#engine.handles.archive(id, archived)
  }

  // -- What happened ----------------------------------------------------------------------------------------------

  /**
   * Everything that ever changed members, devices, roles, keys and policy: who did what to whom, with the place in the
   * log, as data and in words. Complete, and from verified entries; times are by their authors' clocks.
   * @throws SealogError ERR_CLOSED, ERR_STORE…; TypeError
   */
  async history(options: HistoryOptions = {}): Promise<readonly HistoryEvent[]> {
    this.#engine.assertOpen()
    return historyOf(this.#engine.sync, this.#store, options)
  }

  /**
   * Who could read an entry: the members whose devices, or whose invites, were given keys that open it, until now. Not
   * who did read it, nor who was handed a copy.
   * @throws SealogError ERR_UNKNOWN_DOCUMENT, ERR_CLOSED; TypeError
   */
  readers(entry: EntryAddress): readonly Reader[] {
    this.#engine.assertOpen()
    return readersOf(this.#engine.sync, entry)
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
    return this.#engine.progress.synced(options)
  }

  /**
   * What the relay is shown from now on, where it refused to take in this space, which was created here: the same as
   * `admission` of `createSpace`. Everything that was written meanwhile is kept, and goes out once it is admitted.
   * Without effect where the relay has the space. @param token of 1 to 256 bytes
   * @throws SealogError ERR_CLOSED, ERR_STORE…; TypeError
   */
  async setAdmission(token: string): Promise<void> {
    assertAdmission(token, 'token')
    this.#engine.assertOpen()
    await this.#engine.sync.setAdmission(token)
  }

  // -- What others were shown -------------------------------------------------------------------------------------

  /** The relay's latest signed word about this space, to be passed on to others. Undefined before the first. */
  get head(): Uint8Array | undefined {
    return this.#engine.sync.note
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
    this.#engine.assertOpen()
    return this.#engine.progress.compareHead(head, options)
  }

  /**
   * Twelve groups of five digits, equal on all devices that see the same members by the same log: to be compared in
   * person, or by scanning `qr`. Undefined as long as the log has not arrived.
   */
  fingerprint(): SpaceFingerprint | undefined {
    const { view, note } = this.#engine.sync
    return shownFingerprint(view, note)
  }

  /**
   * Compares a scanned fingerprint, and the head in it.
   * @returns whether both see the same members: if not, one of the two may just lack the latest change of membership
   * @throws SealogError ERR_MALFORMED, ERR_UPGRADE; and as `compareHead`
   */
  async verifyFingerprint(qr: string, options: WaitOptions = {}): Promise<boolean> {
    const other = scannedFingerprint(qr, this.id)
    await this.compareHead(other.head, options)
    return other.matches(this.#engine.sync.view)
  }

  /**
   * Lets somebody who is no member audit the log by standard tools, as static files over HTTP (C2SP tlog-tiles). Made
   * without the relay, offline too; good until it expires, or this device leaves the space. Whoever has it can read who
   * writes when, to which document and how much, as the relay can: never content, names or titles.
   * @throws SealogError ERR_REMOVED, ERR_UNAUTHORIZED where this device is not admitted yet, ERR_CLOSED; TypeError
   */
  async auditAccess(options: AuditOptions = {}): Promise<AuditAccess> {
    this.#engine.assertOpen()
    return auditAccess(this.#engine.sync, this.#writer.environment, options)
  }

  /** By which anybody can see that the relay contradicted itself (`sealog verify`); undefined where it did not. */
  exportEvidence(): Uint8Array | undefined {
    return this.#engine.sync.evidence
  }

  /** Stops talking to the relay; local work goes on. */
  pause(): void {
    this.#engine.sync.pause()
    this.#engine.changed()
  }

  resume(): void {
    this.#engine.assertOpen()
    this.#engine.sync.resume()
    this.#engine.changed()
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
    return this.#invites.invite(options)
  }

  /** Makes an instant link for one more device of this person: it is a key, show it to nobody else. */
  inviteDevice(options: AddDeviceOptions = {}): Promise<string> {
    return this.#invites.inviteDevice(options)
  }

  /** Ends an invite that nobody has used: by its link, or by its id in `invites`. */
  revokeInvite(invite: string | number, options: WaitOptions = {}): Promise<void> {
    return this.#invites.revoke(invite, options)
  }

  /** Lets in who asks. Compare the fingerprint with that person first: the name is only what it says. */
  approve(request: number, options: WaitOptions = {}): Promise<void> {
    return this.#invites.approve(request, options)
  }

  decline(request: number, options: WaitOptions = {}): Promise<void> {
    return this.#invites.decline(request, options)
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
    return this.#invites.inviteDeviceKeys(provisional, expiresIn, options)
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
    const { view, secrets } = this.#engine.sync
    return { name: view.relay.name, key: view.relay.key, url: secrets.url }
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

  /**
   * Lets a `from-join` member read what was written from the start of this epoch on; 0 is the first. It may be repeated:
   * each time all of it is given anew, in case an earlier grant did not hold what it promised, which the member sees as
   * a problem.
   */
  grantHistory(member: string, from = 0, options: WaitOptions = {}): Promise<void> {
    return this.#membership.grantHistory(member, from, options)
  }

  /**
   * Starts a new epoch: what is written from then on opens with a key that only the present members get.
   * @throws SealogError ERR_RATE_LIMITED where this member did so less than 16 entries ago, with no reason on record
   */
  rotateKeys(options: WaitOptions = {}): Promise<void> {
    return rotateKeys(this.#writer, options)
  }

  /** Undefined as long as the log has not arrived. */
  get policy(): Policy | undefined {
    return this.#control?.policy
  }

  /** By owners. */
  setPolicy(change: PolicyChange, options: WaitOptions = {}): Promise<void> {
    return setPolicy(this.#writer, change, options)
  }

  /** The log proves that this device is a member, or it is the one that founded the space. */
  get isAdmitted(): boolean {
    return isAdmitted(this.#engine.sync.secrets)
  }

  /**
   * Resolves once this device is admitted and has the log.
   * @throws SealogError ERR_INVITE, ERR_RELAY_IDENTITY; and what ends `sync`
   */
  joined(signal?: AbortSignal): Promise<void> {
    return this.#engine.progress.joined(signal)
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
    return this.#engine.close()
  }

  /** `close` was called. */
  get isClosed(): boolean {
    return this.#engine.isClosed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // -- What the replica passes on ---------------------------------------------------------------------------------

  /** Another replica of this device was told this by the relay. What is wrong with it is shown. */
  heard(note: Uint8Array): void {
    this.#engine.heard(note)
  }

  /** The connection went up or down. */
  connectionChanged(client: RelayClient, cause: SealogError | undefined): void {
    this.#engine.connectionChanged(client, cause)
  }
}
