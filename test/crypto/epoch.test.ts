import { hkdfSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { concat, toHex, toUtf8 } from '../../src/bytes.ts'
import {
  assertCommits,
  assertReadCommits,
  deriveEpoch,
  generateEpochSecret,
  openLink,
  sealLink,
} from '../../src/crypto/epoch.ts'

const secret = Uint8Array.from({ length: 32 }, (_, i) => i)
const space = new Uint8Array(32).fill(0xaa)
const keyError = expect.objectContaining({ code: 'ERR_KEY' })
const openError = expect.objectContaining({ code: 'ERR_OPEN' })

function elsewhere(ikm: Uint8Array, label: string): string {
  return toHex(new Uint8Array(hkdfSync('sha256', ikm, new Uint8Array(0), toUtf8(`sealog/v1/${label}\0`), 32)))
}

describe('what follows from an epoch secret (DESIGN §7)', () => {
  it('is one HKDF each, and all are different', () => {
    const keys = deriveEpoch(secret)
    expect(toHex(keys.commit)).toBe(elsewhere(secret, 'commit'))
    expect(toHex(keys.readSecret)).toBe(elsewhere(secret, 'read'))
    expect(toHex(keys.historySecret)).toBe(elsewhere(secret, 'history'))
    expect(toHex(keys.readCommit)).toBe(elsewhere(keys.readSecret, 'read-commit'))
    expect(new Set(Object.values(keys).map(toHex)).size).toBe(5)
  })

  it('is held against both commitments', () => {
    const keys = deriveEpoch(secret)
    expect(assertCommits(secret, keys)).toEqual(keys)
    const other = deriveEpoch(new Uint8Array(32))
    expect(() => assertCommits(secret, { commit: other.commit, readCommit: keys.readCommit })).toThrow(keyError)
    expect(() => assertCommits(secret, { commit: keys.commit, readCommit: other.readCommit })).toThrow(keyError)
    expect(() => assertCommits(secret, { ...keys, commit: keys.commit.subarray(0, 16) })).toThrow(keyError)
    expect(() => assertReadCommits(keys.readSecret, keys.readCommit)).not.toThrow()
    expect(() => assertReadCommits(keys.secret, keys.readCommit)).toThrow(keyError)
  })

  it('is fresh 32 bytes or nothing', () => {
    expect(generateEpochSecret(length => new Uint8Array(length).fill(6))).toEqual(new Uint8Array(32).fill(6))
    expect(() => generateEpochSecret(() => new Uint8Array(8))).toThrow(/^random: expected 32 bytes, got 8$/)
    expect(() => deriveEpoch(new Uint8Array(31))).toThrow(/^secret:/)
    expect(() => assertReadCommits(new Uint8Array(31), secret)).toThrow(/^readSecret:/)
  })
})

describe('the link to an earlier epoch', () => {
  const { historySecret } = deriveEpoch(secret)
  const earlier = new Uint8Array(32).fill(0x17)
  const context = { space, epoch: 5, target: 3 }
  const link = sealLink({ ...context, historySecret, secret: earlier })

  it('gives the earlier secret to who holds the later one', () => {
    expect(link).toHaveLength(72)
    expect(openLink({ ...context, historySecret, link })).toEqual(earlier)
    expect(sealLink({ ...context, historySecret, secret: earlier })).toEqual(link)
  })

  it('opens in no other place and under no other key', () => {
    const elsewhere = [
      { ...context, space: new Uint8Array(32), historySecret, link },
      { ...context, epoch: 6, historySecret, link },
      { ...context, target: 4, historySecret, link },
      { ...context, historySecret: secret, link },
      { ...context, historySecret, link: link.subarray(1) },
      { ...context, historySecret, link: concat(link, Uint8Array.of(0)) },
      { ...context, historySecret, link: link.map((byte, i) => (i === 40 ? byte ^ 1 : byte)) },
    ]
    for (const options of elsewhere) expect(() => openLink(options)).toThrow(openError)
  })

  it('never meets two secrets under one nonce', () => {
    const nonces = [earlier, new Uint8Array(32).fill(0x18)].map(secret =>
      toHex(sealLink({ ...context, historySecret, secret }).subarray(0, 24)),
    )
    expect(nonces[0]).not.toBe(nonces[1])
  })

  it('leads backwards only', () => {
    const options = { space, historySecret, secret: earlier }
    expect(() => sealLink({ ...options, epoch: 3, target: 3 })).toThrow(/^target:/)
    expect(() => sealLink({ ...options, epoch: -1, target: 0 })).toThrow(/^epoch:/)
    expect(() => sealLink({ ...options, epoch: 1, target: 0, secret: new Uint8Array(16) })).toThrow(/^secret:/)
    expect(() => openLink({ ...context, historySecret, link: 'link' as never })).toThrow(/^link:/)
  })
})
