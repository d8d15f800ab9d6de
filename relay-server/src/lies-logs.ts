import { type ControlBody, decodeControlBody } from 'sealog/protocol'
import { forgeLog } from './forged-log.ts'
import { checkpointOf, claimOf, convictingLie, type Lie, signedBatch, signedLie, signNote } from './lie.ts'
import type { StoredEntry } from './log-store.ts'

/** Other logs than the one log, each consistent in itself. */
export const LOG_LIES: readonly Lie[] = [
  convictingLie({
    name: 'fabricated-log',
    says: 'the log of another space comes under the name of this one, signed by the relay',
    expected: ['ERR_INVALID_ENTRY', 'ERR_ROOT_MISMATCH', 'ERR_ROLLBACK'],
    batch: async (batch, teller) => {
      const { otherSpace } = teller
      if (batch.from !== 0 || otherSpace.length === 0) return undefined
      return signedBatch(teller, batch, otherSpace)
    },
  }),
  signedLie({
    name: 'log-of-another-branch',
    says: 'somebody who is shown one branch of the log gets what follows in another',
    expected: ['ERR_ROOT_MISMATCH', 'ERR_ROLLBACK', 'ERR_INVALID_ENTRY', 'ERR_PROOF'],
    batch: (batch, teller) => {
      const { otherBranch } = teller
      const isDue = otherBranch.length > 0 && otherBranch.length >= batch.from
      return isDue ? signedBatch(teller, batch, otherBranch) : undefined
    },
  }),
  signedLie({
    name: 'truncated-log',
    says: 'the relay signs the log anew as it was some entries ago, and sends what there is of it',
    expected: ['ERR_ROLLBACK', 'ERR_ROOT_MISMATCH'],
    batch: async (batch, teller) => {
      const size = Math.floor(checkpointOf(batch).size / 2)
      if (size === 0) return undefined
      const forged = forgeLog(teller.log.slice(0, size))
      const checkpoint = checkpointOf(batch)
      const head = await signNote(teller, { ...checkpoint, ...claimOf(forged, size), time: checkpoint.time + 1 })
      return forged.batch(batch, Math.min(batch.from, size), head)
    },
  }),
  {
    name: 'withheld-tail',
    says: 'new entries are not sent, and what is asked is answered as if there were none',
    expected: [],
    isSigned: false,
    freezes: false,
    tell: async (message, teller) => {
      const { position } = teller
      if (message.type !== 'sync') return undefined
      const { from, entries } = message.batch
      if (from + entries.length <= position) return undefined
      if (message.ref === 0 || position === 0) return []
      const forged = forgeLog(teller.log.slice(0, position))
      const head = await signNote(teller, { ...checkpointOf(message.batch), ...claimOf(forged, position) })
      return [{ ...message, batch: forged.batch(message.batch, position, head) }]
    },
  },
  {
    name: 'withheld-removal',
    says: 'whoever listens is shown a log that ends where somebody is removed, and nothing behind that',
    expected: [],
    isSigned: true,
    freezes: false,
    tell: async (message, teller) => {
      const { position, log } = teller
      if (message.type !== 'sync') return undefined
      const end = log.findIndex((entry, index) => index >= position && takesAway(entry))
      if (end <= 0 || checkpointOf(message.batch).size <= end) return undefined
      if (message.ref === 0 && position === end) return []
      const forged = forgeLog(log.slice(0, end))
      const head = await signNote(teller, { ...checkpointOf(message.batch), ...claimOf(forged, end) })
      return [{ ...message, batch: forged.batch(message.batch, Math.min(message.batch.from, end), head) }]
    },
  },
]

const TAKING_AWAY: ReadonlySet<ControlBody['type']> = new Set<ControlBody['type']>([
  'remove-device',
  'remove-member',
  'leave',
  'revoke',
])

function takesAway({ isControl, body }: StoredEntry): boolean {
  return isControl && body !== undefined && TAKING_AWAY.has(decodeControlBody(body).type)
}
