import { SealogError } from '../errors.ts'
import type { ActorId } from '../ids.ts'
import { entrySigningInput } from './entry.ts'
import type { ReducedEntry } from './fold-entries.ts'
import type { Batch, RequiredCheck } from './log.ts'

/**
 * A signature covers its entry and, through `prev`, all earlier ones of the chain: so one is due for the last
 * entry of each actor in the batch, and for every control entry (protocol.md R-COVER-1, R-COVER-2).
 */
export function coverage(entries: readonly ReducedEntry[], batch: Batch): readonly RequiredCheck[] {
  const covered = new Set<ActorId>()
  const checks: RequiredCheck[] = []
  for (let offset = entries.length - 1; offset >= 0; offset--) {
    const { entry, signer, checks: own } = entries[offset] as ReducedEntry
    for (const check of own)
      checks.push({ ...check, code: 'ERR_SIGNATURE', what: `possession in entry ${entry.index}` })
    if (covered.has(entry.actor) && entry.header.kind !== 'control') continue
    covered.add(entry.actor)
    const signature = batch.entries[offset]?.signature
    if (signature === undefined) {
      throw new SealogError('ERR_UNCOVERED', `entry ${entry.index} is covered by no signature`, {
        details: { index: entry.index },
      })
    }
    checks.push({
      publicKey: signer,
      message: entrySigningInput(entry.hash),
      signature,
      code: 'ERR_SIGNATURE',
      what: `entry ${entry.index}`,
    })
  }
  return checks
}
