import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../src/bytes.ts'
import { hasCode } from '../../src/errors.ts'
import {
  type ConsistencyClaim,
  EMPTY_ROOT,
  type InclusionClaim,
  leafHash,
  nodeHash,
  rootsOfConsistency,
  verifyConsistency,
  verifyInclusion,
} from '../../src/verify/merkle.ts'
import { naiveConsistency, naiveInclusion, naiveRoot, someLeaves } from './naive-merkle.ts'

// The reference tree of Certificate Transparency: eight leaves, and the roots of its first 0 … 8.
const LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'].map(
  fromHex,
)
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
].map(fromHex)

const rootOfFirst = (size: number): Uint8Array => ROOTS[size] as Uint8Array

function inclusion(index: number, size: number, leaves: readonly Uint8Array[] = LEAVES): InclusionClaim {
  const first = leaves.slice(0, size)
  return {
    index,
    size,
    leafHash: leafHash(leaves[index] as Uint8Array),
    proof: naiveInclusion(index, first),
    root: naiveRoot(first),
  }
}

function consistency(size1: number, size2: number, leaves: readonly Uint8Array[] = LEAVES): ConsistencyClaim {
  return {
    size1,
    root1: naiveRoot(leaves.slice(0, size1)),
    size2,
    root2: naiveRoot(leaves.slice(0, size2)),
    proof: naiveConsistency(size1, leaves.slice(0, size2)),
  }
}

function codeOf(run: () => void): string {
  try {
    run()
  } catch (error) {
    return hasCode(error, 'ERR_PROOF') ? 'ERR_PROOF' : String(error)
  }
  return 'accepted'
}

const flipped = (hash: Uint8Array, bit: number): Uint8Array =>
  hash.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))

describe('RFC 6962 hashing', () => {
  it('gives the known hashes of the reference tree', () => {
    expect(toHex(EMPTY_ROOT)).toBe(toHex(rootOfFirst(0)))
    expect(toHex(leafHash(new Uint8Array()))).toBe(toHex(rootOfFirst(1)))
    expect(toHex(nodeHash(leafHash(fromHex('')), leafHash(fromHex('00'))))).toBe(toHex(rootOfFirst(2)))
    for (let size = 0; size <= 8; size++) expect(toHex(naiveRoot(LEAVES.slice(0, size)))).toBe(toHex(rootOfFirst(size)))
  })
})

