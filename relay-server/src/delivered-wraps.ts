import {
  assertWraps,
  type ControlBody,
  type ControlState,
  type Delivery,
  nextRecipients,
  type Recipient,
  recipientsOf,
  SealogError,
  WRAP_LENGTH,
} from 'sealog/protocol'
import type { StoredWrap } from './log-store.ts'
import type { PushedWraps } from './pushed-entry.ts'

/** One wrap of an entry. */
export type DeliveredWrap = Omit<StoredWrap, 'index'>

/**
 * The wraps that came with an entry which the reducer has accepted: those that it commits to, one for each device that
 * is due one (protocol.md R-WRAP-3). To the relay they are bytes; it keeps them so that nobody is left without.
 *
 * The reducer has compared the announced number with that of the recipients, so the length is known before anything of
 * them is looked at.
 *
 * @param before the control state that the entry was accepted on; undefined for a genesis
 * @param body of a control entry
 * @param isLenient they may be missing
 * @throws SealogError ERR_BODY where they are missing, are others, or come with an entry that delivers nothing
 */
export function wrapsOf(
  before: ControlState | undefined,
  body: ControlBody | undefined,
  wraps: PushedWraps | undefined,
  isLenient: boolean,
): readonly DeliveredWrap[] {
  const due = before && body && deliveryIn(before, body)
  if (due === undefined) {
    if (wraps !== undefined) throw new SealogError('ERR_BODY', 'wraps with an entry that delivers none')
    return []
  }
  if (wraps?.bytes === undefined && isLenient) return []
  if (wraps?.bytes === undefined) throw new SealogError('ERR_BODY', 'the wraps were not sent')
  const { recipients, delivery } = due
  const pieces = split(wraps.bytes, recipients.length)
  assertWraps(delivery, recipients, pieces)
  return pieces.map((wrap, position) => ({ position, device: (recipients[position] as Recipient).number, wrap }))
}

function deliveryIn(
  before: ControlState,
  body: ControlBody,
): { readonly delivery: Delivery; readonly recipients: readonly Recipient[] } | undefined {
  switch (body.type) {
    case 'rotate':
      return { delivery: body.delivery, recipients: nextRecipients(before) }
    case 'repair':
      return { delivery: body.delivery, recipients: recipientsOf(before, body.epoch) }
    default:
      return undefined
  }
}

/** Each in a buffer of its own would double them: they are parts of what was uploaded. */
function split(bytes: Uint8Array, count: number): readonly Uint8Array[] {
  if (bytes.length !== count * WRAP_LENGTH) {
    throw new SealogError('ERR_BODY', `wraps of ${bytes.length} bytes, where ${count} devices are due one`)
  }
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * WRAP_LENGTH, (i + 1) * WRAP_LENGTH))
}
