import { equalBytes } from './bytes.ts'
import { decodeDeviceLink, encodeDeviceLink } from './crdt/device-link.ts'
import type { MailboxSpace } from './crdt/mailbox-list.ts'
import { deviceKeysOf, newDevice } from './crdt/membership.ts'
import { keepRecovery, loadRecovery, type RecoveryRow } from './crdt/recovery-row.ts'
import type { Admission, DeviceSecrets, SpaceSecrets } from './crdt/secrets.ts'
import { SpaceMailbox } from './crdt/space-mailbox.ts'
import type { ReplicaStore } from './crdt/store.ts'
import { generatePhrase, seedOfPhrase } from './crypto/phrase.ts'
import type { SignatureVerifier } from './crypto/sign.ts'
import type { Environment } from './environment.ts'
import { SealogError } from './errors.ts'
import { idBytes, type SpaceId } from './ids.ts'
import { createRecovery, eachSpace, type RecoveredSpace, type RecoveryOutcome, recover } from './recovery.ts'
import type { RelayClient } from './relay/client.ts'
import type { Space } from './space.ts'
import { parseNote } from './verify/checkpoint.ts'
import type { RelayIdentity } from './verify/control.ts'
import { emptyView, type LogView } from './verify/log.ts'

const DAY: number = 24 * 60 * 60 * 1000
/** A space that takes longer is given up for now, for the sake of the others, in milliseconds. */
const ONE_SPACE = 2 * 60_000
const RECOVERY_NAME = 'Recovery phrase'

export interface ReplicaDevicesHost {
  readonly store: ReplicaStore
  readonly environment: Environment
  readonly verifier: SignatureVerifier
  readonly profile: { readonly name: string; readonly device: string }
  /** The connection to the default relay, or to this one. */
  readonly client: (relay?: RelayIdentity) => Promise<RelayClient>
  readonly spaces: () => Promise<readonly SpaceId[]>
  readonly openSpace: (id: SpaceId) => Promise<Space>
  /** Keeps a space that this replica is to become a device of, and waits until it is. */
  readonly join: (view: LogView, secrets: SpaceSecrets, signal: AbortSignal | undefined) => Promise<void>
}

/** Which spaces the recovery phrase brings back. */
export interface RecoveryState {
  readonly covered: readonly SpaceId[]
  /** Those that it will bring back once they could be reached. */
  readonly missing: readonly SpaceId[]
}

/** What concerns all spaces of a person at once: a recovery phrase, and one more device (DESIGN §7). */
export class ReplicaDevices {
  readonly #host: ReplicaDevicesHost
  readonly #extending = new Set<SpaceId>()
  #updating: Promise<unknown> = Promise.resolve()

  constructor(host: ReplicaDevicesHost) {
    this.#host = host
  }

  // -- Recovery phrase --------------------------------------------------------------------------------------------

  async createRecovery(signal: AbortSignal): Promise<RecoveryOutcome & { readonly phrase: string }> {
    const { store, environment, spaces } = this.#host
    const before = await loadRecovery(store)
    const phrase = await generatePhrase(environment.random)
    const seed = await seedOfPhrase(phrase)
    const ids = await spaces()
    const outcome = await this.#cover(seed, ids, signal)
    // In one space where the earlier one cannot be ended now, it may never be: that must not cost the new phrase.
    const failed = before === undefined ? [] : await this.#retire(before, signal)
    await keepRecovery(store, { seed, covered: outcome.done })
    const isNamed = ({ space }: RecoveryOutcome['failed'][number]) =>
      outcome.failed.some(other => other.space === space)
    return { done: outcome.done, failed: [...outcome.failed, ...failed.filter(one => !isNamed(one))], phrase }
  }

