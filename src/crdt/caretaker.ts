import type { Environment } from '../environment.ts'
import { asSealogError, hasCode } from '../errors.ts'
import { idBytes, type SpaceId } from '../ids.ts'
import { mayActOn } from '../verify/control-change.ts'
import { encodeControlBody } from '../verify/control-codec.ts'
import {
  type ControlState,
  currentMember,
  type DeviceRecord,
  isMemberDevice,
  latestEpoch,
  type OpenInvite,
} from '../verify/control-state.ts'
import type { LogView, VerifiedEntry } from '../verify/log.ts'
import { nextRecipients, recipientsOf } from '../verify/wraps.ts'
import { type Delivering, isTrueDelivery, joinWraps, makeDelivery } from './delivery.ts'
import { type DueAudit, deliveryAt, dueAudits, recipientsIn } from './delivery-audits.ts'
import type { KeyKeeper } from './key-keeper.ts'
import { grantBody, MAX_GRANTED } from './membership.ts'
import type { PreparedControl } from './outbox.ts'
import type { Problems } from './problems.ts'
import { breathe, canRotate, prepareRotation, type RotationNeed, rotationNeed, rotationTarget } from './rotation.ts'
import { auditKey } from './rows.ts'

/**
 * Many replicas see the same need at the same moment, and one of them is enough: each waits a random share of this, in
 * milliseconds.
 */
const PATIENCE: Readonly<Record<RotationNeed | 'repair' | 'revoke' | 'broken', number>> = {
  blocking: 250,
  due: 3_000,
  policy: 10_000,
  repair: 2_000,
  revoke: 5_000,
  broken: 10_000,
}
/** How often the wait before an epoch is replaced whose keys did not come is doubled at most: up to 3 hours. */
const MOST_DOUBLINGS = 10
/** An epoch that is due waits this long for others to have come, in milliseconds. */
const LONGEST_WAIT = 30_000
/** Where an entry that is due was refused, in milliseconds. */
const RETRY = 5_000
/** Invites are looked through for expired ones this often, in milliseconds. */
const LOOK = 60_000

export interface CaretakerOptions {
  readonly space: SpaceId
  readonly keeper: KeyKeeper
  readonly environment: Environment
  readonly problems: Problems
  readonly view: () => LogView
  /** Number of the own device, once it speaks for a member. */
  readonly device: () => number | undefined
  /** Connected, and every entry of the relay's log is here. */
  readonly isCurrent: () => boolean
  /** Appends a control entry. */
  readonly append: (prepare: () => Promise<PreparedControl | undefined>) => Promise<number | undefined>
  /** Audits are over. @throws SealogError ERR_STORE… */
  readonly forget: (keys: readonly Uint8Array[]) => Promise<void>
  readonly audits: readonly DueAudit[]
}

/**
 * What members do for the space without being asked (DESIGN §4, §7): start the next epoch where somebody who should not
 * read on knows the one in force, or where the policy wants one; hold what was delivered against what the secrets
 * determine, and repair it; end invites that have expired.
 */
export class Caretaker {
  readonly #options: CaretakerOptions
  readonly #audits: DueAudit[]
  readonly #timers = new Map<string, () => void>()
  /** Control entries of these kinds are on their way. */
  readonly #busy = new Set<string>()
  #isAuditing = false
  /** Since when the next epoch has been due, by the own clock, and the control head that this was last seen on. */
  #due: { readonly since: number; readonly head: Uint8Array } | undefined
  /** How often an epoch was to be replaced as its keys did not come. */
  #replaced = 0
  /** Deliveries that were found to be wrong, until another one takes their place. */
  readonly #wrong = new Map<number, DueAudit>()
  #closed = false

  constructor(options: CaretakerOptions) {
    this.#options = options
    this.#audits = [...options.audits]
  }

