import type { Environment } from '../environment.ts'
import type { DeviceRecord } from '../verify/control-state.ts'
import type { LogView, VerifiedEntry } from '../verify/log.ts'
import { deviceByKey } from './devices.ts'
import type { DocumentSet } from './document-set.ts'
import type { KeyKeeper } from './key-keeper.ts'
import type { Replication } from './replication.ts'
import { Retry } from './retry.ts'
import type { SpaceChannel } from './space-channel.ts'
import { type Standing, signerOf } from './standing.ts'

/** Keys that should be here and did not come are asked for again, in milliseconds. */
const KEY_RETRY = { first: 5_000, most: 10 * 60_000 }

export interface KeyWatchOptions {
  readonly keeper: KeyKeeper
  readonly channel: Pick<SpaceChannel, 'isLive' | 'enqueue'>
  readonly standing: Pick<Standing, 'speaker'>
  readonly view: () => LogView
  readonly documents: Pick<DocumentSet, 'keysArrived'>
  readonly replication: () => Pick<Replication, 'keysArrived'>
  readonly environment: Environment
  /** Keys were asked for once more, in turn with everything else: what waited for them may go on. */
  readonly onRetried: () => Promise<void>
}

/** Sees to it that the secrets of epochs are here that this device may know, and that what waited for them goes on. */
export class KeyWatch {
  readonly #options: KeyWatchOptions
  readonly #retry: Retry
  #closed = false

  constructor(options: KeyWatchOptions) {
    this.#options = options
    this.#retry = new Retry({ ...KEY_RETRY, environment: options.environment, attempt: () => this.#again() })
  }

  close(): void {
    this.#closed = true
    this.#retry.stop()
  }

  /** The secrets of the epochs in this view, which these entries led to; before anything is opened with them. */
  async gather({ state }: LogView, entries: readonly VerifiedEntry[]): Promise<void> {
    const { keeper, documents, replication, standing } = this.#options
    const { speaker } = standing
    // By the view in question: it is yet to become the one that counts.
    const record = state && deviceByKey(state.control, signerOf(speaker).publicKey)
    if (state === undefined || record === undefined || !isCurrentReader(record)) return
    const isNew = await keeper.gather(state.control, { number: record.number, kem: speaker.kem }, entries)
    if (isNew) await documents.keysArrived()
    if (isNew) replication().keysArrived()
    if (!this.#closed) this.#retry.isLacking(keeper.isLacking, keeper.retryAfter)
  }

  /** Keys that the relay withheld, or served wrongly. */
  #again(): void {
    const { channel, keeper, view, onRetried } = this.#options
    if (this.#closed || !channel.isLive) return
    channel.enqueue(async () => {
      keeper.forgetTries()
      await this.gather(view(), [])
      await onRetried()
    })
  }
}

/** Does the device hold, or get, secrets of epochs? */
function isCurrentReader({ standing, removed }: DeviceRecord): boolean {
  return removed === undefined && (standing === 'member' || standing === 'provisional')
}
