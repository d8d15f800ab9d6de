import type { SealogError } from '../errors.ts'
import type { SpaceId } from '../ids.ts'
import type { Outbound } from './outbound.ts'
import { spaceKey } from './rows.ts'
import { type DeviceSecrets, encodeSecrets, SpaceKeys, type SpaceSecrets } from './secrets.ts'
import type { ReplicaStore } from './store.ts'

export interface AdmissionOptions {
  readonly space: SpaceId
  readonly store: ReplicaStore
  readonly secrets: SpaceSecrets
  /** Opens the wrap of the invite in this control body. @returns `S_e` */
  readonly openInvite: (body: Uint8Array, provisional: DeviceSecrets) => Uint8Array
  /** Builds the clear body of the own `join`. */
  readonly joinBody: (keys: SpaceKeys) => Uint8Array
}

/** The secrets of one space, and how a device that was invited becomes one of its own. */
export class Admission {
  readonly #options: AdmissionOptions
  #secrets: SpaceSecrets
  #keys: SpaceKeys
  /** The provisional device was refused although its join may have been accepted: then the own one is known. */
  #provisionalRefused = false

  constructor(options: AdmissionOptions) {
    this.#options = options
    this.#secrets = options.secrets
    this.#keys = new SpaceKeys(options.secrets.epochs)
  }

  get secrets(): SpaceSecrets {
    return this.#secrets
  }

  get keys(): SpaceKeys {
    return this.#keys
  }

  /** The device that may speak at this point: before the own join is proven, the provisional one. */
  device(isOwnKnown: boolean): DeviceSecrets {
    const { admission, device } = this.#secrets
    return admission?.type !== 'join' || this.#provisionalRefused || isOwnKnown ? device : admission.provisional
  }

  /**
   * The relay does not let the provisional device in.
   * @returns `again` where the own one should be tried, `lost` where that was refused too, else undefined
   */
  refused(error: SealogError): 'again' | 'lost' | undefined {
    const { admission } = this.#secrets
    if (error.code !== 'ERR_UNAUTHORIZED' || admission?.type !== 'join') return undefined
    const isUntried = admission.body !== undefined && !this.#provisionalRefused
    this.#provisionalRefused = isUntried
    return isUntried ? 'again' : 'lost'
  }

  /** Keeps the epoch secret that came with the invite; the log will prove that it is the right one. */
  async open(inviteBody: Uint8Array): Promise<void> {
    const { admission } = this.#secrets
    if (admission?.type !== 'join') return
    const secret = this.#options.openInvite(inviteBody, admission.provisional)
    await this.#keep({ ...this.#secrets, epochs: [secret] })
  }

  /** Forgets a secret that the log does not commit to. */
  forget(): Promise<void> {
    return this.#keep({ ...this.#secrets, epochs: [] })
  }

  /** The join, prepared once and kept, so that the keys it names are never lost. */
  async queueJoin(outbound: Outbound): Promise<void> {
    const { admission, incarnation } = this.#secrets
    if (admission?.type !== 'join' || outbound.hasControls) return
    const body = admission.body ?? this.#options.joinBody(this.#keys)
    if (admission.body === undefined) await this.#keep({ ...this.#secrets, admission: { ...admission, body } })
    // Whether it came through shows in the log.
    outbound.control(() => body, incarnation).catch(() => {})
  }

  /** The entry that admits this device is proven. @returns whether it was the provisional one that spoke so far */
  async finish(): Promise<boolean> {
    const asProvisional = this.#secrets.admission?.type === 'join' && !this.#provisionalRefused
    await this.#keep({ ...this.#secrets, admission: undefined })
    return asProvisional
  }

  async #keep(secrets: SpaceSecrets): Promise<void> {
    const { store, space } = this.#options
    await store.commit({ puts: [[spaceKey(space, 'secrets'), encodeSecrets(secrets)]], deletes: [] })
    this.#secrets = secrets
    this.#keys = new SpaceKeys(secrets.epochs)
  }
}
