import type { Environment } from '../environment.ts'
import { idBytes, type SpaceId } from '../ids.ts'
import { type ControlState, latestEpoch } from '../verify/control-state.ts'
import type { LogView } from '../verify/log.ts'
import { nextRecipients } from '../verify/wraps.ts'
import type { Errands } from './errands.ts'
import type { KeyKeeper } from './key-keeper.ts'
import type { PreparedControl } from './outbox.ts'
import type { Problems } from './problems.ts'
import { canRotate, prepareRotation, type RotationNeed, rotationNeed } from './rotation.ts'

/** Why an epoch should start: as the log says, or as its keys did not come. */
type Need = RotationNeed | 'broken'

/** In milliseconds: see `Errands`. */
const PATIENCE: Readonly<Record<Need, number>> = { blocking: 250, due: 3_000, policy: 10_000, broken: 10_000 }
/** How often the wait before an epoch is replaced whose keys did not come is doubled at most: up to 3 hours. */
const MOST_DOUBLINGS = 10
/** An epoch that is due waits this long for others to have come, in milliseconds. */
const LONGEST_WAIT = 30_000

export interface EpochCareOptions {
  readonly space: SpaceId
  readonly keeper: KeyKeeper
  readonly environment: Environment
  readonly problems: Problems
  readonly view: () => LogView
  /** Number of the own device, once it speaks for a member. */
  readonly device: () => number | undefined
  readonly errands: Errands
}

/**
 * Starts the next epoch where somebody who should not read on knows the one in force, where its keys did not come, or
 * where the policy wants one (DESIGN §4, §7).
 */
export class EpochCare {
  readonly #options: EpochCareOptions
  /** Since when the next epoch has been due, by the own clock, and the control head that this was last seen on. */
  #due: { readonly since: number; readonly head: Uint8Array } | undefined
  /** How often an epoch was to be replaced as its keys did not come. */
  #replaced = 0

  constructor(options: EpochCareOptions) {
    this.#options = options
  }

  consider(control: ControlState, device: number): void {
    const need = this.#need(control)
    const { problems, environment, keeper, view, errands } = this.#options
    if (need === undefined) {
      errands.cancel('rotate')
      this.#due = undefined
      problems.clear('rotation')
      return
    }
    if (need === 'due') this.#postpone(control)
    if (canRotate(control, device, keeper.keys, view().range.size)) {
      problems.clear('rotation')
      // A relay that serves each member the keys of its own epochs only must not make them outdo each other for ever.
      const doubled = need === 'broken' ? 2 ** Math.min(this.#replaced, MOST_DOUBLINGS) : 1
      return errands.soon('rotate', PATIENCE[need] * doubled * crowd(control), () => {
        if (need === 'broken') this.#replaced++
        return this.#rotateIfNeeded()
      })
    }
    if (need !== 'blocking') return
    const message = 'nothing can be sent before a member who may read everything has started a new epoch'
    problems.add('rotation', { code: 'ERR_STALE_EPOCH', message, since: environment.now() })
  }

  /** The entry that starts the next epoch, needed or not. @returns undefined where nothing leads back from it */
  async rotation(): Promise<PreparedControl | undefined> {
    const { keeper, space, environment, view } = this.#options
    const control = view().state?.control
    return control && prepareRotation({ space: idBytes(space), control, keeper, environment })
  }

  async #rotateIfNeeded(): Promise<PreparedControl | undefined> {
    const { keeper, view, device } = this.#options
    const control = view().state?.control
    const own = device()
    if (control === undefined || own === undefined || this.#need(control) === undefined) return undefined
    return canRotate(control, own, keeper.keys, view().range.size) ? this.rotation() : undefined
  }

  /** Where many come and go at once, an epoch that starts in between is for the wrong devices before it is in the log. */
  #postpone({ head }: ControlState): void {
    const now = this.#options.environment.now()
    const { since, head: before } = this.#due ?? { since: now, head }
    this.#due = { since, head }
    if (before !== head && now - since < LONGEST_WAIT) this.#options.errands.cancel('rotate')
  }

  /** An epoch whose secret this replica was not given, although it should have it, can be used by nobody here. */
  #need(control: ControlState): Need | undefined {
    const { keeper, view, environment } = this.#options
    const need = rotationNeed(control, view().range.size, environment.now())
    if (need !== undefined) return need
    // Who may read everything holds the whole secret of every epoch that is as it should be, once the relay serves it.
    const isHere = keeper.keys.kindOf(latestEpoch(control)) === 'all'
    return isHere || keeper.retryAfter !== undefined ? undefined : 'broken'
  }
}

/** The more devices there are, the more of them may try at once, and the more each attempt costs them. */
function crowd(control: ControlState): number {
  return Math.max(1, Math.min(nextRecipients(control).length, 256) / 8)
}
