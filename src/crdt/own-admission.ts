import type { Environment } from '../environment.ts'
import { asSealogError, type SealogError } from '../errors.ts'
import { type ControlState, latestEpoch } from '../verify/control-state.ts'
import type { Admission } from './admission.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import type { Outbound } from './outbound.ts'
import type { PreparedControl } from './outbox.ts'
import type { Problems } from './problems.ts'
import type { SpaceSecrets } from './secrets.ts'
import type { Standing } from './standing.ts'

/** Delay before the own entry is made again that could not be stored, in milliseconds. */
const RETRY = 5_000

export interface OwnAdmissionOptions {
  readonly admission: Pick<Admission, 'secrets' | 'sending'>
  readonly standing: Pick<Standing, 'number'>
  readonly control: () => ControlState | undefined
  readonly keys: () => SpaceKeys
  readonly outbound: Pick<Outbound, 'hasControls' | 'control' | 'push'>
  /** @throws SealogError ERR_KEY */
  readonly body: (keys: SpaceKeys, control: ControlState) => Uint8Array
  readonly problems: Problems
  readonly environment: Environment
  readonly onStore: (failure: SealogError) => void
}

/** What such a device keeps until it is admitted. */
type Joining = Extract<SpaceSecrets['admission'], { readonly type: 'join' | 'recovery' }>

/** The own entry of a device that another one admits: sent as that one, once the names in it can be sealed (DESIGN §7). */
export class OwnAdmission {
  readonly #options: OwnAdmissionOptions
  #cancelRetry: (() => void) | undefined

  constructor(options: OwnAdmissionOptions) {
    this.#options = options
  }

  close(): void {
    this.#cancelRetry?.()
  }

  /** Queues it, where it is due and not on its way. */
  queue(): void {
    const { outbound, admission, standing } = this.#options
    const { incarnation } = admission.secrets
    const isDue = this.#joining !== undefined && standing.number === undefined && this.#sealable !== undefined
    if (!isDue || this.#cancelRetry !== undefined || outbound.hasControls) return
    // Whether it came through shows in the log.
    outbound.control(() => this.#prepare(), incarnation).catch(error => this.#failed(error))
  }

  get #joining(): Joining | undefined {
    const { admission } = this.#options.admission.secrets
    return admission?.type === 'genesis' ? undefined : admission
  }

  /** The key under which names are sealed comes with the next epoch, which may be about to start. */
  get #sealable(): ControlState | undefined {
    const control = this.#options.control()
    const joining = this.#joining
    if (control === undefined || joining === undefined) return undefined
    const hasNameKey = joining.type === 'join' && joining.nameKey !== undefined
    const hasKey = control.rotation !== 'tainted' && this.#options.keys().kindOf(latestEpoch(control)) !== undefined
    return hasNameKey || hasKey ? control : undefined
  }

  /** Looks once more: an epoch may have started while the entry waited for its turn. */
  async #prepare(): Promise<PreparedControl | undefined> {
    const { admission, body, keys } = this.#options
    const control = this.#sealable
    return control && admission.sending({ body: body(keys(), control) })
  }

  #failed(error: unknown): void {
    const failure = asSealogError(error, 'ERR_INVITE', 'the invite could not be used')
    const { problems, environment, outbound, onStore } = this.#options
    if (failure.code === 'ERR_CLOSED') return
    if (!failure.retryable) {
      problems.add('join', { code: 'ERR_INVITE', message: failure.message, since: environment.now() })
      return
    }
    // The invite is as good as before.
    if (failure.code.startsWith('ERR_STORE')) onStore(failure)
    this.#cancelRetry = environment.schedule(RETRY, () => {
      this.#cancelRetry = undefined
      outbound.push()
    })
  }
}
