import { assertAdmission } from './admission-token.ts'
import { decodeInviteLink, type Invite, inviteKeys, inviteNameKey, isRelayAddress } from './crdt/invite-link.ts'
import { DEFAULT_POLICY, genesisBody, newDevice } from './crdt/membership.ts'
import type { Replicate } from './crdt/replication.ts'
import {
  decodePinnedRelay,
  encodePinnedRelay,
  listedKey,
  listSpaces,
  relayKey,
  spaceKey,
  spacePrefix,
} from './crdt/rows.ts'
import { sealGenesis } from './crdt/seal.ts'
import { decodeSecrets, encodeSecrets, type SpaceSecrets } from './crdt/secrets.ts'
import type { ReplicaStore } from './crdt/store.ts'
import type { LockedStore } from './crdt/store-locked.ts'
import { DEFAULT_SYNC_LIMITS, type SyncLimits } from './crdt/sync-limits.ts'
import { encodeViewRow, loadView } from './crdt/view-rows.ts'
import { generateEpochSecret } from './crypto/epoch.ts'
import type { SignatureVerifier } from './crypto/sign.ts'
import { nobleSigningKey } from './crypto/sign-backend.ts'
import type { ScryptCost, StoreSecret } from './crypto/store-lock.ts'
import type { Environment } from './environment.ts'
import { hasCode, SealogError } from './errors.ts'
import { type HeadChannel, HeadExchange } from './head-exchange.ts'
import { memberIdOf, parseSpaceId, type SpaceId, spaceIdOf } from './ids.ts'
import { openProtected } from './key-protection.ts'
import type { RecoveryOutcome } from './recovery.ts'
import { RelayClient } from './relay/client.ts'
import type { Transport } from './relay/transport.ts'
import { type RecoveryState, ReplicaDevices } from './replica-devices.ts'
import { Space } from './space.ts'
import type { AddDeviceOptions } from './space-status.ts'
import { type Note, parseNote, relaySignature } from './verify/checkpoint.ts'
import type { History, InviteKind, Role } from './verify/control.ts'
import { encodeControlBody } from './verify/control-codec.ts'
import { type Anchor, emptyView, type LogView, type PinnedRelay, sameRelay } from './verify/log.ts'
import { assertWaitOptions, type WaitOptions, withLimits } from './waiting.ts'

/** A relay by its address; with name and key where they are known beforehand, so that first contact needs no trust. */
export type RelayAddress =
  | string
  | {
      readonly url: string
      readonly name?: string
      readonly key?: Uint8Array
      /** What a relay that does not let everybody create spaces is shown; 1 to 256 bytes. */
      readonly token?: string
    }

export interface ReplicaOptions {
  /** Where everything is kept; opened and closed by the replica. */
  readonly store: ReplicaStore
  /** Default relay for new spaces; invites may name others. */
  readonly relay: RelayAddress
  /**
   * Which documents are kept here: `all` (default), or those that were `opened` on this device, and the directory. Of
   * the others a sparse replica verifies every entry, but has neither content nor state.
   */
  readonly replicate?: Replicate
  /** The log is shown as stale when the relay's latest signature is older, in milliseconds; default one day. */
  readonly staleAfter?: number
  /**
   * Nothing is sealed on a head that is older, in milliseconds; default a week. A relay that withholds the news that
   * somebody was removed can have content sealed to that person for as long.
   */
  readonly maxHeadAge?: number
  /** How this person and this device are called in spaces; encrypted like all content. */
  readonly profile?: { readonly name?: string; readonly device?: string }
  /**
   * Opens a store that `Replica.protect` has protected: its passphrase, or the 32 bytes of its passkey. A store without
   * protection is refused (ERR_PASSPHRASE, `details.reason` is `unprotected`): who names a secret relies on it.
   */
  readonly unlock?: StoreSecret
  /** Closes the replica when it aborts. */
  readonly signal?: AbortSignal
}

