import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../src/bytes.ts'
import { asBytesUpTo, asTuple, decodeCbor, encodeCbor } from '../../src/codec.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { SealogError } from '../../src/errors.ts'
import {
  deleteAt,
  emptyMap,
  entriesOf,
  getAt,
  mapRoot,
  mapSize,
  type StateMap,
  setAt,
  stubMap,
} from '../../src/verify/state-map.ts'
import { decodePruned, encodePruned } from '../../src/verify/state-map-codec.ts'
import { mergePruned, prune } from '../../src/verify/state-map-proof.ts'
import { anyDelete, anyKey, anySet, applyToMap, hashValue, mapOf, type Operation, type Value } from './naive-state.ts'

const codec = { hashValue, decodeValue: (bytes: Uint8Array): Value => bytes }
const anyMap = fc.array(anySet, { maxLength: 25 }).map(sets => applyToMap(emptyMap(hashValue), sets))
const sent = (map: StateMap<Value>): StateMap<Value> =>
  decodePruned(
    encodePruned(map, value => value),
    codec,
  )
const root = (map: StateMap<Value>): string => toHex(mapRoot(map))
const keyAt = (...bytes: readonly number[]): Uint8Array => {
  const key = new Uint8Array(32)
  key.set(bytes)
  return key
}

function reasonOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof SealogError && error.code === 'ERR_PROOF') return error.details.reason ?? ''
    throw error
  }
  return 'accepted'
}

describe('a pruned tree', () => {
  it('has the same root, and answers for its keys as the whole map does', () => {
    fc.assert(
      fc.property(anyMap, fc.array(anyKey, { maxLength: 6 }), (map, keys) => {
        const pruned = sent(prune(map, keys))
        expect(root(pruned)).toBe(root(map))
        for (const key of keys) expect(getAt(pruned, key)).toEqual(getAt(map, key))
      }),
      { numRuns: 150 },
    )
  })

  it('takes sets of its keys as the whole map does', () => {
    fc.assert(
      fc.property(anyMap, fc.array(anySet, { maxLength: 6 }), (map, sets) => {
        const pruned = sent(
          prune(
            map,
            sets.map(({ key }) => key),
          ),
        )
        expect(root(applyToMap(pruned, sets))).toBe(root(applyToMap(map, sets)))
      }),
      { numRuns: 150 },
    )
  })

  it('takes sets and deletes of its removable keys, in any order, as the whole map does', () => {
    const history = fc.array(fc.oneof(anySet, anyDelete), { maxLength: 12 })
    fc.assert(
      fc.property(anyMap, history, fc.array(anyKey, { maxLength: 3 }), (map, operations, others) => {
        const removable = operations.filter(({ type }) => type === 'delete').map(({ key }) => key)
        const keys = [...others, ...operations.map(({ key }) => key)]
        const pruned = sent(prune(map, keys, removable))
        expect(root(applyToMap(pruned, operations))).toBe(root(applyToMap(map, operations)))
      }),
      { numRuns: 300 },
    )
  })

  it('gives way at the same places as the whole map does when everything is deleted', () => {
    fc.assert(
      fc.property(anyMap, map => {
        const keys = [...entriesOf(map)].map(([key]) => key)
        const deletes = keys.map((key): Operation => ({ type: 'delete', key }))
        expect(root(applyToMap(sent(prune(map, [], keys)), deletes))).toBe('0'.repeat(64))
      }),
      { numRuns: 50 },
    )
  })

  it('never answers what it does not know: every other key is a coded error or the truth', () => {
    fc.assert(
      fc.property(anyMap, fc.array(anyKey, { maxLength: 3 }), fc.array(anyKey), (map, keys, probes) => {
        const pruned = sent(prune(map, keys))
        for (const probe of probes) {
          const outcome = reasonOf(() => expect(getAt(pruned, probe)).toEqual(getAt(map, probe)))
          expect(['accepted', 'stub']).toContain(outcome)
        }
      }),
      { numRuns: 100 },
    )
  })

  it('of no keys is the root alone; of the empty map, the empty map', () => {
    const map = mapOf([[keyAt(1), keyAt(1)]])
    expect(prune(map, [])).toEqual(stubMap(mapRoot(map), hashValue))
    expect(mapSize(sent(prune(emptyMap(hashValue), [keyAt(1)], [keyAt(2)])))).toBe(0)
  })

  it('leaves the values of other keys out', () => {
    const secret = new TextEncoder().encode('not for this reader')
    const map = mapOf([
      [keyAt(0x80), secret],
      [keyAt(0x00), keyAt(1)],
    ])
    // The path of the absent key ends at the leaf of the other.
    const bytes = encodePruned(prune(map, [keyAt(0xff)]), value => value)
    expect(toHex(bytes)).not.toContain(toHex(secret))
    const pruned = decodePruned(bytes, codec)
    expect(getAt(pruned, keyAt(0xff))).toBeUndefined()
    expect(reasonOf(() => getAt(pruned, keyAt(0x80)))).toBe('stub')
    expect(mapSize(pruned.root.kind === 'inner' ? { hashValue, root: pruned.root.right } : pruned)).toBe(1)
  })

  it('of a partial map needs the parts that it names', () => {
    const map = mapOf([0, 1, 2, 3, 0x80].map(byte => [keyAt(byte), keyAt(byte)] as const))
    const partial = prune(map, [keyAt(0)])
    expect(root(prune(partial, [keyAt(0)]))).toBe(root(map))
    expect(reasonOf(() => prune(partial, [keyAt(0x80)]))).toBe('stub')
    expect(reasonOf(() => prune(partial, [keyAt(0x80)], [keyAt(0x80)]))).toBe('stub')
    const absent = prune(map, [keyAt(0x81)])
    expect(reasonOf(() => prune(absent, [keyAt(0x80)]))).toBe('stub')
    expect(() => prune(map, [new Uint8Array(31)])).toThrow(TypeError)
  })

  it('stays below 800 bytes for one key among 10,000', () => {
    const keys = Array.from({ length: 10_000 }, (_, i) => sha256(Uint8Array.of(i & 255, i >> 8)))
    const map = mapOf(keys.map(key => [key, key] as const))
    const longest = Math.max(
      ...keys.slice(0, 100).map(key => encodePruned(prune(map, [], [key]), value => value).length),
    )
    expect(longest).toBeLessThan(800)
  })
})

