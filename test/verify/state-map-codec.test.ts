import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, toHex } from '../../src/bytes.ts'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { SealogError } from '../../src/errors.ts'
import { emptyMap, getAt, mapRoot } from '../../src/verify/state-map.ts'
import { decodePruned, encodePruned } from '../../src/verify/state-map-codec.ts'
import { prune } from '../../src/verify/state-map-proof.ts'
import { anyKey, anySet, applyToMap, hashValue, mapOf, type Value } from './naive-state.ts'

const codec = { hashValue, decodeValue: (bytes: Uint8Array): Value => bytes }
const EMPTY = 0
const INNER = 1
const STUB = sha256(Uint8Array.of(9))
const keyAt = (first: number, last = 0): Uint8Array => {
  const key = new Uint8Array(32)
  key[0] = first
  key[31] = last
  return key
}
const leaf = (key: Uint8Array): Cbor => [key, Uint8Array.of(1)]
const bare = (key: Uint8Array): Uint8Array => concat(key, sha256(Uint8Array.of(1)))

function outcomeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof SealogError) return `${error.code} ${error.details.reason ?? ''}`.trim()
    throw error
  }
  return 'accepted'
}
const decode = (items: Cbor): string => outcomeOf(() => decodePruned(encodeCbor(items), codec))

describe('the encoding of a pruned tree', () => {
  it('survives, and has one spelling', () => {
    const maps = fc.array(anySet, { maxLength: 20 }).map(sets => applyToMap(emptyMap(hashValue), sets))
    fc.assert(
      fc.property(
        maps,
        fc.array(anyKey, { maxLength: 4 }),
        fc.array(anyKey, { maxLength: 2 }),
        (map, keys, removable) => {
          const bytes = encodePruned(prune(map, keys, removable), value => value)
          const pruned = decodePruned(bytes, codec)
          expect(mapRoot(pruned)).toEqual(mapRoot(map))
          expect(encodePruned(pruned, value => value)).toEqual(bytes)
        },
      ),
      { numRuns: 100 },
    )
  })

  it('is the known answer', () => {
    const map = mapOf([
      [keyAt(0), Uint8Array.of(1)],
      [keyAt(0x40), Uint8Array.of(2)],
      [keyAt(0x80), Uint8Array.of(3)],
    ])
    const items = [INNER, INNER, leaf(keyAt(0)), sha256(Uint8Array.of(0), keyAt(0x40), sha256(Uint8Array.of(2)))]
    const rest = sha256(Uint8Array.of(0), keyAt(0x80), sha256(Uint8Array.of(3)))
    expect(toHex(encodePruned(prune(map, [keyAt(0)]), value => value))).toBe(toHex(encodeCbor([...items, rest])))
  })

  it('gives the writer of values their key', () => {
    const map = mapOf([[keyAt(5), keyAt(6)]])
    const keys: Uint8Array[] = []
    encodePruned(map, (value, key) => {
      keys.push(key)
      return value
    })
    expect(keys).toEqual([keyAt(5)])
  })
})

describe('a tree that no map has is refused', () => {
  const deep = (depth: number, end: readonly Cbor[]): Cbor => [
    ...Array.from({ length: depth }).flatMap(() => [INNER]),
    ...end,
    ...Array.from({ length: depth - 1 }, () => EMPTY),
  ]

  it.each<readonly [string, Cbor, string]>([
    ['a leaf on the left whose key goes right', [INNER, leaf(keyAt(0x80)), STUB], 'ERR_PROOF misplaced'],
    ['a leaf on the right whose key goes left', [INNER, STUB, leaf(keyAt(0x7f))], 'ERR_PROOF misplaced'],
    ['a bare leaf out of place', [INNER, bare(keyAt(0x80)), STUB], 'ERR_PROOF misplaced'],
    ['a leaf out of place at depth 2', [INNER, INNER, STUB, leaf(keyAt(0x20)), STUB], 'ERR_PROOF misplaced'],
    ['one key twice', [INNER, leaf(keyAt(0)), leaf(keyAt(0))], 'ERR_PROOF misplaced'],
    ['an inner node above nothing', [INNER, EMPTY, EMPTY], 'ERR_PROOF shape'],
    ['an inner node above one leaf on the left', [INNER, leaf(keyAt(0)), EMPTY], 'ERR_PROOF shape'],
    ['an inner node above one leaf on the right', [INNER, EMPTY, leaf(keyAt(0x80))], 'ERR_PROOF shape'],
    ['an inner node above one bare leaf', [INNER, EMPTY, bare(keyAt(0x80))], 'ERR_PROOF shape'],
    ['a path of 257 bits', deep(257, [STUB, STUB]), 'ERR_PROOF depth'],
    ['nothing', [], 'ERR_MALFORMED'],
    ['no array', EMPTY, 'ERR_MALFORMED'],
    ['an inner node without children', [INNER], 'ERR_MALFORMED'],
    ['an inner node with one child', [INNER, STUB], 'ERR_MALFORMED'],
    ['nodes after the last', [STUB, STUB], 'ERR_MALFORMED'],
    ['a stub for nothing', [new Uint8Array(32)], 'ERR_MALFORMED'],
    ['a stub of 31 bytes', [STUB.slice(1)], 'ERR_MALFORMED'],
    ['a leaf with a key of 33 bytes', [[new Uint8Array(33), STUB]], 'ERR_MALFORMED'],
    ['a leaf with a number for a value', [[keyAt(0), 7]], 'ERR_MALFORMED'],
    ['a leaf of three parts', [[keyAt(0), STUB, STUB]], 'ERR_MALFORMED'],
    ['an unknown kind of node', [2], 'ERR_MALFORMED'],
    ['text for a node', ['x'], 'ERR_MALFORMED'],
  ])('%s', (_, items, outcome) => {
    expect(decode(items)).toBe(outcome)
  })

  it('but one of 256 bits, with two keys that differ in the last, is taken', () => {
    expect(decode(deep(256, [leaf(keyAt(0)), leaf(keyAt(0, 1))]))).toBe('accepted')
  })
})

