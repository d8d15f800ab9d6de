import { createHmac, hkdfSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, toHex, toUtf8 } from '../../src/bytes.ts'
import { open, seal } from '../../src/crypto/aead.ts'
import {
  changeTag,
  documentKey,
  noChangesTag,
  openBody,
  openLabel,
  sealBody,
  sealLabel,
  tagKey,
} from '../../src/crypto/keyring.ts'
import { padBlocks, paddedLength } from '../../src/crypto/padding.ts'

const secrets = {
  readSecret: new Uint8Array(32).fill(1),
  birthReadSecret: new Uint8Array(32).fill(2),
  document: new Uint8Array(16).fill(3),
}
const openError = expect.objectContaining({ code: 'ERR_OPEN' })
let counter = 0
/** Every call gives other bytes. */
const random = (length: number) => new Uint8Array(length).fill(++counter)
/** A broken generator. */
const stuck = (length: number) => new Uint8Array(length)

function elsewhere(label: string): string {
  const ikm = concat(secrets.readSecret, secrets.birthReadSecret)
  const info = concat(toUtf8(`sealog/v1/${label}\0`), secrets.document)
  return toHex(new Uint8Array(hkdfSync('sha256', ikm, new Uint8Array(0), info, 32)))
}

describe('the keys of a document (DESIGN §6)', () => {
  it('are HKDF of both read secrets and the document', () => {
    expect(toHex(documentKey(secrets))).toBe(elsewhere('doc'))
    expect(toHex(tagKey(secrets))).toBe(elsewhere('tag'))
  })

  it('are other keys for another epoch, birth epoch or document, the cache notwithstanding', () => {
    const swapped = { ...secrets, readSecret: secrets.birthReadSecret, birthReadSecret: secrets.readSecret }
    const variants = [
      secrets,
      swapped,
      { ...secrets, document: new Uint8Array(16) },
      { ...secrets, readSecret: new Uint8Array(32) },
    ]
    const keys = [...variants, ...variants].map(variant => toHex(documentKey(variant)))
    expect(new Set(keys).size).toBe(variants.length)
    expect(keys.slice(4)).toEqual(keys.slice(0, 4))
  })

  it('survive a caller that wipes what it was given', () => {
    const mine = { ...secrets, document: new Uint8Array(16).fill(0x44) }
    const first = toHex(documentKey(mine))
    documentKey(mine).fill(0)
    expect(toHex(documentKey(mine))).toBe(first)
  })

  it('tag the latest change, and its absence', () => {
    const key = tagKey(secrets)
    const hash = new Uint8Array(32).fill(9)
    expect(toHex(changeTag(key, hash))).toBe(createHmac('sha256', key).update(hash).digest('hex'))
    expect(toHex(noChangesTag(key))).toBe(createHmac('sha256', key).update(new Uint8Array(32)).digest('hex'))
  })
})

describe('the body of an entry', () => {
  const key = documentKey(secrets)
  const aad = toUtf8('header')

  it('opens to the payload and has the length of its padding', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), fc.nat(), (payload, seq) => {
        const body = sealBody({ key, payload, aad, random, seq })
        expect(body).toHaveLength(24 + paddedLength(payload.length) + 16)
        expect(openBody({ key, body, aad })).toEqual(payload)
      }),
      { numRuns: 50 },
    )
  })

  it('opens for no other header, document or body', () => {
    const body = sealBody({ key, payload: toUtf8('text'), aad, random, seq: 0 })
    expect(() => openBody({ key, body, aad: toUtf8('another header') })).toThrow(openError)
    expect(() => openBody({ key: tagKey(secrets), body, aad })).toThrow(openError)
    for (let at = 0; at < body.length; at++) {
      expect(() => openBody({ key, body: body.map((byte, i) => (i === at ? byte ^ 0x80 : byte)), aad })).toThrow(
        openError,
      )
      expect(() => openBody({ key, body: body.subarray(0, at), aad })).toThrow(openError)
    }
  })

  it('does not open with a padding of the sender’s choice', () => {
    const nonce = new Uint8Array(24)
    const padded = new Uint8Array(64)
    padded[4] = 0x80
    const body = concat(nonce, seal(key, nonce, padded, aad))
    expect(() => openBody({ key, body, aad })).toThrow(openError)
  })

  it('never uses a nonce for two messages, even when the generator is broken', () => {
    const variants = [
      { payload: toUtf8('a'), aad, seq: 0 },
      { payload: toUtf8('b'), aad, seq: 0 },
      { payload: toUtf8('a'), aad, seq: 1 },
      { payload: toUtf8('a'), aad: toUtf8('another header'), seq: 0 },
    ]
    const nonces = variants.map(variant => toHex(sealBody({ key, random: stuck, ...variant }).subarray(0, 24)))
    expect(new Set(nonces).size).toBe(variants.length)
  })

  it('uses another nonce for the same message when the generator works, and never the randomness itself', () => {
    const message = { key, payload: toUtf8('a'), aad, seq: 0 }
    const bodies = [1, 2].map(() => sealBody({ ...message, random }))
    expect(bodies[0]?.subarray(0, 24)).not.toEqual(bodies[1]?.subarray(0, 24))
    expect(sealBody({ ...message, random: stuck }).subarray(0, 24)).not.toEqual(new Uint8Array(24))
  })
})

