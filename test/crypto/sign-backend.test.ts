import { ed25519 } from '@noble/curves/ed25519.js'
import { describe, expect, it } from 'vitest'
import { toUtf8 } from '../../src/bytes.ts'
import { nobleVerifier, publicKeyOf, signSync, verifySync } from '../../src/crypto/sign.ts'
import { defaultVerifier, nobleSigningKey, selectVerifier, signingKeyFromSeed } from '../../src/crypto/sign-backend.ts'
import { checkOf, EDGE_CASES } from '../../src/crypto/sign-self-test.ts'
import { webcryptoVerifier } from '../../src/crypto/sign-webcrypto.ts'

const seed = new Uint8Array(32).fill(9)
const message = toUtf8('an entry')
const good = { publicKey: publicKeyOf(seed), message, signature: signSync(seed, message) }

type Verify = (signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array) => boolean

/** A runtime whose Ed25519 is `verify`; its keys are the bytes themselves. */
function runtime(verify: Verify, overrides: Partial<Record<keyof SubtleCrypto, unknown>> = {}): SubtleCrypto {
  return {
    importKey: async (_format: string, bytes: Uint8Array) => bytes,
    verify: async (_name: string, key: Uint8Array, signature: Uint8Array, text: Uint8Array) =>
      verify(signature, text, key),
    ...overrides,
  } as unknown as SubtleCrypto
}

const strict: Verify = (signature, text, publicKey) => verifySync({ publicKey, message: text, signature })

describe('the choice of a backend', () => {
  it('is WebCrypto here, tested once', async () => {
    expect((await defaultVerifier()).backend).toBe('webcrypto')
    expect(defaultVerifier()).toBe(selectVerifier())
    expect(selectVerifier(crypto.subtle)).toBe(selectVerifier())
  })

  it('takes a runtime that agrees on every edge case', async () => {
    expect((await selectVerifier(runtime(strict))).backend).toBe('webcrypto')
  })

  it('takes a runtime that refuses points of small order, and gives our verdict all the same', async () => {
    const secure: Verify = (signature, text, publicKey) => signature[0] !== 1 && strict(signature, text, publicKey)
    const verifier = await selectVerifier(runtime(secure))
    expect(verifier.backend).toBe('webcrypto')
    for (const edge of EDGE_CASES) expect(await verifier.verify(checkOf(edge))).toBe(edge.valid)
  })

  it.each<[string, SubtleCrypto]>([
    ['is cofactored', runtime((s, m, k) => ed25519.verify(s, m, k, { zip215: true }))],
    ['is cofactored after strict decoding', runtime((s, m, k) => ed25519.verify(s, m, k, { zip215: false }))],
    ['accepts everything', runtime(() => true)],
    ['accepts nothing', runtime(() => false)],
    ['does not know Ed25519', runtime(strict, { importKey: async () => Promise.reject(new Error('unknown')) })],
    ['fails synchronously', runtime(strict, { importKey: undefined })],
    ['fails to verify', runtime(strict, { verify: async () => Promise.reject(new Error('broken')) })],
    ['answers late with something else', runtime(strict, { verify: async () => 'yes' })],
  ])('falls back to JavaScript where WebCrypto %s', async (_, subtle) => {
    const verifier = await selectVerifier(subtle)
    expect(verifier).toBe(nobleVerifier)
    expect(await verifier.verify(good)).toBe(true)
  })

  it('does not take a failure of the runtime for a bad signature, and asks it again later', async () => {
    let failures = 1
    let answers = 0
    const counting: Verify = (...parameters) => {
      answers++
      return strict(...parameters)
    }
    const flaky = runtime(counting, {
      importKey: async (_: string, bytes: Uint8Array) => (failures-- > 0 ? Promise.reject(new Error('later')) : bytes),
    })
    const verifier = webcryptoVerifier(flaky)
    expect(await verifier.verifyAll([good, good, good])).toEqual([true, true, true])
    expect(answers).toBe(0)
    expect(await verifier.verify({ ...good, message: toUtf8('another') })).toBe(false)
    expect(answers).toBe(1)
  })

  it('imports a key once', async () => {
    let imports = 0
    const counting = runtime(() => true, {
      importKey: async (_: string, bytes: Uint8Array) => {
        imports++
        return bytes
      },
    })
    const verifier = webcryptoVerifier(counting)
    await verifier.verifyAll(Array.from({ length: 500 }, () => good))
    expect(imports).toBe(1)
  })
})

describe('a signing key', () => {
  it('signs alike with and without WebCrypto', async () => {
    const signatures = [signingKeyFromSeed(seed), nobleSigningKey(seed)].map(key => key.sign(message))
    expect(await Promise.all(signatures)).toEqual([good.signature, good.signature])
  })

  it.each<[string, Partial<Record<keyof SubtleCrypto, unknown>>]>([
    ['adds randomness', { sign: async () => crypto.getRandomValues(new Uint8Array(64)).buffer }],
    ['cannot sign', { sign: async () => Promise.reject(new Error('no')) }],
    ['cannot import', { importKey: async () => Promise.reject(new Error('no')) }],
  ])('is deterministic where WebCrypto %s', async (_, overrides) => {
    expect(await signingKeyFromSeed(seed, runtime(strict, overrides)).sign(message)).toEqual(good.signature)
  })

  it('survives a runtime that passes the self-test and then fails', async () => {
    let calls = 0
    const failing = runtime(strict, {
      importKey: (...parameters: Parameters<SubtleCrypto['importKey']>) => crypto.subtle.importKey(...parameters),
      sign: (...parameters: Parameters<SubtleCrypto['sign']>) =>
        ++calls > 2 ? Promise.reject(new Error('gone')) : crypto.subtle.sign(...parameters),
    })
    expect(await signingKeyFromSeed(seed, failing).sign(message)).toEqual(good.signature)
    expect(calls).toBe(3)
  })

  it('keeps its own copy of the seed', async () => {
    const lent = seed.slice()
    const keys = [signingKeyFromSeed(lent), nobleSigningKey(lent)]
    lent.fill(0)
    for (const key of keys) expect(await key.sign(message)).toEqual(good.signature)
  })

  it('is not made from anything but 32 bytes', () => {
    expect(() => signingKeyFromSeed(new Uint8Array(33))).toThrow(/^seed: expected 32 bytes, got 33$/)
    expect(() => nobleSigningKey('seed' as never)).toThrow(/^seed:/)
  })
})