/** What a replica needs of the platform. */
export interface ReplicaPlatform {
  readonly transport: Transport
  readonly environment: Environment
  readonly verifier: SignatureVerifier
  /** When fast-forward, snapshots and cosignatures are worth it. */
  readonly limits?: SyncLimits
  /** Where replicas of this device hear each other. */
  readonly heads?: HeadChannel
  /** Of passphrases that protect the store; by default about a second of work. */
  readonly passphraseCost?: ScryptCost
  /** Calls back when the network may be back. @returns a function that unsubscribes */
  readonly onNetworkBack?: (listener: () => void) => () => void
}

/** What an invite says, before anything is committed. Nobody but the inviter vouches for the two names. */
export interface InvitePreview {
  readonly space: SpaceId
  readonly spaceName: string
  readonly inviterName: string
  readonly role: Role
  /** `approved`: an admin has to let this device in. `device`: as one more device of the inviter. */
  readonly kind: InviteKind
  readonly history: History
  readonly relay: { readonly name: string; readonly url: string }
  /** Unix time in milliseconds. */
  readonly expires: number
  readonly expired: boolean
  /** This replica is in the space already. */
  readonly known: boolean
}

/** One device's local copy of its spaces. Made by `openReplica`. */
export class Replica {
  readonly #options: ReplicaOptions & { readonly store: LockedStore }
  readonly #platform: ReplicaPlatform
  readonly #clients = new Map<string, RelayClient>()
  readonly #spaces = new Map<SpaceId, Promise<Space>>()
  /** For each space that somebody joins or removes: ends when the last of them is done. */
  readonly #turns = new Map<SpaceId, Promise<unknown>>()
  readonly #heads: HeadExchange | undefined
  readonly #devices: ReplicaDevices
  #stopListening: () => void = () => {}
  #closing: Promise<void> | undefined