  close(): void {
    this.#closed = true
    for (const cancel of this.#timers.values()) cancel()
    this.#timers.clear()
  }

  /** Entries were taken in that lead to this state. */
  noticed(control: ControlState, entries: readonly VerifiedEntry[]): void {
    this.#audits.push(...dueAudits(control, entries))
  }

  /** Looks whether anything is to be done; after every batch, and whenever a need may have come up by time alone. */
  look(): void {
    const control = this.#control
    const device = this.#options.device()
    if (this.#closed || control === undefined || device === undefined || !this.#options.isCurrent()) return
    if (!isMemberDevice(control.devices.get(device))) return
    this.#considerRotation(control, device)
    this.#considerInvites(control, device)
    this.#considerGrants(control, device)
    this.#considerRepairs(control, device)
    if (this.#audits.length > 0) void this.#audit()
  }

  get #control(): ControlState | undefined {
    return this.#options.view().state?.control
  }

  // -- Epochs -----------------------------------------------------------------------------------------------------

  #considerRotation(control: ControlState, device: number): void {
    const need = this.#need(control)
    const { problems, environment, keeper, view } = this.#options
    if (need === undefined) {
      this.#cancel('rotate')
      this.#due = undefined
      problems.clear('rotation')
      return
    }
    if (need === 'due') this.#postpone(control)
    if (canRotate(control, device, keeper.keys, view().range.size)) {
      problems.clear('rotation')
      // A relay that serves each member the keys of its own epochs only must not make them outdo each other for ever.
      const doubled = need === 'broken' ? 2 ** Math.min(this.#replaced, MOST_DOUBLINGS) : 1
      const patience = PATIENCE[need] * doubled * crowd(control)
      return this.#soon('rotate', patience, () => {
        if (need === 'broken') this.#replaced++
        return this.#rotate()
      })
    }
    if (need !== 'blocking') return
    const message = 'nothing can be sent before a member who may read everything has started a new epoch'
    problems.add('rotation', { code: 'ERR_STALE_EPOCH', message, since: environment.now() })
  }

