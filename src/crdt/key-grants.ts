import { openGrant } from '../crypto/grant.ts'
import { SealogError } from '../errors.ts'
import type { GrantBody } from '../verify/control.ts'
import { historyOf } from '../verify/control-state.ts'
import type { EpochSecret } from './epoch-secrets.ts'
import { type Gathering, isSecretOf, isWhole, ownDeliveries } from './key-gathering.ts'

/**
 * Takes from a grant what its epochs commit to, into `gathering.found` (R-GRANT-2). Each secret proves itself: one that
 * is wrong spoils no other one, and of several grants the first that holds a secret gives it, whatever is in the others.
 */
export function takeGranted({ space, control, holder, found }: Gathering, { from, sealed }: GrantBody): void {
  const context = { space, device: holder.number, from }
  for (const [i, secret] of opened(() => openGrant({ ...context, seed: holder.kem, sealed })).entries()) {
    const epoch = from + i
    const record = control.epochs[epoch]
    const granted: EpochSecret = { kind: 'read', secret }
    const kind = found.get(epoch)?.kind
    const isNews = kind === undefined || kind === 'names'
    if (isNews && record !== undefined && isSecretOf(granted, record)) found.set(epoch, granted)
  }
}

/** Was the device granted secrets, by the log, that are not here: in a grant that did not hold them? */
export function lacksGranted(gathering: Gathering): boolean {
  const { control, device } = gathering
  if (device.standing !== 'member' || historyOf(control, device) === 'all') return false
  for (let epoch = device.readsFrom; epoch <= device.since.epoch; epoch++) {
    // Where it has wraps of its own, a secret that is not here was no grant's.
    if (!isWhole(gathering, epoch) && ownDeliveries(gathering, epoch).length === 0) return true
  }
  return false
}

function opened(open: () => readonly Uint8Array[]): readonly Uint8Array[] {
  try {
    return open()
  } catch (error) {
    if (error instanceof SealogError) return []
    throw error
  }
}