  private constructor(options: ReplicaOptions & { readonly store: LockedStore }, platform: ReplicaPlatform) {
    this.#options = options
    this.#platform = platform
    const { heads, environment } = platform
    this.#heads = heads && new HeadExchange(heads, environment, (space, note) => this.#onHead(space, note))
    this.#devices = new ReplicaDevices({
      store: options.store,
      environment,
      verifier: platform.verifier,
      profile: this.#profile,
      client: relay =>
        relay === undefined
          ? this.#client(urlOf(options.relay), identityOf(options.relay))
          : this.#client(relay.url, relay, true),
      spaces: () => this.spaces(),
      openSpace: id => this.openSpace(id),
      join: async (view, secrets, signal) => {
        await this.#inTurn(view.space, () => this.#become(view, secrets, signal ?? new AbortController().signal))
      },
    })
  }

  /** @throws SealogError ERR_STORE…, ERR_STORE_SEALED, ERR_PASSPHRASE; TypeError */
  static async open(options: ReplicaOptions, platform: ReplicaPlatform): Promise<Replica> {
    assertOptions(options)
    // The secret has served its purpose once the store is open.
    const { unlock, ...rest } = options
    const { environment, passphraseCost: cost } = platform
    const store = await openProtected(options.store, { unlock, random: environment.random, cost })
    const replica = new Replica({ ...rest, store }, platform)
    try {
      await replica.#client(urlOf(options.relay), identityOf(options.relay))
    } catch (error) {
      await store.close()
      throw error
    }
    replica.#listen()
    if (options.signal?.aborted) await replica.close()
    return replica
  }

  #listen(): void {
    const { signal } = this.#options
    const onAbort = (): void => void this.close().catch(() => {})
    signal?.addEventListener('abort', onAbort, { once: true })
    const unsubscribe = this.#platform.onNetworkBack?.(() => this.wake())
    this.#stopListening = () => {
      signal?.removeEventListener('abort', onAbort)
      unsubscribe?.()
    }
  }

  /** The ids of all spaces in the local store. */
  async spaces(): Promise<readonly SpaceId[]> {
    this.#assertOpen()
    return listSpaces(this.#options.store)
  }

  /** @throws SealogError ERR_UNKNOWN_SPACE, ERR_STORE…, ERR_CLOSED; TypeError for what is not a space id */
  async openSpace(id: string): Promise<Space> {
    const space = parseSpaceId(id)
    for (;;) {
      this.#assertOpen()
      const opening = this.#spaces.get(space) ?? this.#openSpace(space)
      this.#spaces.set(space, opening)
      const forget = (): void => {
        if (this.#spaces.get(space) === opening) this.#spaces.delete(space)
      }
      opening.catch(forget)
      const open = await opening
      if (!open.isClosed) return open
      // It is closing: a new one begins where that one has ended. How it ended, its closer is told.
      await open.close().catch(() => {})
      forget()
    }
  }

  async #openSpace(id: SpaceId): Promise<Space> {
    const { store } = this.#options
    const { environment, verifier } = this.#platform
    const { secrets, relay } = await this.#peek(id)
    const client = await this.#client(
      secrets.url,
      relay,
      secrets.admission !== undefined && secrets.admission.type !== 'genesis',
    )
    const { replicate = 'all', staleAfter = DAY, maxHeadAge = 7 * DAY } = this.#options
    const limits = this.#platform.limits ?? DEFAULT_SYNC_LIMITS
    const onClosed = (): void => void this.#spaces.delete(id)
    const onHead = (space: Space): void => this.#heads?.changed(id, () => space.head)
    const space = await Space.open({
      id,
      store,
      client,
      environment,
      verifier,
      replicate,
      staleAfter,
      maxHeadAge,
      limits,
      onHead,
      onClosed,
    })
    // Not awaited: it may wait for the relay, and for this very space to be open.
    this.#devices.extend(id)
    return space
  }

  async #peek(id: SpaceId): Promise<{ secrets: SpaceSecrets; relay: PinnedRelay }> {
    const bytes = await this.#options.store.get(spaceKey(id, 'secrets'))
    const stored = await loadView(this.#options.store, id)
    if (bytes === undefined || stored === undefined) {
      throw new SealogError('ERR_UNKNOWN_SPACE', 'no space of this id is in the local store')
    }
    return { secrets: decodeSecrets(bytes), relay: stored.view.relay }
  }

  /**
   * A new space with this person as its owner; offline too, once the relay was met. At the very first contact it
   * waits for the relay, whose key becomes part of the space.
   * @param options.admission what the relay is shown, if it does not let everybody create spaces; 1 to 256 bytes.
   * Default: the `token` of the relay's address. Where it is refused, `Space.sync` says so, and `Space.setAdmission`
   * takes another one: nothing is lost
   * @throws SealogError ERR_TIMEOUT, ERR_ABORTED, ERR_STORE…; TypeError
   */
  async createSpace(
    options: { readonly name?: string; readonly admission?: string } & WaitOptions = {},
  ): Promise<Space> {
    const { name = '', admission: token = tokenOf(this.#options.relay) } = options
    assertName(name, 'name')
    if (token !== undefined) assertAdmission(token, 'admission')
    assertWaitOptions(options)
    this.#assertOpen()
    const { environment } = this.#platform
    const url = urlOf(this.#options.relay)
    const client = await this.#client(url, identityOf(this.#options.relay))
    const relay = await withLimits(environment, options, client.identified())
    this.#assertOpen()
    const device = newDevice(environment.random)
    const epochSecret = generateEpochSecret(environment.random)
    const member = memberIdOf(environment.random(16))
    const incarnation = environment.random(8)
    const names = { space: name, member: this.#profile.name, device: this.#profile.device }
    const body = genesisBody({
      relay: { ...relay, url },
      device,
      member,
      epochSecret,
      names,
      policy: DEFAULT_POLICY,
      time: environment.now(),
      random: environment.random,
    })
    const entry = await sealGenesis(nobleSigningKey(device.signing), incarnation, encodeControlBody(body))
    const space = spaceIdOf(entry.hash)
    const secrets: SpaceSecrets = {
      url,
      member,
      device,
      incarnation,
      epochs: new Map([[0, { kind: 'all', secret: epochSecret }]]),
      memberName: names.member,
      deviceName: names.device,
      admission: { type: 'genesis', entry, token },
    }
    await this.#keep(emptyView(space, relay, []), secrets)
    return this.openSpace(space)
  }

  /** Reads an invite without using it. @throws SealogError ERR_INVITE, ERR_UPGRADE; TypeError */
  async previewInvite(link: string): Promise<InvitePreview> {
    const invite = decodeInviteLink(link)
    this.#assertOpen()
    await this.#checkNote(invite)
    return {
      space: invite.space,
      spaceName: invite.spaceName,
      inviterName: invite.inviterName,
      role: invite.role,
      kind: invite.kind,
      history: invite.history,
      relay: { name: invite.relay.name, url: invite.relay.url },
      expires: invite.expires,
      expired: invite.expires <= this.#platform.environment.now(),
      known: (await this.spaces()).includes(invite.space),
    }
  }

  /**
   * Joins the space of an invite: waits until the relay's log proves that this device is a member, and is applied.
   * Where this replica is in the space already, it just opens it, offline too, and the invite stays unused. A call
   * that was ended by `signal` or `timeout` goes on in the background, and over a restart; calling again waits for it.
   * @throws SealogError ERR_INVITE (malformed, used, expired, declined), ERR_REMOVED where an earlier device of this
   * replica was removed from the space and is still here, ERR_RELAY_IDENTITY where the relay is not the one in
   * the invite, ERR_TIMEOUT, ERR_ABORTED, ERR_CLOSED, ERR_STORE…; TypeError
   */
  async joinSpace(link: string, options: WaitOptions = {}): Promise<Space> {
    const invite = decodeInviteLink(link)
    assertWaitOptions(options)
    this.#assertOpen()
    const stop = new AbortController()
    const task = this.#inTurn(invite.space, () => this.#join(invite, stop.signal))
    return withLimits(this.#platform.environment, options, task).finally(() => stop.abort())
  }

  async #join(invite: Invite, signal: AbortSignal): Promise<Space> {
    // Whoever gave up waiting for this turn has used up nothing.
    if (signal.aborted) throw new SealogError('ERR_ABORTED', 'aborted by the caller')
    const anchor = await this.#checkNote(invite)
    if ((await this.spaces()).includes(invite.space)) {
      const space = await this.openSpace(invite.space)
      // Of a request that was declined, there is nothing to export: it gives way to the new one below.
      if (space.isAdmitted && space.status.membership === 'removed') {
        const what = 'this device was removed from the space: export what is to be kept, `removeLocal`, and join anew'
        throw new SealogError('ERR_REMOVED', what)
      }
      space.heard(invite.note)
      // It may be there from an earlier invite that came to nothing; otherwise this one stays unused.
      if (space.isAdmitted || (await this.#joined(space, signal)) === undefined) return space
    }
    await this.#checkPin(invite)
    return this.#become(emptyView(invite.space, invite.relay, [anchor]), this.#joinSecrets(invite), signal)
  }

  /** Keeps a space that this replica is about to become a device of, and waits until it is. */
  async #become(view: LogView, secrets: SpaceSecrets, signal: AbortSignal): Promise<Space> {
    await this.#keep(view, secrets)
    const space = await this.openSpace(view.space)
    const failure = await this.#joined(space, signal)
    if (failure !== undefined) throw failure
    return space
  }

  /** Tasks about one space, one after the other: two that join it at once must not write over each other. */
  #inTurn<T>(space: SpaceId, task: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(space) ?? Promise.resolve()
    const result = before.then(task)
    const turn = result
      .catch(() => {})
      .then(() => {
        if (this.#turns.get(space) === turn) this.#turns.delete(space)
      })
    this.#turns.set(space, turn)
    return result
  }

  /** The relay at the invite's address was met before, and was another one. @throws SealogError ERR_RELAY_IDENTITY */
  async #checkPin({ relay }: Invite): Promise<void> {
    const { pinned } = await this.#client(relay.url, relay, true)
    if (pinned === undefined || sameRelay(pinned, relay)) return
    throw new SealogError('ERR_RELAY_IDENTITY', 'the relay at this address is not the one in the invite', {
      details: { expected: relay.name, actual: pinned.name },
    })
  }

  /** @returns why the invite came to nothing, if it did; then nothing of it is left. What merely takes time goes on. */
  async #joined(space: Space, signal: AbortSignal): Promise<SealogError | undefined> {
    try {
      await space.joined(signal)
      return undefined
    } catch (error) {
      if (!hasCode(error, 'ERR_INVITE') && !hasCode(error, 'ERR_RELAY_IDENTITY')) throw error
      await this.#removeLocal(space.id)
      return error
    }
  }

  #joinSecrets(invite: Invite): SpaceSecrets {
    const { environment } = this.#platform
    if (invite.expires <= environment.now()) throw new SealogError('ERR_INVITE', 'the invite has expired')
    return {
      url: invite.relay.url,
      member: invite.member,
      device: newDevice(environment.random),
      incarnation: environment.random(8),
      epochs: new Map(),
      memberName: this.#profile.name,
      deviceName: this.#profile.device,
      admission: {
        type: 'join',
        provisional: inviteKeys(invite.seed),
        nameKey: invite.kind === 'approved' ? inviteNameKey(invite.seed) : undefined,
        body: undefined,
      },
    }
  }

  /** The checkpoint in an invite is signed by the relay that the invite names. */
  async #checkNote(invite: Invite): Promise<Anchor> {
    const note = parseNote(invite.note)
    const { checkpoint } = note
    const isSigned = await this.#isSignedByRelay(note, invite)
    if (!isSigned) throw new SealogError('ERR_INVITE', 'the checkpoint in the invite is not signed by its relay')
    return { size: checkpoint.size, root: checkpoint.root, note: invite.note }
  }

  async #isSignedByRelay(note: Note, { relay }: Invite): Promise<boolean> {
    try {
      const signature = relaySignature(note, { name: note.checkpoint.origin, publicKey: relay.key })
      return await this.#platform.verifier.verify({ publicKey: relay.key, message: note.text, signature })
    } catch (error) {
      if (hasCode(error, 'ERR_CHECKPOINT_SIGNATURE')) return false
      throw error
    }
  }

  /**
   * Forgets a space on this device: documents, keys, and own changes that were not sent. It cannot be undone.
   * @throws SealogError ERR_STORE…, ERR_CLOSED; TypeError for what is not a space id
   */
  async removeLocal(id: string): Promise<void> {
    const space = parseSpaceId(id)
    this.#assertOpen()
    // Who waits to join ends first: it is this very space that it waits for.
    await this.#closeSpace(space)
    await this.#inTurn(space, () => this.#removeLocal(space))
  }

  /** What it could not store goes with the rest. */
  async #closeSpace(space: SpaceId): Promise<void> {
    const open = await this.#spaces.get(space)?.catch(() => undefined)
    await open?.close().catch(() => {})
  }

  async #removeLocal(space: SpaceId): Promise<void> {
    await this.#closeSpace(space)
    const { store } = this.#options
    const rows = await store.scan(spacePrefix(space))
    await store.commit({ puts: [], deletes: [listedKey(space), ...rows.map(([key]) => key)] })
  }

  // -- All spaces at once ------------------------------------------------------------------------------------------

  /**
   * Makes a recovery phrase: 24 words that bring back all spaces on a blank machine (`recover`). In every space it is one
   * more device of this person, which members see. Spaces that come later are added by themselves. Whoever has the
   * words has the spaces: they belong on paper. An earlier phrase opens nothing any more, but for spaces
   * named in `failed`: there, `Space.removeDevice` ends it.
   * @returns the words, and how it went, space by space: see `recoveryState`
   * @throws SealogError ERR_TIMEOUT, ERR_ABORTED, ERR_CLOSED, ERR_STORE…
   */
  createRecovery(options: WaitOptions = {}): Promise<RecoveryOutcome & { readonly phrase: string }> {
    return this.#forAll(options, signal => this.#devices.createRecovery(signal))
  }

  /** Which spaces the phrase brings back; undefined where there is none. @throws SealogError ERR_STORE…, ERR_CLOSED */
  async recoveryState(): Promise<RecoveryState | undefined> {
    this.#assertOpen()
    return this.#devices.recoveryState()
  }

  /**
   * The phrase opens nothing any more: its devices are removed from all spaces. Where that fails in one, the phrase stays
   * on record, and this is to be called again.
   * @throws SealogError why it failed in one of the spaces; ERR_TIMEOUT, ERR_ABORTED, ERR_CLOSED, ERR_STORE…
   */
  removeRecovery(options: WaitOptions = {}): Promise<void> {
    return this.#forAll(options, signal => this.#devices.removeRecovery(signal))
  }

  /**
   * Gets back all spaces of a recovery phrase, as a device of its own. That these are all is the relay's word: it may
   * show an old list.
   * @throws SealogError ERR_PHRASE for what is no phrase; ERR_UNKNOWN_MAILBOX where the relay knows nothing of it;
   * ERR_TIMEOUT, ERR_ABORTED, ERR_CLOSED, ERR_STORE…. What goes wrong with one space is in the outcome
   */
  recover(phrase: string, options: WaitOptions = {}): Promise<RecoveryOutcome> {
    return this.#forAll(options, signal => this.#devices.recover(phrase, signal))
  }

  /**
   * Makes a link for one more device of this person, with all spaces; `acceptLink` on the other side. It is a key, single
   * use: show it to nobody else. For one space alone: `Space.inviteDevice`.
   */
  linkDevice(options: AddDeviceOptions = {}): Promise<string> {
    const { base, expiresIn } = options
    if (base !== undefined && !URL.canParse(base)) throw new TypeError('base: expected an address')
    if (expiresIn !== undefined && !(Number.isSafeInteger(expiresIn) && expiresIn > 0)) {
      throw new TypeError('expiresIn: expected milliseconds')
    }
    return this.#forAll(options, signal => this.#devices.linkDevice(base, expiresIn, signal))
  }

  /** Becomes one more device of the person who made the link. @throws as `recover`; ERR_INVITE for what is no link */
  acceptLink(link: string, options: WaitOptions = {}): Promise<RecoveryOutcome> {
    return this.#forAll(options, signal => this.#devices.acceptLink(link, signal))
  }

  #forAll<T>(options: WaitOptions, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    assertWaitOptions(options)
    this.#assertOpen()
    const stop = new AbortController()
    return withLimits(this.#platform.environment, options, task(stop.signal)).finally(() => stop.abort())
  }

  /** What the keys in the local store are protected by: a passphrase, the PRF of a passkey, or nothing. */
  get protection(): 'passphrase' | 'prf' | undefined {
    return this.#options.store.protection
  }

  /**
   * From now on the keys of this device open with this secret only (`unlock` of `openReplica`): a passphrase, through
   * scrypt, or the 32 bytes that `passkeySecret` gives. It takes the place of an earlier one, which is not asked for,
   * since the replica is open. All keys are sealed anew in one batch: a failure or a crash leaves all as it was, or all as
   * wanted. After ERR_STORE only opening the store again shows which of the two secrets it is.
   *
   * Protected are the keys: who copies the store can neither act as this device nor read what the relay has. Documents,
   * names and local changes stay in clear in the store. What was in clear before may survive in parts of a disk that
   * were freed. Nobody can restore a forgotten secret.
   * @throws SealogError ERR_STORE…, ERR_CLOSED; TypeError
   */
  async protect(secret: StoreSecret): Promise<void> {
    this.#assertOpen()
    await this.#options.store.protect(secret)
  }

  /** Keys are kept in clear again. Idempotent. @throws SealogError ERR_STORE…, ERR_CLOSED */
  async unprotect(): Promise<void> {
    this.#assertOpen()
    await this.#options.store.unprotect()
  }

  /** Flushes to the store and closes it; does not wait for the network. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#stopListening()
    this.#heads?.close()
    const spaces = await Promise.allSettled(this.#spaces.values())
    const results = await Promise.allSettled(
      spaces.map(result => (result.status === 'fulfilled' ? result.value.close() : undefined)),
    )
    for (const client of this.#clients.values()) client.close()
    await this.#options.store.close()
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  get #profile(): { name: string; device: string } {
    const { name = '', device = '' } = this.#options.profile ?? {}
    return { name, device }
  }

  async #keep(view: LogView, secrets: SpaceSecrets): Promise<void> {
    const puts: [Uint8Array, Uint8Array][] = [
      [spaceKey(view.space, 'secrets'), encodeSecrets(secrets)],
      [spaceKey(view.space, 'view'), encodeViewRow(view, undefined)],
      [listedKey(view.space), new Uint8Array(0)],
    ]
    await this.#options.store.commit({ puts, deletes: [] })
  }

  /** The network may be back: tries to connect at once instead of waiting for the next attempt. */
  wake(): void {
    for (const client of this.#clients.values()) client.wake()
  }

  /**
   * The one connection to a relay.
   * @param known its identity; undefined at first contact
   * @param isClaim only an invite says so
   */
  async #client(url: string, known: PinnedRelay | undefined, isClaim = false): Promise<RelayClient> {
    const { store } = this.#options
    const stored = await store.get(relayKey(url))
    const existing = this.#clients.get(url)
    // An invite that named a wrong relay must not spoil the address for a good one.
    const isSpoilt =
      existing?.isIdleClaim === true &&
      known !== undefined &&
      !(existing.pinned !== undefined && sameRelay(existing.pinned, known))
    if (existing !== undefined && !isSpoilt) return existing
    existing?.close()
    const client: RelayClient = new RelayClient({
      transport: this.#platform.transport,
      environment: this.#platform.environment,
      url,
      pinned: stored === undefined ? known : decodePinnedRelay(stored),
      isClaim: isClaim && stored === undefined,
      pin: relay => store.commit({ puts: [[relayKey(url), encodePinnedRelay(relay)]], deletes: [] }),
      onState: (_, cause) => this.#onConnection(client, cause),
    })
    this.#clients.set(url, client)
    client.start()
    return client
  }

  #onConnection(client: RelayClient, cause: SealogError | undefined): void {
    for (const opening of this.#spaces.values()) {
      void opening.then(
        space => space.connectionChanged(client, cause),
        () => {},
      )
    }
  }

  #onHead(id: SpaceId, note: Uint8Array): void {
    void this.#spaces.get(id)?.then(
      space => space.heard(note),
      () => {},
    )
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new SealogError('ERR_CLOSED', 'the replica was closed')
  }
}

