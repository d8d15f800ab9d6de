import type { Environment } from '../environment.ts'
import { SealogError } from '../errors.ts'
import type { DeliveredWrap } from '../relay/key-messages.ts'

import { type Gathering, isWhole, ownDeliveries } from './key-gathering.ts'
import { openAdmission, openDelivered } from './key-wraps.ts'
import type { Problems } from './problems.ts'
import { isCongested } from './refusals.ts'
import type { SpaceChannel } from './space-channel.ts'

/** Keys that did not come by then are asked for again later, in milliseconds. */
const ANSWER = 30_000
/** The same where the relay says that it is asked too much, but not for how long. */
const CONGESTED = 10_000
/** Epochs between two that are lacking which cost less to be sent along than another request. */
const MAX_GAP = 4

export interface KeyRequestsOptions {
  readonly channel: Pick<SpaceChannel, 'keys' | 'bodyStart'>
  readonly problems: Problems
  readonly environment: Environment
}

/**
 * Asks the relay for the own wraps of many epochs at once, and takes the secrets in them that the log commits to. What
 * an author delivered wrongly, or the relay does not serve, is a problem that names the entry, and is not asked for again
 * before there is another delivery or `forgetTries`.
 */
export class KeyRequests {
  readonly #options: KeyRequestsOptions
  /** How many deliveries of an epoch were tried without success. */
  readonly #tried = new Map<number, number>()
  /** The relay has just left a request without an answer: one wait is enough. */
  #isSilent = false
  /** The relay was asked too much: nothing more before then, Unix time in milliseconds. */
  #notBefore = 0

  constructor(options: KeyRequestsOptions) {
    this.#options = options
  }

  /** Milliseconds after which the relay says that it serves more; undefined where it did not refuse for that. */
  get retryAfter(): number | undefined {
    const wait = this.#notBefore - this.#options.environment.now()
    return wait > 0 ? wait : undefined
  }

  forgetTries(): void {
    this.#tried.clear()
  }

  /** The relay is given another chance to answer in time. */
  begin(): void {
    this.#isSilent = false
  }

  /** What was a problem is none where the secret came, by whatever way. */
  settle(gathering: Gathering): void {
    for (const epoch of this.#tried.keys()) {
      if (isWhole(gathering, epoch)) this.#options.problems.clear(`key/${epoch}`)
    }
  }

  /**
   * Looks for the secrets of these epochs, in ascending order, into `gathering.found`.
   * @param breathe called before each wrap
   * @throws SealogError ERR_PROOF where the relay shows a wrap that is none; ERR_OFFLINE
   */
  async fetch(gathering: Gathering, epochs: readonly number[], breathe: () => Promise<void>): Promise<void> {
    const due = epochs.filter(epoch => this.#tried.get(epoch) !== ownDeliveries(gathering, epoch).length)
    const { since } = gathering.device
    if (due.includes(since.epoch) && !gathering.found.has(since.epoch)) await this.#takeAdmission(gathering)
    const asked = due.filter(epoch => !isWhole(gathering, epoch) && ownDeliveries(gathering, epoch).length > 0)
    const unserved: number[] = []
    for (const range of rangesOf(asked)) {
      for (let { from } = range; from <= range.to; ) {
        const answer = await this.#answer(from, range.to)
        const to = answer?.to ?? range.to
        for (const epoch of asked.filter(each => from <= each && each <= to)) {
          if (this.retryAfter !== undefined) return
          const isServed = await this.#take(gathering, epoch, answer?.wraps ?? [], breathe)
          if (!isServed) unserved.push(epoch)
        }
        from = to + 1
      }
    }
    this.#showUnserved(gathering, unserved)
    for (const epoch of due) this.#tried.set(epoch, ownDeliveries(gathering, epoch).length)
    this.settle(gathering)
  }

  async #takeAdmission(gathering: Gathering): Promise<void> {
    const { epoch, index } = gathering.device.since
    const body = await this.#ask(() => this.#options.channel.bodyStart(index))
    const opened = body && readable(() => openAdmission(gathering, body))
    if (opened?.secret !== undefined) gathering.found.set(epoch, opened.secret)
    else if (opened?.isWrong) {
      this.#problem(epoch, index, `entry ${index} admits this device without the key of epoch ${epoch}`)
    }
  }

