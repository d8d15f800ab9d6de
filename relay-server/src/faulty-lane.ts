import type { Environment } from 'sealog/protocol'
import type { SeededRandom } from './seeded-random.ts'

/** What may go wrong with a frame, in the order in which it is drawn. */
export const FRAME_FAULTS = ['cut', 'reorder', 'duplicate', 'replay', 'delay'] as const
export type FrameFault = (typeof FRAME_FAULTS)[number]

export interface FaultyLaneOptions {
  readonly random: SeededRandom
  readonly schedule: Environment['schedule']
  /** Probability of a fault at this moment, 0 … 1. */
  readonly chance: (fault: FrameFault) => number
  /** In milliseconds. */
  readonly maxDelay: number
  /** Something that was said earlier, if there is any. */
  readonly earlier: (random: SeededRandom) => Uint8Array | undefined
  readonly deliver: (frame: Uint8Array) => void
  readonly cut: () => void
  readonly onFault: (fault: FrameFault) => void
}

interface Waiting {
  readonly frame: Uint8Array
  /** Counted from when the frame before it was delivered. */
  readonly delay: number
}

/** One direction of one connection. What happens to a frame depends on the seed and on its place alone. */
export class FaultyLane {
  readonly #options: FaultyLaneOptions
  readonly #queue: Waiting[] = []
  readonly #timers = new Set<() => void>()
  /** To be overtaken by the next one. */
  #held: Uint8Array | undefined
  #isBusy = false
  #isOver = false

  constructor(options: FaultyLaneOptions) {
    this.#options = options
  }

  take(frame: Uint8Array): void {
    if (this.#isOver) return
    const faults = this.#draw()
    if (faults.has('cut')) {
      this.#options.onFault('cut')
      this.#options.cut()
      return
    }
    if (faults.has('reorder') && this.#held === undefined) {
      this.#hold(frame)
      return
    }
    this.#pass(frame, faults.has('delay'))
    if (faults.has('duplicate')) {
      this.#options.onFault('duplicate')
      this.#pass(frame, false)
    }
    this.#release()
    const earlier = faults.has('replay') ? this.#options.earlier(this.#options.random) : undefined
    if (earlier === undefined) return
    this.#options.onFault('replay')
    this.#pass(earlier, false)
  }

  /** Nothing is delivered any more. */
  end(): void {
    this.#isOver = true
    this.#queue.length = 0
    this.#held = undefined
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
  }

  /** All are drawn every time, so that one fault more or less does not shift the others. */
  #draw(): ReadonlySet<FrameFault> {
    const { random, chance } = this.#options
    const faults = new Set<FrameFault>()
    for (const fault of FRAME_FAULTS) if (random.fraction() < chance(fault)) faults.add(fault)
    return faults
  }

  /** Where no frame comes to overtake it, it goes on after the longest delay: held back is not lost. */
  #hold(frame: Uint8Array): void {
    this.#options.onFault('reorder')
    this.#held = frame
    this.#after(this.#options.maxDelay, () => {
      if (this.#held === frame) this.#release()
    })
  }

  #release(): void {
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) this.#pass(held, false)
  }

  #pass(frame: Uint8Array, isDelayed: boolean): void {
    if (isDelayed) this.#options.onFault('delay')
    const delay = isDelayed ? this.#options.random.fraction() * this.#options.maxDelay : 0
    this.#queue.push({ frame, delay })
    if (!this.#isBusy) this.#deliver()
  }

  #deliver(): void {
    this.#isBusy = true
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const { frame, delay } = next
      if (delay > 0) {
        this.#after(delay, () => {
          this.#options.deliver(frame)
          this.#deliver()
        })
        return
      }
      this.#options.deliver(frame)
    }
    this.#isBusy = false
  }

  #after(ms: number, task: () => void): void {
    const cancel = this.#options.schedule(ms, () => {
      this.#timers.delete(cancel)
      if (!this.#isOver) task()
    })
    this.#timers.add(cancel)
  }
}
