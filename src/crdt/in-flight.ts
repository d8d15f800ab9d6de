import { toHex } from '../bytes.ts'
import { decodeHeader } from '../verify/entry.ts'
import type { PushPlan } from './outbox.ts'
import type { SealedEntry } from './seal.ts'

/** A push that was sent, and what of it did not come back yet. */
export interface InFlight {
  readonly plan: PushPlan
  /** Leaf hashes, in hex. */
  readonly waiting: Set<string>
}

export function onItsWay(plan: PushPlan): InFlight {
  return { plan, waiting: new Set(plan.entries.map(entry => toHex(entry.hash))) }
}

/** Number of its entries with own edits that did not come back. */
export function editsWaiting({ plan, waiting }: InFlight): number {
  return plan.entries.filter(entry => waiting.has(toHex(entry.hash)) && isEdit(entry)).length
}

/** Does the entry say what somebody has written, rather than something about members, keys or the log itself? */
function isEdit({ header }: SealedEntry): boolean {
  const { kind } = decodeHeader(header)
  return kind === 'changes' || kind === 'import'
}