const DAY: number = 24 * 60 * 60 * 1000

function urlOf(relay: RelayAddress): string {
  return typeof relay === 'string' ? relay : relay.url
}

function tokenOf(relay: RelayAddress): string | undefined {
  return typeof relay === 'string' ? undefined : relay.token
}

function identityOf(relay: RelayAddress): PinnedRelay | undefined {
  if (typeof relay === 'string' || relay.key === undefined || relay.name === undefined) return undefined
  return { name: relay.name, key: relay.key }
}

function assertOptions(options: ReplicaOptions): void {
  if (typeof options !== 'object' || options === null) throw new TypeError('options: expected an object')
  const { store, relay, profile } = options
  if (typeof store?.commit !== 'function') throw new TypeError('store: expected a ReplicaStore')
  const { replicate = 'all', staleAfter = DAY } = options
  if (replicate !== 'all' && replicate !== 'opened') throw new TypeError('replicate: expected "all" or "opened"')
  if (typeof staleAfter !== 'number' || !(staleAfter > 0)) throw new TypeError('staleAfter: expected milliseconds')
  const { maxHeadAge = DAY } = options
  if (typeof maxHeadAge !== 'number' || !(maxHeadAge > 0)) throw new TypeError('maxHeadAge: expected milliseconds')
  const url = typeof relay === 'string' ? relay : relay?.url
  if (typeof url !== 'string' || !isRelayAddress(url)) {
    throw new TypeError('relay: expected a ws: or wss: address')
  }
  if (typeof relay === 'object') {
    if ((relay.name === undefined) !== (relay.key === undefined)) throw new TypeError('relay: name and key go together')
    if (relay.key !== undefined && !(relay.key instanceof Uint8Array && relay.key.length === 32)) {
      throw new TypeError('relay.key: expected 32 bytes')
    }
    if (relay.token !== undefined) assertAdmission(relay.token, 'relay.token')
  }
  if (profile?.name !== undefined) assertName(profile.name, 'profile.name')
  if (profile?.device !== undefined) assertName(profile.device, 'profile.device')
}

function assertName(name: unknown, argument: string): void {
  if (typeof name !== 'string' || /\p{Surrogate}/u.test(name) || new TextEncoder().encode(name).length > 256) {
    throw new TypeError(`${argument}: expected a string of at most 256 bytes`)
  }
}
