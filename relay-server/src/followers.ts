import type { SealogError, SpaceId, SpaceState } from 'sealog/protocol'
import { type Broadcast, makeBroadcast } from './broadcast.ts'
import type { RelayContext } from './context.ts'
import type { Growth } from './log-growth.ts'
import type { SignedHead } from './signed-head.ts'

/** Somebody who follows the log. */
export interface Follower {
  /** Number of the device that reads. */
  readonly device: number
  /**
   * The device may read up to and including the entry `index`, which removed it. Comes before that entry is shown, and
   * may come again.
   */
  onRemoved(index: number): void
  /**
   * The log grew; `broadcast` is undefined where the new entries must be read one by one.
   * @param refs requests of this follower that the new entries answer, in order
   */
  onAppended(broadcast: Broadcast | undefined, refs: readonly number[]): void
  /** Nothing more comes: the store failed. The space can be opened anew, and is then as the store has it. */
  onFailed(error: SealogError): void
}

/** Requests of followers that were carried out, and which the new entries answer. */
export type Origins = ReadonlyMap<Follower, readonly number[]>

/** A log as it is when its growth is shown. */
interface GrownLog {
  readonly size: number
  readonly head: SignedHead | undefined
  readonly state: SpaceState | undefined
}

/** Those who follow one log: they are shown the same bytes, which are made once. */
export class Followers {
  readonly #context: RelayContext
  readonly #space: SpaceId
  readonly #all = new Set<Follower>()

  constructor(context: RelayContext, space: SpaceId) {
    this.#context = context
    this.#space = space
  }

  add(follower: Follower): void {
    this.#all.add(follower)
  }

  delete(follower: Follower): void {
    this.#all.delete(follower)
  }

  /** @throws SealogError whatever the store throws: then nobody was told of the new entries */
  async show({ entries, isWhole }: Growth, log: GrownLog, origins: Origins): Promise<void> {
    if (entries.length === 0 && isWhole && origins.size === 0) return
    // Before anything waits: who is served meanwhile must not be shown more than this.
    for (const follower of this.#all) endRemoved(follower, log)
    const { store, meter } = this.#context
    // What was taken over and nobody has signed is shown to nobody: followers read on, as far as the note goes.
    const isSigned = log.head?.checkpoint.size === log.size
    const isShared = isWhole && isSigned && entries.length > 0 && this.#all.size > 0
    const from = log.size - entries.length
    const broadcast = isShared ? await makeBroadcast(store, this.#space, from, entries, log.head) : undefined
    meter.shown(this.#all.size)
    for (const follower of [...this.#all]) {
      try {
        follower.onAppended(broadcast, origins.get(follower) ?? [])
      } catch (error) {
        // One that cannot be told must not keep the others from being told.
        this.#context.log({ level: 'error', event: 'follower-failed', space: this.#space, reason: String(error) })
      }
    }
  }

  /** Nothing more comes, for any of them. */
  fail(error: SealogError): void {
    for (const follower of [...this.#all]) follower.onFailed(error)
    this.#all.clear()
  }
}

function endRemoved(follower: Follower, { state }: GrownLog): void {
  const removed = state?.control.devices.get(follower.device)?.removed
  if (removed !== undefined) follower.onRemoved(removed.index)
}