describe('the label of a space, member or device', () => {
  const place = { secret: secrets.readSecret, context: 'space' }

  it('opens to the text, and its length tells the text to 32 bytes only', () => {
    for (const text of ['', 'Field notes', 'Größe 🌱', 'x'.repeat(256)]) {
      const sealed = sealLabel({ ...place, text, random })
      expect(openLabel({ ...place, sealed })).toBe(text)
      expect((sealed.length - 40) % 32).toBe(0)
    }
    expect(sealLabel({ ...place, text: '', random })).toHaveLength(72)
    expect(sealLabel({ ...place, text: 'x'.repeat(256), random })).toHaveLength(328)
  })

  it('does not show that two labels are equal', () => {
    expect(sealLabel({ ...place, text: 'same', random })).not.toEqual(sealLabel({ ...place, text: 'same', random }))
  })

  it('stands in for no other label and opens under no other secret', () => {
    const sealed = sealLabel({ ...place, text: 'Ada', random })
    expect(() => openLabel({ ...place, context: 'member', sealed })).toThrow(openError)
    expect(() => openLabel({ ...place, secret: secrets.birthReadSecret, sealed })).toThrow(openError)
    for (const length of [0, 24, 71]) {
      expect(() => openLabel({ ...place, sealed: sealed.subarray(0, length) })).toThrow(openError)
    }
  })

  it('of a hostile member cannot be too long or no text', () => {
    const labelKey = new Uint8Array(
      hkdfSync('sha256', place.secret, new Uint8Array(0), toUtf8('sealog/v1/label\0'), 32),
    )
    const nonce = new Uint8Array(24)
    const forge = (bytes: Uint8Array) => concat(nonce, seal(labelKey, nonce, padBlocks(bytes), toUtf8('space')))
    expect(openLabel({ ...place, sealed: forge(toUtf8('fine')) })).toBe('fine')
    expect(() => openLabel({ ...place, sealed: forge(new Uint8Array(257).fill(65)) })).toThrow(openError)
    expect(() => openLabel({ ...place, sealed: forge(Uint8Array.of(0xff, 0xfe)) })).toThrow(openError)
    const unpadded = concat(nonce, seal(labelKey, nonce, new Uint8Array(40), toUtf8('space')))
    expect(open(labelKey, nonce, unpadded.subarray(24), toUtf8('space'))).toHaveLength(40)
    expect(() => openLabel({ ...place, sealed: unpadded })).toThrow(openError)
  })
})

describe('misuse', () => {
  it('is named', () => {
    const key = documentKey(secrets)
    const body = { key, payload: new Uint8Array(1), aad: new Uint8Array(1), random, seq: 0 }
    const label = { secret: secrets.readSecret, context: 'space', text: 'a', random }
    expect(() => documentKey({ ...secrets, readSecret: new Uint8Array(31) })).toThrow(/^readSecret:/)
    expect(() => documentKey({ ...secrets, birthReadSecret: new Uint8Array(31) })).toThrow(/^birthReadSecret:/)
    expect(() => tagKey({ ...secrets, document: new Uint8Array(32) })).toThrow(/^document: expected 16 bytes, got 32$/)
    expect(() => changeTag(new Uint8Array(16), new Uint8Array(32))).toThrow(/^key:/)
    expect(() => changeTag(key, new Uint8Array(16))).toThrow(/^changeHash:/)
    expect(() => sealBody({ ...body, key: new Uint8Array(16) })).toThrow(/^key:/)
    expect(() => sealBody({ ...body, payload: 'a' as never })).toThrow(/^payload:/)
    expect(() => sealBody({ ...body, aad: 'a' as never })).toThrow(/^aad:/)
    expect(() => sealBody({ ...body, seq: -1 })).toThrow(/^seq:/)
    expect(() => sealBody({ ...body, random: () => new Uint8Array(8) })).toThrow(/^random:/)
    expect(() => openBody({ key, body: 'a' as never, aad: body.aad })).toThrow(/^body:/)
    expect(() => openBody({ key: new Uint8Array(16), body: new Uint8Array(100), aad: body.aad })).toThrow(/^key:/)
    expect(() => sealLabel({ ...label, text: 'x'.repeat(257) })).toThrow(/^text: expected at most 256/)
    expect(() => sealLabel({ ...label, text: '\ud800' })).toThrow(/^text: expected well-formed/)
    expect(() => sealLabel({ ...label, text: 7 as never })).toThrow(/^text:/)
    expect(() => sealLabel({ ...label, context: 7 as never })).toThrow(/^context:/)
    expect(() => sealLabel({ ...label, secret: new Uint8Array(31) })).toThrow(/^secret:/)
    expect(() => openLabel({ ...label, sealed: 'a' as never })).toThrow(/^sealed:/)
  })
})
