import { describe, expect, it, test } from 'vitest'
import { equalBytes, fromUtf8, toUtf8 } from '../../src/bytes.ts'
import { encodeCbor } from '../../src/codec.ts'
import { listedKey, spaceKey } from '../../src/crdt/rows.ts'
import { SECRET_ROWS, type SecretRows } from '../../src/crdt/secret-rows.ts'
import type { ReplicaStore, StoreBatch } from '../../src/crdt/store.ts'
import { storeContract } from '../../src/crdt/store-contract.ts'
import { failingStore } from '../../src/crdt/store-failing.ts'
import { type LockedStore, lockedStore } from '../../src/crdt/store-locked.ts'
import { type MemoryStore, memoryStore } from '../../src/crdt/store-memory.ts'
import { platformEnvironment } from '../../src/environment-platform.ts'
import type { SpaceId } from '../../src/ids.ts'
import { latch } from '../scenario/controlled-store.ts'

const { random } = platformEnvironment()
const cost = { logN: 4, r: 8, p: 1 }
const first = { passphrase: 'first' }
const second = { passphrase: 'second' }
const code = (code: string) => expect.objectContaining({ code })

const [one, two] = ['1', '2'].map(digit => digit.repeat(64) as SpaceId) as [SpaceId, SpaceId]
const SECRETS: readonly (readonly [Uint8Array, Uint8Array])[] = [
  [spaceKey(one, 'secrets'), toUtf8('the seeds of space one')],
  [spaceKey(two, 'secrets'), toUtf8('the seeds of space two')],
  [toUtf8(`space/${two}/secrets/epoch`), toUtf8('a row below the secrets of a space')],
  [toUtf8('recovery'), toUtf8('the seed of a recovery phrase')],
]
const OPEN: readonly (readonly [Uint8Array, Uint8Array])[] = [
  [listedKey(one), new Uint8Array(0)],
  [listedKey(two), new Uint8Array(0)],
  [spaceKey(one, 'view'), toUtf8('a view')],
  [toUtf8(`space/${one}/secretsnot`), toUtf8('looks like secrets of a space')],
  [toUtf8('recoverynot'), toUtf8('looks like a recovery')],
]
const ALL = [...SECRETS, ...OPEN]

const locked = (inner: ReplicaStore, rows: SecretRows = SECRET_ROWS) => lockedStore(inner, { rows, random, cost })

/** A store with all these rows, and the memory behind it. */
async function filled(): Promise<{ inner: MemoryStore; store: LockedStore }> {
  const inner = memoryStore()
  const store = locked(inner)
  await store.open()
  await store.commit({ puts: ALL, deletes: [] })
  return { inner, store }
}

/** The rows as they lie there, sorted. The store must be closed. */
async function lying(inner: MemoryStore) {
  const raw = inner.twin()
  await raw.open()
  const rows = await raw.scan(new Uint8Array(0))
  await raw.close()
  return rows
}

/** Which of the values lie there as they are. */
async function inClear(inner: MemoryStore): Promise<readonly string[]> {
  const rows = await lying(inner)
  return ALL.filter(([, value]) => rows.some(([, bytes]) => equalBytes(bytes, value))).map(([key]) => fromUtf8(key))
}

const names = (rows: readonly (readonly [Uint8Array, Uint8Array])[]) => rows.map(([key]) => fromUtf8(key))

/** By get and by scan: everything that was put, and nothing else. */
async function expectAll(store: ReplicaStore): Promise<void> {
  for (const [key, value] of ALL) expect(await store.get(key)).toEqual(value)
  const rows = await store.scan(new Uint8Array(0))
  expect(names(rows)).toEqual(names(ALL).sort())
  for (const [key, value] of rows) expect(value).toEqual(ALL.find(([other]) => equalBytes(other, key))?.[1])
}

const everyRow: SecretRows = {
  has: () => true,
  load: async store => (await store.scan(new Uint8Array(0))).filter(isRow),
}
const isRow = ([key]: readonly [Uint8Array, Uint8Array]): boolean => fromUtf8Safe(key) !== 'lock'
const fromUtf8Safe = (bytes: Uint8Array): string => String.fromCharCode(...bytes)

