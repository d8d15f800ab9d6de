import type { DocumentSet } from './crdt/document-set.ts'
import type { Problems } from './crdt/problems.ts'
import type { SpaceSync } from './crdt/space-sync.ts'
import type { Environment } from './environment.ts'
import { type ErrorCode, SealogError } from './errors.ts'
import { isAdmitted } from './space-standing.ts'
import type { ControlState } from './verify/control-state.ts'
import { assertWaitOptions, Condition, type WaitOptions, withLimits } from './waiting.ts'

/** What ends the attempt to join, rather than delay it. */
const JOIN_FAULTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['ERR_INVITE', 'ERR_RELAY_IDENTITY', 'ERR_FROZEN'])

export interface SpaceProgressOptions {
  readonly environment: Environment
  readonly documents: DocumentSet
  readonly sync: SpaceSync
  readonly problems: Problems
  /** @throws SealogError ERR_CLOSED */
  readonly assertOpen: () => void
}

/** Lets callers wait for what only the relay can bring about, within their limits, and never for what cannot come. */
export class SpaceProgress {
  readonly #options: SpaceProgressOptions
  readonly #condition = new Condition()

  constructor(options: SpaceProgressOptions) {
    this.#options = options
  }

  /** Something changed that somebody may wait for. */
  changed(): void {
    this.#condition.changed()
  }

  /** Resolves once `holds`. @throws SealogError what ends sync; ERR_TIMEOUT, ERR_ABORTED, ERR_CLOSED */
  reached(holds: () => boolean, limits: WaitOptions): Promise<void> {
    return this.#wait(limits, signal =>
      this.#until(() => {
        if (holds()) return true
        this.#assertGoingOn()
        return false
      }, signal),
    )
  }

  /** Resolves when everything local is proven, and everything the relay had at that moment is applied. */
  synced(limits: WaitOptions): Promise<void> {
    const { documents, sync } = this.#options
    const isDone = (): boolean => sync.isCurrent && sync.isSettled && sync.isComplete
    return this.#wait(limits, async signal => {
      for (;;) {
        await documents.flush().catch(() => {})
        sync.push()
        await this.#until(() => {
          this.#assertGoingOn()
          return isDone()
        }, signal)
        const { size } = sync.view.range
        const answered = await sync.barrier().then(
          () => true,
          () => false,
        )
        // Whatever came or was written meanwhile is part of the promise too.
        if (answered && isDone() && sync.view.range.size >= size) return
        if (signal?.aborted) return
      }
    })
  }

  /** Resolves once this device is admitted and has the log. @throws SealogError ERR_INVITE, ERR_RELAY_IDENTITY… */
  joined(signal: AbortSignal | undefined): Promise<void> {
    const { sync, problems } = this.#options
    return this.#until(() => {
      if (!isAdmitted(sync.secrets) && sync.removed !== undefined) {
        throw new SealogError('ERR_INVITE', 'the request to join was declined')
      }
      this.#assertGoingOn()
      if (isAdmitted(sync.secrets)) return sync.isCurrent && sync.isComplete
      const refused = problems.list().find(({ code }) => JOIN_FAULTS.has(code))
      if (refused !== undefined) throw new SealogError(refused.code, refused.message)
      return false
    }, signal)
  }

  /** Holds the relay's word to somebody else against the log, once that is here. */
  compareHead(head: Uint8Array, limits: WaitOptions): Promise<void> {
    const { sync } = this.#options
    return this.#wait(limits, async signal => {
      await this.#until(() => {
        this.#assertGoingOn()
        return sync.isCurrent
      }, signal)
      await sync.compareHead(head)
    })
  }

  /**
   * Runs `task` once the log is here as far as the relay has it.
   * @param needsKeys and once the epoch is one that this member may seal names and keys under
   */
  whenCurrent<T>(limits: WaitOptions, needsKeys: boolean, task: (control: ControlState) => Promise<T>): Promise<T> {
    this.#options.assertOpen()
    return this.#wait(limits, async signal => task(await this.#currentControl(needsKeys, signal)))
  }

  async #currentControl(needsKeys: boolean, signal: AbortSignal | undefined): Promise<ControlState> {
    const { sync } = this.#options
    const control = (): ControlState | undefined => sync.view.state?.control
    await this.#until(() => {
      this.#assertGoingOn()
      const isReady = sync.isCurrent && isAdmitted(sync.secrets) && control() !== undefined
      return isReady && (!needsKeys || (sync.holdsKey && control()?.rotation !== 'tainted'))
    }, signal)
    return control() as ControlState
  }

  #until(holds: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    return this.#condition.until(() => {
      this.#options.assertOpen()
      return holds()
    }, signal)
  }

  #wait<T>(limits: WaitOptions, task: (signal: AbortSignal | undefined) => Promise<T>): Promise<T> {
    assertWaitOptions(limits)
    const stop = new AbortController()
    return withLimits(this.#options.environment, limits, task(stop.signal)).finally(() => stop.abort())
  }

  /** @throws SealogError where no wait for the relay would end, as far as this replica can tell */
  #assertGoingOn(): void {
    const { ended, turnedAway } = this.#options.sync
    const reason = ended ?? turnedAway
    if (reason !== undefined) throw reason
  }
}
