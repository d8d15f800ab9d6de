import { decode as cborgDecode, encode as cborgEncode } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../src/bytes.ts'
import { type Cbor, readCbor, writeCbor } from '../src/cbor.ts'
import { decodeCbor, encodeCbor } from '../src/codec.ts'

const value: fc.Arbitrary<Cbor> = fc.letrec<{ value: Cbor }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.maxSafeNat(),
    fc.nat(70_000),
    fc.uint8Array({ maxLength: 300 }),
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.array(tie('value'), { maxLength: 6 }),
  ),
})).value

describe('deterministic CBOR (R-CBOR-1, R-CBOR-2)', () => {
  it('spells the examples of RFC 8949 appendix A as they stand there', () => {
    const examples: [Cbor, string][] = [
      [0, '00'],
      [23, '17'],
      [24, '1818'],
      [100, '1864'],
      [1000, '1903e8'],
      [1_000_000, '1a000f4240'],
      [1_000_000_000_000, '1b000000e8d4a51000'],
      [Number.MAX_SAFE_INTEGER, '1b001fffffffffffff'],
      [new Uint8Array(0), '40'],
      [fromHex('01020304'), '4401020304'],
      ['', '60'],
      ['IETF', '6449455446'],
      ['ü水𐅑', '69c3bce6b0b4f0908591'],
      [[], '80'],
      [[1, [2, 3], [4, 5]], '8301820203820405'],
    ]
    for (const [item, hex] of examples) {
      expect(toHex(writeCbor(item))).toBe(hex)
      expect(readCbor(fromHex(hex))).toEqual(item)
    }
  })

  it('writes what an independent encoder writes, and reads it back', () => {
    fc.assert(
      fc.property(value, item => {
        const bytes = writeCbor(item)
        expect(toHex(bytes)).toBe(toHex(cborgEncode(item)))
        expect(readCbor(bytes)).toEqual(item)
        expect(cborgDecode(bytes)).toEqual(item)
      }),
    )
  })

  it('reads nothing that it would have spelled otherwise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), bytes => {
        let item: Cbor
        try {
          item = readCbor(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
          return
        }
        expect(toHex(writeCbor(item))).toBe(toHex(bytes))
      }),
      { numRuns: 5000 },
    )
  })

  it('refuses other spellings and other types with ERR_MALFORMED', () => {
    const bad = {
      nothing: '',
      'a trailing byte': '0000',
      'one byte where none is needed': '1817',
      'two bytes where one is enough': '1900ff',
      'four bytes where two are enough': '1a0000ffff',
      'eight bytes where four are enough': '1b00000000ffffffff',
      'an integer beyond 2^53-1': '1b0020000000000000',
      'the largest integer': '1bffffffffffffffff',
      'an indefinite byte string': '5f41ff',
      'an indefinite array': '9f00ff',
      'a reserved length': '1c',
      'a truncated integer': '19ff',
      'a truncated byte string': '4401',
      'an array that claims more than there is': '9affffffff00',
      'a byte string that claims more than there is': '5bffffffffffffffff',
      'a negative integer': '20',
      'a map': 'a0',
      'a tag': 'c000',
      false: 'f4',
      null: 'f6',
      undefined: 'f7',
      'a float': 'f90000',
      'text that is not UTF-8': '61ff',
      'text with a surrogate': '63eda080',
    }
    for (const hex of Object.values(bad)) {
      expect(() => decodeCbor(fromHex(hex), 100)).toThrow(expect.objectContaining({ code: 'ERR_MALFORMED' }))
    }
    expect(() => decodeCbor(new Uint8Array(100_000).fill(0x81), 100_000)).toThrow(
      expect.objectContaining({ code: 'ERR_MALFORMED' }),
    )
  })

  it('refuses what is too long before it looks at it', () => {
    expect(() => decodeCbor(new Uint8Array(11), 10)).toThrow(expect.objectContaining({ code: 'ERR_LIMIT' }))
  })

  it('keeps a byte order mark, so that two byte strings are never one text', () => {
    expect(readCbor(fromHex('63efbbbf'))).toBe('\ufeff')
  })

  it('writes nothing but what it can read', () => {
    for (const item of [-1, 1.5, -0, Number.NaN, 2 ** 53, null, undefined, true, {}, [1, {}]]) {
      expect(() => encodeCbor(item as never)).toThrow(TypeError)
    }
  })
})