describe('deleting next to a stub', () => {
  const [a, b, c] = [keyAt(0b0000_0000), keyAt(0b0100_0000), keyAt(0b0110_0000)]
  const leafBeside = mapOf([a, b].map(key => [key, key] as const))
  const innerBeside = mapOf([a, b, c].map(key => [key, key] as const))

  it('is refused: whether a leaf or more is beside decides the new root', () => {
    for (const map of [leafBeside, innerBeside]) expect(reasonOf(() => deleteAt(prune(map, [a]), a))).toBe('stub')
  })

  it('works where the neighbour was opened', () => {
    for (const map of [leafBeside, innerBeside]) {
      expect(root(deleteAt(sent(prune(map, [], [a])), a))).toBe(root(deleteAt(map, a)))
    }
  })

  it('works where a whole side goes, key by key', () => {
    for (const others of [[keyAt(0x80)], [keyAt(0x80), keyAt(0xc0)]]) {
      const map = mapOf([a, b, c, ...others].map(key => [key, key] as const))
      const removeAll = (from: StateMap<Value>): StateMap<Value> => [a, b, c].reduce(deleteAt, from)
      expect(root(removeAll(sent(prune(map, [], [a, b, c]))))).toBe(root(removeAll(map)))
      expect(reasonOf(() => removeAll(sent(prune(map, [c], [a, b]))))).toBe('stub')
    }
  })

  it('is no matter where something else remains on the same side', () => {
    const map = mapOf([a, b, keyAt(0x80)].map(key => [key, key] as const))
    expect(root(deleteAt(prune(map, [a, b]), a))).toBe(root(deleteAt(map, a)))
  })
})

