import { assertAdmission } from './admission-token.ts'
import { assertBase, assertDuration, assertName } from './arguments.ts'
import { decodeInviteLink } from './crdt/invite-link.ts'
import type { LockedStore } from './crdt/store-locked.ts'
import { DEFAULT_SYNC_LIMITS } from './crdt/sync-limits.ts'
import type { StoreSecret } from './crypto/store-lock.ts'
import { SealogError } from './errors.ts'
import { HeadExchange } from './head-exchange.ts'
import { parseSpaceId, type SpaceId } from './ids.ts'
import { openProtected } from './key-protection.ts'
import { LocalSpaces } from './local-spaces.ts'
import type { RecoveryOutcome } from './recovery.ts'
import type { RelayClient } from './relay/client.ts'
import { RelayConnections } from './relay-connections.ts'
import { type RecoveryState, ReplicaDevices } from './replica-devices.ts'
import { FormerDevices } from './replica-former-devices.ts'
import { type InvitePreview, Joins } from './replica-joins.ts'
import {
  assertOptions,
  identityOf,
  type ReplicaOptions,
  type ReplicaPlatform,
  tokenOf,
  urlOf,
} from './replica-options.ts'
import type { Space } from './space.ts'
import { foundSpace } from './space-founding.ts'
import type { AddDeviceOptions } from './space-status.ts'
import { assertWaitOptions, type WaitOptions, withLimits } from './waiting.ts'

/** One device's local copy of its spaces. Made by `openReplica`. */
export class Replica {
  readonly #options: ReplicaOptions & { readonly store: LockedStore }
  readonly #platform: ReplicaPlatform
  readonly #connections: RelayConnections
  readonly #spaces: LocalSpaces
  readonly #joins: Joins
  readonly #heads: HeadExchange | undefined
  readonly #devices: ReplicaDevices
  #stopListening: () => void = () => {}
  #closing: Promise<void> | undefined