describe('inclusion', () => {
  it('is accepted for every leaf of every tree up to 8', () => {
    for (let size = 1; size <= 8; size++) {
      for (let index = 0; index < size; index++) {
        verifyInclusion({ ...inclusion(index, size), root: rootOfFirst(size) })
      }
    }
  })

  it('is refused for another leaf, another index, another root, and with one bit changed anywhere', () => {
    const cases = fc.integer({ min: 2, max: 40 }).chain(size =>
      fc.record({
        size: fc.constant(size),
        index: fc.nat({ max: size - 1 }),
        other: fc.nat({ max: size - 1 }),
        bit: fc.nat({ max: 255 }),
        position: fc.nat(),
      }),
    )
    fc.assert(
      fc.property(cases, ({ size, index, other, bit, position }) => {
        const leaves = someLeaves(size)
        const claim = inclusion(index, size, leaves)
        verifyInclusion(claim)
        const at = position % claim.proof.length
        const refusals: InclusionClaim[] = [
          { ...claim, leafHash: flipped(claim.leafHash, bit) },
          { ...claim, root: flipped(claim.root, bit) },
          { ...claim, proof: claim.proof.map((hash, i) => (i === at ? flipped(hash, bit) : hash)) },
          { ...claim, proof: claim.proof.filter((_, i) => i !== at) },
          { ...claim, proof: [...claim.proof.slice(0, at), claim.root, ...claim.proof.slice(at)] },
          { ...claim, proof: [...claim.proof, claim.root] },
        ]
        if (other !== index) {
          refusals.push({ ...claim, index: other }, { ...claim, leafHash: leafHash(leaves[other] as Uint8Array) })
        }
        for (const refusal of refusals) expect(codeOf(() => verifyInclusion(refusal))).toBe('ERR_PROOF')
      }),
      { numRuns: 60 },
    )
  })

  it('does not let an inner node pass for a leaf', () => {
    const [left, right] = [leafHash(LEAVES[0] as Uint8Array), leafHash(LEAVES[1] as Uint8Array)]
    const data = new Uint8Array([...left, ...right])
    expect(
      codeOf(() => verifyInclusion({ index: 0, size: 1, leafHash: leafHash(data), proof: [], root: rootOfFirst(2) })),
    ).toBe('ERR_PROOF')
  })

  it.each([
    ['negative', -1, 8],
    ['fractional', 0.5, 8],
    ['not a number', Number.NaN, 8],
    ['beyond the tree', 8, 8],
    ['in the empty tree', 0, 0],
    ['beyond 2⁵³−1', 3, 2 ** 53],
    ['infinite', 3, Number.POSITIVE_INFINITY],
  ])('refuses an index that is %s', (_, index, size) => {
    expect(codeOf(() => verifyInclusion({ ...inclusion(3, 8), index, size }))).toBe('ERR_PROOF')
  })

  it('is refused in a tree of twice or half the size, though all hashes are right', () => {
    expect(codeOf(() => verifyInclusion({ ...inclusion(1, 4), size: 8 }))).toBe('ERR_PROOF')
    expect(codeOf(() => verifyInclusion({ ...inclusion(1, 8), size: 4 }))).toBe('ERR_PROOF')
  })

  it('is refused for a leaf of the right half that is claimed of a tree of half the size', () => {
    expect(codeOf(() => verifyInclusion({ ...inclusion(5, 8), index: 1, size: 4 }))).toBe('ERR_PROOF')
  })

  it('does not let a byte move from the sibling into the leaf hash', () => {
    const claim = inclusion(0, 2)
    const pair = new Uint8Array([...claim.leafHash, ...(claim.proof[0] as Uint8Array)])
    const shifted = { ...claim, leafHash: pair.slice(0, 33), proof: [pair.slice(33)] }
    expect(codeOf(() => verifyInclusion(shifted))).toBe('ERR_PROOF')
  })

  it('refuses hashes of other lengths, and a proof of a million hashes at once', () => {
    const claim = inclusion(3, 8)
    const short = new Uint8Array(31)
    expect(codeOf(() => verifyInclusion({ ...claim, leafHash: short }))).toBe('ERR_PROOF')
    expect(codeOf(() => verifyInclusion({ ...claim, root: new Uint8Array(33) }))).toBe('ERR_PROOF')
    expect(codeOf(() => verifyInclusion({ ...claim, proof: [...claim.proof.slice(1), short] }))).toBe('ERR_PROOF')
    const million = new Array<Uint8Array>(1_000_000).fill(claim.root)
    expect(codeOf(() => verifyInclusion({ ...claim, proof: million }))).toBe('ERR_PROOF')
  })
})

