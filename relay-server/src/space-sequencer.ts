import { hasCode, type Note, type SealogError } from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import { type Follower, Followers, type Origins } from './followers.ts'
import type { Push, SpaceView } from './judge.ts'
import type { LogEnd } from './log-end.ts'
import type { Waiting } from './push-queue.ts'
import { RequestLine } from './request-line.ts'
import type { Restored } from './restored-tail.ts'
import { ShownLog } from './shown-log.ts'
import {
  allRefused,
  decidesFor,
  originsOf,
  outcomeOf,
  type PushOrigin,
  type PushOutcome,
  type PushRequest,
  pushRequest,
  type SettleRequest,
  type SpaceRequest,
  settleRequest,
  taskRequest,
} from './space-request.ts'
import { causeOf, isStoreBusy, storageError } from './storage-error.ts'

const NO_ORIGINS: Origins = new Map()

/**
 * Orders the pushes of one space (DESIGN §8): verify, reduce, append in one durable transaction, sign, show. What
 * arrives while a group is under way makes up the next one. After the store failed once this sequencer is over: nothing
 * is accepted any more, its followers are told, and whoever asks for the space next gets one that begins with what the
 * store has. A store that had no time at all is no failure: what was asked for then is refused, and that is all.
 */
export class SpaceSequencer extends ShownLog {
  readonly #context: RelayContext
  readonly #end: LogEnd
  readonly #onFailed: (error: SealogError) => void
  readonly #followers: Followers
  readonly #line: RequestLine<SpaceRequest>
  #failure: SealogError | undefined
  #isFollowing = false

  /** @param onFailed called once, when nothing is accepted any more */
  constructor(context: RelayContext, end: LogEnd, onFailed: (error: SealogError) => void) {
    super(context, end)
    this.#context = context
    this.#end = end
    this.#onFailed = onFailed
    this.#followers = new Followers(context, this.space)
    this.#line = new RequestLine(context, group => this.#serve(group))
  }

  // -- What is asked for --------------------------------------------------------------------------------------------

  /** @param origin whose request it is, if it follows the log; its answer is then `onAppended` */
  push(push: Push, origin?: PushOrigin): Promise<PushOutcome> {
    return new Promise(resolve => this.#line.add(pushRequest(push, origin, resolve)))
  }

  /**
   * Resolves when what decides for this device is done, as far as it was asked for before, and the note is not older
   * than the limit.
   * @param device number of the one who asks, whose own pushes come first; undefined: not known yet
   * @throws SealogError ERR_RELAY_STORAGE where the store had no time for it
   */
  settle(device?: number): Promise<void> {
    return this.#settle('fresh note', decidesFor(device))
  }

  /**
   * Resolves when every control entry that was pushed before is judged, and what other processes appended before is here.
   * @throws SealogError ERR_RELAY_STORAGE where the store had no time for it
   */
  level(): Promise<void> {
    return this.#settle('others', decidesFor(undefined))
  }

  /** Resolves when everything asked for before is done. */
  idle(): Promise<void> {
    return this.#settle('order')
  }

  /** Another process appended, or may have. */
  onGrown(): void {
    if (this.#isFollowing || this.#failure !== undefined) return
    this.#isFollowing = true
    // Where the store has no time for it, whoever asks for the log next follows.
    this.#settle('others', () => false).catch(() => {})
  }

  #settle(needs: SettleRequest['needs'], waitsFor?: Waiting['waitsFor']): Promise<void> {
    return new Promise((resolve, reject) => this.#line.add(settleRequest(needs, { resolve, reject }, waitsFor)))
  }

  /** Runs what writes to the store by other ways than a push when nothing else of this space does. */
  inLine<T>(run: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      // Neither of the two throws, and a rejection is the caller's.
      this.#line.add(taskRequest(() => run().then(resolve, reject)))
    })
  }