describe('limits', () => {
  const map = mapOf(Array.from({ length: 50 }, (_, i) => [sha256(Uint8Array.of(i)), keyAt(i)] as const))
  const bytes = encodePruned(map, value => value)

  it('of length and of nodes are kept', () => {
    expect(outcomeOf(() => decodePruned(bytes, { ...codec, maxLength: bytes.length - 1 }))).toBe('ERR_LIMIT')
    expect(outcomeOf(() => decodePruned(bytes, { ...codec, maxNodes: 60 }))).toBe('ERR_LIMIT')
    expect(outcomeOf(() => decodePruned(bytes, { ...codec, maxLength: bytes.length }))).toBe('accepted')
  })

  it('hold by default', () => {
    expect(decode(new Array<Cbor>(65_537).fill(EMPTY))).toBe('ERR_LIMIT')
    expect(outcomeOf(() => decodePruned(new Uint8Array((1 << 20) + 1), codec))).toBe('ERR_LIMIT')
  })
})

describe('a key that is present cannot be made to look absent', () => {
  const present = keyAt(0x40)
  const map = mapOf([0x00, 0x40, 0x60, 0x80].map(byte => [keyAt(byte), keyAt(byte)] as const))

  it('by leaving it out, by another leaf in its way, or by any other change of a pruned tree', () => {
    const honest = decodeCbor(
      encodePruned(prune(map, [present]), value => value),
      10_000,
    ) as readonly Cbor[]
    const parts: fc.Arbitrary<Cbor> = fc.oneof(
      fc.constantFrom<Cbor>(EMPTY, INNER, STUB),
      fc.constantFrom(...honest),
      anyKey.map(leaf),
      anyKey.map(bare),
      fc.constantFrom(0x00, 0x41, 0x60, 0x80).map(byte => bare(keyAt(byte))),
    )
    const edit = fc.record({
      at: fc.nat({ max: honest.length }),
      remove: fc.nat({ max: 2 }),
      insert: fc.array(parts, { maxLength: 2 }),
    })
    const seen = new Set<string>()
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), edits => {
        const items = [...honest]
        for (const { at, remove, insert } of edits) items.splice(at, remove, ...insert)
        const outcome = outcomeOf(() => {
          const pruned = decodePruned(encodeCbor(items), codec)
          if (toHex(mapRoot(pruned)) !== toHex(mapRoot(map))) throw new SealogError('ERR_STATE_ROOT', 'another root')
          expect(getAt(pruned, present)).toEqual(present)
        })
        seen.add(outcome)
        expect(['accepted', 'ERR_STATE_ROOT', 'ERR_MALFORMED']).toContain(
          outcome.replace(/^ERR_PROOF.*/, 'ERR_STATE_ROOT'),
        )
      }),
      { numRuns: 3_000 },
    )
    expect(seen).toContain('ERR_STATE_ROOT')
    expect(seen).toContain('ERR_PROOF misplaced')
    expect(seen).toContain('ERR_PROOF shape')
  })

  it('even by the author of the root: a leaf in its way is refused as such', () => {
    // A tree that has the key below a stub and yet shows another leaf where the key's path begins.
    expect(decode([INNER, leaf(keyAt(0x80)), STUB])).toBe('ERR_PROOF misplaced')
    const hidden = decodePruned(encodeCbor([INNER, STUB, bare(keyAt(0x80))]), codec)
    expect(outcomeOf(() => getAt(hidden, present))).toBe('ERR_PROOF stub')
  })
})

describe('bytes from anywhere', () => {
  const honest = encodePruned(
    prune(mapOf([0, 1, 0x80].map(byte => [keyAt(byte), keyAt(byte)] as const)), [keyAt(1)]),
    value => value,
  )

  it('are a tree in its one spelling or a coded error', () => {
    const flips = fc.array(fc.record({ at: fc.nat({ max: honest.length - 1 }), byte: fc.nat({ max: 255 }) }), {
      maxLength: 3,
    })
    const edited = flips.map(list => {
      const bytes = honest.slice()
      for (const { at, byte } of list) bytes[at] = byte
      return bytes
    })
    fc.assert(
      fc.property(fc.oneof(edited, fc.uint8Array({ maxLength: 80 })), bytes => {
        const outcome = outcomeOf(() => {
          expect(encodePruned(decodePruned(bytes, codec), value => value)).toEqual(bytes)
        })
        expect(outcome).toMatch(/^(accepted|ERR_MALFORMED|ERR_LIMIT|ERR_PROOF (misplaced|shape|depth))$/)
      }),
      { numRuns: 1_000 },
    )
  })
})