describe('merging a pruned tree', () => {
  it('fills in what a sparse map lacks, step by step, up to the whole map', () => {
    fc.assert(
      fc.property(anyMap, map => {
        const entries = [...entriesOf(map)]
        let sparse = stubMap(mapRoot(map), hashValue)
        for (const [key] of entries) sparse = mergePruned(sparse, sent(prune(map, [key])))
        expect(root(sparse)).toBe(root(map))
        expect([...entriesOf(sparse)]).toEqual(entries)
        expect(mapSize(sparse)).toBe(entries.length)
      }),
      { numRuns: 50 },
    )
  })

  it('then an update, is the update of the whole map', () => {
    fc.assert(
      fc.property(anyMap, fc.array(anyKey), fc.array(anySet, { maxLength: 5 }), (map, known, sets) => {
        const sparse = prune(map, known)
        const tracer = sent(
          prune(
            map,
            sets.map(({ key }) => key),
          ),
        )
        const merged = applyToMap(mergePruned(sparse, tracer), sets)
        const whole = applyToMap(map, sets)
        expect(root(merged)).toBe(root(whole))
        for (const key of known) expect(getAt(merged, key)).toEqual(getAt(whole, key))
      }),
      { numRuns: 100 },
    )
  })

  it('keeps what is known, and the very map where there is nothing new', () => {
    const map = mapOf([0, 1, 0x80].map(byte => [keyAt(byte), keyAt(byte)] as const))
    expect(mergePruned(map, sent(prune(map, [keyAt(1)])))).toBe(map)
    const sparse = prune(map, [keyAt(1), keyAt(0x81)])
    expect(mergePruned(sparse, sent(prune(map, [keyAt(1)])))).toBe(sparse)
    expect(getAt(mergePruned(sparse, map), keyAt(0x80))).toEqual(keyAt(0x80))
  })

  it('of another map is refused, though it differ in one value', () => {
    const map = mapOf([0, 1, 0x80].map(byte => [keyAt(byte), keyAt(byte)] as const))
    const other = setAt(map, keyAt(1), keyAt(2))
    expect(reasonOf(() => mergePruned(prune(map, [keyAt(0)]), sent(prune(other, [keyAt(0)]))))).toBe('root')
    expect(reasonOf(() => mergePruned(map, stubMap(mapRoot(other), hashValue)))).toBe('root')
    expect(reasonOf(() => mergePruned(emptyMap(hashValue), sent(prune(other, [keyAt(0)]))))).toBe('root')
  })
})

describe('maps within maps', () => {
  // As documents hold a map of their actors: the value of the outer map is a number and the root of an inner map.
  interface Outer {
    readonly born: number
    readonly inner: StateMap<Value>
  }
  const hashOuter = ({ born, inner }: Outer): Uint8Array => sha256(encodeCbor([born, mapRoot(inner)]))
  const keys = Array.from({ length: 12 }, (_, i) => sha256(Uint8Array.of(i)))
  const inner = mapOf(keys.map(key => [key, key] as const))
  let outer = emptyMap(hashOuter)
  keys.forEach((key, born) => {
    outer = setAt(outer, key, { born, inner })
  })
  const [first, second] = [keys[0] as Uint8Array, keys[1] as Uint8Array]

  const proofOf = (key: Uint8Array, innerKeys: readonly Uint8Array[]): StateMap<Outer> => {
    const bytes = encodePruned(prune(outer, [key]), value =>
      encodeCbor([value.born, encodePruned(prune(value.inner, innerKeys), bytes => bytes)]),
    )
    return decodePruned(bytes, {
      hashValue: hashOuter,
      decodeValue: encoded => {
        const [born, tree] = asTuple(decodeCbor(encoded, 10_000), 2, 'outer')
        return { born: Number(born), inner: decodePruned(asBytesUpTo(tree, 10_000, 'inner'), codec) }
      },
    })
  }

  it('are proven with only the touched keys of each', () => {
    const proof = proofOf(first, [second])
    expect(mapRoot(proof)).toEqual(mapRoot(outer))
    const value = getAt(proof, first) as Outer
    expect(getAt(value.inner, second)).toEqual(second)
    expect(reasonOf(() => getAt(value.inner, first))).toBe('stub')
  })

  it('are merged on both levels', () => {
    const mergeOuter = (mine: Outer, theirs: Outer): Outer => {
      const merged = mergePruned(mine.inner, theirs.inner)
      return merged === mine.inner ? mine : { born: mine.born, inner: merged }
    }
    const sparse = mergePruned(stubMap(mapRoot(outer), hashOuter), proofOf(first, [first]))
    const merged = mergePruned(sparse, proofOf(first, [second]), mergeOuter)
    const value = getAt(merged, first) as Outer
    expect([getAt(value.inner, first), getAt(value.inner, second)]).toEqual([first, second])
    expect(mapRoot(merged)).toEqual(mapRoot(outer))
    expect(mergePruned(merged, proofOf(first, [second]), mergeOuter)).toBe(merged)
  })

  it('refuse a merge that changes the value', () => {
    const wrong = (mine: Outer): Outer => ({ ...mine, born: 99 })
    expect(reasonOf(() => mergePruned(outer, proofOf(first, []), wrong))).toBe('value')
  })
})
