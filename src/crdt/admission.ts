import type { SealogError } from '../errors.ts'
import type { SpaceId } from '../ids.ts'
import type { EpochSecret } from './epoch-secrets.ts'
import type { PreparedControl } from './outbox.ts'
import { spaceKey } from './rows.ts'
import { type DeviceSecrets, encodeSecrets, type SpaceSecrets } from './secrets.ts'
import type { ReplicaStore } from './store.ts'

export interface AdmissionOptions {
  readonly space: SpaceId
  readonly store: ReplicaStore
  readonly secrets: SpaceSecrets
}

/** The secrets of one space, and how a device that another one admits becomes one of its own. */
export class Admission {
  readonly #options: AdmissionOptions
  #secrets: SpaceSecrets
  /** The provisional device was refused although its join may have been accepted: then the own one is known. */
  #provisionalRefused = false

  constructor(options: AdmissionOptions) {
    this.#options = options
    this.#secrets = options.secrets
  }

  get secrets(): SpaceSecrets {
    return this.#secrets
  }

  /** The device that may speak at this point: before the own one is in the log, the provisional one. */
  device(isOwnKnown: boolean): DeviceSecrets {
    const { admission, device } = this.#secrets
    const isOwn = admission === undefined || admission.type === 'genesis'
    return isOwn || this.#provisionalRefused || isOwnKnown ? device : admission.provisional
  }

  /**
   * The relay does not let the provisional device in.
   * @returns `again` where the own one should be tried, `lost` where that was refused too, else undefined
   */
  refused(error: SealogError): 'again' | 'lost' | undefined {
    const { admission } = this.#secrets
    if (error.code !== 'ERR_UNAUTHORIZED' && error.code !== 'ERR_REMOVED') return undefined
    if (admission === undefined || admission.type === 'genesis') return undefined
    const isUntried = admission.body !== undefined && !this.#provisionalRefused
    this.#provisionalRefused = isUntried
    return isUntried ? 'again' : 'lost'
  }

  keepEpochs(epochs: ReadonlyMap<number, EpochSecret>): Promise<void> {
    return this.#keep({ ...this.#secrets, epochs })
  }

  /** The own entry is about to be sent: from then on its keys may be known. */
  async sending(prepared: PreparedControl): Promise<PreparedControl> {
    const { admission } = this.#secrets
    if (admission === undefined || admission.type === 'genesis') return prepared
    await this.#keep({ ...this.#secrets, admission: { ...admission, body: prepared.body } })
    return prepared
  }

  /** What the relay is shown with the genesis from now on. @returns false where it has the space already */
  async keepToken(token: string): Promise<boolean> {
    const { admission } = this.#secrets
    if (admission?.type !== 'genesis') return false
    await this.#keep({ ...this.#secrets, admission: { ...admission, token } })
    return true
  }

  /** The entry that admits this device is proven. */
  finish(): Promise<void> {
    return this.#keep({ ...this.#secrets, admission: undefined })
  }

  async #keep(secrets: SpaceSecrets): Promise<void> {
    const { store, space } = this.#options
    await store.commit({ puts: [[spaceKey(space, 'secrets'), encodeSecrets(secrets)]], deletes: [] })
    this.#secrets = secrets
  }
}