  /** Where many come and go at once, an epoch that starts in between is for the wrong devices before it is in the log. */
  #postpone({ head }: ControlState): void {
    const now = this.#options.environment.now()
    const { since, head: before } = this.#due ?? { since: now, head }
    this.#due = { since, head }
    if (before !== head && now - since < LONGEST_WAIT) this.#cancel('rotate')
  }

  /** An epoch whose secret this replica was not given, although it should have it, can be used by nobody here. */
  #need(control: ControlState): RotationNeed | 'broken' | undefined {
    const { keeper, view, environment } = this.#options
    const need = rotationNeed(control, view().range.size, environment.now())
    if (need !== undefined) return need
    // Who may read everything holds the whole secret of every epoch that is as it should be.
    return keeper.keys.kindOf(latestEpoch(control)) === 'all' ? undefined : 'broken'
  }

  #rotate(): Promise<PreparedControl | undefined> {
    const control = this.#control
    const device = this.#options.device()
    const { keeper, space, environment, view } = this.#options
    const isNeeded = control !== undefined && device !== undefined && this.#need(control) !== undefined
    if (!isNeeded || !canRotate(control, device, keeper.keys, view().range.size)) return Promise.resolve(undefined)
    return prepareRotation({ space: idBytes(space), control, keeper, environment })
  }

  // -- Deliveries -------------------------------------------------------------------------------------------------

  /** One after the other, with pauses: recomputing a thousand wraps takes seconds. */
  async #audit(): Promise<void> {
    if (this.#isAuditing) return
    this.#isAuditing = true
    try {
      await this.#forget(this.#audits.filter(due => !this.#isOurs(due)))
      for (let due = this.#audits[0]; due !== undefined && !this.#closed; due = this.#audits[0]) {
        if (!(await this.#auditOne(due))) return
        // What is wrong stays on record until it is mended, over a restart, too.
        if (this.#wrong.has(due.index)) this.#audits.shift()
        else await this.#forget([due])
        if (this.#wrong.size > 0) this.look()
      }
      this.#options.problems.clear('key-audit')
    } catch (error) {
      const { code, message } = asSealogError(error, 'ERR_STORE', 'an audit of keys failed')
      this.#options.problems.add('key-audit', { code, message, since: this.#options.environment.now() })
      if (!this.#closed) this.#after('audit', RETRY, () => this.look())
    } finally {
      this.#isAuditing = false
    }
  }

  async #forget(audits: readonly DueAudit[]): Promise<void> {
    if (audits.length === 0) return
    const over = new Set(audits)
    await this.#options.forget(audits.map(({ index }) => auditKey(this.#options.space, index)))
    this.#audits.splice(0, this.#audits.length, ...this.#audits.filter(due => !over.has(due)))
  }

  /**
   * What was delivered before this device came is for those to audit who were there: to recompute every epoch of a long
   * history would keep who joins busy for hours. What it made itself follows from the secrets.
   */
  #isOurs(due: DueAudit): boolean {
    const control = this.#control
    const own = control?.devices.get(this.#options.device() ?? -1)
    if (control === undefined || own === undefined) return true
    return due.epoch >= own.since.epoch && deliveryAt(control, due)?.device !== own.number
  }

  /** @returns whether it is settled: not as long as the secrets that it takes are not here */
  async #auditOne(due: DueAudit): Promise<boolean> {
    const control = this.#control
    if (control === undefined) return false
    const { keeper, problems, environment } = this.#options
    const delivery = deliveryAt(control, due)
    // Who may not read everything cannot recompute what others were given.
    if (delivery === undefined || keeper.keys.kindOf(due.epoch) !== 'all') return true
    const delivering = this.#delivering(due.epoch, delivery.target)
    let isTrue = false
    try {
      isTrue = await isTrueDelivery({ ...delivering, recipients: recipientsIn(control, due) }, delivery)
    } catch (error) {
      // A link to an epoch that is not known here leads nowhere.
      if (!hasCode(error, 'ERR_KEY')) throw error
    }
    const cause = `delivery/${due.index}`
    const isLatest = control.epochs[due.epoch]?.deliveries.at(-1)?.index === due.index
    if (isTrue) {
      problems.clear(cause)
      // Its author had not been given an epoch that this device has: who comes later finds no way to that one.
      const best = due.epoch === 0 ? undefined : targetBefore(control, keeper, due.epoch)
      if (isLatest && best !== undefined && best > delivery.target) this.#wrong.set(due.index, due)
      return true
    }
    problems.add(cause, {
      code: 'ERR_KEY',
      message: `device ${delivery.device} delivered wrong keys of epoch ${due.epoch} in entry ${due.index}`,
      since: environment.now(),
      index: due.index,
    })
    if (isLatest) this.#wrong.set(due.index, due)
    return true
  }

  /** As often as it takes: where it is refused, or the connection is lost, it is as wrong as before. */
  #considerRepairs(control: ControlState, device: number): void {
    const member = control.devices.get(device)?.member
    const own = member && currentMember(control, member)
    for (const due of this.#wrong.values()) {
      const { deliveries = [], index: start } = control.epochs[due.epoch] ?? {}
      if (deliveries.at(-1)?.index !== due.index) {
        this.#wrong.delete(due.index)
        // Where that fails, it is found to be over after the next start.
        this.#options.forget([auditKey(this.#options.space, due.index)]).catch(() => {})
        continue
      }
      // Once a member and epoch (R-REPAIR-2), and by who may write.
      const repairs = deliveries.filter(({ index }) => index !== start)
      const hasTried = repairs.some(repair => control.devices.get(repair.device)?.member === member)
      // With nothing earlier to lead to, others have to.
      const leadsBack = due.epoch === 0 || targetBefore(control, this.#options.keeper, due.epoch) !== undefined
      if (hasTried || !leadsBack || own === undefined || own.role === 'reader') continue
      this.#soon(`repair/${due.epoch}`, PATIENCE.repair, () => this.#repair(due))
    }
  }

  #delivering(epoch: number, target: number): Omit<Delivering, 'recipients'> {
    const { keeper, space, environment } = this.#options
    const secret = keeper.keys.secret(epoch)
    const turn = (): Promise<void> => breathe(environment)
    return { space: idBytes(space), epoch, secret, keys: keeper.keys, target, breathe: turn }
  }

  /** What the secrets determine, in the place of what was delivered; unless somebody was faster. */
  async #repair({ epoch, index }: DueAudit): Promise<PreparedControl | undefined> {
    const control = this.#control
    if (control === undefined || control.epochs[epoch]?.deliveries.at(-1)?.index !== index) return undefined
    const target = epoch === 0 ? 0 : targetBefore(control, this.#options.keeper, epoch)
    if (target === undefined) return undefined
    const { delivery, wraps } = await makeDelivery({
      ...this.#delivering(epoch, target),
      recipients: recipientsOf(control, epoch),
    })
    const body = encodeControlBody({ type: 'repair', time: this.#options.environment.now(), epoch, delivery })
    return { body, wraps: joinWraps(wraps) }
  }

  // -- Invites ----------------------------------------------------------------------------------------------------

  #considerInvites(control: ControlState, device: number): void {
    const mine = [...control.invites.values()].filter(invite => this.#mayEnd(control, device, invite))
    if (mine.length === 0) return
    const expired = this.#expired(control, device)
    if (expired !== undefined) return this.#soon('revoke', PATIENCE.revoke, () => this.#revoke())
    if (!this.#timers.has('look')) this.#after('look', LOOK, () => this.look())
  }

  #mayEnd(control: ControlState, device: number, invite: OpenInvite): boolean {
    const member = currentMember(control, control.devices.get(device)?.member ?? invite.inviter)
    return member !== undefined && (invite.inviter === member.id || mayActOn(member, invite.role))
  }

  #expired(control: ControlState, device: number): OpenInvite | undefined {
    const now = this.#options.environment.now()
    for (const invite of control.invites.values()) {
      if (invite.expires < now && this.#mayEnd(control, device, invite)) return invite
    }
    return undefined
  }

  async #revoke(): Promise<PreparedControl | undefined> {
    const control = this.#control
    const device = this.#options.device()
    const expired = control && device !== undefined ? this.#expired(control, device) : undefined
    if (expired === undefined) return undefined
    const time = this.#options.environment.now()
    return { body: encodeControlBody({ type: 'revoke', time, invite: expired.number }) }
  }

  // -- Own devices ------------------------------------------------------------------------------------------------

  /** A new device of a member who may not read everything gets what this one may read. */
  #considerGrants(control: ControlState, device: number): void {
    if (this.#ungranted(control, device) === undefined) return
    this.#soon('grant', PATIENCE.repair, async () => {
      const latest = this.#control
      const ungranted = latest && this.#ungranted(latest, device)
      const own = latest?.devices.get(device)
      if (latest === undefined || ungranted === undefined || own === undefined) return undefined
      const { environment, keeper, space } = this.#options
      const from = Math.max(own.readsFrom, ungranted.readsFrom - MAX_GRANTED)
      const { random } = environment
      const writing = { space: idBytes(space), time: environment.now(), random, keys: keeper.keys }
      return { body: encodeControlBody(grantBody({ ...writing, epoch: latestEpoch(latest) }, ungranted, from)) }
    })
  }

  #ungranted(control: ControlState, device: number): DeviceRecord | undefined {
    const own = control.devices.get(device)
    if (own === undefined || currentMember(control, own.member)?.history !== 'from-join') return undefined
    for (const other of control.devices.values()) {
      const isOwn = other.member === own.member && isMemberDevice(other)
      if (isOwn && other.readsFrom > own.readsFrom && this.#options.keeper.keys.canRead(own.readsFrom)) return other
    }
    return undefined
  }

  // -- When -------------------------------------------------------------------------------------------------------

  /** Appends what `prepare` still finds due after a random share of `patience`, once at a time for each name. */
  #soon(name: string, patience: number, prepare: () => Promise<PreparedControl | undefined>): void {
    if (this.#timers.has(name) || this.#busy.has(name)) return
    const share = (this.#options.environment.random(1)[0] ?? 0) / 255
    this.#after(name, patience * share, () => this.#append(name, prepare))
  }

  #append(name: string, prepare: () => Promise<PreparedControl | undefined>): void {
    this.#busy.add(name)
    this.#options.append(prepare).then(
      () => {
        this.#busy.delete(name)
        this.#options.problems.clear(`care/${name}`)
        this.look()
      },
      error => {
        this.#busy.delete(name)
        if (this.#closed || hasCode(error, 'ERR_CLOSED')) return
        const { code, message } = asSealogError(error, 'ERR_UNEXPECTED', 'a control entry could not be made')
        // That somebody was faster is how it should be: what was due may be there already.
        const isOvertaken = code === 'ERR_STALE_EPOCH' || code === 'ERR_STALE_CHAIN'
        const problem = { code, message, since: this.#options.environment.now() }
        if (!isOvertaken) this.#options.problems.add(`care/${name}`, problem)
        this.#after(name, RETRY, () => {
          this.#options.problems.clear(`care/${name}`)
          this.look()
        })
      },
    )
  }

  #after(name: string, delay: number, task: () => void): void {
    this.#cancel(name)
    const cancel = this.#options.environment.schedule(delay, () => {
      this.#timers.delete(name)
      if (!this.#closed) task()
    })
    this.#timers.set(name, cancel)
  }

  #cancel(name: string): void {
    this.#timers.get(name)?.()
    this.#timers.delete(name)
  }
}

/** The more devices there are, the more of them may try at once, and the more each attempt costs them. */
function crowd(control: ControlState): number {
  return Math.max(1, Math.min(nextRecipients(control).length, 256) / 8)
}

/** The newest epoch before this one that a link may lead to. */
function targetBefore(control: ControlState, keeper: KeyKeeper, epoch: number): number | undefined {
  return rotationTarget({ ...control, epochs: control.epochs.slice(0, epoch) }, keeper.keys)
}
