import {
  type ControlState,
  type DeliveredWrap,
  type DeliveryRecord,
  type GetKeys,
  type Keys,
  MAX_FRAME_LENGTH,
  SealogError,
  WRAP_LENGTH,
} from 'sealog/protocol'
import type { WrapProofs } from './wrap-proofs.ts'

/** What a message takes besides wraps and proofs. */
const FRAME_OVERHEAD = 1024
/** CBOR around one wrap, its numbers among it, and around each hash of its proof. */
const WRAP_OVERHEAD = 64
const HASH_IN_PROOF = 34
/** Deliveries of one epoch that are served: the first, and the latest of those that were to mend it. They fit a frame. */
const MAX_DELIVERIES = 32
/** What one answer may make the relay read and hash, in bytes: whole deliveries, where their trees are not at hand. */
const MAX_COLD: number = 16 * 1024 * 1024
/** What it costs to look for a wrap that there may not be, in bytes as if they were sent. */
const LOOK_COST = 256

interface KeysRequest extends GetKeys {
  /** Entries that the reader has: what was delivered behind them, it does not know of. */
  readonly position: number
}

/** What an answer will be made of, before anything is read for it. */
export interface KeysPlan {
  readonly deliveries: readonly { readonly epoch: number; readonly delivery: DeliveryRecord }[]
  /** Epochs up to here are in it, whole. */
  readonly to: number
  /** What that may cost at most, in bytes: what is to be read for it, and the frame. */
  readonly cost: number
}

/** An answer, and what became of what it might cost. */
export interface KeysAnswer {
  readonly message: Keys
  /** What was read for it, in bytes, besides what is sent. */
  readonly read: number
}

/**
 * The epochs that one answer holds, from the first that is asked for on: as many of them, whole, as one message has room
 * for, and as cost the relay not more than it may; at least one (protocol.md R-KEYS-1, R-KEYS-2).
 * @throws SealogError ERR_UNEXPECTED for epochs in the wrong order
 */
export function planKeys(proofs: Pick<WrapProofs, 'has'>, control: ControlState, request: KeysRequest): KeysPlan {
  const { from, position } = request
  if (from > request.to) throw new SealogError('ERR_UNEXPECTED', `no epochs from ${from} to ${request.to}`)
  const epochs = control.epochs.filter(({ index }) => index < position)
  const inForce = Math.max(0, epochs.length - 1)
  const first = Math.min(from, inForce)
  const last = Math.min(request.to, inForce)
  const planned: { epoch: number; delivery: DeliveryRecord }[] = []
  let frame = FRAME_OVERHEAD
  let cold = 0
  let to = first
  for (let epoch = first; epoch <= last; epoch++) {
    const deliveries = served((epochs[epoch]?.deliveries ?? []).filter(({ index }) => index < position))
    const more = deliveries.reduce((sum, delivery) => sum + longestWrap(delivery), 0)
    const colder = deliveries.reduce((sum, delivery) => sum + (proofs.has(delivery) ? 0 : lengthOf(delivery)), 0)
    if (epoch > first && (frame + more > MAX_FRAME_LENGTH || cold + colder > MAX_COLD)) break
    frame += more
    cold += colder
    planned.push(...deliveries.map(delivery => ({ epoch, delivery })))
    to = epoch
  }
  return { deliveries: planned, to, cost: cold + looking(planned.length) + frame }
}

/**
 * What the deliveries of a plan hold for one device.
 * @param device number of the one who asks
 * @throws SealogError whatever the store throws
 */
export async function answerKeys(
  proofs: Pick<WrapProofs, 'has' | 'prove'>,
  { ref, space }: GetKeys,
  device: number,
  { deliveries, to }: KeysPlan,
): Promise<KeysAnswer> {
  const wraps: DeliveredWrap[] = []
  let read = looking(deliveries.length)
  for (const { epoch, delivery } of deliveries) {
    const wasAtHand = proofs.has(delivery)
    const proven = await proofs.prove(delivery, device)
    // Of a delivery without a wrap for this device nothing else is read, at hand or not.
    if (proven === undefined) continue
    if (!wasAtHand) read += lengthOf(delivery)
    wraps.push({ epoch, index: delivery.index, ...proven })
  }
  return { message: { type: 'keys', ref, space, wraps, to }, read }
}

/** At hand or not, each delivery is looked into. */
function looking(deliveries: number): number {
  return LOOK_COST * (1 + deliveries)
}

function served(deliveries: readonly DeliveryRecord[]): readonly DeliveryRecord[] {
  if (deliveries.length <= MAX_DELIVERIES) return deliveries
  return [...deliveries.slice(0, 1), ...deliveries.slice(1 - MAX_DELIVERIES)]
}

/** In a message, with its proof: where there are n wraps, a proof has at most ⌈log₂ n⌉ hashes. */
function longestWrap({ wrapsCount }: DeliveryRecord): number {
  return WRAP_LENGTH + WRAP_OVERHEAD + Math.ceil(Math.log2(Math.max(1, wrapsCount))) * HASH_IN_PROOF
}

/** Of all its wraps. */
function lengthOf({ wrapsCount }: DeliveryRecord): number {
  return wrapsCount * WRAP_LENGTH
}
