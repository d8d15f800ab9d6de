import { deriveEpoch, openLink } from '../crypto/epoch.ts'
import { SealogError } from '../errors.ts'
import { type DeliveryRecord, type EpochRecord, latestEpoch } from '../verify/control-state.ts'
import { type EpochSecret, SpaceKeys } from './epoch-secrets.ts'
import { type Gathering, isSecretOf } from './key-gathering.ts'

/** A link that does not lead to what it names. */
export interface WrongLink {
  /** Whose delivery holds it. */
  readonly epoch: number
  readonly delivery: DeliveryRecord
}

/**
 * The way back along the links from every epoch that is known to the one that it names (R-EPOCH-7). A link that was
 * found to be wrong is wrong for ever, and is tried once for each kind of secret that opens one.
 */
export class LinkWalk {
  /** Links that led nowhere, by kind and place of their delivery in the log. */
  readonly #wrong = new Set<string>()

  /**
   * Follows what has not been followed, the latest epoch first, into `gathering.found`.
   * @param breathe called between any two links
   * @returns links that were found to be wrong now
   */
  async back(gathering: Gathering, breathe: () => Promise<void>): Promise<readonly WrongLink[]> {
    const { control, found } = gathering
    const wrong: WrongLink[] = []
    for (let epoch = latestEpoch(control); epoch > 0; epoch--) {
      const known = found.get(epoch)
      if (known === undefined) continue
      // All of them: one that leads far back must not hide what another one leads to.
      for (const delivery of (control.epochs[epoch] as EpochRecord).deliveries.toReversed()) {
        const name = `${known.kind === 'all' ? 'history' : 'names'}/${delivery.index}`
        if (!isBetterThan(known, found.get(delivery.target)) || this.#wrong.has(name)) continue
        await breathe()
        const secret = follow(gathering, epoch, known, delivery)
        if (secret !== undefined) found.set(delivery.target, secret)
        else {
          this.#wrong.add(name)
          wrong.push({ epoch, delivery })
        }
      }
    }
    return wrong
  }
}

/** Do the links of this epoch lead to nothing more than is here? */
export function isLinked({ control, found }: Gathering, epoch: number): boolean {
  const known = found.get(epoch)
  const deliveries = control.epochs[epoch]?.deliveries ?? []
  return known !== undefined && deliveries.every(({ target }) => !isBetterThan(known, found.get(target)))
}

/** @returns undefined where the link does not lead there */
function follow(
  { space, control }: Gathering,
  epoch: number,
  known: EpochSecret,
  { target, link, namesLink }: DeliveryRecord,
): EpochSecret | undefined {
  const context = { space, epoch, target }
  try {
    const found = known.kind === 'all' ? history(context, known, link) : names(context, known, namesLink)
    return isSecretOf(found, control.epochs[target] as EpochRecord) ? found : undefined
  } catch (error) {
    if (error instanceof SealogError) return undefined
    throw error
  }
}

interface LinkPlace {
  readonly space: Uint8Array
  readonly epoch: number
  readonly target: number
}

function history(place: LinkPlace, { secret }: EpochSecret, link: Uint8Array): EpochSecret {
  return { kind: 'all', secret: openLink('history', { ...place, key: deriveEpoch(secret).historySecret, link }) }
}

function names(place: LinkPlace, known: EpochSecret, link: Uint8Array): EpochSecret {
  const key = new SpaceKeys(new Map([[place.epoch, known]])).namesSecret(place.epoch)
  return { kind: 'names', secret: openLink('names', { ...place, key, link }) }
}

/** Leads a secret of this kind to more than is here? */
function isBetterThan(known: EpochSecret, before: EpochSecret | undefined): boolean {
  return before === undefined || (known.kind === 'all' && before.kind !== 'all')
}
