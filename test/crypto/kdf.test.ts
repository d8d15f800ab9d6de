import { createHmac, hkdfSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromHex, toHex, toUtf8 } from '../../src/bytes.ts'
import { hkdf, hmacSha256, uint64 } from '../../src/crypto/kdf.ts'

const ikm = new Uint8Array(32).fill(3)

describe('HMAC-SHA256', () => {
  it('gives the known answers of RFC 4231 §4.2 and §4.3', () => {
    expect(toHex(hmacSha256(new Uint8Array(20).fill(0x0b), toUtf8('Hi There')))).toBe(
      'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
    )
    expect(toHex(hmacSha256(toUtf8('Jefe'), toUtf8('what do ya want for nothing?')))).toBe(
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    )
  })

  it('agrees with another implementation', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 300 }), (key, message) => {
        expect(toHex(hmacSha256(key, message))).toBe(createHmac('sha256', key).update(message).digest('hex'))
      }),
      { numRuns: 50 },
    )
  })
})

describe('HKDF-SHA256', () => {
  it('is RFC 5869 with an empty salt and info = label ‖ 0x00 ‖ parts', () => {
    const secret = fc.uint8Array({ minLength: 32, maxLength: 64 })
    const parts = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 3 })
    fc.assert(
      fc.property(secret, parts, fc.integer({ min: 1, max: 200 }), (secret, parts, length) => {
        const info = concat(toUtf8('sealog/v1/test'), Uint8Array.of(0), ...parts)
        const wanted = new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), info, length))
        expect(toHex(hkdf(secret, 'sealog/v1/test', parts, length))).toBe(toHex(wanted))
      }),
      { numRuns: 50 },
    )
  })

  it('gives another key for every label and part', () => {
    const keys = [
      hkdf(ikm, 'sealog/v1/a', [], 32),
      hkdf(ikm, 'sealog/v1/ab', [], 32),
      hkdf(ikm, 'sealog/v1/a', [Uint8Array.of(0)], 32),
      hkdf(ikm, 'sealog/v1/a', [Uint8Array.of(1)], 32),
      hkdf(new Uint8Array(32), 'sealog/v1/a', [], 32),
    ]
    expect(new Set(keys.map(toHex)).size).toBe(keys.length)
  })

  it('refuses what would make it weak or ambiguous', () => {
    expect(() => hkdf(new Uint8Array(31), 'sealog/v1/a', [], 32)).toThrow(/^ikm: expected at least 32 bytes/)
    expect(() => hkdf(ikm, 'other/a' as never, [], 32)).toThrow(/^label:/)
    expect(() => hkdf(ikm, 'sealog/v1/a\0b', [], 32)).toThrow(/^label:/)
    expect(() => hkdf(ikm, 'sealog/v1/a', ['part' as never], 32)).toThrow(/^parts\[0\]:/)
    for (const length of [0, -1, 1.5, 8161]) expect(() => hkdf(ikm, 'sealog/v1/a', [], length)).toThrow(/^length:/)
    expect(hkdf(ikm, 'sealog/v1/a', [], 8160)).toHaveLength(8160)
  })
})

describe('uint64', () => {
  it('is eight bytes, big-endian', () => {
    expect(toHex(uint64(0))).toBe('0000000000000000')
    expect(toHex(uint64(258))).toBe('0000000000000102')
    expect(uint64(Number.MAX_SAFE_INTEGER)).toEqual(fromHex('001fffffffffffff'))
    for (const bad of [-1, 1.5, 2 ** 53, Number.NaN]) expect(() => uint64(bad)).toThrow(/^value:/)
  })
})
