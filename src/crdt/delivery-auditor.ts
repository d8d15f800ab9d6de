import type { Environment } from '../environment.ts'
import { asSealogError, hasCode } from '../errors.ts'
import { idBytes, type SpaceId } from '../ids.ts'
import { encodeControlBody } from '../verify/control-codec.ts'
import { type ControlState, currentMember, type DeliveryRecord } from '../verify/control-state.ts'
import type { VerifiedEntry } from '../verify/log.ts'
import { recipientsOf } from '../verify/wraps.ts'
import { type Delivering, isTrueDelivery, joinWraps, makeDelivery, WRAPS_AT_ONCE } from './delivery.ts'
import { type DueAudit, deliveryAt, dueAudits, recipientsIn } from './delivery-audits.ts'
import type { KeyKeeper } from './key-keeper.ts'
import type { PreparedControl } from './outbox.ts'
import { paced } from './pace.ts'
import type { Problems } from './problems.ts'
import { Retry } from './retry.ts'
import { rotationTarget } from './rotation.ts'
import { auditKey } from './rows.ts'

/** Before what failed is tried again, in milliseconds: a full disk stays full for a while. */
const AGAIN = { first: 5_000, most: 10 * 60_000 }

export interface DeliveryAuditorOptions {
  readonly space: SpaceId
  readonly keeper: KeyKeeper
  readonly environment: Environment
  readonly problems: Problems
  readonly control: () => ControlState | undefined
  /** Number of the own device, once it speaks for a member. */
  readonly device: () => number | undefined
  /** Audits are over. @throws SealogError ERR_STORE… */
  readonly forget: (keys: readonly Uint8Array[]) => Promise<void>
  /** Those that were due when the store was last written. */
  readonly audits: readonly DueAudit[]
  /** A delivery was found to be wrong: there may be something to repair. */
  readonly onWrong: () => void
}

/**
 * Holds every delivery since the own admission against what the secrets determine (R-WRAP-7): a wrong one is a problem
 * that names author and entry, until another delivery of the epoch is as it should be. The verdict on a delivery is
 * found once in a session, whatever becomes of the store; what is wrong stays on record over a restart.
 */
export class DeliveryAuditor {
  readonly #options: DeliveryAuditorOptions
  readonly #due: DueAudit[]
  /** Found, and still on record. */
  readonly #over: DueAudit[] = []
  /** The latest of their epochs, and wrong. */
  readonly #wrong = new Map<number, DueAudit>()
  /** Wrong, and shown as a problem. */
  readonly #shown = new Map<number, DueAudit>()
  readonly #again: Retry
  /** The last attempt failed, and the next one is not due yet. */
  #isWaiting = false
  #isRunning = false
  #isClosed = false

  constructor(options: DeliveryAuditorOptions) {
    this.#options = options
    this.#due = [...options.audits]
    const attempt = (): void => {
      this.#isWaiting = false
      this.run()
    }
    this.#again = new Retry({ ...AGAIN, environment: options.environment, attempt })
  }

  close(): void {
    this.#isClosed = true
    this.#again.stop()
  }

  /** Entries were taken in that lead to this state. */
  noticed(control: ControlState, entries: readonly VerifiedEntry[]): void {
    this.#due.push(...dueAudits(control, entries))
  }