describe.each([
  ['without protection', undefined],
  ['with every row sealed', first],
])('a lockable store keeps the contract of stores %s', (_, secret) => {
  const cases = storeContract(() => {
    const inner = memoryStore()
    return {
      store: () => {
        const store = locked(inner.twin(), everyRow)
        const open = async (): Promise<void> => {
          await store.open()
          if (secret === undefined) return
          const unlocking = store.protection === undefined ? store.protect(secret) : store.unlock(secret)
          // One of the cases closes it meanwhile.
          await unlocking.catch(error => expect(error).toMatchObject({ code: 'ERR_CLOSED' }))
        }
        return { ...store, open }
      },
    }
  })
  for (const { name, run } of cases) test(name, { timeout: 60_000 }, run)
})

describe('protection (R-LOCK-4)', () => {
  it('seals the rows with keys, those and no others, and shows all as before', async () => {
    const { inner, store } = await filled()
    expect(store.protection).toBeUndefined()
    await expectAll(store)
    await store.protect(first)
    expect(store.protection).toBe('passphrase')
    await expectAll(store)
    await store.close()
    expect(await inClear(inner)).toEqual(names(OPEN))
    expect(names(await lying(inner))).toEqual(['lock', ...names(ALL)].sort())
  })

  it('seals what is written from then on, and reads it after opening again', async () => {
    const { inner, store } = await filled()
    await store.protect(first)
    const [key, later] = [spaceKey(one, 'secrets'), toUtf8('the seeds of space one, changed')]
    await store.commit({ puts: [[key, later]], deletes: [toUtf8('recovery')] })
    await store.close()
    expect((await lying(inner)).some(([, value]) => fromUtf8Safe(value).includes('seeds'))).toBe(false)
    const again = locked(inner.twin())
    await again.open()
    await again.unlock(first)
    expect(await again.get(key)).toEqual(later)
    expect(await again.get(toUtf8('recovery'))).toBeUndefined()
    await again.close()
  })

  it('that is changed leaves nothing that the earlier secret, or the earlier data key, opens', async () => {
    const { inner, store } = await filled()
    await store.protect(first)
    await store.close()
    const before = await lying(inner)
    const again = locked(inner.twin())
    await again.open()
    await again.unlock(first)
    await again.protect(second)
    await expectAll(again)
    await again.close()
    for (const [key, value] of await lying(inner)) {
      const was = before.find(([other]) => equalBytes(other, key))?.[1] as Uint8Array
      expect(equalBytes(value, was), fromUtf8(key)).toBe(!SECRET_ROWS.has(key) && fromUtf8(key) !== 'lock')
    }
    const third = locked(inner.twin())
    await third.open()
    await expect(third.unlock(first)).rejects.toThrow(code('ERR_PASSPHRASE'))
    await third.unlock(second)
    await expectAll(third)
    await third.close()
  })

  it('that is taken away leaves the very bytes that there were without it, and no lock', async () => {
    const { inner, store } = await filled()
    await store.protect(first)
    await store.unprotect()
    expect(store.protection).toBeUndefined()
    await expectAll(store)
    await store.unprotect()
    await store.close()
    expect(names(await lying(inner))).toEqual(names(ALL).sort())
    expect(await inClear(inner)).toEqual(names(ALL))
  })

  it('is under the secret as it was at the call: whoever hands it in may wipe it at once', async () => {
    const { inner, store } = await filled()
    const prf = new Uint8Array(32).fill(5)
    const protecting = store.protect({ prf })
    prf.fill(0)
    await protecting
    await store.close()
    const again = locked(inner.twin())
    await again.open()
    await expect(again.unlock({ prf })).rejects.toThrow(code('ERR_PASSPHRASE'))
    const unlocking = again.unlock({ prf: prf.fill(5) })
    prf.fill(0)
    await unlocking
    await expectAll(again)
    await again.close()
  })

  it('covers a passkey in the same way', async () => {
    const { inner, store } = await filled()
    await store.protect({ prf: new Uint8Array(32).fill(1) })
    expect(store.protection).toBe('prf')
    await store.close()
    const again = locked(inner.twin())
    await again.open()
    await again.unlock({ prf: new Uint8Array(32).fill(1) })
    await expectAll(again)
    await again.close()
  })
})

