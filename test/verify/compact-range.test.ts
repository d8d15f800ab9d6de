import { describe, expect, it } from 'vitest'
import { concat, toHex } from '../../src/bytes.ts'
import { type Cbor, encodeCbor } from '../../src/codec.ts'
import {
  appendLeaf,
  appendLeaves,
  type CompactRange,
  decodeRange,
  emptyRange,
  encodeRange,
  rootOf,
} from '../../src/verify/compact-range.ts'
import { leafHash } from '../../src/verify/merkle.ts'
import { naiveRoot, someLeaves } from './naive-merkle.ts'

const leaves = someLeaves(130)
const leafHashes = leaves.map(leafHash)
const ranges: CompactRange[] = [emptyRange]
for (const hash of leafHashes) ranges.push(appendLeaf(ranges.at(-1) as CompactRange, hash))

describe('a compact range', () => {
  it('has the root of RFC 6962 at every size, also after later appends', () => {
    ranges.forEach((range, size) => {
      expect(range.size).toBe(size)
      expect(toHex(rootOf(range))).toBe(toHex(naiveRoot(leaves.slice(0, size))))
    })
  })

  it('is the same whether leaves come one by one or in batches', () => {
    for (const size of [0, 1, 2, 3, 7, 64, 65, 100]) {
      const start = ranges[size] as CompactRange
      expect(encodeRange(appendLeaves(start, leafHashes.slice(size)))).toEqual(encodeRange(ranges[130] as CompactRange))
      expect(appendLeaves(start, [])).toEqual(start)
    }
  })

  it('survives encoding at every size', () => {
    for (const range of ranges) expect(decodeRange(encodeRange(range))).toEqual(range)
  })

  it('refuses leaf hashes of another length', () => {
    expect(() => appendLeaf(emptyRange, new Uint8Array(31))).toThrow(TypeError)
  })
})

describe('decoding a range', () => {
  const hash = new Uint8Array(32)
  const refused: readonly (readonly [string, Cbor | Uint8Array])[] = [
    ['fewer hashes than the size has set bits', [3, [hash]]],
    ['more hashes than the size has set bits', [4, [hash, hash]]],
    ['a hash of 31 bytes', [1, [hash.slice(1)]]],
    ['text for a hash', [1, ['x'.repeat(32)]]],
    ['a negative size', concat(Uint8Array.of(0x82, 0x20, 0x81, 0x58, 0x20), hash)],
    ['a missing list', [1]],
    ['no array', 7],
    ['trailing bytes', concat(encodeCbor([1, [hash]]), Uint8Array.of(0))],
    ['a size not in its shortest form', concat(Uint8Array.of(0x82, 0x18, 0x01, 0x81, 0x58, 0x20), hash)],
    ['a size of 2⁵³', concat(Uint8Array.of(0x82, 0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0, 0x81, 0x58, 0x20), hash)],
    ['nothing', new Uint8Array()],
  ]

  it.each(refused)('refuses %s', (_, value) => {
    const bytes = value instanceof Uint8Array ? value : encodeCbor(value)
    expect(() => decodeRange(bytes)).toThrow('ERR_MALFORMED')
  })

  it('refuses more than any range needs', () => {
    expect(() => decodeRange(new Uint8Array(5_000))).toThrow('ERR_LIMIT')
  })

  it('takes the largest range there is', () => {
    const largest = { size: Number.MAX_SAFE_INTEGER, hashes: new Array<Uint8Array>(53).fill(hash) }
    expect(decodeRange(encodeRange(largest))).toEqual(largest)
    expect(() => appendLeaf(largest, hash)).toThrow(TypeError)
  })
})
