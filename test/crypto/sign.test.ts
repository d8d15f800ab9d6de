import { ed25519 } from '@noble/curves/ed25519.js'
import { sha512 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromHex, toUtf8 } from '../../src/bytes.ts'
import {
  assertAdmissibleKey,
  generateSeed,
  isAdmissibleKey,
  nobleVerifier,
  publicKeyOf,
  signSync,
  verifySync,
} from '../../src/crypto/sign.ts'
import { selectVerifier } from '../../src/crypto/sign-backend.ts'
import { checkOf, EDGE_CASES, SELF_TEST_MESSAGE } from '../../src/crypto/sign-self-test.ts'

const { Point } = ed25519
const L = Point.Fn.ORDER
/** A point of order 8; its multiples are the whole torsion subgroup. */
const T8 = Point.fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')
const TORSION = Array.from({ length: 8 }, (_, i) => (i === 0 ? Point.ZERO : T8.multiplyUnsafe(BigInt(i))))
const seed = Uint8Array.from({ length: 32 }, (_, i) => i)
const message = toUtf8('an entry')

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
}

function bytesOf(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))
}

/** R = [nonce]B + torsion, S to match: what the holder of the key can do and an honest signer never does. */
function signOddly(nonce: bigint, torsion: (typeof TORSION)[number]): Uint8Array {
  const { scalar, pointBytes } = ed25519.utils.getExtendedPublicKey(seed)
  const r = (nonce === 0n ? Point.ZERO : Point.BASE.multiply(nonce)).add(torsion).toBytes()
  const h = littleEndian(sha512(concat(r, pointBytes, message))) % L
  return concat(r, bytesOf((nonce + h * scalar) % L))
}

describe('the rule for signatures (DESIGN §3)', () => {
  it('accepts what was signed and nothing that differs in one bit', () => {
    const good = { publicKey: publicKeyOf(seed), message, signature: signSync(seed, message) }
    expect(verifySync(good)).toBe(true)
    const flip = (bytes: Uint8Array, bit: number) =>
      bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
    fc.assert(
      fc.property(fc.constantFrom('publicKey', 'message', 'signature' as const), fc.nat(511), (field, bit) => {
        const bytes = good[field as keyof typeof good]
        expect(verifySync({ ...good, [field]: flip(bytes, bit % (bytes.length * 8)) })).toBe(false)
      }),
      { numRuns: 60 },
    )
  })

  it.each(EDGE_CASES)('gives the wanted verdict: $name', async edge => {
    expect(verifySync(checkOf(edge))).toBe(edge.valid)
    const verifier = await selectVerifier(crypto.subtle)
    expect(verifier.backend).toBe('webcrypto')
    expect(await verifier.verify(checkOf(edge))).toBe(edge.valid)
  })

  it('has edge cases that a cofactored verifier and an unguarded WebCrypto get wrong', async () => {
    const cofactored = EDGE_CASES.filter(edge => {
      const { publicKey, signature } = checkOf(edge)
      return ed25519.verify(signature, SELF_TEST_MESSAGE, publicKey, { zip215: true }) !== edge.valid
    })
    expect(cofactored).toHaveLength(7)
    const raw = await Promise.all(
      EDGE_CASES.map(async edge => {
        const { publicKey, signature, message } = checkOf(edge)
        const key = await crypto.subtle.importKey('raw', publicKey as BufferSource, 'Ed25519', false, ['verify'])
        return crypto.subtle.verify('Ed25519', key, signature as BufferSource, message as BufferSource)
      }),
    )
    expect(EDGE_CASES.filter((edge, i) => raw[i] !== edge.valid).map(edge => edge.name)).toContain('key the identity')
  })

  it('refuses R with torsion whoever signs, and S beyond L, on both backends alike', async () => {
    const publicKey = publicKeyOf(seed)
    const webcrypto = await selectVerifier(crypto.subtle)
    for (const [i, torsion] of TORSION.entries()) {
      for (const nonce of [0n, 1n, 12345n]) {
        const check = { publicKey, message, signature: signOddly(nonce, torsion) }
        expect(verifySync(check)).toBe(i === 0)
        expect(await webcrypto.verify(check)).toBe(i === 0)
      }
    }
    const good = signSync(seed, message)
    for (let k = 1n; k <= 15n; k++) {
      const signature = concat(good.subarray(0, 32), bytesOf(littleEndian(good.subarray(32)) + k * L))
      expect(verifySync({ publicKey, message, signature })).toBe(false)
      expect(await webcrypto.verify({ publicKey, message, signature })).toBe(false)
    }
  })

  it('answers false, not with an error, for keys and signatures of another length', async () => {
    const good = { publicKey: publicKeyOf(seed), message, signature: signSync(seed, message) }
    for (const verifier of [nobleVerifier, await selectVerifier(crypto.subtle)]) {
      for (const length of [0, 31, 33, 63, 65]) {
        expect(await verifier.verify({ ...good, publicKey: new Uint8Array(length) })).toBe(false)
        expect(await verifier.verify({ ...good, signature: new Uint8Array(length) })).toBe(false)
      }
    }
  })

  it('keeps the order of many checks', async () => {
    const publicKey = publicKeyOf(seed)
    const checks = Array.from({ length: 300 }, (_, i) => ({
      publicKey,
      message: Uint8Array.of(i & 255, i >> 8),
      signature: signSync(seed, Uint8Array.of(i % 7 === 0 ? 255 : i & 255, i >> 8)),
    }))
    const wanted = checks.map((_, i) => i % 7 !== 0 || (i & 255) === 255)
    expect(await (await selectVerifier(crypto.subtle)).verifyAll(checks)).toEqual(wanted)
    expect(await nobleVerifier.verifyAll(checks.slice(0, 20))).toEqual(wanted.slice(0, 20))
    expect(await nobleVerifier.verifyAll([])).toEqual([])
  })
})

