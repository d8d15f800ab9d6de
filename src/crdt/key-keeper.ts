import type { Environment } from '../environment.ts'
import { type ControlState, type EpochRecord, historyOf, latestEpoch } from '../verify/control-state.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import { WRAPS_AT_ONCE } from './delivery.ts'
import { type EpochSecret, SpaceKeys } from './epoch-secrets.ts'
import { type Gathering, isSecretOf, type KeyHolder, lackingEpochs } from './key-gathering.ts'
import { lacksGranted, takeGranted } from './key-grants.ts'
import { isLinked, LinkWalk, type WrongLink } from './key-links.ts'
import { KeyRequests } from './key-requests.ts'
import { paced } from './pace.ts'
import type { Problems } from './problems.ts'
import type { SpaceChannel } from './space-channel.ts'

export interface KeyKeeperOptions {
  /** 32 bytes. */
  readonly space: Uint8Array
  readonly channel: Pick<SpaceChannel, 'keys' | 'bodyStart'>
  readonly problems: Problems
  readonly environment: Environment
  readonly epochs: ReadonlyMap<number, EpochSecret>
  /** Makes them durable. @throws SealogError ERR_STORE… */
  readonly keep: (epochs: ReadonlyMap<number, EpochSecret>) => Promise<void>
}

/** Attempts to start an epoch that are remembered: of those that came to nothing, no acknowledgement is due. */
const MAX_CANDIDATES = 16
/** Links that are followed, and secrets that are checked, before others have their turn, whatever the clock says. */
const AT_ONCE = 64

/**
 * Gets the secrets of epochs, and believes none that is not what the log commits to (DESIGN §7): by the own wrap, by the
 * links from later epochs, by what was granted. What an author delivered wrongly is a problem that names the entry; the
 * content of such an epoch waits until somebody repairs it.
 */
export class KeyKeeper {
  readonly #options: KeyKeeperOptions
  readonly #requests: KeyRequests
  readonly #links = new LinkWalk()
  #epochs: ReadonlyMap<number, EpochSecret>
  #keys: SpaceKeys
  /** Secrets of epochs that this replica is about to start. */
  readonly #candidates: EpochSecret[] = []
  #isLacking = false
  /** Something was found since `gather` last said so. */
  #hasNews = false
  /** Secrets that were held against the commitments of their epochs. */
  readonly #proven = new WeakSet<EpochSecret>()
  /** Epochs with links that are shown to be wrong. */
  readonly #misleading = new Set<number>()
  #isGrantEmpty = false

