import type { Environment } from '../environment.ts'
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
import { DeliveryAuditor } from './delivery-auditor.ts'
import type { DueAudit } from './delivery-audits.ts'
import { EpochCare } from './epoch-care.ts'
import { Errands } from './errands.ts'
import type { KeyKeeper } from './key-keeper.ts'
import { grantBody, MAX_GRANTED } from './membership.ts'
import type { PreparedControl } from './outbox.ts'
import type { Problems } from './problems.ts'

/** In milliseconds: see `Errands`. */
const PATIENCE = { repair: 2_000, revoke: 5_000 } as const
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
 * What members do for the space without being asked (DESIGN §4, §7): start the next epoch, hold what was delivered
 * against what the secrets determine, and repair it, end invites that have expired, and give an own new device what this
 * one may read.
 */
export class Caretaker {
  readonly #options: CaretakerOptions
  readonly #auditor: DeliveryAuditor
  readonly #errands: Errands
  readonly #epochs: EpochCare
  #closed = false

  constructor(options: CaretakerOptions) {
    this.#options = options
    this.#auditor = new DeliveryAuditor({ ...options, control: () => this.#control, onWrong: () => this.look() })
    this.#errands = new Errands({ ...options, onOver: () => this.look() })
    this.#epochs = new EpochCare({ ...options, errands: this.#errands })
  }

  close(): void {
    this.#closed = true
    this.#auditor.close()
    this.#errands.close()
  }

  /** Entries were taken in that lead to this state. */
  noticed(control: ControlState, entries: readonly VerifiedEntry[]): void {
    this.#auditor.noticed(control, entries)
  }

  /** Looks whether anything is to be done; after every batch, and whenever a need may have come up by time alone. */
  look(): void {
    const control = this.#control
    const device = this.#options.device()
    if (this.#closed || control === undefined || device === undefined || !this.#options.isCurrent()) return
    if (!isMemberDevice(control.devices.get(device))) return
    this.#epochs.consider(control, device)
    this.#considerInvites(control, device)
    this.#considerGrants(control, device)
    this.#considerRepairs(control, device)
    this.#auditor.run()
  }

  /** The entry that starts the next epoch. @returns undefined where this replica has nothing to lead back to */
  rotation(): Promise<PreparedControl | undefined> {
    return this.#epochs.rotation()
  }

  get #control(): ControlState | undefined {
    return this.#options.view().state?.control
  }

  // -- Deliveries -------------------------------------------------------------------------------------------------

  /** As often as it takes: where it is refused, or the connection is lost, it is as wrong as before. */
  #considerRepairs(control: ControlState, device: number): void {
    for (const due of this.#auditor.toRepair(control, device)) {
      this.#errands.soon(`repair/${due.epoch}`, PATIENCE.repair, () => this.#auditor.repair(due))
    }
  }

  // -- Invites ----------------------------------------------------------------------------------------------------

  #considerInvites(control: ControlState, device: number): void {
    const mine = [...control.invites.values()].filter(invite => this.#mayEnd(control, device, invite))
    if (mine.length === 0) return
    const expired = this.#expired(control, device)
    if (expired !== undefined) return this.#errands.soon('revoke', PATIENCE.revoke, () => this.#revoke())
    this.#errands.again('look', LOOK)
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
    this.#errands.soon('grant', PATIENCE.repair, async () => {
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
}