describe('a store that was not unlocked (R-LOCK-5)', () => {
  async function sealed(): Promise<{ inner: MemoryStore; store: LockedStore }> {
    const { inner, store } = await filled()
    await store.protect(first)
    await store.close()
    await store.open()
    expect(store.isSealed).toBe(true)
    return { inner, store }
  }

  it('neither shows nor takes secret rows, nor lets its protection be changed; all else goes on', async () => {
    const { store } = await sealed()
    const [key, value] = SECRETS[0] as readonly [Uint8Array, Uint8Array]
    const error = { code: 'ERR_STORE_SEALED', retryable: false, details: { expected: 'passphrase' } }
    await expect(store.get(key)).rejects.toMatchObject(error)
    await expect(store.scan(key)).rejects.toMatchObject(error)
    await expect(store.commit({ puts: [[key, value]], deletes: [] })).rejects.toMatchObject(error)
    await expect(store.protect(second)).rejects.toMatchObject(error)
    await expect(store.unprotect()).rejects.toMatchObject(error)
    expect(await store.get(spaceKey(one, 'view'))).toEqual(toUtf8('a view'))
    await store.close()
  })

  it('leaves every byte as it was when a wrong secret is tried, and opens by the right one then', async () => {
    const { inner, store } = await sealed()
    await store.close()
    const before = await lying(inner)
    await store.open()
    for (const wrong of [second, { passphrase: 'First' }, { prf: new Uint8Array(32) }]) {
      await expect(store.unlock(wrong)).rejects.toThrow(code('ERR_PASSPHRASE'))
      expect(store.isSealed).toBe(true)
    }
    await store.close()
    expect(await lying(inner)).toEqual(before)
    await store.open()
    await store.unlock(first)
    await expectAll(store)
    await store.close()
  })

  it('that is unlocked twice at once, and protected anew in between, stays under the newest key', async () => {
    const inner = memoryStore()
    const slow = lockedStore(inner, { rows: SECRET_ROWS, random, cost: { logN: 13, r: 8, p: 1 } })
    await slow.open()
    await slow.commit({ puts: ALL, deletes: [] })
    await slow.protect(first)
    await slow.close()
    await slow.open()
    const late = [slow.unlock(first), slow.unlock(first)]
    await Promise.race(late)
    await slow.protect({ prf: new Uint8Array(32) })
    await Promise.all(late)
    expect(slow.protection).toBe('prf')
    await expectAll(slow)
    await slow.close()
  })

  it('is sealed again when it is closed and opened', async () => {
    const { store } = await sealed()
    await store.unlock(first)
    await store.close()
    await store.open()
    await expect(store.get(spaceKey(one, 'secrets'))).rejects.toThrow(code('ERR_STORE_SEALED'))
    await store.close()
  })
})

