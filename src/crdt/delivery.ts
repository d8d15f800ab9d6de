import { concat, equalBytes } from '../bytes.ts'
import { commitmentsOf, namesSecretOf, readSecretOf } from '../crypto/commitments.ts'
import { deriveEpoch, sealLink } from '../crypto/epoch.ts'
import { wrapSecret } from '../crypto/wrap.ts'
import { SealogError } from '../errors.ts'
import type { Delivery, EpochStart } from '../verify/control.ts'
import { type Recipient, wrapLeaf, wrapsRootOf } from '../verify/wraps.ts'
import type { SpaceKeys } from './epoch-secrets.ts'

/** Wraps that are made before other work gets its turn, however fast: about 5 ms each in pure JavaScript. */
export const WRAPS_AT_ONCE = 8

/** An epoch whose secret is to be delivered. */
export interface Delivering {
  /** 32 bytes. */
  readonly space: Uint8Array
  readonly epoch: number
  /** `S_e`, 32 bytes. */
  readonly secret: Uint8Array
  /** Of earlier epochs. */
  readonly keys: SpaceKeys
  /** The earlier epoch to link to. */
  readonly target: number
  readonly recipients: readonly Recipient[]
  /** Called between any two wraps: lets other work have its turn where that is due. */
  readonly breathe: () => Promise<void>
}

export interface Delivered {
  readonly delivery: Delivery
  /** 1,168 bytes each, in the order of the recipients. */
  readonly wraps: readonly Uint8Array[]
}

/**
 * All that gets the secret of an epoch to the members (DESIGN §7). Everything follows from the secrets, so whoever holds
 * them finds the same bytes: to make a delivery, and to audit one, is the same.
 * @throws SealogError ERR_KEY where the secret of the target is not here
 */
export async function makeDelivery(delivering: Delivering): Promise<Delivered> {
  const { space, epoch, secret, recipients, breathe } = delivering
  const readSecret = readSecretOf(secret)
  const wraps: Uint8Array[] = []
  for (const { number, kem, payloadKind } of recipients) {
    if (wraps.length > 0) await breathe()
    const wrapped = payloadKind === 0 ? secret : readSecret
    wraps.push(wrapSecret({ secret: wrapped, space, epoch, device: number, payloadKind, kemPublicKey: kem }))
  }
  const leaves = recipients.map(({ number }, i) => wrapLeaf(number, wraps[i] as Uint8Array))
  const links = linksOf(delivering)
  return {
    delivery: { wrapsRoot: wrapsRootOf(leaves), wrapsCount: wraps.length, target: delivering.target, ...links },
    wraps,
  }
}

/** The two links of a delivery, 72 bytes each; of the first epoch, which has none, they are zero. */
function linksOf({
  space,
  epoch,
  secret,
  keys,
  target,
}: Pick<Delivering, 'space' | 'epoch' | 'secret' | 'keys' | 'target'>): Pick<Delivery, 'link' | 'namesLink'> {
  if (epoch === 0) return { link: new Uint8Array(72), namesLink: new Uint8Array(72) }
  const { historySecret, readSecret } = deriveEpoch(secret)
  const context = { space, epoch, target }
  return {
    link: sealLink('history', { ...context, key: historySecret, secret: keys.secret(target) }),
    namesLink: sealLink('names', { ...context, key: namesSecretOf(readSecret), secret: keys.namesSecret(target) }),
  }
}

/** What a `rotate` commits to of its secret. */
export function epochStartOf(secret: Uint8Array): EpochStart {
  return commitmentsOf(secret)
}

/** Is this the delivery that the secrets determine? @throws SealogError ERR_KEY */
export async function isTrueDelivery(delivering: Delivering, claimed: Delivery): Promise<boolean> {
  if (claimed.target !== delivering.target) throw new SealogError('ERR_UNEXPECTED', 'a delivery with another target')
  const { link, namesLink } = linksOf(delivering)
  // The cheap part first.
  if (!equalBytes(link, claimed.link) || !equalBytes(namesLink, claimed.namesLink)) return false
  const { delivery } = await makeDelivery(delivering)
  return delivery.wrapsCount === claimed.wrapsCount && equalBytes(delivery.wrapsRoot, claimed.wrapsRoot)
}

/** All wraps, one after the other: how they travel. */
export function joinWraps(wraps: readonly Uint8Array[]): Uint8Array {
  return concat(...wraps)
}
