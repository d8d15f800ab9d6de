import { createHash, hkdfSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { concat, toHex, toUtf8 } from '../../src/bytes.ts'
import {
  commitmentsOf,
  historySecretOf,
  namesSecretOf,
  readCommitOf,
  readSecretOf,
} from '../../src/crypto/commitments.ts'
import {
  assertCommits,
  assertNamesCommits,
  assertReadCommits,
  deriveEpoch,
  generateEpochSecret,
  type LinkKind,
  openLink,
  sealLink,
} from '../../src/crypto/epoch.ts'

const secret = Uint8Array.from({ length: 32 }, (_, i) => i)
const space = new Uint8Array(32).fill(0xaa)
const keyError = expect.objectContaining({ code: 'ERR_KEY' })
const openError = expect.objectContaining({ code: 'ERR_OPEN' })

function hashed(label: string, input: Uint8Array): string {
  return createHash('sha256')
    .update(toUtf8(`sealog/v1/${label}\0`))
    .update(input)
    .digest('hex')
}

function derived(ikm: Uint8Array, label: string): string {
  return toHex(new Uint8Array(hkdfSync('sha256', ikm, new Uint8Array(0), toUtf8(`sealog/v1/${label}\0`), 32)))
}

describe('what follows from an epoch secret (DESIGN §7)', () => {
  it('is one hash or HKDF each, and all are different', () => {
    const keys = deriveEpoch(secret)
    expect(toHex(keys.readSecret)).toBe(hashed('read', secret))
    expect(toHex(keys.historySecret)).toBe(hashed('history', secret))
    expect(toHex(keys.readCommit)).toBe(hashed('read-commit', namesSecretOf(keys.readSecret)))
    expect(toHex(namesSecretOf(keys.readSecret))).toBe(derived(keys.readSecret, 'names'))
    expect(new Set([...Object.values(keys), namesSecretOf(keys.readSecret)].map(toHex)).size).toBe(5)
  })

  it('is the same for who may only hash: commitment, read and history secret', () => {
    const { readCommit, readSecret, historySecret } = deriveEpoch(secret)
    expect(commitmentsOf(secret)).toEqual({ readCommit })
    expect(readSecretOf(secret)).toEqual(readSecret)
    expect(historySecretOf(secret)).toEqual(historySecret)
    expect(readCommitOf(namesSecretOf(readSecret))).toEqual(readCommit)
  })

  it('is held against the commitment', () => {
    const keys = deriveEpoch(secret)
    expect(assertCommits(secret, keys)).toEqual(keys)
    const other = deriveEpoch(new Uint8Array(32))
    expect(() => assertCommits(secret, other)).toThrow(keyError)
    expect(() => assertCommits(secret, { readCommit: keys.readCommit.subarray(0, 16) })).toThrow(keyError)
    expect(() => assertReadCommits(keys.readSecret, keys.readCommit)).not.toThrow()
    expect(() => assertReadCommits(keys.secret, keys.readCommit)).toThrow(keyError)
    expect(() => assertReadCommits(namesSecretOf(keys.readSecret), keys.readCommit)).toThrow(keyError)
  })

  it('so is a names secret, which is all that some are given of an epoch', () => {
    const { readSecret, readCommit } = deriveEpoch(secret)
    expect(() => assertNamesCommits(namesSecretOf(readSecret), readCommit)).not.toThrow()
    for (const wrong of [readSecret, secret, new Uint8Array(32)]) {
      expect(() => assertNamesCommits(wrong, readCommit)).toThrow(keyError)
    }
    expect(() => assertNamesCommits(new Uint8Array(31), readCommit)).toThrow(/^namesSecret:/)
  })

  it('is fresh 32 bytes or nothing', () => {
    expect(generateEpochSecret(length => new Uint8Array(length).fill(6))).toEqual(new Uint8Array(32).fill(6))
    expect(() => generateEpochSecret(() => new Uint8Array(8))).toThrow(/^random: expected 32 bytes, got 8$/)
    expect(() => deriveEpoch(new Uint8Array(31))).toThrow(/^secret:/)
    expect(() => assertReadCommits(new Uint8Array(31), secret)).toThrow(/^readSecret:/)
  })
})

describe.each<LinkKind>(['history', 'names'])('the link to the %s of an earlier epoch', kind => {
  const key = kind === 'history' ? deriveEpoch(secret).historySecret : namesSecretOf(readSecretOf(secret))
  const earlier = new Uint8Array(32).fill(0x17)
  const context = { space, epoch: 5, target: 3 }
  const link = sealLink(kind, { ...context, key, secret: earlier })

  it('gives the earlier secret to who holds the later one', () => {
    expect(link).toHaveLength(72)
    expect(openLink(kind, { ...context, key, link })).toEqual(earlier)
    expect(sealLink(kind, { ...context, key, secret: earlier })).toEqual(link)
  })

  it('opens in no other place, under no other key, and as no other kind', () => {
    const elsewhere = [
      { ...context, space: new Uint8Array(32), key, link },
      { ...context, epoch: 6, key, link },
      { ...context, target: 4, key, link },
      { ...context, key: secret, link },
      { ...context, key, link: link.subarray(1) },
      { ...context, key, link: concat(link, Uint8Array.of(0)) },
      { ...context, key, link: link.map((byte, i) => (i === 40 ? byte ^ 1 : byte)) },
    ]
    for (const options of elsewhere) expect(() => openLink(kind, options)).toThrow(openError)
    expect(() => openLink(kind === 'history' ? 'names' : 'history', { ...context, key, link })).toThrow(openError)
  })

  it('never meets two secrets under one nonce', () => {
    const nonces = [earlier, new Uint8Array(32).fill(0x18)].map(each =>
      toHex(sealLink(kind, { ...context, key, secret: each }).subarray(0, 24)),
    )
    expect(nonces[0]).not.toBe(nonces[1])
  })

  it('leads backwards only', () => {
    const options = { space, key, secret: earlier }
    expect(() => sealLink(kind, { ...options, epoch: 3, target: 3 })).toThrow(/^target:/)
    expect(() => sealLink(kind, { ...options, epoch: -1, target: 0 })).toThrow(/^epoch:/)
    expect(() => sealLink(kind, { ...options, epoch: 1, target: 0, secret: new Uint8Array(16) })).toThrow(/^secret:/)
    expect(() => sealLink(kind, { ...options, epoch: 1, target: 0, key: new Uint8Array(16) })).toThrow(/^key:/)
    expect(() => openLink(kind, { ...context, key, link: 'link' as never })).toThrow(/^link:/)
  })
})
