import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pad, padBlocks, paddedLength, padme, unpad, unpadBlocks } from '../../src/crypto/padding.ts'

const refused = expect.objectContaining({ code: 'ERR_OPEN' })

describe('Padmé', () => {
  it('gives the lengths of the PURBs paper', () => {
    // L = 9: E = 3, S = 2, one bit cleared; worked by hand from the definition.
    const cases = [
      [1, 1],
      [2, 2],
      [8, 8],
      [9, 10],
      [31, 32],
      [32, 32],
      [33, 36],
      [100, 104],
      [1000, 1024],
      [1025, 1088],
      [1_000_000, 1_015_808],
    ]
    for (const [length, padded] of cases as [number, number][])
      expect([length, padme(length)]).toEqual([length, padded])
  })

  it('costs at most 12 %, never shrinks, and keeps the order of lengths', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 30 - 1 }), length => {
        const padded = padme(length)
        expect(padded).toBeGreaterThanOrEqual(length)
        expect(padded).toBeLessThanOrEqual(length * 1.12)
        expect(padme(length + 1)).toBeGreaterThanOrEqual(padded)
        expect(padme(padded)).toBe(padded)
      }),
    )
  })

  it('leaves 492 lengths to tell apart up to 64 MiB', () => {
    const lengths = new Set<number>()
    for (let length = 1; length <= 2 ** 26; length = padme(length) + 1) lengths.add(padme(length))
    expect(lengths.size).toBe(492)
  })

  it('takes no length but 1 to 2^30', () => {
    for (const bad of [0, -1, 1.5, 2 ** 30 + 1, Number.NaN]) expect(() => padme(bad)).toThrow(/^length:/)
  })
})

describe.each([
  { name: 'pad', pad, unpad, shortest: 32 },
  { name: 'padBlocks', pad: padBlocks, unpad: unpadBlocks, shortest: 32 },
])('$name', ({ pad, unpad, shortest }) => {
  it('gives back every payload, also one that ends like padding', () => {
    for (let length = 0; length <= 300; length++) {
      const payload = new Uint8Array(length).fill(length % 2 === 0 ? 0 : 0x80)
      const padded = pad(payload)
      expect(padded.length).toBeGreaterThanOrEqual(Math.max(shortest, length + 1))
      expect(unpad(padded)).toEqual(payload)
    }
  })

  it('has one padding for every payload: any other length, mark or filler is refused', () => {
    for (const length of [0, 1, 31, 32, 33, 100, 299]) {
      const padded = pad(new Uint8Array(length).fill(7))
      for (let extra = 1; extra <= 8; extra++) {
        const longer = new Uint8Array(padded.length + extra)
        longer.set(padded)
        // Where a longer padding exists at all, it is the one of a longer payload.
        expect(() => unpad(longer)).toThrow(refused)
      }
      expect(() => unpad(padded.subarray(0, -1))).toThrow(refused)
      for (let i = length; i < padded.length; i++) {
        const dirty = padded.slice()
        dirty[i] = 0x01
        expect(() => unpad(dirty)).toThrow(refused)
      }
    }
    expect(() => unpad(new Uint8Array(0))).toThrow(refused)
    expect(() => unpad(new Uint8Array(32))).toThrow(refused)
  })

  it('takes bytes only', () => {
    expect(() => pad('text' as never)).toThrow(/^payload:/)
    expect(() => unpad('text' as never)).toThrow(/^padded:/)
  })
})

it('paddedLength is what pad makes', () => {
  for (let length = 0; length <= 5000; length += 7)
    expect(pad(new Uint8Array(length))).toHaveLength(paddedLength(length))
})
