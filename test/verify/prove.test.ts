import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../src/bytes.ts'
import { EMPTY_ROOT, leafHash, nodeHash, verifyConsistency, verifyInclusion } from '../../src/verify/merkle.ts'
import { appendNodes, type NodeAt, proveConsistency, proveInclusion, rootAt } from '../../src/verify/prove.ts'
import { naiveConsistency, naiveInclusion, naiveRoot, someLeaves, storeOf } from './naive-merkle.ts'

const hex = (hashes: readonly Uint8Array[]): string[] => hashes.map(toHex)

describe('proofs from complete subtrees', () => {
  const leaves = someLeaves(33)
  const nodeAt = storeOf(leaves.map(leafHash))

  it('are those of RFC 6962 for every leaf of every tree up to 33', () => {
    for (let size = 1; size <= leaves.length; size++) {
      const first = leaves.slice(0, size)
      expect(toHex(rootAt(size, nodeAt))).toBe(toHex(naiveRoot(first)))
      for (let index = 0; index < size; index++) {
        expect(hex(proveInclusion(index, size, nodeAt))).toEqual(hex(naiveInclusion(index, first)))
      }
    }
  })

  it('are those of RFC 6962 between every two trees up to 33', () => {
    for (let size2 = 1; size2 <= leaves.length; size2++) {
      const first = leaves.slice(0, size2)
      for (let size1 = 1; size1 <= size2; size1++) {
        expect(hex(proveConsistency(size1, size2, nodeAt))).toEqual(hex(naiveConsistency(size1, first)))
      }
    }
  })

  it('verify, from a store that holds more than the tree they are about', () => {
    const many = someLeaves(700)
    const store = storeOf(many.map(leafHash))
    const sizes = fc.tuple(fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: 700 }), fc.nat())
    fc.assert(
      fc.property(sizes, ([a, b, position]) => {
        const [size1, size2] = a < b ? [a, b] : [b, a]
        const [root1, root2] = [rootAt(size1, store), rootAt(size2, store)]
        verifyConsistency({ size1, root1, size2, root2, proof: proveConsistency(size1, size2, store) })
        const index = position % size2
        const proof = proveInclusion(index, size2, store)
        expect(proof.length).toBeLessThanOrEqual(Math.ceil(Math.log2(size2)))
        verifyInclusion({ index, size: size2, leafHash: leafHash(many[index] as Uint8Array), proof, root: root2 })
      }),
      { numRuns: 100 },
    )
  })

  it('of the empty tree: the root is SHA-256 of nothing', () => {
    expect(toHex(rootAt(0, nodeAt))).toBe(toHex(EMPTY_ROOT))
  })

  it('refuse arguments that name no tree', () => {
    expect(() => proveInclusion(5, 5, nodeAt)).toThrow(TypeError)
    expect(() => proveInclusion(-1, 5, nodeAt)).toThrow(TypeError)
    expect(() => proveInclusion(0, 2 ** 53, nodeAt)).toThrow(TypeError)
    expect(() => proveConsistency(0, 5, nodeAt)).toThrow(TypeError)
    expect(() => proveConsistency(6, 5, nodeAt)).toThrow(TypeError)
    expect(() => rootAt(1.5, nodeAt)).toThrow(TypeError)
    expect(() => appendNodes(2 ** 53 - 1, EMPTY_ROOT, nodeAt)).toThrow(TypeError)
  })
})

describe('trees beyond 32 bits', () => {
  // All leaves alike: then so are all complete subtrees of a level, and any size can be computed.
  const leaf = leafHash(Uint8Array.of(1))
  const levels = [leaf]
  for (let level = 1; level <= 53; level++) {
    const below = levels[level - 1] as Uint8Array
    levels.push(nodeHash(below, below))
  }
  const nodeAt: NodeAt = level => levels[level] as Uint8Array
  const max = Number.MAX_SAFE_INTEGER

  it.each([
    [0, max],
    [max - 1, max],
    [2 ** 52, max],
    [2 ** 52 - 1, max],
    [2 ** 32, 2 ** 32 + 1],
    [2 ** 31, 2 ** 33 + 5],
    [2 ** 32 + 3, 2 ** 53 - 2 ** 20],
  ])('include leaf %d of %d', (index, size) => {
    const root = rootAt(size, nodeAt)
    const proof = proveInclusion(index, size, nodeAt)
    verifyInclusion({ index, size, leafHash: leaf, proof, root })
    expect(() => verifyInclusion({ index, size, leafHash: leaf, proof: proof.slice(1), root })).toThrow('ERR_PROOF')
  })

  it.each([
    [1, max],
    [max - 1, max],
    [2 ** 52, max],
    [2 ** 52 + 1, max],
    [2 ** 32 - 1, 2 ** 32],
    [2 ** 32, 2 ** 32 + 1],
    [2 ** 31 + 7, 2 ** 45 + 9],
  ])('extend size %d to %d', (size1, size2) => {
    const [root1, root2] = [rootAt(size1, nodeAt), rootAt(size2, nodeAt)]
    const proof = proveConsistency(size1, size2, nodeAt)
    verifyConsistency({ size1, root1, size2, root2, proof })
    expect(() => verifyConsistency({ size1, root1: root2, size2, root2, proof })).toThrow('ERR_PROOF')
  })
})

describe('appending', () => {
  it('brings about exactly the subtrees that the new leaf completes', () => {
    const known: string[] = []
    const nodeAt: NodeAt = () => EMPTY_ROOT
    for (let size = 0; size < 16; size++) {
      for (const [level, index] of appendNodes(size, EMPTY_ROOT, nodeAt)) known.push(`${level}/${index}`)
    }
    const all = [0, 1, 2, 3, 4].flatMap(level => Array.from({ length: 16 >> level }, (_, index) => `${level}/${index}`))
    expect(known.sort()).toEqual(all.sort())
  })
})
