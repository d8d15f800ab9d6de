import { ed25519 } from '@noble/curves/ed25519.js'
import { describe, expect, it } from 'vitest'
import { fromBase64, fromHex, toBase64, toHex, toUtf8 } from '../../src/bytes.ts'
import { encodeVerifierKey, noteKeyHash, parseVerifierKey } from '../../src/verify/note-key.ts'

// The example in the documentation of Go's golang.org/x/mod/sumdb/note.
const GO_KEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
const GO_TEXT =
  'If you think cryptography is the answer to your problem,\n' + "then you don't know what your problem is.\n"
const GO_SIGNATURE = 'x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM='

// RFC 8032 §7.1, test 1; the key hash is by another implementation.
const PUBLIC = fromHex('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
const ORIGIN = 'relay.example/000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'
const VERIFIER_KEY = `${ORIGIN}+182379e0+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea`

describe('verifier keys', () => {
  it('are those of Go: key, key hash and signature of its example fit together', () => {
    const { name, publicKey } = parseVerifierKey(GO_KEY)
    expect(name).toBe('PeterNeumann')
    expect(encodeVerifierKey(name, publicKey)).toBe(GO_KEY)
    const signature = fromBase64(GO_SIGNATURE)
    expect(toHex(signature.slice(0, 4))).toBe(toHex(noteKeyHash(name, publicKey)))
    expect(ed25519.verify(signature.slice(4), toUtf8(GO_TEXT), publicKey)).toBe(true)
  })

  it('give the known answer for a relay key', () => {
    expect(encodeVerifierKey(ORIGIN, PUBLIC)).toBe(VERIFIER_KEY)
    expect(parseVerifierKey(VERIFIER_KEY)).toEqual({ name: ORIGIN, publicKey: PUBLIC })
  })

  it('bind the hash to the name', () => {
    expect(toHex(noteKeyHash('a', PUBLIC))).not.toBe(toHex(noteKeyHash('b', PUBLIC)))
  })

  const withType = (type: number, key: Uint8Array): string => toBase64(Uint8Array.of(type, ...key))
  it.each([
    ['nothing', ''],
    ['no key', `${ORIGIN}+182379e0`],
    ['no name', VERIFIER_KEY.slice(ORIGIN.length)],
    ['a name with a space', `a b+182379e0+${withType(1, PUBLIC)}`],
    ['a name with a control character', `a\u0001b+182379e0+${withType(1, PUBLIC)}`],
    ['another name', VERIFIER_KEY.replace('relay', 'other')],
    ['another hash', VERIFIER_KEY.replace('182379e0', '182379e1')],
    ['a hash in upper case', VERIFIER_KEY.replace('182379e0', '182379E0')],
    ['a hash of 7 digits', VERIFIER_KEY.replace('182379e0', '82379e0')],
    ['another type of key', `${ORIGIN}+182379e0+${withType(4, PUBLIC)}`],
    ['a key of 31 bytes', `${ORIGIN}+182379e0+${withType(1, PUBLIC.slice(1))}`],
    ['a key that is not base64', VERIFIER_KEY.slice(0, -1)],
    ['a key and more', `${VERIFIER_KEY}\n`],
  ])('are refused with %s', (_, text) => {
    expect(() => parseVerifierKey(text)).toThrow('ERR_MALFORMED')
  })

  it('are only made of a name and 32 bytes', () => {
    for (const name of ['', 'a+b', 'a b', 'a\u0001b', 'a\u2003b', 'a\ud800b']) {
      expect(() => encodeVerifierKey(name, PUBLIC)).toThrow(TypeError)
    }
    expect(() => encodeVerifierKey('a', PUBLIC.slice(1))).toThrow(TypeError)
  })
})