  async recoveryState(): Promise<RecoveryState | undefined> {
    const row = await loadRecovery(this.#host.store)
    if (row === undefined) return undefined
    const ids = await this.#host.spaces()
    const covered = ids.filter(id => row.covered.includes(id))
    return { covered, missing: ids.filter(id => !row.covered.includes(id)) }
  }

  async removeRecovery(signal: AbortSignal): Promise<void> {
    const row = await loadRecovery(this.#host.store)
    if (row === undefined) return
    // Known for as long as it opens anything: whoever is told that this failed can call it again.
    const [failed] = await this.#retire(row, signal)
    if (failed !== undefined) throw failed.error
    await keepRecovery(this.#host.store, undefined)
  }

  /** A space came in: the phrase is to bring it back as well. What fails now is tried when the space is opened again. */
  extend(space: SpaceId): void {
    if (this.#extending.has(space)) return
    this.#extending.add(space)
    void this.#extend(space)
      .catch(() => {})
      .finally(() => this.#extending.delete(space))
  }

  async #extend(space: SpaceId): Promise<void> {
    const { store } = this.#host
    const row = await loadRecovery(store)
    if (row === undefined || row.covered.includes(space)) return
    const { done } = await this.#cover(row.seed, [space], undefined)
    await this.#update(latest =>
      // Somebody may have made another phrase meanwhile.
      equalBytes(latest.seed, row.seed) ? { ...latest, covered: [...new Set([...latest.covered, ...done])] } : latest,
    )
  }

  /**
   * This replica becomes another member of the space: the phrase's device was the former one's. Its keys cannot be
   * admitted twice (R-KEY-3), so that this space needs a new phrase, and `recoveryState` says so.
   */
  async uncover(space: SpaceId): Promise<void> {
    await this.#update(row => ({ ...row, covered: row.covered.filter(id => id !== space) }))
  }

  /** One change of the record at a time. */
  async #update(change: (row: RecoveryRow) => RecoveryRow): Promise<void> {
    const { store } = this.#host
    const update = this.#updating.then(async () => {
      const row = await loadRecovery(store)
      if (row !== undefined) await keepRecovery(store, change(row))
    })
    this.#updating = update.catch(() => {})
    await update
  }

