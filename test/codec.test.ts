import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../src/bytes.ts'
import {
  asArray,
  asBytes,
  asBytesUpTo,
  asOptional,
  assertAscending,
  asText,
  asTuple,
  asUint,
  type Cbor,
  decodeCbor,
  encodeCbor,
} from '../src/codec.ts'
import { verdictOf } from './helpers/log-builder.ts'

const LIMIT = 1024

/** Spellings that mean something in CBOR and are not the one that is written here. */
const OTHER_SPELLINGS: Readonly<Record<string, string>> = {
  'nothing at all': '',
  'an integer in one byte more than it needs': '1817',
  'an integer in two bytes that fits one': '190017',
  'an integer in four bytes that fits two': '1a0000ffff',
  'an integer in eight bytes that fits four': '1b00000000ffffffff',
  'an integer of 2⁵³': '1b0020000000000000',
  'a length in more bytes than it needs': '580161',
  'an array length in more bytes than it needs': '980101',
  'a text length in more bytes than it needs': '780161',
  'an array of indefinite length': '9f01ff',
  'a byte string of indefinite length': '5f4101ff',
  'a text of indefinite length': '7f6161ff',
  'bytes after the item': '0100',
  'an item that ends too early': '8201',
  'a byte string that ends too early': '4401',
  'a text that is not UTF-8': '61ff',
  'a text with a lone surrogate': '63eda080',
  'a reserved additional information': '1c',
  'a break on its own': 'ff',
  'a float that is a whole number': 'f93c00',
  'a tag': 'c001',
  'a simple value': 'f0',
  undefined: 'f7',
}

describe('decoding (R-CBOR-1)', () => {
  it.each(Object.entries(OTHER_SPELLINGS))('refuses %s', async (_, hex) => {
    expect(await verdictOf(() => decodeCbor(fromHex(hex), LIMIT))).toBe('ERR_MALFORMED')
    // Nor inside something that is well formed.
    expect(await verdictOf(() => decodeCbor(fromHex(`82${hex}${hex}`), LIMIT))).toBe('ERR_MALFORMED')
  })

  it('refuses arrays a million deep like anything else that is malformed', async () => {
    expect(await verdictOf(() => decodeCbor(new Uint8Array(1_000_000).fill(0x81), 1_000_000))).toBe('ERR_MALFORMED')
  })

  it('takes what was encoded, and never two spellings of one value', () => {
    const value: fc.Arbitrary<Cbor> = fc.letrec<{ value: Cbor }>(tie => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.maxSafeNat(),
        fc.uint8Array({ maxLength: 40 }),
        fc.string({ unit: 'grapheme' }),
        fc.array(tie('value'), { maxLength: 4 }),
      ),
    })).value
    fc.assert(
      fc.property(value, item => {
        expect(decodeCbor(encodeCbor(item), 100_000)).toEqual(item)
      }),
      { numRuns: 200 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 24 }), bytes => {
        let item: Cbor
        try {
          item = decodeCbor(bytes, LIMIT)
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_MALFORMED' })
          return
        }
        expect(toHex(encodeCbor(item))).toBe(toHex(bytes))
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('what stands where (R-CBOR-2)', () => {
  it.each<readonly [string, () => unknown]>([
    ['an array of another length', () => asTuple([1, 2], 3, 'x')],
    ['no array', () => asTuple(1, 1, 'x')],
    ['a negative integer', () => asUint(decodeCbor(fromHex('20'), LIMIT), 'x')],
    ['a fraction', () => asUint(decodeCbor(fromHex('f93e00'), LIMIT), 'x')],
    ['an integer above its range', () => asUint(4, 'x', 3)],
    ['a text in place of an integer', () => asUint('1', 'x')],
    ['true', () => asUint(decodeCbor(fromHex('f5'), LIMIT), 'x')],
    ['null', () => asBytes(decodeCbor(fromHex('f6'), LIMIT), 0, 'x')],
    ['bytes of another length', () => asBytes(new Uint8Array(31), 32, 'x')],
    ['a map in place of an array', () => asArray(decodeCbor(fromHex('a0'), LIMIT), 3, 'x')],
    ['bytes in place of a text', () => asText(new Uint8Array(1), 3, 'x')],
    ['a text in place of bytes', () => asBytesUpTo('a', 3, 'x')],
    ['keys that do not ascend', () => assertAscending([Uint8Array.of(2), Uint8Array.of(1)], 'x')],
    ['a key twice', () => assertAscending([Uint8Array.of(1), Uint8Array.of(1)], 'x')],
  ])('refuses %s', async (_, run) => {
    expect(await verdictOf(run)).toBe('ERR_MALFORMED')
  })

  it('takes what is in range', () => {
    expect(asUint(3, 'x', 3)).toBe(3)
    expect(asTuple([1], 1, 'x')).toEqual([1])
    expect(asOptional([], 'x', asUint)).toBeUndefined()
    expect(asOptional([5], 'x', asUint)).toBe(5)
    assertAscending([Uint8Array.of(1), Uint8Array.of(1, 0), Uint8Array.of(2)], 'x')
  })
})

describe('limits (R-CBOR-3)', () => {
  it.each<readonly [string, () => unknown]>([
    ['bytes to decode', () => decodeCbor(new Uint8Array(LIMIT + 1), LIMIT)],
    ['items of an array', () => asArray([1, 2, 3, 4], 3, 'x')],
    ['items of an optional field', () => asOptional([1, 2], 'x', asUint)],
    ['bytes of a byte string', () => asBytesUpTo(new Uint8Array(4), 3, 'x')],
    ['characters of a text', () => asText('four', 3, 'x')],
  ])('hold for %s', async (_, run) => {
    expect(await verdictOf(run)).toBe('ERR_LIMIT')
  })

  it('hold before anything is decoded: bytes beyond them may be no CBOR at all', async () => {
    expect(await verdictOf(() => decodeCbor(new Uint8Array(LIMIT + 1).fill(0xff), LIMIT))).toBe('ERR_LIMIT')
  })
})