describe('a change of protection that fails', () => {
  const changes = [
    ['protect', undefined, (store: LockedStore) => store.protect(second)],
    ['protect anew', first, (store: LockedStore) => store.protect(second)],
    ['unprotect', first, (store: LockedStore) => store.unprotect()],
  ] as const

  /** Opens by whatever of the two it is. */
  async function reopened(inner: MemoryStore): Promise<LockedStore> {
    const store = locked(inner.twin())
    await store.open()
    if (store.isSealed) await store.unlock(first).catch(() => store.unlock(second))
    return store
  }

  describe.each(changes)('%s', (_, before, change) => {
    async function prepared(): Promise<MemoryStore> {
      const { inner, store } = await filled()
      if (before !== undefined) await store.protect(before)
      await store.close()
      return inner
    }

    it.each(['before', 'after'] as const)(
      '%s the effect of any operation leaves all as before or as wanted',
      async mode => {
        for (let failAt = 1; ; failAt++) {
          const inner = await prepared()
          const failing = failingStore(inner.twin(), { failAt, mode })
          const store = locked(failing)
          // The first read is that of the lock.
          const outcome = await store
            .open()
            .then(() => (before === undefined ? undefined : store.unlock(before)))
            .then(() => change(store))
            .then(
              () => 'done',
              error => error.code,
            )
          await store.close()
          const again = await reopened(inner)
          await expectAll(again)
          await again.close()
          if (outcome === 'done') break
          expect(outcome).toBe('ERR_STORE')
          expect(failAt, 'it comes to an end').toBeLessThan(20)
        }
      },
    )

    it('in an unknown moment: no row is written that the key of the disk might not open', async () => {
      const inner = await prepared()
      const { store, raw } = withFailure(inner, 'after', 'ERR_STORE')
      await store.open()
      if (before !== undefined) await store.unlock(before)
      raw.armed = true
      await expect(change(store)).rejects.toThrow(code('ERR_STORE'))
      const [key] = SECRETS[0] as readonly [Uint8Array, Uint8Array]
      const unknown = { code: 'ERR_STORE', retryable: false }
      await expect(store.commit({ puts: [[key, toUtf8('lost')]], deletes: [] })).rejects.toMatchObject(unknown)
      await expect(store.get(key)).rejects.toMatchObject(unknown)
      await expect(store.protect(first)).rejects.toMatchObject(unknown)
      await store.commit({ puts: [[spaceKey(one, 'view'), toUtf8('a view')]], deletes: [] })
      await store.close()
      const again = await reopened(inner)
      await expectAll(again)
      await again.close()
    })

    it('for want of space: everything goes on as before', async () => {
      const inner = await prepared()
      const { store, raw } = withFailure(inner, 'before', 'ERR_STORE_FULL')
      await store.open()
      if (before !== undefined) await store.unlock(before)
      const protection = store.protection
      raw.armed = true
      await expect(change(store)).rejects.toThrow(code('ERR_STORE_FULL'))
      raw.armed = false
      expect(store.protection).toBe(protection)
      await expectAll(store)
      await store.commit({ puts: SECRETS, deletes: [] })
      await change(store)
      await store.close()
      const again = await reopened(inner)
      await expectAll(again)
      await again.close()
    })
  })

  function withFailure(inner: MemoryStore, mode: 'before' | 'after', failure: 'ERR_STORE' | 'ERR_STORE_FULL') {
    const twin = inner.twin()
    const raw = { armed: false }
    const fail = async (batch: StoreBatch): Promise<void> => {
      if (!raw.armed) return twin.commit(batch)
      raw.armed = false
      const failing = failingStore(twin, { failAt: 1, mode, code: failure })
      return failing.commit(batch)
    }
    return { store: locked({ ...twin, commit: fail }), raw }
  }
})

describe('a change of protection among other calls', () => {
  it('neither loses nor leaves in clear what is committed before, during and after it', async () => {
    const inner = memoryStore()
    const twin = inner.twin()
    const gate = latch()
    let isSlow = false
    const store = locked({
      ...twin,
      scan: async prefix => {
        const rows = await twin.scan(prefix)
        if (isSlow) await gate.opened
        return rows
      },
    })
    await store.open()
    await store.commit({ puts: ALL, deletes: [] })
    const key = spaceKey(one, 'secrets')
    const put = (text: string) => store.commit({ puts: [[key, toUtf8(text)]], deletes: [] })
    isSlow = true
    const calls = [put('seeds, before'), store.protect(first)]
    // The slow part is over when the lock is made; then it reads what it is to seal, and stands still.
    await new Promise(resolve => setTimeout(resolve, 50))
    calls.push(put('seeds, during'))
    const read = store.get(key)
    calls.push(store.protect(second))
    isSlow = false
    gate.open()
    await Promise.all(calls)
    expect(await read).toEqual(toUtf8('seeds, during'))
    await put('seeds, after')
    await store.close()
    expect((await lying(inner)).some(([, value]) => fromUtf8Safe(value).includes('seeds'))).toBe(false)
    await store.open()
    await store.unlock(second)
    expect(await store.get(key)).toEqual(toUtf8('seeds, after'))
    await store.close()
  })

  it('takes effect in the order of the calls, however long each of them takes', async () => {
    const inner = memoryStore()
    const store = lockedStore(inner, { rows: SECRET_ROWS, random, cost: { logN: 12, r: 8, p: 1 } })
    await store.open()
    await store.commit({ puts: ALL, deletes: [] })
    const quick = { prf: new Uint8Array(32) }
    await Promise.all([store.protect(first), store.protect(quick)])
    expect(store.protection).toBe('prf')
    await Promise.all([store.protect(first), store.unprotect()])
    expect(store.protection).toBeUndefined()
    await Promise.allSettled([store.protect({ passphrase: '' }), store.protect(quick)])
    expect(store.protection).toBe('prf')
    await expectAll(store)
    await store.close()
  })

  it('that has not begun when the store is closed does nothing', async () => {
    const { inner, store } = await filled()
    const before = store.protect(first)
    await store.close()
    await expect(before).rejects.toThrow(code('ERR_CLOSED'))
    expect(names(await lying(inner))).not.toContain('lock')
    await expect(store.protect(first)).rejects.toThrow(code('ERR_CLOSED'))
    await expect(store.unlock(first)).rejects.toThrow(code('ERR_CLOSED'))
    await expect(store.unprotect()).rejects.toThrow(code('ERR_CLOSED'))
  })
})

