import { hkdfSync, scryptSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { concat, equalBytes, toUtf8 } from '../../src/bytes.ts'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import { open } from '../../src/crypto/aead.ts'
import {
  decodeStoreLock,
  encodeStoreLock,
  newStoreLock,
  openStoreLock,
  openStoreRow,
  type StoreSecret,
  sealStoreRow,
} from '../../src/crypto/store-lock.ts'
import { platformEnvironment } from '../../src/environment-platform.ts'

const { random } = platformEnvironment()
const cost = { logN: 4, r: 8, p: 1 }
const passphrase = { passphrase: 'correct horse' }
const prf = { prf: new Uint8Array(32).fill(7) }
const code = (code: string) => expect.objectContaining({ code })
const newLock = (secret: StoreSecret) => newStoreLock({ secret, random, cost })

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  return bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
}

describe('a lock (R-LOCK-1)', () => {
  it.each([passphrase, prf])('opens by the secret that it was made with, stored and read again: %o', async secret => {
    const { lock, dataKey } = await newLock(secret)
    expect(dataKey).toHaveLength(32)
    const stored = decodeStoreLock(encodeStoreLock(lock))
    expect(stored).toEqual(lock)
    expect(await openStoreLock(stored, secret)).toEqual(dataKey)
  })

  it('gives another data key each time', async () => {
    const [one, two] = [await newLock(prf), await newLock(prf)]
    expect(equalBytes(one.dataKey, two.dataKey)).toBe(false)
    expect(equalBytes(one.lock.sealed, two.lock.sealed)).toBe(false)
  })

  it('takes its key from scrypt and HKDF exactly as specified', async () => {
    const { lock, dataKey } = await newLock(passphrase)
    const { salt } = lock.method
    const stretched = scryptSync('correct horse', salt, 32, { N: 16, r: 8, p: 1 })
    const key = new Uint8Array(hkdfSync('sha256', stretched, '', 'sealog/v1/store-passphrase\0', 32))
    const aad = concat(toUtf8('sealog/v1/store-lock\0'), encodeCbor([1, [0, 4, 8, 1, salt]]))
    expect(open(key, new Uint8Array(24), lock.sealed, aad)).toEqual(dataKey)
  })

  it('takes its key from the output of a passkey and HKDF exactly as specified', async () => {
    const { lock, dataKey } = await newLock(prf)
    const { salt } = lock.method
    const info = concat(toUtf8('sealog/v1/store-prf\0'), salt)
    const key = new Uint8Array(hkdfSync('sha256', prf.prf, '', info, 32))
    const aad = concat(toUtf8('sealog/v1/store-lock\0'), encodeCbor([1, [1, salt]]))
    expect(open(key, new Uint8Array(24), lock.sealed, aad)).toEqual(dataKey)
  })

  it('costs 128 MiB by default', async () => {
    const { lock } = await newStoreLock({ secret: passphrase, random })
    expect(lock.method).toMatchObject({ cost: { logN: 17, r: 8, p: 1 } })
  })

  it('opens by a passphrase however its characters were composed, but not in another case or with a space more', async () => {
    const { lock, dataKey } = await newLock({ passphrase: 'Caf\u00e9 \ufb01n' })
    expect(await openStoreLock(lock, { passphrase: 'Cafe\u0301 fin' })).toEqual(dataKey)
    for (const other of ['café fin', 'Café fin ', 'Cafe fin']) {
      await expect(openStoreLock(lock, { passphrase: other })).rejects.toThrow(code('ERR_PASSPHRASE'))
    }
  })

  it('refuses any other secret with a code that is not retried, and says which type it takes', async () => {
    const byPassphrase = (await newLock(passphrase)).lock
    const byPasskey = (await newLock(prf)).lock
    const cases = [
      [byPassphrase, { passphrase: 'correct horsf' }, 'passphrase', 'passphrase'],
      [byPassphrase, prf, 'passphrase', 'prf'],
      [byPasskey, { prf: flip(prf.prf, 0) }, 'prf', 'prf'],
      [byPasskey, passphrase, 'prf', 'passphrase'],
    ] as const
    for (const [lock, secret, expected, actual] of cases) {
      const error = { code: 'ERR_PASSPHRASE', retryable: false, details: { expected, actual } }
      await expect(openStoreLock(lock, secret)).rejects.toMatchObject(error)
    }
  })
})

