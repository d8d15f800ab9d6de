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
/** Epochs that one answer looks at. */
const MAX_EPOCHS = 4096
/** Deliveries that one answer may make the relay read and hash from end to end. */
const MAX_COLD = 8

interface KeysRequest extends GetKeys {
  /** Number of the device that asks. */
  readonly device: number
  /** Entries that the reader has: what was delivered behind them, it does not know of. */
  readonly position: number
}

/**
 * What the epochs that are asked for hold for one device, from the first on: as many of them, whole, as one message has
 * room for, and as cost the relay not more than it may; at least one (protocol.md R-KEYS-1, R-KEYS-2).
 * @throws SealogError ERR_UNEXPECTED for epochs in the wrong order, and whatever the store throws
 */
export async function answerKeys(proofs: WrapProofs, control: ControlState, request: KeysRequest): Promise<Keys> {
  const { ref, space, from, device, position } = request
  if (from > request.to) throw new SealogError('ERR_UNEXPECTED', `no epochs from ${from} to ${request.to}`)
  const epochs = control.epochs.filter(({ index }) => index < position)
  const inForce = Math.max(0, epochs.length - 1)
  const first = Math.min(from, inForce)
  const last = Math.min(request.to, inForce, first + MAX_EPOCHS - 1)
  const wraps: DeliveredWrap[] = []
  let room = MAX_FRAME_LENGTH - FRAME_OVERHEAD
  let cold = 0
  let to = first
  for (let epoch = first; epoch <= last; epoch++) {
    const deliveries = served((epochs[epoch]?.deliveries ?? []).filter(({ index }) => index < position))
    if (epoch > first && cold >= MAX_COLD) break
    const found: DeliveredWrap[] = []
    for (const delivery of deliveries) {
      const isCold = !proofs.has(delivery)
      const proven = await proofs.prove(delivery, device)
      if (proven === undefined) continue
      if (isCold) cold++
      found.push({ epoch, index: delivery.index, ...proven })
    }
    room -= found.reduce((sum, wrap) => sum + lengthOf(wrap), 0)
    if (epoch > first && room < 0) break
    wraps.push(...found)
    to = epoch
  }
  return { type: 'keys', ref, space, wraps, to }
}

function served(deliveries: readonly DeliveryRecord[]): readonly DeliveryRecord[] {
  if (deliveries.length <= MAX_DELIVERIES) return deliveries
  return [...deliveries.slice(0, 1), ...deliveries.slice(1 - MAX_DELIVERIES)]
}

function lengthOf({ proof }: DeliveredWrap): number {
  return WRAP_LENGTH + WRAP_OVERHEAD + proof.length * HASH_IN_PROOF
}
