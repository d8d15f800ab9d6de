import type { SigningKey } from '../crypto/sign.ts'
import { nobleSigningKey } from '../crypto/sign-backend.ts'
import type { MemberId } from '../ids.ts'
import { roleNumber } from '../verify/control.ts'
import {
  type ControlState,
  currentMember,
  type DeviceRecord,
  isMemberDevice,
  latestEpoch,
  type Moment,
} from '../verify/control-state.ts'
import type { Admission } from './admission.ts'
import { deviceByKey } from './devices.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import type { DeviceSecrets, SpaceSecrets } from './secrets.ts'

/** Who this replica is in the space: what its secrets say that it was meant to be, held against what the log says. */
export class Standing {
  readonly #admission: Pick<Admission, 'secrets' | 'device'>
  readonly #control: () => ControlState | undefined

  /** @param control the state of the verified log */
  constructor(admission: Pick<Admission, 'secrets' | 'device'>, control: () => ControlState | undefined) {
    this.#admission = admission
    this.#control = control
  }

  get secrets(): SpaceSecrets {
    return this.#admission.secrets
  }

  /** Number of this device, where it speaks for a member. */
  get device(): number | undefined {
    const record = this.#recordOf(this.secrets.device)
    return isMemberDevice(record) ? record.number : undefined
  }

  /** Number of this device, also while it is provisional or waits for approval; undefined before, and once removed. */
  get number(): number | undefined {
    return this.numberOf(this.secrets.device)
  }

  /** The member that this device belongs to, as the log says; before it does, as it was meant to be. */
  get member(): MemberId {
    return this.#recordOf(this.secrets.device)?.member ?? this.secrets.member
  }

  /** Somebody has yet to approve this device. */
  get isPending(): boolean {
    return this.#recordOf(this.secrets.device)?.standing === 'pending'
  }

  /** When this device was removed from the space, as the log proves. */
  get removed(): Moment | undefined {
    return this.#recordOf(this.secrets.device)?.removed
  }

  /** May this member write documents? */
  get isWriter(): boolean {
    const control = this.#control()
    const role = this.device === undefined ? undefined : control && currentMember(control, this.member)?.role
    return role !== undefined && roleNumber(role) >= roleNumber('writer')
  }

  /** The entry that makes this device a member's is proven, but the secrets still hold what it took. */
  get isJustAdmitted(): boolean {
    return this.secrets.admission !== undefined && this.device !== undefined
  }

  /** The device that speaks at this point: before the own one is in the log, the provisional one. */
  get speaker(): DeviceSecrets {
    return this.#admission.device(this.number !== undefined)
  }

  /** Number of a device that was not removed; also of one that is provisional or waits for approval. */
  numberOf(device: DeviceSecrets): number | undefined {
    const record = this.#recordOf(device)
    return record?.removed === undefined ? record?.number : undefined
  }

  #recordOf(device: DeviceSecrets): DeviceRecord | undefined {
    const control = this.#control()
    return control && deviceByKey(control, signerOf(device).publicKey)
  }
}

/**
 * Is here all that this member should have been given of the epoch in force? Who was just promoted gets it with the
 * next.
 */
export function holdsLatestKey(control: ControlState, member: MemberId, keys: SpaceKeys): boolean {
  const kind = keys.kindOf(latestEpoch(control))
  const isPartial = currentMember(control, member)?.history !== 'all' || control.rotation === 'due'
  return kind === 'all' || (kind === 'read' && isPartial)
}

/** Deriving a public key costs as much as a signature. */
const signers = new WeakMap<DeviceSecrets, SigningKey>()

export function signerOf(device: DeviceSecrets): SigningKey {
  const signer = signers.get(device) ?? nobleSigningKey(device.signing)
  signers.set(device, signer)
  return signer
}