  /** Audits what is due, one after the other; nothing where that is under way, or has just failed. */
  run(): void {
    this.#settle()
    if (this.#isRunning || this.#isWaiting || this.#isClosed || this.#due.length + this.#over.length === 0) return
    this.#isRunning = true
    void this.#run()
  }

  /** The wrong deliveries that a member may, and can, put something right in the place of. */
  toRepair(control: ControlState, device: number): readonly DueAudit[] {
    const member = control.devices.get(device)?.member
    const own = member && currentMember(control, member)
    if (own === undefined || own.role === 'reader') return []
    return [...this.#wrong.values()].filter(({ epoch }) => {
      // Once a member and epoch (R-REPAIR-2).
      const { deliveries = [], index: start } = control.epochs[epoch] ?? {}
      const repairs = deliveries.filter(({ index }) => index !== start)
      const hasTried = repairs.some(repair => control.devices.get(repair.device)?.member === member)
      // With nothing earlier to lead to, others have to.
      return !hasTried && (epoch === 0 || this.#targetBefore(control, epoch) !== undefined)
    })
  }

  /** What the secrets determine, in the place of what was delivered; undefined where somebody was faster. */
  async repair({ epoch, index }: DueAudit): Promise<PreparedControl | undefined> {
    const control = this.#options.control()
    if (control === undefined || control.epochs[epoch]?.deliveries.at(-1)?.index !== index) return undefined
    const target = epoch === 0 ? 0 : this.#targetBefore(control, epoch)
    if (target === undefined) return undefined
    const { delivery, wraps } = await makeDelivery({
      ...this.#delivering(epoch, target),
      recipients: recipientsOf(control, epoch),
    })
    const body = encodeControlBody({ type: 'repair', time: this.#options.environment.now(), epoch, delivery })
    return { body, wraps: joinWraps(wraps) }
  }

  async #run(): Promise<void> {
    const { problems, environment } = this.#options
    try {
      this.#drop(due => !this.#isOurs(due))
      await this.#forget()
      for (let due = this.#due[0]; due !== undefined && !this.#isClosed; due = this.#due[0]) {
        if (!(await this.#audit(due))) break
        this.#due.shift()
        if (this.#wrong.has(due.index)) this.#options.onWrong()
        else this.#over.push(due)
        this.#settle()
        await this.#forget()
      }
      problems.clear('key-audit')
      this.#again.isLacking(false)
    } catch (error) {
      const { code, message } = asSealogError(error, 'ERR_STORE', 'an audit of keys failed')
      problems.add('key-audit', { code, message, since: environment.now() })
      this.#isWaiting = true
      if (!this.#isClosed) this.#again.isLacking(true)
    } finally {
      this.#isRunning = false
    }
  }

  /** Takes off the record what is over. What fails here is found to be over already at the next attempt. */
  async #forget(): Promise<void> {
    const over = [...this.#over]
    if (over.length === 0 || this.#isClosed) return
    await this.#options.forget(over.map(({ index }) => auditKey(this.#options.space, index)))
    this.#over.splice(0, over.length)
  }

  #drop(isOver: (due: DueAudit) => boolean): void {
    const over = this.#due.filter(isOver)
    if (over.length === 0) return
    this.#over.push(...over)
    this.#due.splice(0, this.#due.length, ...this.#due.filter(due => !over.includes(due)))
  }

  /**
   * What was delivered before this device came is for those to audit who were there: to recompute every epoch of a long
   * history would keep who joins busy for hours. What it made itself follows from the secrets.
   */
  #isOurs(due: DueAudit): boolean {
    const control = this.#options.control()
    const own = control?.devices.get(this.#options.device() ?? -1)
    if (control === undefined || own === undefined) return true
    return due.epoch >= own.since.epoch && deliveryAt(control, due)?.device !== own.number
  }

  /** @returns whether there is a verdict: not before there is a state */
  async #audit(due: DueAudit): Promise<boolean> {
    const { keeper } = this.#options
    const control = this.#options.control()
    if (control === undefined) return false
    const delivery = deliveryAt(control, due)
    // Who may not read everything cannot recompute what others were given.
    if (delivery === undefined || keeper.keys.kindOf(due.epoch) !== 'all') return true
    const isTrue = await this.#isTrue(control, due, delivery)
    if (!isTrue) this.#show(due, delivery)
    // It may have been put right in the meantime.
    const latest = this.#options.control() ?? control
    if (latest.epochs[due.epoch]?.deliveries.at(-1)?.index !== due.index) return true
    // Its author had not been given an epoch that this device has: who comes later finds no way to that one.
    const best = due.epoch === 0 ? undefined : this.#targetBefore(latest, due.epoch)
    const isShort = best !== undefined && best > delivery.target
    if (!isTrue || isShort) this.#wrong.set(due.index, due)
    return true
  }

  async #isTrue(control: ControlState, due: DueAudit, delivery: DeliveryRecord): Promise<boolean> {
    const delivering = this.#delivering(due.epoch, delivery.target)
    try {
      return await isTrueDelivery({ ...delivering, recipients: recipientsIn(control, due) }, delivery)
    } catch (error) {
      // A link to an epoch that is not known here leads nowhere.
      if (!hasCode(error, 'ERR_KEY')) throw error
      return false
    }
  }

  #show(due: DueAudit, { device }: DeliveryRecord): void {
    this.#shown.set(due.index, due)
    this.#options.problems.add(`delivery/${due.index}`, {
      code: 'ERR_KEY',
      message: `device ${device} delivered wrong keys of epoch ${due.epoch} in entry ${due.index}`,
      since: this.#options.environment.now(),
      index: due.index,
    })
  }

  /** What has another delivery behind it counts no more; and where that one is as it should be, nothing is wrong. */
  #settle(): void {
    const control = this.#options.control()
    if (control === undefined) return
    const latestOf = ({ epoch }: DueAudit): number | undefined => control.epochs[epoch]?.deliveries.at(-1)?.index
    for (const due of this.#wrong.values()) {
      if (latestOf(due) === due.index) continue
      this.#wrong.delete(due.index)
      this.#over.push(due)
    }
    for (const due of this.#shown.values()) {
      const latest = latestOf(due)
      const isOpen = this.#due.some(({ index }) => index === latest) || this.#shown.has(latest ?? due.index)
      if (isOpen) continue
      this.#shown.delete(due.index)
      this.#options.problems.clear(`delivery/${due.index}`)
    }
  }

  #delivering(epoch: number, target: number): Omit<Delivering, 'recipients'> {
    const { keeper, space, environment } = this.#options
    const secret = keeper.keys.secret(epoch)
    return {
      space: idBytes(space),
      epoch,
      secret,
      keys: keeper.keys,
      target,
      breathe: paced(environment, WRAPS_AT_ONCE),
    }
  }

  /** The newest epoch before this one that a link may lead to. */
  #targetBefore(control: ControlState, epoch: number): number | undefined {
    return rotationTarget({ ...control, epochs: control.epochs.slice(0, epoch) }, this.#options.keeper.keys)
  }
}
