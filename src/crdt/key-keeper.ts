import { deriveEpoch, openLink } from '../crypto/epoch.ts'
import { openGrant } from '../crypto/grant.ts'
import { openWrap } from '../crypto/wrap.ts'
import type { Environment } from '../environment.ts'
import { hasCode, SealogError } from '../errors.ts'
import type { DeliveredWrap } from '../relay/messages.ts'
import { type ControlBody, MAX_CONTROL_BODY_LENGTH } from '../verify/control.ts'
import { decodeControlBody } from '../verify/control-codec.ts'
import {
  type ControlState,
  type DeliveryRecord,
  type DeviceRecord,
  type EpochRecord,
  historyOf,
  latestEpoch,
} from '../verify/control-state.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import { assertDelivered, type PayloadKind } from '../verify/wraps.ts'
import { assertIsSecretOf, type EpochSecret, SpaceKeys } from './epoch-secrets.ts'
import type { Problems } from './problems.ts'
import type { SpaceChannel } from './space-channel.ts'

export interface KeyKeeperOptions {
  /** 32 bytes. */
  readonly space: Uint8Array
  readonly channel: Pick<SpaceChannel, 'keys' | 'body' | 'bodyStart'>
  readonly problems: Problems
  readonly environment: Environment
  readonly epochs: ReadonlyMap<number, EpochSecret>
  /** Makes them durable. @throws SealogError ERR_STORE… */
  readonly keep: (epochs: ReadonlyMap<number, EpochSecret>) => Promise<void>
}

/** Attempts to start an epoch that are remembered: of those that came to nothing, no acknowledgement is due. */
const MAX_CANDIDATES = 16

/** Keys that did not come by then are asked for again later, in milliseconds. */
const ANSWER = 30_000

/** Whose wraps can be opened: the device that speaks. */
export interface KeyHolder {
  readonly number: number
  /** X-Wing seed, 32 bytes. */
  readonly kem: Uint8Array
}

/**
 * Gets the secrets of epochs, and believes none that is not what the log commits to (DESIGN §7): by the own wrap, by the
 * links from later epochs, by what was granted. What an author delivered wrongly is a problem that names the entry; the
 * content of such an epoch waits until somebody repairs it.
 */
export class KeyKeeper {
  readonly #options: KeyKeeperOptions
  #epochs: ReadonlyMap<number, EpochSecret>
  #keys: SpaceKeys
  /** Secrets of epochs that this replica is about to start. */
  readonly #candidates: EpochSecret[] = []
  /** Deliveries of an epoch that were tried without success, by epoch. */
  readonly #tried = new Map<number, number>()
  #isLacking = false
  /** The relay has just left a request for keys without an answer: one wait is enough. */
  #isSilent = false
  /** Secrets that were held against the commitments of their epochs. */
  readonly #proven = new WeakSet<EpochSecret>()

  constructor(options: KeyKeeperOptions) {
    this.#options = options
    this.#epochs = options.epochs
    this.#keys = new SpaceKeys(options.epochs)
  }

  get keys(): SpaceKeys {
    return this.#keys
  }

  get epochs(): ReadonlyMap<number, EpochSecret> {
    return this.#epochs
  }

  /** Secrets that the device should have been given are not here. */
  get isLacking(): boolean {
    return this.#isLacking
  }

  /** What was tried in vain is worth another attempt: with another relay, or at another time. */
  forgetTries(): void {
    this.#tried.clear()
  }

