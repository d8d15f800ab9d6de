import { openWrap } from '../crypto/wrap.ts'
import { hasCode } from '../errors.ts'
import type { DeliveredWrap } from '../relay/key-messages.ts'
import { MAX_CONTROL_BODY_LENGTH } from '../verify/control.ts'
import { decodeControlBody } from '../verify/control-codec.ts'
import type { DeliveryRecord, EpochRecord } from '../verify/control-state.ts'
import { assertDelivered, type PayloadKind, payloadKindFor } from '../verify/wraps.ts'
import type { EpochSecret } from './epoch-secrets.ts'
import { type Gathering, isSecretOf } from './key-gathering.ts'

/** A genesis is hashed to give the space its id: its wrap knows none. */
const ZERO_SPACE: Uint8Array = new Uint8Array(32)

/**
 * The secret in a wrap that the relay served as that of a delivery.
 * @returns undefined where its author wrapped something else
 * @throws SealogError ERR_PROOF where it is not in the delivery: the relay made it up
 */
export function openDelivered(
  gathering: Gathering,
  epoch: number,
  delivery: DeliveryRecord,
  wrap: DeliveredWrap,
): EpochSecret | undefined {
  assertDelivered(delivery, wrap)
  return openAny(gathering, { epoch, device: gathering.holder.number, wrap: wrap.wrap })
}

/**
 * The secret of the epoch in force then, in the wrap of the entry that admitted the device. Whether the body is the true
 * one shows when the secret is held against the commitments.
 * @returns undefined where it was admitted without one; `isWrong` where there is one that holds something else
 */
export function openAdmission(
  gathering: Gathering,
  body: Uint8Array,
): { readonly secret?: EpochSecret; readonly isWrong: boolean } | undefined {
  if (body.length > MAX_CONTROL_BODY_LENGTH) return undefined
  const decoded = decodeControlBody(body)
  if (!('wrap' in decoded) || decoded.wrap.length === 0) return undefined
  const { epoch } = gathering.device.since
  const secret = openAny(gathering, { epoch, device: undefined, wrap: decoded.wrap })
  return secret === undefined ? { isWrong: true } : { secret, isWrong: false }
}

interface OwnWrap {
  readonly epoch: number
  /** Undefined: in the body of the entry that admits it. */
  readonly device: number | undefined
  readonly wrap: Uint8Array
}

/** Wraps hold one of two kinds, which the sealing tells apart: the one that the device is due now is the likely one. */
function openAny(
  { space, control, device: record, holder }: Gathering,
  { epoch, device, wrap }: OwnWrap,
): EpochSecret | undefined {
  const kinds: readonly PayloadKind[] = payloadKindFor(control, record) === 0 ? [0, 1] : [1, 0]
  const isGenesis = device === undefined && holder.number === 0
  const context = { space: isGenesis ? ZERO_SPACE : space, epoch, device, seed: holder.kem, wrap }
  for (const payloadKind of kinds) {
    try {
      const found: EpochSecret = {
        kind: payloadKind === 0 ? 'all' : 'read',
        secret: openWrap({ ...context, payloadKind }),
      }
      return isSecretOf(found, control.epochs[epoch] as EpochRecord) ? found : undefined
    } catch (error) {
      if (!hasCode(error, 'ERR_OPEN') && !hasCode(error, 'ERR_KEY')) throw error
    }
  }
  return undefined
}