  /**
   * This relay has lost entries if the note is about a larger log: for it signed that, as the caller has verified.
   * @throws SealogError ERR_RELAY_STORAGE
   */
  fallBehind(note: Note): Promise<void> {
    return this.inLine(() => this.#orFail(() => this.#end.fallBehind(note)))
  }

  /**
   * Appends what was lost and given back, and goes on as if nothing had happened.
   * @param compose judges what was given back on top of the view as it is by then; what it throws changes nothing
   */
  restore(compose: (view: SpaceView) => Promise<Restored>): Promise<void> {
    return this.inLine(async () => {
      if (this.#failure !== undefined) throw this.#failure
      const restored = await compose(this.#end.view)
      try {
        await this.#orFail(() => this.#end.restore(restored))
        this.#announce()
      } finally {
        await this.#showGrowth(NO_ORIGINS)
      }
    })
  }

  follow(follower: Follower): void {
    if (this.#failure === undefined) this.#followers.add(follower)
    else follower.onFailed(this.#failure)
  }

  unfollow(follower: Follower): void {
    this.#followers.delete(follower)
  }

  /** Accepts and shows nothing any more, as what is stored turned out to be wrong. */
  stop(error: SealogError): void {
    this.#fail(error)
  }

  /** The space is in memory no more, as nobody holds it, or it failed. */
  leave(): void {
    this.#end.leave()
  }

  // -- What is done, one group after the other ----------------------------------------------------------------------

  async #serve(group: readonly SpaceRequest[]): Promise<void> {
    const pushes = group.filter(request => 'push' in request)
    const outcomes = pushes.length > 0 ? await this.#append(pushes) : []
    const needs = new Set(group.map(request => ('needs' in request ? request.needs : 'order')))
    const missed = await this.#bringUpToDate(needs)
    let next = 0
    for (const request of group) {
      if ('push' in request) request.resolve(outcomes[next++] as PushOutcome)
      else if ('task' in request) await request.task()
      else if (missed !== undefined && request.needs !== 'order') request.reject(missed)
      else request.resolve()
    }
  }

  async #append(requests: readonly PushRequest[]): Promise<readonly PushOutcome[]> {
    const { environment, meter } = this.#context
    const begun = environment.now()
    const { size, bytes } = this
    try {
      if (this.#failure !== undefined) throw this.#failure
      const judged = await this.#end.append(requests.map(request => request.push))
      if (judged.accepted.length > 0) {
        meter.appended(judged.accepted.length, Math.max(0, this.bytes - bytes), (environment.now() - begun) / 1000)
        this.#announce()
      }
      await this.#showGrowth(originsOf(requests, judged))
      return requests.map(({ push }, i) => outcomeOf(push, judged.refused[i]))
    } catch (error) {
      const refusal = hasCode(error, 'ERR_RELAY_BEHIND') ? error : this.#unlessBusy(error)
      // What others appended may have been taken over before it turned out.
      if (this.#failure === undefined && this.size > size) await this.#showGrowth(NO_ORIGINS)
      return allRefused(requests, refusal)
    }
  }

  /** @returns what kept the store from being asked; undefined where it was, or the sequencer is over */
  async #bringUpToDate(needs: ReadonlySet<SettleRequest['needs']>): Promise<SealogError | undefined> {
    const isFresh = needs.has('fresh note')
    if (!isFresh && !(needs.has('others') && this.#context.store.isShared)) return undefined
    this.#isFollowing = false
    if (this.#failure !== undefined) return undefined
    try {
      await (isFresh ? this.#end.freshen() : this.#end.follow())
    } catch (error) {
      const failure = this.#unlessBusy(error)
      return this.#failure === undefined ? failure : undefined
    }
    await this.#showGrowth(NO_ORIGINS)
    return undefined
  }

  async #showGrowth(origins: Origins): Promise<void> {
    const { size, head } = this
    try {
      await this.#followers.show(this.#end.takeGrowth(), { size, head, state: this.#end.view.state }, origins)
    } catch (error) {
      // The entries are stored and signed whatever happens here: followers can still read them one by one.
      this.#fail(error)
    }
  }

  /** Whoever misses it hears of the entries with the next announcement, or when somebody asks. */
  #announce(): void {
    if (!this.#context.store.isShared) return
    this.#context.store.announce(this.space).catch(error => {
      this.#context.log({ level: 'warn', event: 'announcement-failed', space: this.space, reason: String(error) })
    })
  }

  // -- What is left after an error ----------------------------------------------------------------------------------

  async #orFail<T>(run: () => Promise<T>): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure
    try {
      return await run()
    } catch (error) {
      if (hasCode(error, 'ERR_RELAY_BEHIND')) throw error
      throw this.#unlessBusy(error)
    }
  }

  /**
   * A store that was too busy to be asked has done nothing, so that things stand as they did: unless entries of this
   * process are stored that nobody has signed, which a fresh start does. Where some that were signed are missing, it
   * could not.
   */
  #unlessBusy(error: unknown): SealogError {
    const isSigned = (this.head?.checkpoint.size ?? 0) === this.size
    const isMissing = this.behind !== undefined && this.behind.size > this.size
    if (!isStoreBusy(error) || !(isSigned || isMissing)) return this.#fail(error)
    this.#context.log({ level: 'warn', event: 'store-busy', space: this.space, reason: error.message })
    return storageError(error)
  }

  #fail(error: unknown): SealogError {
    if (this.#failure !== undefined) return this.#failure
    const failure = storageError(error)
    this.#failure = failure
    this.#context.log({ level: 'error', event: 'space-stopped', space: this.space, reason: causeOf(failure) })
    this.leave()
    this.#onFailed(failure)
    this.#followers.fail(failure)
    return failure
  }
}