  /** A secret that is on its way into the log: where that lands, no wrap has to be fetched. */
  expect(secret: Uint8Array): void {
    this.#candidates.push({ kind: 'all', secret })
    if (this.#candidates.length > MAX_CANDIDATES) this.#candidates.shift()
  }

  /**
   * Everything that the device may know of the epochs of this state.
   * @param entries that led to it, for grants among them
   * @returns whether something was found that was not here
   * @throws SealogError ERR_PROOF where the relay shows a wrap that is none; ERR_OFFLINE, ERR_STORE…
   */
  async gather(control: ControlState, holder: KeyHolder, entries: readonly VerifiedEntry[]): Promise<boolean> {
    const device = control.devices.get(holder.number)
    if (device === undefined) return false
    const gathering = new Map(this.#epochs)
    this.#isSilent = false
    this.#dropUnproven(control, gathering)
    this.#tryCandidates(control, gathering)
    await this.#fetchMissing(this.#missing(control, device, gathering), { control, device, holder, gathering })
    for (const { control: body } of entries) {
      if (body?.type === 'grant' && body.device === holder.number) this.#openGranted(control, body, holder, gathering)
    }
    this.#walkBack(control, gathering)
    // Whoever started an epoch without having been given the one before links past it; others have written in it.
    await this.#fetchMissing(this.#unlinked(control, device, gathering), { control, device, holder, gathering })
    this.#walkBack(control, gathering)
    this.#isLacking = this.#unlinked(control, device, gathering).length > 0
    // By whatever way it came.
    for (const epoch of this.#tried.keys()) {
      if (this.#isKnown(control, device, gathering, epoch)) this.#options.problems.clear(`key/${epoch}`)
    }
    if (!differs(this.#epochs, gathering)) return false
    await this.#options.keep(gathering)
    this.#epochs = gathering
    this.#keys = new SpaceKeys(gathering)
    return true
  }

  async #fetchMissing(missing: readonly number[], { control, device, holder, gathering }: Gathering): Promise<void> {
    for (const epoch of missing) {
      const { deliveries } = control.epochs[epoch] as EpochRecord
      if (this.#tried.get(epoch) === deliveries.length) continue
      if (this.#isSilent) this.#tried.set(epoch, deliveries.length)
      else await this.#fetch(control, device, holder, epoch, gathering)
    }
  }

  /** Epochs since the device was admitted of which it should have been given the secret, and has not. */
  #unlinked(
    control: ControlState,
    device: DeviceRecord,
    gathering: ReadonlyMap<number, EpochSecret>,
  ): readonly number[] {
    const first =
      historyOf(control, device) === 'all' ? device.since.epoch : Math.max(device.readsFrom, device.since.epoch)
    const unlinked: number[] = []
    for (let epoch = first; epoch <= latestEpoch(control); epoch++) {
      if (!this.#isKnown(control, device, gathering, epoch)) unlinked.push(epoch)
    }
    return unlinked
  }

  /** What was kept before there was a log to hold it against, or came out of a store that was tampered with. */
  #dropUnproven(control: ControlState, gathering: Map<number, EpochSecret>): void {
    for (const [epoch, secret] of this.#epochs) {
      const record = control.epochs[epoch]
      if (record === undefined || this.#proven.has(secret)) continue
      if (isSecretOf(secret, record)) {
        this.#proven.add(secret)
        continue
      }
      gathering.delete(epoch)
      this.#problem(`key/${epoch}`, record.index, `the key of epoch ${epoch} kept here is not what the log commits to`)
    }
  }

  #tryCandidates(control: ControlState, gathering: Map<number, EpochSecret>): void {
    const latest = latestEpoch(control)
    if (gathering.get(latest)?.kind === 'all') return
    const own = this.#candidates.find(candidate => isSecretOf(candidate, control.epochs[latest] as EpochRecord))
    if (own === undefined) return
    gathering.set(latest, own)
    this.#candidates.length = 0
  }

  /** Epochs whose own wrap is worth asking for: of who may read everything, the latest leads to all others. */
  #missing(
    control: ControlState,
    device: DeviceRecord,
    gathering: ReadonlyMap<number, EpochSecret>,
  ): readonly number[] {
    const latest = latestEpoch(control)
    const unlinked = this.#unlinked(control, device, gathering)
    return historyOf(control, device) === 'all' ? unlinked.filter(epoch => epoch === latest) : unlinked
  }

  #isKnown(
    control: ControlState,
    device: DeviceRecord,
    gathering: ReadonlyMap<number, EpochSecret>,
    epoch: number,
  ): boolean {
    const kind = gathering.get(epoch)?.kind
    return kind === 'all' || (kind === 'read' && historyOf(control, device) !== 'all')
  }

  /** By the wrap in the entry that admitted the device, or by those that were delivered, the newest first. */
  async #fetch(
    control: ControlState,
    device: DeviceRecord,
    holder: KeyHolder,
    epoch: number,
    gathering: Map<number, EpochSecret>,
  ): Promise<void> {
    const record = control.epochs[epoch] as EpochRecord
    const cause = `key/${epoch}`
    const fault = (index: number, author: number, why: string): void =>
      this.#problem(cause, index, `the key of epoch ${epoch} that device ${author} delivered in entry ${index} ${why}`)
    if (device.since.epoch === epoch && !gathering.has(epoch)) {
      const found = await this.#inline(control, device, holder, epoch)
      if (found !== undefined) gathering.set(epoch, found)
    }
    const wraps = record.deliveries.length === 0 ? [] : await this.#delivered(holder, epoch)
    for (const delivery of record.deliveries.toReversed()) {
      if (this.#isKnown(control, device, gathering, epoch)) break
      const wrap = wraps.find(({ index }) => index === delivery.index)
      if (wrap === undefined) {
        fault(delivery.index, delivery.device, 'is not served by the relay')
        continue
      }
      const found = this.#open(delivery, wrap, holder, epoch, record)
      if (found !== undefined && (found.kind === 'all' || !gathering.has(epoch))) gathering.set(epoch, found)
      const isWhole = found !== undefined && this.#isKnown(control, device, gathering, epoch)
      if (!isWhole) fault(delivery.index, delivery.device, 'is not the one that it committed to')
    }
    this.#tried.set(epoch, record.deliveries.length)
    if (this.#isKnown(control, device, gathering, epoch)) this.#options.problems.clear(cause)
  }

  async #delivered({ number }: KeyHolder, epoch: number): Promise<readonly DeliveredWrap[]> {
    try {
      const { wraps } = await this.#inTime(this.#options.channel.keys(epoch, epoch))
      return wraps.filter(wrap => wrap.epoch === epoch && wrap.device === number)
    } catch (error) {
      // A relay that does not serve it is as good as one that lost it; a connection that is gone is another matter.
      if (error instanceof SealogError && error.code !== 'ERR_OFFLINE') return []
      throw error
    }
  }

  /** @throws SealogError ERR_PROOF where it is not in the delivery: the relay made it up */
  #open(
    delivery: DeliveryRecord,
    wrap: DeliveredWrap,
    holder: KeyHolder,
    epoch: number,
    record: EpochRecord,
  ): EpochSecret | undefined {
    assertDelivered(delivery, wrap)
    return this.#openAny(wrap.wrap, { holder, epoch, device: holder.number, record })
  }

  /** Wraps hold one of two kinds, which the sealing tells apart. */
  #openAny(
    wrap: Uint8Array,
    options: {
      readonly holder: KeyHolder
      readonly epoch: number
      readonly device: number | undefined
      readonly record: EpochRecord
    },
  ): EpochSecret | undefined {
    const { holder, epoch, device, record } = options
    for (const payloadKind of [0, 1] as const satisfies readonly PayloadKind[]) {
      try {
        const space = device === undefined && holder.number === 0 ? ZERO_SPACE : this.#options.space
        const secret = openWrap({ space, epoch, device, payloadKind, seed: holder.kem, wrap })
        const found: EpochSecret = { kind: payloadKind === 0 ? 'all' : 'read', secret }
        if (isSecretOf(found, record)) return found
        return undefined
      } catch (error) {
        if (!hasCode(error, 'ERR_OPEN') && !hasCode(error, 'ERR_KEY')) throw error
      }
    }
    return undefined
  }

  async #inline(
    control: ControlState,
    device: DeviceRecord,
    holder: KeyHolder,
    epoch: number,
  ): Promise<EpochSecret | undefined> {
    const { index } = device.since
    const body = await this.#controlBody(index)
    if (body === undefined || !('wrap' in body) || body.wrap.length === 0) return undefined
    const record = control.epochs[epoch] as EpochRecord
    const found = this.#openAny(body.wrap, { holder, epoch, device: undefined, record })
    if (found === undefined) {
      this.#problem(`key/${epoch}`, index, `entry ${index} admits this device without the key of epoch ${epoch}`)
    }
    return found
  }