describe('somebody who writes the store', () => {
  async function tampered(change: (rows: Map<string, Uint8Array>) => void): Promise<LockedStore> {
    const { inner, store } = await filled()
    await store.protect(first)
    await store.close()
    const rows = new Map((await lying(inner)).map(([key, value]) => [fromUtf8(key), value]))
    change(rows)
    const raw = memoryStore()
    await raw.open()
    await raw.commit({ puts: [...rows].map(([key, value]) => [toUtf8(key), value]), deletes: [] })
    await raw.close()
    return locked(raw)
  }
  const [rowOne, rowTwo] = [one, two].map(id => `space/${id}/secrets`) as [string, string]

  it.each<[string, (rows: Map<string, Uint8Array>) => void]>([
    ['swaps the keys of two spaces', rows => rows.set(rowOne, rows.get(rowTwo) as Uint8Array)],
    ['puts keys in clear', rows => rows.set(rowOne, toUtf8('the seeds of somebody else'))],
    [
      'flips a bit',
      rows =>
        rows.set(
          rowOne,
          (rows.get(rowOne) as Uint8Array).map((byte, i) => byte ^ (i === 30 ? 1 : 0)),
        ),
    ],
    ['cuts it off', rows => rows.set(rowOne, (rows.get(rowOne) as Uint8Array).subarray(0, 20))],
  ])('%s: damage, never other keys', async (_, change) => {
    const store = await tampered(change)
    await store.open()
    await store.unlock(first)
    await expect(store.get(toUtf8(rowOne))).rejects.toThrow(code('ERR_STORE_CORRUPT'))
    expect(await store.get(toUtf8(rowTwo))).toBeDefined()
    await store.close()
  })

  it('damages the lock: the store does not open, and is closed again', async () => {
    const store = await tampered(rows => rows.set('lock', encodeCbor([1, 2, 3])))
    await expect(store.open()).rejects.toThrow(code('ERR_STORE_CORRUPT'))
    await expect(store.open()).rejects.toThrow(code('ERR_STORE_CORRUPT'))
  })

  it('asks for more memory than a lock may take: the store does not open', async () => {
    const greedy = encodeCbor([1, [0, 19, 32, 4, new Uint8Array(16)], new Uint8Array(48)])
    const store = await tampered(rows => rows.set('lock', greedy))
    await expect(store.open()).rejects.toThrow(code('ERR_STORE_CORRUPT'))
  })

  it('is of a later version: the store asks for a later build', async () => {
    const store = await tampered(rows => rows.set('lock', encodeCbor([2])))
    await expect(store.open()).rejects.toThrow(code('ERR_UPGRADE'))
  })
})

it('the lock itself is out of reach', async () => {
  const { store } = await filled()
  await store.protect(first)
  expect(await store.get(toUtf8('lock'))).toBeUndefined()
  expect(await store.scan(toUtf8('lo'))).toEqual([])
  for (const batch of [
    { puts: [[toUtf8('lock'), toUtf8('x')] as const], deletes: [] },
    { puts: [], deletes: [toUtf8('lock')] },
  ]) {
    await expect(store.commit(batch)).rejects.toMatchObject({ code: 'ERR_STORE', retryable: false })
  }
  await store.close()
})
