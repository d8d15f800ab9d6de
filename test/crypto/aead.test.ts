import { describe, expect, it } from 'vitest'
import { open, seal } from '../../src/crypto/aead.ts'

const key = new Uint8Array(32).fill(1)
const nonce = new Uint8Array(24).fill(2)
const aad = new Uint8Array(10).fill(3)
const plaintext = new Uint8Array(50).fill(4)
const refused = expect.objectContaining({ code: 'ERR_OPEN' })

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  return bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
}

describe('XChaCha20-Poly1305', () => {
  it('opens what it sealed, empty texts too, and leaves its inputs alone', () => {
    const sealed = seal(key, nonce, plaintext, aad)
    expect(sealed).toHaveLength(66)
    expect(open(key, nonce, sealed, aad)).toEqual(plaintext)
    expect(open(key, nonce, seal(key, nonce, new Uint8Array(0), new Uint8Array(0)), new Uint8Array(0))).toHaveLength(0)
    expect([key[0], nonce[0], plaintext[0], aad[0]]).toEqual([1, 2, 4, 3])
  })

  it('refuses every single-bit forgery of key, nonce, ciphertext, tag and additional data', () => {
    const sealed = seal(key, nonce, plaintext, aad)
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      expect(() => open(key, nonce, flip(sealed, bit), aad)).toThrow(refused)
    }
    for (let bit = 0; bit < 256; bit += 5) expect(() => open(flip(key, bit), nonce, sealed, aad)).toThrow(refused)
    for (let bit = 0; bit < 192; bit += 5) expect(() => open(key, flip(nonce, bit), sealed, aad)).toThrow(refused)
    for (let bit = 0; bit < 80; bit++) expect(() => open(key, nonce, sealed, flip(aad, bit))).toThrow(refused)
  })

  it('refuses truncation and extension of any length', () => {
    const sealed = seal(key, nonce, plaintext, aad)
    for (let length = 0; length < sealed.length; length++) {
      expect(() => open(key, nonce, sealed.subarray(0, length), aad)).toThrow(refused)
    }
    expect(() => open(key, nonce, new Uint8Array([...sealed, 0]), aad)).toThrow(refused)
  })

  it('takes misuse for misuse', () => {
    expect(() => seal(new Uint8Array(16), nonce, plaintext, aad)).toThrow(/^key: expected 32 bytes, got 16$/)
    expect(() => seal(key, new Uint8Array(12), plaintext, aad)).toThrow(/^nonce: expected 24 bytes, got 12$/)
    expect(() => seal(key, nonce, 'text' as never, aad)).toThrow(/^plaintext:/)
    expect(() => seal(key, nonce, plaintext, undefined as never)).toThrow(/^aad:/)
    expect(() => open(key, nonce, null as never, aad)).toThrow(/^sealed:/)
  })
})
