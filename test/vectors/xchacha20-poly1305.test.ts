import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { concat, fromHex, toHex, toUtf8 } from '../../src/bytes.ts'
import { open, seal } from '../../src/crypto/aead.ts'
import { describeShared } from '../helpers/shared.ts'
import { checkWycheproofXChaCha, type WycheproofAead } from './xchacha20-poly1305-cases.ts'

describe('draft-irtf-cfrg-xchacha-03 appendix A.3.1', () => {
  const key = Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i)
  const nonce = Uint8Array.from({ length: 24 }, (_, i) => 0x40 + i)
  const aad = fromHex('50515253c0c1c2c3c4c5c6c7')
  const plaintext = toUtf8(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  )
  const ciphertext = fromHex(
    'bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e',
  )
  const tag = fromHex('c0875924c1c7987947deafd8780acf49')

  it('seals and opens the known answer', () => {
    expect(toHex(seal(key, nonce, plaintext, aad))).toBe(toHex(concat(ciphertext, tag)))
    expect(open(key, nonce, concat(ciphertext, tag), aad)).toEqual(plaintext)
  })
})

describeShared('Wycheproof XChaCha20-Poly1305', ['vectors', 'wycheproof', 'xchacha20_poly1305_test.json'], path => {
  it('seals and opens every valid vector and opens no invalid one', () => {
    const json: WycheproofAead = JSON.parse(readFileSync(path, 'utf8'))
    expect(checkWycheproofXChaCha(json)).toEqual({ total: 315, wrong: [] })
  })
})
