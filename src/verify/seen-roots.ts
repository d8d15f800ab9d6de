import { SealogError } from '../errors.ts'
import { rootOf } from './compact-range.ts'
import type { Leaf } from './extend-log.ts'
import type { Batch, LogView } from './log.ts'
import { EMPTY_ROOT, verifyConsistency } from './merkle.ts'

/**
 * What the authors of a batch had seen is how this very log begins: sizes within the batch were computed on the way,
 * each one before it comes with a proof, and there is no other proof (protocol.md R-SEEN-3, R-SEEN-4).
 * @param roots at the sizes of the batch itself
 * @returns the root at every `seenSize` of the batch
 * @throws SealogError ERR_PROOF
 */
export function proveSeen(
  view: LogView,
  batch: Batch,
  leaves: readonly Leaf[],
  roots: ReadonlyMap<number, Uint8Array>,
): ReadonlyMap<number, Uint8Array> {
  const known = new Map(roots).set(0, EMPTY_ROOT)
  const proofs = new Map(batch.seenProofs.map(item => [item.size, item.proof]))
  refuseProof(proofs.size !== batch.seenProofs.length, 'two proofs for one size')
  const start = view.range.size > 0 ? rootOf(view.range) : EMPTY_ROOT
  for (const { header } of leaves) {
    const { seenSize, seenRoot } = header
    if (seenSize >= view.range.size || known.has(seenSize)) continue
    const proof = proofs.get(seenSize)
    if (proof === undefined) throw new SealogError('ERR_PROOF', `no proof for the prefix of ${seenSize} entries`)
    verifyConsistency({ size1: seenSize, root1: seenRoot, size2: view.range.size, root2: start, proof })
    known.set(seenSize, seenRoot)
    proofs.delete(seenSize)
  }
  refuseProof(proofs.size > 0, 'a proof that no header needs')
  return known
}
function refuseProof(refused: boolean, why: string): void {
  if (refused) throw new SealogError('ERR_PROOF', why)
}
