import { x25519 } from '@noble/curves/ed25519.js'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { describe, expect, it } from 'vitest'
import { fromHex } from '../../src/bytes.ts'
import { assertValidKemKey, isValidKemKey } from '../../src/crypto/kem-key.ts'
import { kemPublicKeyOf } from '../../src/crypto/wrap.ts'

const good = kemPublicKeyOf(new Uint8Array(32).fill(5))

function withCurve(hex: string): Uint8Array {
  const key = good.slice()
  key.set(fromHex(hex), 1184)
  return key
}

/** Puts a 12-bit coefficient in its place. */
function withCoefficient(index: number, value: number): Uint8Array {
  const key = good.slice()
  const at = Math.floor(index / 2) * 3
  const [low, middle, high] = key.subarray(at, at + 3) as unknown as [number, number, number]
  if (index % 2 === 0) key.set([value & 0xff, (middle & 0xf0) | (value >> 8), high], at)
  else key.set([low, (middle & 0x0f) | ((value & 0xf) << 4), value >> 4], at)
  return key
}

function encapsulates(key: Uint8Array): boolean {
  try {
    ml_kem768.encapsulate(key.subarray(0, 1184), new Uint8Array(32))
    return true
  } catch {
    return false
  }
}

describe('admission of KEM keys', () => {
  it('takes every honest key', () => {
    for (let i = 0; i < 8; i++) expect(isValidKemKey(kemPublicKeyOf(new Uint8Array(32).fill(i)))).toBe(true)
    expect(() => assertValidKemKey(good)).not.toThrow()
  })

  it('refuses a coefficient of q or more in any place, as FIPS 203 §7.2 does', () => {
    for (const index of [0, 1, 2, 383, 384, 766, 767]) {
      for (const value of [0, 3328, 3329, 4095]) {
        const key = withCoefficient(index, value)
        expect(isValidKemKey(key)).toBe(value < 3329)
        expect(encapsulates(key)).toBe(value < 3329)
      }
    }
  })

  it('refuses every X25519 point of low order, however it is written', () => {
    const lowOrder = [
      '00'.repeat(32),
      `01${'00'.repeat(31)}`,
      'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
      '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
      `ec${'ff'.repeat(30)}7f`,
      `ed${'ff'.repeat(30)}7f`,
      `ee${'ff'.repeat(30)}7f`,
      `00${'00'.repeat(30)}80`,
      `01${'00'.repeat(30)}80`,
      'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880',
      '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7',
      `ec${'ff'.repeat(31)}`,
      `ed${'ff'.repeat(31)}`,
      `ee${'ff'.repeat(31)}`,
    ]
    for (const u of lowOrder) {
      expect(() => x25519.getSharedSecret(new Uint8Array(32).fill(9), fromHex(u))).toThrow()
      expect(isValidKemKey(withCurve(u))).toBe(false)
    }
  })

  it('refuses a second spelling of a key, which would be admitted twice', () => {
    const highBit = good.slice()
    highBit[1215] = (highBit[1215] as number) | 0x80
    expect(isValidKemKey(highBit)).toBe(false)
    expect(isValidKemKey(withCurve(`09${'00'.repeat(31)}`))).toBe(true)
    expect(isValidKemKey(withCurve(`f6${'ff'.repeat(30)}7f`))).toBe(false)
  })

  it('refuses other lengths with ERR_KEY and other types with a TypeError', () => {
    for (const length of [0, 1184, 1215, 1217]) {
      expect(() => assertValidKemKey(new Uint8Array(length))).toThrow(expect.objectContaining({ code: 'ERR_KEY' }))
    }
    expect(() => assertValidKemKey('key' as never)).toThrow(/^publicKey:/)
  })
})