  private constructor(options: ReplicaOptions & { readonly store: LockedStore }, platform: ReplicaPlatform) {
    this.#options = options
    this.#platform = platform
    const { heads, transport, environment, verifier, limits = DEFAULT_SYNC_LIMITS } = platform
    const { store, replicate = 'all', staleAfter = DAY, maxHeadAge = 7 * DAY } = options
    this.#connections = new RelayConnections({
      store,
      transport,
      environment,
      onState: (client, cause) => this.#spaces.connectionChanged(client, cause),
    })
    this.#spaces = new LocalSpaces({
      store,
      environment,
      verifier,
      replicate,
      staleAfter,
      maxHeadAge,
      limits,
      client: (url, known, isClaim) => this.#connections.to(url, known, isClaim),
      // Neither is awaited: they may wait for the relay, and for this very space to be open.
      onOpened: space => {
        this.#joins.resume(space)
        this.#devices.extend(space.id)
      },
      onHead: space => this.#heads?.changed(space.id, () => space.head),
      assertOpen: () => this.#assertOpen(),
    })
    this.#heads = heads && new HeadExchange(heads, environment, (space, note) => this.#spaces.heard(space, note))
    this.#joins = new Joins({
      spaces: this.#spaces,
      former: new FormerDevices({ spaces: this.#spaces, store, random: environment.random }),
      connections: this.#connections,
      environment,
      verifier,
      profile: this.#profile,
      onNewMember: id => this.#devices.uncover(id),
    })
    this.#devices = new ReplicaDevices({
      store,
      environment,
      verifier,
      profile: this.#profile,
      client: relay => (relay === undefined ? this.#default() : this.#connections.to(relay.url, relay, true)),
      spaces: () => this.spaces(),
      openSpace: id => this.openSpace(id),
      join: async (view, secrets, signal) => {
        await this.#joins.become(view, secrets, signal ?? new AbortController().signal)
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
      await replica.#default()
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
    return this.#spaces.list()
  }

  /** @throws SealogError ERR_UNKNOWN_SPACE, ERR_STORE…, ERR_CLOSED; TypeError for what is not a space id */
  async openSpace(id: string): Promise<Space> {
    const space = parseSpaceId(id)
    this.#assertOpen()
    return this.#spaces.open(space)
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
    const client = await this.#default()
    const relay = await withLimits(environment, options, client.identified())
    this.#assertOpen()
    const names = { space: name, member: this.#profile.name, device: this.#profile.device }
    const { view, secrets } = await foundSpace({ relay: { ...relay, url: client.url }, names, token }, environment)
    await this.#spaces.keep(view, secrets)
    return this.openSpace(view.space)
  }

  /** Reads an invite without using it. @throws SealogError ERR_INVITE, ERR_UPGRADE; TypeError */
  async previewInvite(link: string): Promise<InvitePreview> {
    this.#assertOpen()
    return this.#joins.preview(link)
  }

  /**
   * Joins the space of an invite: waits until the relay's log proves that this device is a member, and is applied.
   * Where this replica is in the space already, it just opens it, offline too, and the invite stays unused. A call
   * that was ended by `signal` or `timeout` goes on in the background, and over a restart; calling again waits for it.
   *
   * Where this replica was in the space, and was removed or has left, it joins anew, as another member, and goes on with
   * what is here: documents stay, and edits that were never sent go out as the new member's, once its role lets it
   * write. A `Space` of before that is still open is closed. Where the invite comes to nothing, all is as it was, also
   * where nobody waits any more: the `Space` that asked is closed. What cannot be taken along so is refused (ERR_REMOVED)
   * before anything is done, and stays readable: with an invite from joining on (`history`), and where a copy of this
   * device wrote as well, the way is to export what is to be kept, `removeLocal`, and to join then.
   * @throws SealogError ERR_INVITE (malformed, used, expired, declined), ERR_REMOVED as above, ERR_RELAY_IDENTITY where
   * the relay is not the one in the invite, or not the one of the space, ERR_FROZEN where it contradicted itself,
   * ERR_ROOT_MISMATCH where the invite's checkpoint contradicts one that is kept here, ERR_TIMEOUT, ERR_ABORTED, ERR_CLOSED, ERR_STORE…; TypeError
   */
  async joinSpace(link: string, options: WaitOptions = {}): Promise<Space> {
    const invite = decodeInviteLink(link)
    assertWaitOptions(options)
    this.#assertOpen()
    const stop = new AbortController()
    const task = this.#joins.join(invite, stop.signal)
    return withLimits(this.#platform.environment, options, task).finally(() => stop.abort())
  }

  /**
   * Forgets a space on this device: documents, keys, and own changes that were not sent. It cannot be undone.
   * @throws SealogError ERR_STORE…, ERR_CLOSED; TypeError for what is not a space id
   */
  async removeLocal(id: string): Promise<void> {
    const space = parseSpaceId(id)
    this.#assertOpen()
    // Who waits to join ends first: it is this very space that it waits for.
    await this.#spaces.abandon(space)
    await this.#spaces.inTurn(space, () => this.#spaces.remove(space))
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
   * on record, and this is to be called again. From a space that this device was removed from, or joined anew as another
   * member, it may take another device of that member, or an admin (`Space.removeDevice`): here, `removeLocal` settles it.
   * @throws SealogError why it failed in one of the spaces, ERR_REMOVED and ERR_UNAUTHORIZED in such a one; ERR_TIMEOUT, ERR_ABORTED, ERR_CLOSED, ERR_STORE…
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
    assertBase(base)
    if (expiresIn !== undefined) assertDuration(expiresIn, 'expiresIn')
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
    const results = await this.#spaces.close()
    this.#connections.close()
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

  /** The network may be back: tries to connect at once instead of waiting for the next attempt. */
  wake(): void {
    this.#connections.wake()
  }

  /** The connection to the relay for new spaces. */
  #default(): Promise<RelayClient> {
    const { relay } = this.#options
    return this.#connections.to(urlOf(relay), identityOf(relay))
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new SealogError('ERR_CLOSED', 'the replica was closed')
  }
}

const DAY: number = 24 * 60 * 60 * 1000
