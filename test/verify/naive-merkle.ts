import { sha256 } from '../../src/crypto/hash.ts'
import { appendNodes, type NodeAt } from '../../src/verify/prove.ts'

/** The definitions of RFC 6962 §2.1, word for word and slow, to compare with. */
export function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return sha256()
  if (leaves.length === 1) return sha256(Uint8Array.of(0), leaves[0] as Uint8Array)
  const k = splitOf(leaves.length)
  return sha256(Uint8Array.of(1), naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)))
}

/** PATH(m, D[n]) */
export function naiveInclusion(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) return []
  const k = splitOf(leaves.length)
  return m < k
    ? [...naiveInclusion(m, leaves.slice(0, k)), naiveRoot(leaves.slice(k))]
    : [...naiveInclusion(m - k, leaves.slice(k)), naiveRoot(leaves.slice(0, k))]
}

/** PROOF(m, D[n]) */
export function naiveConsistency(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  return subproof(m, leaves, true)
}

function subproof(m: number, leaves: readonly Uint8Array[], whole: boolean): Uint8Array[] {
  if (m === leaves.length) return whole ? [] : [naiveRoot(leaves)]
  const k = splitOf(leaves.length)
  return m <= k
    ? [...subproof(m, leaves.slice(0, k), whole), naiveRoot(leaves.slice(k))]
    : [...subproof(m - k, leaves.slice(k), false), naiveRoot(leaves.slice(0, k))]
}

/** The largest power of two below n. */
function splitOf(n: number): number {
  let k = 1
  while (2 * k < n) k *= 2
  return k
}

/** `count` different leaves. */
export function someLeaves(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => Uint8Array.of(i & 255, i >> 8))
}

/** A store of complete subtrees, grown leaf by leaf. It throws where it is asked for one that is not complete. */
export function storeOf(leafHashes: readonly Uint8Array[]): NodeAt {
  const nodes = new Map<string, Uint8Array>()
  const nodeAt: NodeAt = (level, index) => {
    const hash = nodes.get(`${level}/${index}`)
    if (hash === undefined) throw new Error(`node ${level}/${index} is not complete`)
    return hash
  }
  leafHashes.forEach((leafHash, size) => {
    for (const [level, index, hash] of appendNodes(size, leafHash, nodeAt)) nodes.set(`${level}/${index}`, hash)
  })
  return nodeAt
}