describe('consistency', () => {
  it('is accepted between every two trees up to 8', () => {
    for (let size2 = 1; size2 <= 8; size2++) {
      for (let size1 = 1; size1 <= size2; size1++) {
        verifyConsistency({ ...consistency(size1, size2), root1: rootOfFirst(size1), root2: rootOfFirst(size2) })
      }
    }
  })

  it('is refused for a rewritten history, and with one bit changed anywhere', () => {
    const cases = fc.integer({ min: 2, max: 40 }).chain(size2 =>
      fc.record({
        size2: fc.constant(size2),
        size1: fc.integer({ min: 1, max: size2 - 1 }),
        bit: fc.nat({ max: 255 }),
        position: fc.nat(),
      }),
    )
    fc.assert(
      fc.property(cases, ({ size1, size2, bit, position }) => {
        const leaves = someLeaves(size2)
        const claim = consistency(size1, size2, leaves)
        verifyConsistency(claim)
        const at = position % claim.proof.length
        const rewritten = leaves.map((leaf, i) => (i === position % size1 ? Uint8Array.of(9, 9, 9) : leaf))
        const refusals: ConsistencyClaim[] = [
          { ...consistency(size1, size2, rewritten), root1: claim.root1 },
          { ...claim, root1: flipped(claim.root1, bit) },
          { ...claim, root2: flipped(claim.root2, bit) },
          { ...claim, root1: claim.root2, root2: claim.root1 },
          { ...claim, proof: claim.proof.map((hash, i) => (i === at ? flipped(hash, bit) : hash)) },
          { ...claim, proof: claim.proof.filter((_, i) => i !== at) },
          { ...claim, proof: [...claim.proof, claim.root1] },
          { ...claim, size1: size2, size2: size1 },
        ]
        for (const refusal of refusals) expect(codeOf(() => verifyConsistency(refusal))).toBe('ERR_PROOF')
      }),
      { numRuns: 60 },
    )
  })

  it('is refused towards a tree of twice or half the size, though all hashes are right', () => {
    for (const size1 of [1, 2, 3]) {
      expect(codeOf(() => verifyConsistency({ ...consistency(size1, 4), size2: 8 }))).toBe('ERR_PROOF')
      expect(codeOf(() => verifyConsistency({ ...consistency(size1, 8), size2: 4 }))).toBe('ERR_PROOF')
    }
  })

  it('is refused for what happened in the right half that is claimed of a tree of half the size', () => {
    const claim = consistency(11, 16, someLeaves(16))
    verifyConsistency(claim)
    expect(codeOf(() => verifyConsistency({ ...claim, size1: 3, size2: 8 }))).toBe('ERR_PROOF')
  })

  it('does not let a byte move from the proof into the first root', () => {
    const claim = consistency(1, 2)
    const pair = new Uint8Array([...claim.root1, ...(claim.proof[0] as Uint8Array)])
    const shifted = { ...claim, root1: pair.slice(0, 33), proof: [pair.slice(33)] }
    expect(codeOf(() => verifyConsistency(shifted))).toBe('ERR_PROOF')
  })

  it('says nothing about the empty tree', () => {
    expect(codeOf(() => verifyConsistency({ ...consistency(1, 8), size1: 0, root1: EMPTY_ROOT, proof: [] }))).toBe(
      'ERR_PROOF',
    )
  })

  it('between equal sizes is equality of roots, without a proof', () => {
    const claim = consistency(5, 5)
    verifyConsistency(claim)
    expect(codeOf(() => verifyConsistency({ ...claim, proof: [claim.root1] }))).toBe('ERR_PROOF')
    expect(codeOf(() => verifyConsistency({ ...claim, root2: rootOfFirst(4) }))).toBe('ERR_PROOF')
  })

  it.each([
    [-1, 8],
    [1.5, 8],
    [Number.NaN, 8],
    [9, 8],
    [3, 2 ** 53],
  ])('refuses sizes %d and %d', (size1, size2) => {
    expect(codeOf(() => verifyConsistency({ ...consistency(3, 8), size1, size2 }))).toBe('ERR_PROOF')
  })

  it('refuses hashes of other lengths', () => {
    const claim = consistency(3, 8)
    const short = new Uint8Array(31)
    expect(codeOf(() => verifyConsistency({ ...claim, root1: short }))).toBe('ERR_PROOF')
    expect(codeOf(() => verifyConsistency({ ...claim, root2: short }))).toBe('ERR_PROOF')
    expect(codeOf(() => verifyConsistency({ ...claim, proof: [short, ...claim.proof.slice(1)] }))).toBe('ERR_PROOF')
  })
})

describe('the roots that a consistency proof rebuilds', () => {
  it('are those of the tree that its nodes are of, for every pair of sizes', () => {
    const leaves = someLeaves(40)
    for (let size2 = 2; size2 <= 40; size2++) {
      for (let size1 = 1; size1 < size2; size1++) {
        const proof = naiveConsistency(size1, leaves.slice(0, size2))
        const roots = rootsOfConsistency(size1, size2, proof)
        // The proof from a power of two does not hold the root that it starts from.
        if (Number.isInteger(Math.log2(size1))) expect(roots).toBeUndefined()
        else expect(roots).toEqual([naiveRoot(leaves.slice(0, size1)), naiveRoot(leaves.slice(0, size2))])
      }
    }
  })

  it('are other ones for any other nodes', () => {
    const leaves = someLeaves(13)
    const proof = naiveConsistency(6, leaves)
    for (const at of proof.keys()) {
      const other = proof.map((hash, i) => (i === at ? hash.map(byte => byte ^ 1) : hash))
      expect(rootsOfConsistency(6, 13, other)?.[1]).not.toEqual(naiveRoot(leaves))
    }
  })

  it.each([
    [6, 13, 3],
    [6, 13, 5],
    [6, 13, 0],
    [6, 13, 60],
    [0, 13, 4],
    [13, 13, 0],
    [14, 13, 4],
    [6, 2 ** 53, 4],
  ])('refuses sizes %d and %d with %d hashes', (size1, size2, hashes) => {
    expect(codeOf(() => rootsOfConsistency(size1, size2, Array(hashes).fill(leafHash(new Uint8Array(0)))))).toBe(
      'ERR_PROOF',
    )
  })
})