  /** Whole epochs from `from` on. @returns undefined where the relay serves none */
  async #answer(
    from: number,
    to: number,
  ): Promise<{ readonly wraps: readonly DeliveredWrap[]; readonly to: number } | undefined> {
    const answer = await this.#ask(() => this.#options.channel.keys(from, to))
    // A relay that answers with nothing is as good as one that does not answer.
    if (answer === undefined || answer.to < from) return undefined
    return { wraps: answer.wraps, to: Math.min(to, answer.to) }
  }

  /** By what was delivered, the newest first. @returns whether the relay served all that it took */
  async #take(
    gathering: Gathering,
    epoch: number,
    wraps: readonly DeliveredWrap[],
    breathe: () => Promise<void>,
  ): Promise<boolean> {
    const { found, holder } = gathering
    let isServed = true
    for (const delivery of ownDeliveries(gathering, epoch).toReversed()) {
      if (isWhole(gathering, epoch)) break
      const { index, device } = delivery
      const wrap = wraps.find(each => each.epoch === epoch && each.index === index && each.device === holder.number)
      if (wrap === undefined) {
        isServed = false
        continue
      }
      await breathe()
      const secret = openDelivered(gathering, epoch, delivery, wrap)
      if (secret !== undefined && (secret.kind === 'all' || !found.has(epoch))) found.set(epoch, secret)
      if (secret === undefined || !isWhole(gathering, epoch)) {
        const what = `the key of epoch ${epoch} that device ${device} delivered in entry ${index}`
        this.#problem(epoch, index, `${what} is not the one that it committed to`)
      }
    }
    return isServed || isWhole(gathering, epoch)
  }

  /** One problem for all of them: there may be many. */
  #showUnserved(gathering: Gathering, epochs: readonly number[]): void {
    const last = epochs.at(-1)
    const delivery = last === undefined ? undefined : ownDeliveries(gathering, last).at(-1)
    if (last === undefined || delivery === undefined) return
    const { index, device } = delivery
    const what = `the key of epoch ${last} that device ${device} delivered in entry ${index} is not served by the relay`
    const others = epochs.length === 1 ? '' : `, nor are those of ${epochs.length - 1} epochs before`
    this.#problem(last, index, what + others)
  }

  /**
   * Entries wait for keys: a relay that answers everything else, and this never, must not keep them from being taken.
   * @returns undefined where it does not serve what it is asked for, which is as good as having lost it
   * @throws SealogError ERR_OFFLINE: a connection that is gone is another matter
   */
  async #ask<T>(request: () => Promise<T>): Promise<T | undefined> {
    if (this.#isSilent || this.retryAfter !== undefined) return undefined
    try {
      const answer = await this.#inTime(request())
      this.#options.problems.clear('keys')
      return answer
    } catch (error) {
      if (!(error instanceof SealogError) || error.code === 'ERR_OFFLINE') throw error
      if (isCongested(error)) this.#wait(error)
      return undefined
    }
  }

  #wait({ code, message, details }: SealogError): void {
    const now = this.#options.environment.now()
    this.#notBefore = now + (details.retryAfter ?? CONGESTED)
    this.#options.problems.add('keys', { code, message, since: now })
  }

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

  #problem(epoch: number, index: number, message: string): void {
    this.#options.problems.add(`key/${epoch}`, {
      code: 'ERR_KEY',
      message,
      since: this.#options.environment.now(),
      index,
    })
  }
}

interface EpochRange {
  readonly from: number
  readonly to: number
}

/** @param epochs in ascending order */
function rangesOf(epochs: readonly number[]): readonly EpochRange[] {
  const ranges: EpochRange[] = []
  for (const epoch of epochs) {
    const last = ranges.at(-1)
    if (last !== undefined && epoch - last.to <= MAX_GAP) ranges.splice(-1, 1, { from: last.from, to: epoch })
    else ranges.push({ from: epoch, to: epoch })
  }
  return ranges
}

/** What the relay gives out as the body of an entry may be anything. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof SealogError) return undefined
    throw error
  }
}