describe('a forged lock', () => {
  it('that differs in any one bit is unreadable or opens by nothing', async () => {
    for (const secret of [passphrase, prf]) {
      const { lock } = await newLock(secret)
      const bytes = encodeStoreLock(lock)
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const forged = flip(bytes, bit)
        const outcome = (async () => openStoreLock(decodeStoreLock(forged), secret))()
        await expect(outcome, `bit ${bit}`).rejects.toMatchObject({
          code: expect.stringMatching(/^ERR_(PASSPHRASE|MALFORMED|LIMIT|UPGRADE)$/),
        })
      }
    }
  })

  it('whose cost was lowered does not open: what a passphrase is stretched by is bound', async () => {
    const { lock } = await newLock(passphrase)
    const cheaper = { ...lock, method: { ...lock.method, cost: { logN: 3, r: 8, p: 1 } } } as typeof lock
    await expect(openStoreLock(cheaper, passphrase)).rejects.toThrow(code('ERR_PASSPHRASE'))
  })

  it.each([
    [[20, 8, 1], 'ERR_MALFORMED'],
    [[19, 9, 1], 'ERR_LIMIT'],
    [[18, 32, 1], 'ERR_LIMIT'],
    [[17, 33, 1], 'ERR_MALFORMED'],
    [[17, 8, 5], 'ERR_MALFORMED'],
    [[0, 8, 1], 'ERR_MALFORMED'],
    [[17, 7, 1], 'ERR_MALFORMED'],
    [[17, 8, 0], 'ERR_MALFORMED'],
    [[2 ** 40, 8, 1], 'ERR_MALFORMED'],
  ])('of cost %j is refused before it costs anything: %s (R-LOCK-2)', (numbers, expected) => {
    const bytes = encodeCbor([1, [0, ...numbers, new Uint8Array(16)], new Uint8Array(48)])
    expect(() => decodeStoreLock(bytes)).toThrow(code(expected))
  })

  it('takes the largest cost that is allowed', () => {
    const bytes = encodeCbor([1, [0, 19, 8, 4, new Uint8Array(16)], new Uint8Array(48)])
    expect(decodeStoreLock(bytes).method).toMatchObject({ cost: { logN: 19, r: 8, p: 4 } })
  })

  it.each([
    [[2, 'whatever comes then'], 'ERR_UPGRADE'],
    [[1, [2, 'whatever comes then'], new Uint8Array(48)], 'ERR_UPGRADE'],
    [[0, [1, new Uint8Array(16)], new Uint8Array(48)], 'ERR_UPGRADE'],
    [[1, [1, new Uint8Array(16)], new Uint8Array(47)], 'ERR_MALFORMED'],
    [[1, [1, new Uint8Array(17)], new Uint8Array(48)], 'ERR_MALFORMED'],
    [[1, [1, new Uint8Array(16)], new Uint8Array(48), 0], 'ERR_MALFORMED'],
    [[1, [], new Uint8Array(48)], 'ERR_MALFORMED'],
    [[1, 0, new Uint8Array(48)], 'ERR_MALFORMED'],
    ['lock', 'ERR_MALFORMED'],
    [new Uint8Array(300), 'ERR_LIMIT'],
  ] as const)('of another shape, %j, is %s', (item, expected) => {
    expect(() => decodeStoreLock(encodeCbor(item as Cbor))).toThrow(code(expected))
  })
})

describe('a sealed row (R-LOCK-3)', () => {
  const key = toUtf8('space/00/secrets')
  const dataKey = new Uint8Array(32).fill(9)

  it('opens under its data key and in its place only', () => {
    const value = toUtf8('secret')
    const sealed = sealStoreRow(dataKey, key, value, random)
    expect(openStoreRow(dataKey, key, sealed)).toEqual(value)
    expect(() => openStoreRow(flip(dataKey, 255), key, sealed)).toThrow(code('ERR_OPEN'))
    expect(() => openStoreRow(dataKey, toUtf8('space/01/secrets'), sealed)).toThrow(code('ERR_OPEN'))
    expect(() => openStoreRow(dataKey, key, value)).toThrow(code('ERR_OPEN'))
    for (let bit = 0; bit < sealed.length * 8; bit += 7) {
      expect(() => openStoreRow(dataKey, key, flip(sealed, bit))).toThrow(code('ERR_OPEN'))
    }
  })

  it('shows neither its content nor that it has not changed, nor its exact length', () => {
    const seal = (length: number) => sealStoreRow(dataKey, key, new Uint8Array(length).fill(5), random)
    expect(equalBytes(seal(100), seal(100))).toBe(false)
    expect(seal(97)).toHaveLength(seal(100).length)
    expect(seal(0)).toHaveLength(seal(31).length)
  })
})

describe('misuse is a TypeError that names the argument', () => {
  it.each([
    [undefined, 'secret:'],
    ['correct horse', 'secret:'],
    [{}, 'secret:'],
    [{ ...passphrase, ...prf }, 'secret:'],
    [{ passphrase: '' }, 'secret.passphrase:'],
    [{ passphrase: 12 }, 'secret.passphrase:'],
    [{ passphrase: 'x'.repeat(1025) }, 'secret.passphrase:'],
    [{ passphrase: 'half of a pair \ud83d' }, 'secret.passphrase:'],
    [{ prf: new Uint8Array(31) }, 'secret.prf:'],
    [{ prf: 'text' }, 'secret.prf:'],
  ])('%o', async (secret, argument) => {
    const { lock } = await newLock(prf)
    for (const call of [newLock(secret as StoreSecret), openStoreLock(lock, secret as StoreSecret)]) {
      const error = await call.catch((error: unknown) => error)
      expect(error).toBeInstanceOf(TypeError)
      expect((error as TypeError).message).toContain(argument)
    }
  })

  it('a generator that gives too few bytes', async () => {
    await expect(newStoreLock({ secret: prf, random: () => new Uint8Array(8) })).rejects.toThrow(TypeError)
  })
})

it('the stored bytes are canonical CBOR of version 1', async () => {
  const { lock } = await newLock(passphrase)
  expect(decodeCbor(encodeStoreLock(lock), 256)).toEqual([1, [0, 4, 8, 1, lock.method.salt], lock.sealed])
})
