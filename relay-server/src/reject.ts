import { asSealogError, encodeMessage, hasCode, MAX_RETRY_AFTER, SealogError, type SpaceId } from 'sealog/protocol'

const MAX_MESSAGE_LENGTH = 1024

export interface Refusal {
  readonly ref: number
  readonly space: SpaceId
  readonly error: SealogError
  /** Of the entry of a push that was refused. Default: 0, and how many entries there are for a relay that is behind. */
  readonly position?: number
}

/** The frame that tells why a request was not carried out. */
export function rejectFrame({ ref, space, error, position = sizeIn(error) }: Refusal): Uint8Array {
  return encodeMessage({
    type: 'reject',
    ref,
    space,
    code: error.code,
    message: error.message.slice(0, MAX_MESSAGE_LENGTH),
    position,
    retryAfter: Math.min(MAX_RETRY_AFTER, error.details.retryAfter ?? 0),
  })
}

/** Whatever was thrown, as something that may be told to the other side. */
export function tellable(error: unknown): SealogError {
  return asSealogError(error, 'ERR_RELAY_INTERNAL', 'the relay failed')
}

/** What a device that was removed hears once it has the entry that did it, and to whatever else it asks. */
export function removedDevice(): SealogError {
  return new SealogError('ERR_REMOVED', 'the device was removed from the space')
}

/** The relay has fewer entries than it once signed, or than somebody has seen; it can be given those from `size` on. */
export function relayBehind(size: number): SealogError {
  return new SealogError('ERR_RELAY_BEHIND', `the relay has ${size} entries and not all that it signed`, {
    details: { index: size },
  })
}

function sizeIn(error: SealogError): number {
  return hasCode(error, 'ERR_RELAY_BEHIND') ? (error.details.index ?? 0) : 0
}
