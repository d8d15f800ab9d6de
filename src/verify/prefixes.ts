import { equalBytes } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { EMPTY_ROOT, verifyConsistency } from './merkle.ts'
import type { PrefixProof } from './records.ts'

/** Proves that logs of smaller sizes are how one log begins. */
export interface Prefixes {
  /** @throws SealogError ERR_PROOF unless the first `size` entries of the log have this root (32 bytes) */
  assertPrefix(size: number, root: Uint8Array): void
}

/**
 * @param size of the log that all proofs lead to
 * @param root of that log, 32 bytes
 * @throws SealogError ERR_PROOF for two proofs of one size
 */
export function prefixesOf(size: number, root: Uint8Array, proofs: readonly PrefixProof[]): Prefixes {
  const bySize = new Map(proofs.map(item => [item.size, item.proof]))
  if (bySize.size !== proofs.length) throw new SealogError('ERR_PROOF', 'two proofs for one size')
  const known = new Map<number, Uint8Array>([
    [0, EMPTY_ROOT],
    [size, root],
  ])
  return {
    assertPrefix(size1, root1) {
      const proven = known.get(size1)
      if (proven !== undefined) {
        if (equalBytes(proven, root1)) return
        throw new SealogError('ERR_PROOF', `two roots for ${size1} entries`)
      }
      const proof = bySize.get(size1)
      if (proof === undefined) throw new SealogError('ERR_PROOF', `no proof for the prefix of ${size1} entries`)
      verifyConsistency({ size1, root1, size2: size, root2: root, proof })
      known.set(size1, root1)
    },
  }
}