  constructor(options: KeyKeeperOptions) {
    this.#options = options
    this.#requests = new KeyRequests(options)
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

  /** Milliseconds after which the relay serves more keys; undefined where it did not say so. */
  get retryAfter(): number | undefined {
    return this.#requests.retryAfter
  }

  /** What was tried in vain is worth another attempt: with another relay, or at another time. */
  forgetTries(): void {
    this.#requests.forgetTries()
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
    const found = new Map(this.#epochs)
    const gathering: Gathering = { space: this.#options.space, control, device, holder, found }
    try {
      await this.#find(gathering, entries)
    } finally {
      // What was found before something failed is as true as any other: nobody has to be asked for it again.
      await this.#adopt(found)
    }
    this.#isLacking = lackingEpochs(gathering).length > 0
    const hasNews = this.#hasNews
    this.#hasNews = false
    return hasNews
  }

  /** What is at hand comes first, and what takes a request last. */
  async #find(gathering: Gathering, entries: readonly VerifiedEntry[]): Promise<void> {
    const { control, device, holder } = gathering
    const { environment } = this.#options
    const breathe = paced(environment, AT_ONCE)
    const betweenWraps = paced(environment, WRAPS_AT_ONCE)
    await this.#dropUnproven(gathering, breathe)
    this.#tryCandidates(gathering)
    this.#requests.begin()
    // Of who may read everything the latest secret leads to all others, if the links are as they should be.
    const hasLinks = historyOf(control, device) === 'all'
    const wanted = lackingEpochs(gathering).filter(epoch => !hasLinks || epoch === latestEpoch(control))
    await this.#requests.fetch(gathering, wanted, betweenWraps)
    for (const { control: body } of entries) {
      if (body?.type === 'grant' && body.device === holder.number) takeGranted(gathering, body)
    }
    const wrong = [...(await this.#links.back(gathering, breathe))]
    // Whoever started an epoch without having been given the one before links past it; others have written in it.
    const unlinked = lackingEpochs(gathering)
    await this.#requests.fetch(gathering, unlinked, betweenWraps)
    if (unlinked.length > 0) wrong.push(...(await this.#links.back(gathering, breathe)))
    this.#requests.settle(gathering)
    this.#showLinks(gathering, wrong)
    this.#showGrants(gathering)
  }

  /** @throws SealogError ERR_STORE… */
  async #adopt(found: ReadonlyMap<number, EpochSecret>): Promise<void> {
    if (!differs(this.#epochs, found)) return
    await this.#options.keep(found)
    this.#epochs = found
    this.#keys = new SpaceKeys(found)
    this.#hasNews = true
  }

  /** What was kept before there was a log to hold it against, or came out of a store that was tampered with. */
  async #dropUnproven({ control, found }: Gathering, breathe: () => Promise<void>): Promise<void> {
    for (const [epoch, secret] of this.#epochs) {
      const record = control.epochs[epoch]
      if (record === undefined || this.#proven.has(secret)) continue
      await breathe()
      if (isSecretOf(secret, record)) {
        this.#proven.add(secret)
        continue
      }
      found.delete(epoch)
      this.#problem(`key/${epoch}`, `the key of epoch ${epoch} kept here is not what the log commits to`, record.index)
    }
  }

  #tryCandidates({ control, found }: Gathering): void {
    const latest = latestEpoch(control)
    if (found.get(latest)?.kind === 'all') return
    const own = this.#candidates.find(candidate => isSecretOf(candidate, control.epochs[latest] as EpochRecord))
    if (own === undefined) return
    found.set(latest, own)
    this.#candidates.length = 0
  }

  /** A wrong link is said once; and said no more where what it should have led to came by another way. */
  #showLinks(gathering: Gathering, wrong: readonly WrongLink[]): void {
    for (const { epoch, delivery } of wrong) {
      if (isLinked(gathering, epoch) || this.#misleading.has(epoch)) continue
      this.#misleading.add(epoch)
      const { target, device, index } = delivery
      const what = `the link from epoch ${epoch} to ${target} that device ${device} made in entry ${index} is wrong`
      this.#problem(`link/${epoch}`, what, index)
    }
    for (const epoch of this.#misleading) {
      if (isLinked(gathering, epoch)) this.#options.problems.clear(`link/${epoch}`)
    }
  }

  /** Also after a restart: that there was a grant is in the state, what it held is not. */
  #showGrants(gathering: Gathering): void {
    const isEmpty = lacksGranted(gathering)
    if (isEmpty && !this.#isGrantEmpty) {
      const what = 'does not hold all keys: somebody who may read that far back has to grant it again'
      this.#problem('grant', `what was granted to this device ${what}`)
    }
    if (!isEmpty) this.#options.problems.clear('grant')
    this.#isGrantEmpty = isEmpty
  }

  #problem(cause: string, message: string, index?: number): void {
    const since = this.#options.environment.now()
    this.#options.problems.add(cause, { code: 'ERR_KEY', message, since, ...(index === undefined ? {} : { index }) })
  }
}

function differs(before: ReadonlyMap<number, EpochSecret>, after: ReadonlyMap<number, EpochSecret>): boolean {
  if (before.size !== after.size) return true
  for (const [epoch, secret] of after) if (before.get(epoch) !== secret) return true
  return false
}