  async #cover(
    seed: Uint8Array,
    spaces: readonly SpaceId[],
    signal: AbortSignal | undefined,
  ): Promise<RecoveryOutcome> {
    const mailbox = await this.#mailbox(seed)
    return createRecovery({
      mailbox,
      spaces,
      admit: (space, device) => this.#admitRecovery(space, device, signal),
      ...(signal === undefined ? {} : { signal }),
    })
  }

  async #admitRecovery(id: SpaceId, device: DeviceSecrets, signal: AbortSignal | undefined): Promise<MailboxSpace> {
    const space = await this.#host.openSpace(id)
    const limits = signal === undefined ? {} : { signal, timeout: ONE_SPACE }
    const keys = deviceKeysOf(device, idBytes(id), space.me.id)
    if (!space.hasDevice(keys.signing)) await space.addDevice(keys, RECOVERY_NAME, limits)
    return this.#listed(space)
  }

  #listed(space: Space): MailboxSpace {
    const { head } = space
    if (head === undefined) throw new SealogError('ERR_UNEXPECTED', 'no checkpoint')
    return { relay: space.relay, space: space.id, member: space.me.id, note: head }
  }

  /**
   * An old phrase opens nothing any more: its devices go, and so does its list.
   * @returns where it still opens something
   */
  async #retire({ seed }: RecoveryRow, signal: AbortSignal): Promise<RecoveryOutcome['failed']> {
    const mailbox = await this.#mailbox(seed)
    // Also where it is not on record: a space that it covered for the member that this replica was before (`uncover`).
    const { failed } = await eachSpace(await this.#host.spaces(), signal, async id => {
      const space = await this.#host.openSpace(id)
      const { signing } = deviceKeysOf(mailbox.deviceOf(id), idBytes(id), space.me.id)
      const device = space.deviceOfKey(signing)
      if (device !== undefined) await space.removeDevice(device, { signal, timeout: ONE_SPACE })
    })
    // What it lists opens nothing any more: a list that cannot be emptied is no reason to say that it does.
    if (failed.length === 0) await mailbox.write(() => [], signal).catch(() => {})
    return failed
  }

  /** A blank machine gets back all spaces that the phrase was given. */
  async recover(phrase: string, signal: AbortSignal): Promise<RecoveryOutcome> {
    const seed = await seedOfPhrase(phrase)
    const outcome = await this.#adoptAll(await this.#mailbox(seed), 'recovery', signal)
    const before = await loadRecovery(this.#host.store)
    // Another phrase stays what it was good for: nothing that only it covers is covered by this one.
    const isSame = before !== undefined && equalBytes(before.seed, seed)
    const covered = [...new Set([...(isSame ? before.covered : []), ...outcome.done])]
    await keepRecovery(this.#host.store, { seed, covered })
    return outcome
  }

  // -- One more device --------------------------------------------------------------------------------------------

  /** Makes an instant link for one more device of this person, with all spaces. */
  async linkDevice(base: string | undefined, expiresIn: number = DAY, signal: AbortSignal): Promise<string> {
    const { environment, spaces, client, openSpace } = this.#host
    const seed = environment.random(32)
    const relay = await client()
    const mailbox = await this.#mailbox(seed)
    const outcome = await createRecovery({
      mailbox,
      spaces: await spaces(),
      admit: async (id, device) => {
        const space = await openSpace(id)
        await space.inviteDeviceKeys(device, expiresIn, { signal })
        return this.#listed(space)
      },
      signal,
    })
    const [failed] = outcome.failed
    if (outcome.done.length === 0) throw failed?.error ?? new SealogError('ERR_INVITE', 'there is no space to link')
    return encodeDeviceLink({ relay: { ...(await relay.identified()), url: relay.url }, seed }, base)
  }

  /** Becomes a device of the person who made the link, in all spaces of that person. */
  async acceptLink(link: string, signal: AbortSignal): Promise<RecoveryOutcome> {
    const { relay, seed } = decodeDeviceLink(link)
    const mailbox = await this.#mailbox(seed, relay)
    const outcome = await this.#adoptAll(mailbox, 'join', signal)
    // What the seed was for is done; where the list cannot be emptied, it names spaces whose invites are used.
    if (outcome.failed.length === 0) await mailbox.write(() => [], signal).catch(() => {})
    return outcome
  }

  async #adoptAll(mailbox: SpaceMailbox, type: 'recovery' | 'join', signal: AbortSignal): Promise<RecoveryOutcome> {
    const { verifier } = this.#host
    return recover({ mailbox, verifier, adopt: found => this.#adopt(found, type, signal), signal })
  }

  async #adopt(found: RecoveredSpace, type: 'recovery' | 'join', signal: AbortSignal): Promise<void> {
    const { environment, profile, spaces, openSpace, join } = this.#host
    if ((await spaces()).includes(found.space)) {
      // It came with an earlier attempt; there is nothing to do where that went through.
      await (await openSpace(found.space)).joined(signal)
      return
    }
    const { checkpoint } = parseNote(found.note)
    const anchor = { size: checkpoint.size, root: checkpoint.root, note: found.note }
    const admission: Admission = { type, provisional: found.device, nameKey: undefined, body: undefined }
    await join(
      emptyView(found.space, found.relay, [anchor]),
      {
        url: found.relay.url,
        member: found.member,
        device: newDevice(environment.random),
        incarnation: environment.random(8),
        epochs: new Map(),
        memberName: profile.name,
        deviceName: profile.device,
        admission,
      },
      signal,
    )
  }

  async #mailbox(seed: Uint8Array, relay?: RelayIdentity): Promise<SpaceMailbox> {
    const { environment, verifier, client } = this.#host
    return new SpaceMailbox({ seed, client: await client(relay), environment, verifier })
  }
}