  /** Whether it is the true one shows when the secret in it is held against the commitments. */
  async #controlBody(index: number): Promise<ControlBody | undefined> {
    try {
      const bytes = await this.#inTime(this.#options.channel.bodyStart(index))
      return bytes.length > MAX_CONTROL_BODY_LENGTH ? undefined : decodeControlBody(bytes)
    } catch (error) {
      if (error instanceof SealogError && error.code !== 'ERR_OFFLINE') return undefined
      throw error
    }
  }

  /** Entries wait for keys: a relay that answers everything else, and this never, must not keep them from being taken. */
  #inTime<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = (): void => {
        this.#isSilent = true
        reject(new SealogError('ERR_TIMEOUT', 'the relay does not serve keys'))
      }
      const cancel = this.#options.environment.schedule(ANSWER, late)
      answer.then(resolve, reject).finally(cancel)
    })
  }

  #openGranted(
    control: ControlState,
    body: Extract<ControlBody, { type: 'grant' }>,
    { number, kem }: KeyHolder,
    gathering: Map<number, EpochSecret>,
  ): void {
    const { from, sealed } = body
    const cause = `grant/${from}`
    try {
      const secrets = openGrant({ space: this.#options.space, device: number, from, seed: kem, sealed })
      for (const [i, secret] of secrets.entries()) {
        const record = control.epochs[from + i]
        const found: EpochSecret = { kind: 'read', secret }
        if (record === undefined || !isSecretOf(found, record)) throw new SealogError('ERR_KEY', 'not the read secret')
        const kind = gathering.get(from + i)?.kind
        if (kind === undefined || kind === 'names') gathering.set(from + i, found)
      }
      this.#options.problems.clear(cause)
    } catch (error) {
      if (!(error instanceof SealogError)) throw error
      this.#options.problems.add(cause, {
        code: 'ERR_KEY',
        message: `what was granted from epoch ${from} on does not hold its keys`,
        since: this.#options.environment.now(),
      })
    }
  }

  /** Along the links from every epoch that is known to the one that it names, the latest first. */
  #walkBack(control: ControlState, gathering: Map<number, EpochSecret>): void {
    for (let epoch = latestEpoch(control); epoch > 0; epoch--) {
      const known = gathering.get(epoch)
      const record = control.epochs[epoch] as EpochRecord
      if (known === undefined) continue
      // All of them: one that leads far back must not hide what another one leads to.
      for (const delivery of record.deliveries.toReversed()) {
        if (!isBetterThan(known, gathering.get(delivery.target))) continue
        const found = this.#follow(control, epoch, known, delivery)
        if (found !== undefined) gathering.set(delivery.target, found)
        if (found !== undefined) this.#options.problems.clear(`link/${epoch}`)
        else this.#wrongLink(epoch, delivery)
      }
    }
  }

  #wrongLink(epoch: number, { index, device, target }: DeliveryRecord): void {
    const what = `the link from epoch ${epoch} to ${target} that device ${device} made in entry ${index} is wrong`
    this.#problem(`link/${epoch}`, index, what)
  }

  /** @returns undefined where the link does not lead there */
  #follow(
    control: ControlState,
    epoch: number,
    known: EpochSecret,
    { target, link, namesLink }: DeliveryRecord,
  ): EpochSecret | undefined {
    const context = { space: this.#options.space, epoch, target }
    const keys = new SpaceKeys(new Map([[epoch, known]]))
    try {
      const found: EpochSecret =
        known.kind === 'all'
          ? {
              kind: 'all',
              secret: openLink('history', { ...context, key: deriveEpoch(known.secret).historySecret, link }),
            }
          : {
              kind: 'names',
              secret: openLink('names', { ...context, key: keys.namesSecret(epoch), link: namesLink }),
            }
      return isSecretOf(found, control.epochs[target] as EpochRecord) ? found : undefined
    } catch (error) {
      if (error instanceof SealogError) return undefined
      throw error
    }
  }

  #problem(cause: string, index: number, message: string): void {
    this.#options.problems.add(cause, { code: 'ERR_KEY', message, since: this.#options.environment.now(), index })
  }
}

/** What is asked for, for whom, and what was found so far. */
interface Gathering {
  readonly control: ControlState
  readonly device: DeviceRecord
  readonly holder: KeyHolder
  readonly gathering: Map<number, EpochSecret>
}

/** A genesis is hashed to give the space its id: its wrap knows none. */
const ZERO_SPACE: Uint8Array = new Uint8Array(32)

function isSecretOf(secret: EpochSecret, record: EpochRecord): boolean {
  try {
    assertIsSecretOf(secret, record)
    return true
  } catch (error) {
    if (hasCode(error, 'ERR_KEY')) return false
    throw error
  }
}

/** Leads a secret of this kind to more than is here? */
function isBetterThan(known: EpochSecret, before: EpochSecret | undefined): boolean {
  return before === undefined || (known.kind === 'all' && before.kind !== 'all')
}

function differs(before: ReadonlyMap<number, EpochSecret>, after: ReadonlyMap<number, EpochSecret>): boolean {
  if (before.size !== after.size) return true
  for (const [epoch, secret] of after) if (before.get(epoch) !== secret) return true
  return false
}