describe('admission of keys', () => {
  it('takes every honest key', () => {
    for (let i = 0; i < 10; i++) expect(isAdmissibleKey(publicKeyOf(new Uint8Array(32).fill(i)))).toBe(true)
  })

  it('refuses all eight points of small order and every key with a torsion component', () => {
    const honest = Point.fromBytes(publicKeyOf(seed))
    for (const [i, torsion] of TORSION.entries()) {
      expect(isAdmissibleKey(torsion.toBytes())).toBe(false)
      expect(isAdmissibleKey(honest.add(torsion).toBytes())).toBe(i === 0)
    }
  })

  it('refuses every encoding that is not canonical', () => {
    // y = p … p + 18 with either sign: the encodings that fit 255 bits and are not reduced.
    for (let first = 0xed; first <= 0xff; first++) {
      for (const last of [0x7f, 0xff]) {
        expect(isAdmissibleKey(Uint8Array.of(first, ...new Uint8Array(30).fill(0xff), last))).toBe(false)
      }
    }
    expect(isAdmissibleKey(Uint8Array.of(1, ...new Uint8Array(30), 0x80))).toBe(false)
  })

  it('refuses what is not on the curve or not 32 bytes, with ERR_KEY where it asserts', () => {
    const off = fromHex(`02${'00'.repeat(31)}`)
    for (const key of [off, new Uint8Array(0), new Uint8Array(31), new Uint8Array(33)]) {
      expect(isAdmissibleKey(key)).toBe(false)
      expect(() => assertAdmissibleKey(key)).toThrow(expect.objectContaining({ code: 'ERR_KEY' }))
    }
    expect(() => assertAdmissibleKey(publicKeyOf(seed))).not.toThrow()
  })
})

describe('misuse', () => {
  it('is a TypeError that names the argument', async () => {
    const short = new Uint8Array(31)
    expect(() => publicKeyOf(short)).toThrow(/^seed: expected 32 bytes, got 31$/)
    expect(() => signSync(short, message)).toThrow(TypeError)
    expect(() => signSync(seed, 'text' as never)).toThrow(/^message:/)
    expect(() => isAdmissibleKey('key' as never)).toThrow(/^publicKey:/)
    expect(() => generateSeed(() => short)).toThrow(/^random:/)
    const check = { publicKey: publicKeyOf(seed), message: 'text' as never, signature: signSync(seed, message) }
    for (const verifier of [nobleVerifier, await selectVerifier(crypto.subtle)]) {
      await expect(verifier.verify(check)).rejects.toThrow(/^message:/)
    }
  })
})
