import { x25519 } from '@noble/curves/ed25519.js'
import { sha3_256, shake256 } from '@noble/hashes/sha3.js'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { describe, expect, it } from 'vitest'
import { concat, fromHex, toHex, toUtf8 } from '../../src/bytes.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { decapsulate, encapsulate, kemPublicKeyOf } from '../../src/crypto/wrap.ts'

/** draft-connolly-cfrg-xwing-kem appendix C; public key and ciphertext by their SHA-256, for they fill pages. */
const DRAFT = [
  {
    seed: '7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26',
    coins:
      '3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e235b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2',
    sharedSecret: 'd2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384',
    publicKeyHash: '2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb',
    ciphertextHash: '17cd532d657e44c897ca6583e548a5424fc70bf54f99515a4d2bcf99e3469f33',
  },
  {
    seed: 'badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea',
    coins:
      '17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdefaee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d',
    sharedSecret: 'f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150',
    publicKeyHash: 'c42ba5f8430d7d2c83739338203819f090e8303ce9c8b02107c272bfa5376916',
    ciphertextHash: '1661ea86d608a1924ba30840cb0a65f13ae051e3aec9cf0f064efc0bc92f2154',
  },
  {
    seed: 'ef58538b8d23f87732ea63b02b4fa0f4873360e2841928cd60dd4cee8cc0d4c9',
    coins:
      '22a96188d032675c8ac850933c7aff1533b94c834adbb69c6115bad4692d8619f90b0cdf8a7b9c264029ac185b70b83f2801f2f4b3f70c593ea3aeeb613a7f1b',
    sharedSecret: '953f7f4e8c5b5049bdc771d1dffada0dd961477d1a2ae0988baa7ea6898d893f',
    publicKeyHash: '6b080d6b84f095342092fa7a22423e58bd681397ad0ef00eac92bd254db4fa95',
    ciphertextHash: 'd3ca5578500344b5896cffc4fd740c9311946b82951df155e6fd86a7966b43c6',
  },
]

describe('draft-connolly-cfrg-xwing-kem appendix C', () => {
  it.each(DRAFT)('key, ciphertext and secret of $seed', vector => {
    const publicKey = kemPublicKeyOf(fromHex(vector.seed))
    expect(publicKey).toHaveLength(1216)
    expect(toHex(sha256(publicKey))).toBe(vector.publicKeyHash)
    const { ciphertext, sharedSecret } = encapsulate(publicKey, fromHex(vector.coins))
    expect(ciphertext).toHaveLength(1120)
    expect(toHex(sha256(ciphertext))).toBe(vector.ciphertextHash)
    expect(toHex(sharedSecret)).toBe(vector.sharedSecret)
    expect(toHex(decapsulate(fromHex(vector.seed), ciphertext))).toBe(vector.sharedSecret)
  })

  it('grows a key from what the seed is now, also where its bytes were overwritten', () => {
    const seed = fromHex(DRAFT[0]?.seed ?? '')
    kemPublicKeyOf(seed)[0] = 0
    expect(toHex(sha256(kemPublicKeyOf(seed)))).toBe(DRAFT[0]?.publicKeyHash)
    seed.set(fromHex(DRAFT[1]?.seed ?? ''))
    expect(toHex(sha256(kemPublicKeyOf(seed)))).toBe(DRAFT[1]?.publicKeyHash)
  })

  it('is ML-KEM-768 and X25519 under the combiner of §5.3, composed by hand', () => {
    const seed = sha256(toUtf8('by hand'))
    const coins = concat(sha256(toUtf8('m')), sha256(toUtf8('x')))
    const expanded = shake256(seed, { dkLen: 96 })
    const lattice = ml_kem768.keygen(expanded.subarray(0, 64))
    const curve = x25519.getPublicKey(expanded.subarray(64))
    const half = ml_kem768.encapsulate(lattice.publicKey, coins.subarray(0, 32))
    const ephemeral = x25519.getPublicKey(coins.subarray(32))
    const shared = x25519.getSharedSecret(coins.subarray(32), curve)
    const label = Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c)
    const { ciphertext, sharedSecret } = encapsulate(kemPublicKeyOf(seed), coins)
    expect(kemPublicKeyOf(seed)).toEqual(concat(lattice.publicKey, curve))
    expect(ciphertext).toEqual(concat(half.cipherText, ephemeral))
    expect(sharedSecret).toEqual(sha3_256(concat(half.sharedSecret, shared, ephemeral, curve, label)))
  })
})
