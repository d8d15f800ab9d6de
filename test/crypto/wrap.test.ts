import { describe, expect, it } from 'vitest'
import { concat, toHex } from '../../src/bytes.ts'
import { seal } from '../../src/crypto/aead.ts'
import { readSecretOf } from '../../src/crypto/commitments.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { hkdf, uint64 } from '../../src/crypto/kdf.ts'
import { decapsulate, encapsulate, kemPublicKeyOf, openWrap, wrapSecret } from '../../src/crypto/wrap.ts'

const seed = new Uint8Array(32).fill(1)
const kemPublicKey = kemPublicKeyOf(seed)
const secret = new Uint8Array(32).fill(2)
const space = new Uint8Array(32).fill(3)
const context = { space, epoch: 7, device: 12, payloadKind: 0 } as const
const wrap = wrapSecret({ ...context, secret, kemPublicKey })
const openError = expect.objectContaining({ code: 'ERR_OPEN' })
const keyError = expect.objectContaining({ code: 'ERR_KEY' })

/** What somebody who does not follow the recipe can make: it opens, but S_e does not determine it. */
function selfWilled(coins: Uint8Array): Uint8Array {
  const bound = concat(space, uint64(7), Uint8Array.of(1), uint64(12), Uint8Array.of(0), kemPublicKey)
  const { ciphertext, sharedSecret } = encapsulate(kemPublicKey, coins)
  const key = hkdf(sharedSecret, 'sealog/v1/wrap-key', [bound, ciphertext], 32)
  return concat(ciphertext, seal(key, new Uint8Array(24), secret, bound))
}

describe('the wrap of an epoch for a device (DESIGN §7)', () => {
  it('gives S_e, or no more than R_e, to the device', () => {
    expect(wrap).toHaveLength(1168)
    expect(openWrap({ ...context, seed, wrap })).toEqual(secret)
    const reader = { ...context, payloadKind: 1 } as const
    const readSecret = readSecretOf(secret)
    const opened = openWrap({ ...reader, seed, wrap: wrapSecret({ ...reader, secret: readSecret, kemPublicKey }) })
    expect(opened).toEqual(readSecret)
  })

  it('is the same bytes for everybody who holds the secret, and stays so from release to release', () => {
    expect(wrapSecret({ ...context, secret, kemPublicKey })).toEqual(wrap)
    expect(
      selfWilled(
        hkdf(
          secret,
          'sealog/v1/wrap-coins',
          [concat(space, uint64(7), Uint8Array.of(1), uint64(12), Uint8Array.of(0), kemPublicKey)],
          64,
        ),
      ),
    ).toEqual(wrap)
    expect(toHex(sha256(wrap))).toBe('a4c0b4c2d433c3b03cabad0a5bf1a494e4dbc0f05e7abbd4edbca27f68c91b88')
  })

  it('opens for no other space, epoch, device, kind or key', () => {
    const elsewhere = [
      { ...context, space: new Uint8Array(32), seed, wrap },
      { ...context, epoch: 8, seed, wrap },
      { ...context, device: 13, seed, wrap },
      { ...context, device: undefined, seed, wrap },
      { ...context, payloadKind: 1 as const, seed, wrap },
      { ...context, seed: new Uint8Array(32).fill(9), wrap },
    ]
    for (const options of elsewhere) expect(() => openWrap(options)).toThrow(openError)
  })

  it('tells device 0 from a device whose number is not known yet', () => {
    const wraps = [0, undefined].map(device => wrapSecret({ ...context, device, secret, kemPublicKey }))
    expect(wraps[0]).not.toEqual(wraps[1])
    expect(openWrap({ ...context, device: undefined, seed, wrap: wraps[1] as Uint8Array })).toEqual(secret)
  })

  it('shares no KEM ciphertext between contexts, so no coins are used twice', () => {
    const variants = [
      context,
      { ...context, epoch: 8 },
      { ...context, device: 13 },
      { ...context, payloadKind: 1 as const },
      { ...context, space: new Uint8Array(32) },
    ]
    const ciphertexts = variants.map(variant =>
      toHex(wrapSecret({ ...variant, secret, kemPublicKey }).subarray(0, 1120)),
    )
    expect(new Set(ciphertexts).size).toBe(variants.length)
  })

  it('does not open after any tampering, low-order points and other lengths included', () => {
    for (const at of [0, 500, 1087, 1088, 1119, 1120, 1151, 1152, 1167]) {
      const forged = wrap.map((byte, i) => (i === at ? byte ^ 1 : byte))
      expect(() => openWrap({ ...context, seed, wrap: forged })).toThrow(openError)
    }
    const lowOrder = wrap.slice()
    lowOrder.fill(0, 1088, 1120)
    expect(() => openWrap({ ...context, seed, wrap: lowOrder })).toThrow(openError)
    expect(() => decapsulate(seed, lowOrder.subarray(0, 1120))).toThrow(openError)
    for (const length of [0, 1120, 1167]) {
      expect(() => openWrap({ ...context, seed, wrap: wrap.subarray(0, length) })).toThrow(openError)
    }
    expect(() => openWrap({ ...context, seed, wrap: concat(wrap, Uint8Array.of(0)) })).toThrow(openError)
  })
})

describe('the audit of wraps (R-WRAP-2)', () => {
  it('finds the right one and no other', () => {
    const audit = { ...context, secret, kemPublicKey }
    expect(wrapSecret(audit)).toEqual(wrap)
    expect(wrapSecret({ ...audit, device: 13 })).not.toEqual(wrap)
    expect(wrapSecret({ ...audit, secret: new Uint8Array(32) })).not.toEqual(wrap)
  })

  it('lets a recipient refuse a wrap that opens but was not derived', () => {
    const odd = selfWilled(new Uint8Array(64).fill(8))
    expect(odd).toHaveLength(wrap.length)
    expect(() => openWrap({ ...context, seed, wrap: odd })).toThrow(keyError)
  })
})

describe('misuse', () => {
  it('is named', () => {
    const options = { ...context, secret, kemPublicKey }
    expect(() => wrapSecret({ ...options, secret: new Uint8Array(31) })).toThrow(/^secret:/)
    expect(() => wrapSecret({ ...options, space: new Uint8Array(31) })).toThrow(/^space:/)
    expect(() => wrapSecret({ ...options, epoch: -1 })).toThrow(/^epoch:/)
    expect(() => wrapSecret({ ...options, device: 0.5 })).toThrow(/^device:/)
    expect(() => wrapSecret({ ...options, payloadKind: 2 as never })).toThrow(/^payloadKind:/)
    expect(() => wrapSecret({ ...options, kemPublicKey: new Uint8Array(1216) })).toThrow(keyError)
    expect(() => encapsulate(kemPublicKey, new Uint8Array(32))).toThrow(/^coins: expected 64 bytes, got 32$/)
    expect(() => decapsulate(seed, new Uint8Array(5))).toThrow(/^ciphertext:/)
    expect(() => kemPublicKeyOf(new Uint8Array(64))).toThrow(/^seed:/)
    expect(() => openWrap({ ...context, seed, wrap: 'wrap' as never })).toThrow(/^wrap:/)
  })
})
