import { hkdfSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { concat, toHex, toUtf8 } from '../../src/bytes.ts'
import { mailboxKeysOf, openMailbox, sealMailbox, spaceDeviceOf } from '../../src/crypto/mailbox.ts'
import { paddedLength } from '../../src/crypto/padding.ts'
import type { SpaceId } from '../../src/ids.ts'

const SEED = new Uint8Array(32).fill(7)
const SPACE = 'ab'.repeat(32) as SpaceId
const derived = (label: string, ...parts: Uint8Array[]): string =>
  toHex(new Uint8Array(hkdfSync('sha256', SEED, new Uint8Array(0), concat(toUtf8(`${label}\0`), ...parts), 32)))

describe('what follows from a seed (R-MAILBOX-1, R-RECOVERY-1)', () => {
  it('for its mailbox', () => {
    const { signing, sealing } = mailboxKeysOf(SEED)
    expect(toHex(signing)).toBe(derived('sealog/v1/mailbox-signing'))
    expect(toHex(sealing)).toBe(derived('sealog/v1/mailbox-sealing'))
  })

  it('for a space: keys of its own in each', () => {
    const space = new Uint8Array(32).fill(0xab)
    const { signing, kem } = spaceDeviceOf(SEED, SPACE)
    expect(toHex(signing)).toBe(derived('sealog/v1/recovery-signing', space))
    expect(toHex(kem)).toBe(derived('sealog/v1/recovery-kem', space))
    const other = spaceDeviceOf(SEED, 'cd'.repeat(32) as SpaceId)
    expect(new Set([signing, kem, other.signing, other.kem].map(toHex)).size).toBe(4)
  })

  it('needs 32 bytes', () => {
    expect(() => mailboxKeysOf(new Uint8Array(16))).toThrow(TypeError)
    expect(() => spaceDeviceOf(new Uint8Array(33), SPACE)).toThrow(TypeError)
    expect(() => spaceDeviceOf(SEED, 'ab' as SpaceId)).toThrow(TypeError)
  })
})

describe('what is put into a mailbox (R-MAILBOX-2)', () => {
  const { sealing } = mailboxKeysOf(SEED)
  const address = new Uint8Array(32).fill(1)
  const payload = toUtf8('a list')
  const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length))
  const sealed = sealMailbox({ sealing, address, counter: 5, payload, random })

  it('opens with its key, in its mailbox, under its counter', () => {
    expect(openMailbox({ sealing, address, counter: 5, sealed })).toEqual(payload)
  })

  it.each([
    ['with another key', { sealing: new Uint8Array(32) }],
    ['in another mailbox', { address: new Uint8Array(32) }],
    ['under another counter', { counter: 6 }],
    ['with a changed bit', { sealed: sealed.with(30, (sealed[30] as number) ^ 1) }],
    ['cut off', { sealed: sealed.subarray(0, -1) }],
    ['when it is empty', { sealed: new Uint8Array(0) }],
  ])('does not open %s', (_, other) => {
    expect(() => openMailbox({ sealing, address, counter: 5, sealed, ...other })).toThrow(
      expect.objectContaining({ code: 'ERR_OPEN' }),
    )
  })

  it('has a length that says little of that of the list', () => {
    for (const length of [0, 31, 1000, 100_000]) {
      const { length: actual } = sealMailbox({ sealing, address, counter: 1, payload: new Uint8Array(length), random })
      expect(actual).toBe(24 + paddedLength(length) + 16)
    }
  })

  it('repeats no nonce where randomness does, unless all is the same', () => {
    const broken = (length: number): Uint8Array => new Uint8Array(length)
    const nonceOf = (counter: number, text: string): string =>
      toHex(sealMailbox({ sealing, address, counter, payload: toUtf8(text), random: broken }).subarray(0, 24))
    expect(new Set([nonceOf(1, 'a'), nonceOf(2, 'a'), nonceOf(1, 'b')]).size).toBe(3)
    expect(nonceOf(1, 'a')).toBe(nonceOf(1, 'a'))
  })
})
