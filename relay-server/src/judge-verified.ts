import { type SignatureVerifier, toHex } from 'sealog/protocol'
import { type AcceptedEntry, type Circumstances, type Judged, judge, type Push, type SpaceView } from './judge.ts'
import type { PushedEntry } from './pushed-entry.ts'

/**
 * Judges pushes and verifies the signatures of all entries that passed, together. If one does not hold, what comes
 * behind it is judged anew without it, as it may have counted on it.
 */
export async function judgeVerified(
  base: SpaceView,
  pushes: readonly Push[],
  circumstances: Omit<Circumstances, 'verdictOf'>,
  verifier: SignatureVerifier,
): Promise<Judged> {
  /** By entry and key: what stands before an entry decides whose key it must be signed with. */
  const verdicts = new Map<PushedEntry, Map<string, boolean>>()
  const verdictOf = (entry: PushedEntry, signer: Uint8Array): boolean | undefined =>
    verdicts.get(entry)?.get(toHex(signer))
  // Ends: each round but the last learns that some entry does not hold under some key, and never asks that again.
  for (;;) {
    const judged = judge(base, pushes, { ...circumstances, verdictOf })
    const unknown = judged.accepted.filter(item => verdictOf(item.entry, item.signer) === undefined)
    const results = await verifyEach(unknown, verifier)
    for (const [i, item] of unknown.entries()) {
      const known = verdicts.get(item.entry) ?? new Map<string, boolean>()
      verdicts.set(item.entry, known.set(toHex(item.signer), results[i] === true))
    }
    if (results.every(holds => holds)) return judged
  }
}

/** One verdict for each entry: do all its signatures hold? */
async function verifyEach(entries: readonly AcceptedEntry[], verifier: SignatureVerifier): Promise<readonly boolean[]> {
  const verdicts = await verifier.verifyAll(entries.flatMap(item => item.checks))
  let next = 0
  return entries.map(({ checks }) => {
    const own = verdicts.slice(next, next + checks.length)
    next += checks.length
    return own.length === checks.length && own.every(holds => holds)
  })
}
