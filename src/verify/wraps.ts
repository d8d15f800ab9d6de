import { equalBytes } from '../bytes.ts'
import { encodeCbor } from '../codec.ts'
import { labelledHash } from '../crypto/hash.ts'
import { SealogError } from '../errors.ts'
import { appendLeaves, emptyRange, rootOf } from './compact-range.ts'
import { type Delivery, WRAP_LENGTH } from './control.ts'
import { type ControlState, type DeviceRecord, historyOf, latestEpoch } from './control-state.ts'
import { leafHash, nodeHash, verifyInclusion } from './merkle.ts'
import { type NodeAt, proveInclusion } from './prove.ts'

/** What a wrap holds: 0 the secret of the epoch, 1 its read secret only. */
export type PayloadKind = 0 | 1

/** A device that is to be given the secret of an epoch. */
export interface Recipient {
  readonly number: number
  /** X-Wing key, 1,216 bytes. */
  readonly kem: Uint8Array
  readonly payloadKind: PayloadKind
}

/**
 * The devices for which there has to be a wrap of `epoch`, in this order: those that are current, and the provisional
 * ones of invites whose link alone lets somebody in. Not those that wait for approval, nor those that may not read as
 * far back (protocol.md R-WRAP-5).
 */
export function recipientsOf(control: ControlState, epoch: number): readonly Recipient[] {
  const recipients: Recipient[] = []
  for (const device of control.devices.values()) {
    const payloadKind = payloadKindFor(control, device)
    if (!isRecipient(device) || (payloadKind === 1 && device.readsFrom > epoch)) continue
    recipients.push({ number: device.number, kem: device.kem, payloadKind })
  }
  return recipients
}

export function payloadKindFor(control: ControlState, device: DeviceRecord): PayloadKind {
  return historyOf(control, device) === 'all' ? 0 : 1
}

function isRecipient({ standing, removed }: DeviceRecord): boolean {
  return removed === undefined && (standing === 'member' || standing === 'provisional')
}

/** Recipients of the epoch that a `rotate` on top of this state starts. */
export function nextRecipients(control: ControlState): readonly Recipient[] {
  return recipientsOf(control, latestEpoch(control) + 1)
}

/**
 * What a `rotate` names as its base: the epoch that it ends, and for whom its wraps are. Whoever comes or goes changes
 * it, and so does every start of an epoch; what members say meanwhile does not, so nobody can hold up the next epoch,
 * without which nothing may be written, by talking.
 * @returns 32 bytes
 */
export function rotationBase(control: ControlState): Uint8Array {
  const recipients = nextRecipients(control).map(({ number, payloadKind }) => [number, payloadKind])
  const made = encodeCbor([latestEpoch(control), recipients])
  return labelledHash('sealog/v1/rotation-base', control.space, made)
}

/** Leaf of one wrap in the tree that a delivery commits to. @param wrap 1,168 bytes @returns 32 bytes */
export function wrapLeaf(device: number, wrap: Uint8Array): Uint8Array {
  return leafHash(encodeCbor([device, wrap]))
}

/** RFC 6962 root over leaves in the order of the recipients. @returns 32 bytes */
export function wrapsRootOf(leaves: readonly Uint8Array[]): Uint8Array {
  return rootOf(appendLeaves(emptyRange, leaves))
}

/** Where a wrap stands in its delivery, and the proof that it does. */
export interface ProvenWrap {
  readonly device: number
  /** Place among the wraps of the delivery. */
  readonly position: number
  /** 1,168 bytes. */
  readonly wrap: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/** @param leaves of all wraps, in order @returns hashes of 32 bytes, from the leaf upwards */
export function proveWrap(leaves: readonly Uint8Array[], position: number): readonly Uint8Array[] {
  const nodeAt: NodeAt = (level, index) =>
    level === 0
      ? (leaves[index] as Uint8Array)
      : nodeHash(nodeAt(level - 1, 2 * index), nodeAt(level - 1, 2 * index + 1))
  return proveInclusion(position, leaves.length, nodeAt)
}

/** Is this wrap the one of its device that the delivery commits to? @throws SealogError ERR_PROOF */
export function assertDelivered(delivery: Delivery, { device, position, wrap, proof }: ProvenWrap): void {
  if (wrap.length !== WRAP_LENGTH) throw new SealogError('ERR_PROOF', 'a wrap of the wrong length')
  verifyInclusion({
    index: position,
    size: delivery.wrapsCount,
    leafHash: wrapLeaf(device, wrap),
    proof,
    root: delivery.wrapsRoot,
  })
}

/**
 * Are these the wraps that a delivery commits to, one for each device that is due one?
 * @param wraps in the order of `recipients`
 * @throws SealogError ERR_BODY
 */
export function assertWraps(delivery: Delivery, recipients: readonly Recipient[], wraps: readonly Uint8Array[]): void {
  const isComplete = wraps.length === recipients.length && delivery.wrapsCount === recipients.length
  const leaves = isComplete ? recipients.map(({ number }, i) => wrapLeaf(number, wraps[i] as Uint8Array)) : []
  const root = wrapsRootOf(leaves)
  if (!isComplete || !equalBytes(root, delivery.wrapsRoot)) {
    throw new SealogError('ERR_BODY', 'the wraps are not those that the entry commits to')
  }
}
