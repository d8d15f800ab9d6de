import { bytesOf, type Format, listOf, record, spaceId, uint } from '../format.ts'
import type { SpaceId } from '../ids.ts'
import { WRAP_LENGTH } from '../verify/control.ts'
import type { ProvenWrap } from '../verify/wraps.ts'
import { type MessageFormat, proof } from './message-parts.ts'

/** Of one device in one message: a frame has room for fewer. */
const MAX_WRAPS = 1024

/**
 * Asks for the wraps that epochs `from … to` hold for the device that is authenticated; what lies beyond the epoch in
 * force is left out. Answered by `keys`.
 */
export interface GetKeys {
  readonly type: 'get-keys'
  readonly ref: number
  readonly space: SpaceId
  readonly from: number
  readonly to: number
}

export const getKeys: MessageFormat<GetKeys> = record({ ref: uint, space: spaceId, from: uint, to: uint })

export interface DeliveredWrap extends ProvenWrap {
  readonly epoch: number
  /** Place in the log of the entry that delivered it. */
  readonly index: number
}

const deliveredWrap: Format<DeliveredWrap> = record({
  epoch: uint,
  index: uint,
  device: uint,
  position: uint,
  wrap: bytesOf(WRAP_LENGTH),
  proof,
})

/**
 * Wraps of one device, in answer to `get-keys`: from every delivery of these epochs that has one for it and that the
 * relay still has, in the order of the log. Fewer than asked for where the frame ends them.
 */
export interface Keys {
  readonly type: 'keys'
  readonly ref: number
  readonly space: SpaceId
  readonly wraps: readonly DeliveredWrap[]
  /** Epochs up to here are in it, whole. */
  readonly to: number
}

export const keys: MessageFormat<Keys> = record({
  ref: uint,
  space: spaceId,
  wraps: listOf(MAX_WRAPS, deliveredWrap),
  to: uint,
})
