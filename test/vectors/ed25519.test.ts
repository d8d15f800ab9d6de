import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../src/bytes.ts'
import { nobleVerifier, publicKeyOf, signSync } from '../../src/crypto/sign.ts'
import { nobleSigningKey, selectVerifier, signingKeyFromSeed } from '../../src/crypto/sign-backend.ts'
import { describeShared } from '../helpers/shared.ts'
import { checkWycheproofEd25519, type WycheproofEd25519 } from './ed25519-cases.ts'

/** RFC 8032 §7.1: secret key, public key, message, signature. */
const RFC_8032: readonly (readonly [
  name: string,
  seed: string,
  publicKey: string,
  message: string,
  signature: string,
])[] = [
  [
    'TEST 1',
    '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    '',
    'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  ],
  [
    'TEST 2',
    '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    '72',
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  ],
  [
    'TEST 3',
    'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    'af82',
    '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  ],
]

describe('RFC 8032 §7.1', () => {
  it.each(RFC_8032)(
    '%s: key, signature and verdict on every backend',
    async (_, seed, publicKey, message, signature) => {
      const bytes = fromHex(message)
      expect(toHex(publicKeyOf(fromHex(seed)))).toBe(publicKey)
      expect(toHex(signSync(fromHex(seed), bytes))).toBe(signature)
      for (const key of [nobleSigningKey(fromHex(seed)), signingKeyFromSeed(fromHex(seed))]) {
        expect(toHex(key.publicKey)).toBe(publicKey)
        expect(toHex(await key.sign(bytes))).toBe(signature)
      }
      const check = { publicKey: fromHex(publicKey), message: bytes, signature: fromHex(signature) }
      for (const verifier of [nobleVerifier, await selectVerifier(crypto.subtle)]) {
        expect(await verifier.verify(check)).toBe(true)
        expect(await verifier.verify({ ...check, message: fromHex(`${message}00`) })).toBe(false)
      }
    },
  )
})

describeShared('Wycheproof Ed25519', ['vectors', 'wycheproof', 'ed25519_test.json'], path => {
  const json: WycheproofEd25519 = JSON.parse(readFileSync(path, 'utf8'))

  it('gets the wanted verdict on every vector, the same from JavaScript and from WebCrypto', async () => {
    const selected = await selectVerifier(crypto.subtle)
    expect(selected.backend).toBe('webcrypto')
    const noble = await checkWycheproofEd25519(json, nobleVerifier)
    const webcrypto = await checkWycheproofEd25519(json, selected)
    expect(noble.total).toBe(151)
    expect(noble.wrong).toEqual([])
    expect(webcrypto).toEqual(noble)
    expect(new Set(noble.verdicts)).toEqual(new Set([true, false]))
  })
})
