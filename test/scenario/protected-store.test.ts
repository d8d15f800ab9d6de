import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { equalBytes } from '../../src/bytes.ts'
import { type Cbor, decodeCbor } from '../../src/codec.ts'
import { spaceKey } from '../../src/crdt/rows.ts'
import type { ReplicaStore, StoreRow } from '../../src/crdt/store.ts'
import { type MemoryStore, memoryStore } from '../../src/crdt/store-memory.ts'
import { SealogError } from '../../src/errors.ts'
import type { SpaceId } from '../../src/ids.ts'
import { Replica } from '../../src/replica.ts'
import type { ReplicaOptions } from '../../src/replica-options.ts'
import { type Note, openWorld, settle, type World } from '../helpers/world.ts'
import { controlledStore, latch } from './controlled-store.ts'

const secret = { passphrase: 'correct horse battery staple' }
const other = { passphrase: 'incorrect horse battery staple' }
const passkey = { prf: new Uint8Array(32).fill(3) }

let world: World
let opened: Replica[]

beforeEach(async () => {
  world = await openWorld()
  opened = []
})

afterEach(async () => {
  for (const replica of opened) await replica.close().catch(() => {})
  await world.close()
})

async function open(store: ReplicaStore, options: Pick<ReplicaOptions, 'unlock'> = {}, name = 'Ann'): Promise<Replica> {
  const platform = { ...world.platform, passphraseCost: { logN: 4, r: 8, p: 1 } }
  const replica = await Replica.open({ store, relay: 'ws://relay.test', profile: { name }, ...options }, platform)
  opened.push(replica)
  return replica
}

/** The rows as they lie in a store that is closed. */
async function lying(store: MemoryStore): Promise<readonly StoreRow[]> {
  const raw = store.twin()
  await raw.open()
  const rows = await raw.scan(new Uint8Array(0))
  await raw.close()
  return rows
}

/** All seeds and epoch secrets of a space, out of a store that lies in clear: whatever in that row has 32 bytes. */
async function secretsIn(store: MemoryStore, space: SpaceId): Promise<readonly Uint8Array[]> {
  const row = (await lying(store)).find(([key]) => equalBytes(key, spaceKey(space, 'secrets')))
  const found: Uint8Array[] = []
  const collect = (item: Cbor): void => {
    if (item instanceof Uint8Array && item.length === 32) found.push(item)
    if (Array.isArray(item)) item.forEach(collect)
  }
  collect(decodeCbor(row?.[1] as Uint8Array, 2 ** 20))
  expect(found.length, 'two seeds of the device and a secret of the epoch at least').toBeGreaterThanOrEqual(3)
  return found
}

/** Does one of the values hold one of these, at any place? */
function holdsAny(rows: readonly StoreRow[], secrets: readonly Uint8Array[]): boolean {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
  return rows.some(([, value]) => secrets.some(bytes => text(value).includes(text(bytes))))
}

/** A replica with a space and a note that is proven. */
async function withNote(store: ReplicaStore, options: Pick<ReplicaOptions, 'unlock'> = {}) {
  const replica = await open(store, options)
  const space = await replica.createSpace({ name: 'Field notes', timeout: 5000 })
  const note = await space.createDocument<Note>({ title: 'Day 1', body: '' }, { name: 'Day 1' })
  await space.sync({ timeout: 5000 })
  return { replica, space, note }
}

/** Goes on with the note of an open replica, to the relay and back. */
async function goOn(replica: Replica, id: SpaceId, title: string): Promise<void> {
  const space = await replica.openSpace(id)
  const info = space.documents()[0]
  const note = await space.openDocument<Note>(info?.id as string)
  note.change(doc => {
    doc.title = title
  })
  await space.sync({ timeout: 5000 })
  expect(note.receipt.state).toBe('proven')
  expect(note.doc().title).toBe(title)
}

describe('a protected replica (R-LOCK-4, R-LOCK-5)', () => {
  it.each([
    ['passphrase', secret, other],
    ['prf', passkey, { prf: new Uint8Array(32).fill(4) }],
  ] as const)(
    'opens by its %s only; whatever else is tried leaves every byte as it was',
    async (type, right, wrong) => {
      const store = memoryStore()
      const { replica, space } = await withNote(store)
      expect(replica.protection).toBeUndefined()
      await replica.protect(right)
      expect(replica.protection).toBe(type)
      await goOn(replica, space.id, 'Day 2')
      await replica.close()

      const before = await lying(store)
      await expect(open(store)).rejects.toMatchObject({ code: 'ERR_STORE_SEALED', details: { expected: type } })
      await expect(open(store, { unlock: wrong })).rejects.toMatchObject({ code: 'ERR_PASSPHRASE', retryable: false })
      expect(await lying(store)).toEqual(before)

      const again = await open(store, { unlock: right })
      expect(again.protection).toBe(type)
      await goOn(again, space.id, 'Day 3')
    },
  )

  it('has none of its keys in clear in any row, and all of them when the protection is taken away', async () => {
    const store = memoryStore()
    const { replica, space } = await withNote(store)
    await replica.close()
    const secrets = await secretsIn(store, space.id)
    expect(holdsAny(await lying(store), secrets)).toBe(true)

    const second = await open(store)
    await second.protect(secret)
    await goOn(second, space.id, 'Day 2')
    await second.close()
    expect(holdsAny(await lying(store), secrets)).toBe(false)

    const third = await open(store, { unlock: secret })
    await third.unprotect()
    expect(third.protection).toBeUndefined()
    await third.close()
    expect(await secretsIn(store, space.id)).toEqual(secrets)
    await goOn(await open(store), space.id, 'Day 3')
  })

  it('that was protected from the start never writes a key in clear: neither of its own spaces nor of those it joins', async () => {
    const ann = await withNote(memoryStore())
    const link = await ann.space.invite({ timeout: 5000 })
    const place = memoryStore()
    const written: StoreRow[] = []
    const store = controlledStore(place)
    store.before = operation => {
      if (operation.name === 'commit') written.push(...operation.batch.puts)
    }
    const bob = await open(store, {}, 'Bob')
    await bob.protect(secret)
    const own = await withSpace(bob)
    const joined = await bob.joinSpace(link, { timeout: 5000 })
    await settle(ann.space, joined)
    await bob.close()
    const again = await open(place, { unlock: secret }, 'Bob')
    await goOn(again, joined.id, 'written by Bob')
    await settle(ann.space)
    expect(ann.note.doc().title).toBe('written by Bob')
    await again.unprotect()
    await again.close()
    for (const id of [own, joined.id]) {
      const secrets = await secretsIn(place, id)
      expect(holdsAny(await lying(place), secrets)).toBe(true)
      expect(holdsAny(written, secrets)).toBe(false)
    }
  })

  it('takes a new secret in the place of the old one', async () => {
    const store = memoryStore()
    const { replica, space } = await withNote(store)
    await replica.protect(secret)
    await replica.protect(passkey)
    await replica.close()
    await expect(open(store, { unlock: secret })).rejects.toMatchObject({
      code: 'ERR_PASSPHRASE',
      details: { expected: 'prf', actual: 'passphrase' },
    })
    await goOn(await open(store, { unlock: passkey }), space.id, 'Day 2')
  })

  it('forgets a space with its keys', async () => {
    const store = memoryStore()
    const { replica, space } = await withNote(store)
    await replica.protect(secret)
    await replica.removeLocal(space.id)
    await replica.close()
    const rows = (await lying(store)).map(([key]) => new TextDecoder().decode(key))
    expect(rows.filter(key => key.includes(space.id))).toEqual([])
    expect(await (await open(store, { unlock: secret })).spaces()).toEqual([])
  })
})

async function withSpace(replica: Replica): Promise<SpaceId> {
  const space = await replica.createSpace({ name: 'own', timeout: 5000 })
  await space.sync({ timeout: 5000 })
  return space.id
}

describe('protection that fails half-way', () => {
  const isLock = (batch: { puts: readonly StoreRow[] }): boolean =>
    batch.puts.some(([key]) => new TextDecoder().decode(key) === 'lock')

  it('for want of space leaves a replica that goes on without it, and can be protected later', async () => {
    const place = memoryStore()
    const store = controlledStore(place)
    const { replica, space } = await withNote(store)
    store.before = operation => {
      if (operation.name === 'commit' && isLock(operation.batch)) throw new SealogError('ERR_STORE_FULL', 'full')
    }
    await expect(replica.protect(secret)).rejects.toMatchObject({ code: 'ERR_STORE_FULL' })
    expect(replica.protection).toBeUndefined()
    store.before = () => {}
    await goOn(replica, space.id, 'Day 2')
    await replica.close()
    const again = await open(place)
    await again.protect(secret)
    await again.close()
    await goOn(await open(place, { unlock: secret }), space.id, 'Day 3')
  })

  it.each([
    ['before', undefined],
    ['after', secret],
  ] as const)('in an unknown moment, %s its effect: opening again shows which it is', async (moment, unlock) => {
    const place = memoryStore()
    const store = controlledStore(place)
    const { replica, space, note } = await withNote(store)
    const fail = (): never => {
      throw new SealogError('ERR_STORE', 'the disk went away')
    }
    store.before = operation => {
      if (moment === 'before' && operation.name === 'commit' && isLock(operation.batch)) fail()
    }
    store.after = batch => {
      if (moment === 'after' && isLock(batch)) fail()
    }
    await expect(replica.protect(secret)).rejects.toMatchObject({ code: 'ERR_STORE' })
    // Documents are not concerned.
    note.change(doc => {
      doc.title = 'meanwhile'
    })
    await space.sync({ timeout: 5000 })
    await expect(replica.createSpace({ timeout: 5000 })).rejects.toMatchObject({ code: 'ERR_STORE' })
    await replica.close()
    const again = await open(place, unlock === undefined ? {} : { unlock })
    expect(await again.spaces()).toEqual([space.id])
    const reopened = await (await again.openSpace(space.id)).openDocument<Note>(note.id)
    expect(reopened.doc().title).toBe('meanwhile')
    await goOn(again, space.id, 'Day 3')
  })

  it('by a crash leaves the old state: rows change in one batch, with the lock in it', async () => {
    const place = memoryStore()
    const store = controlledStore(place)
    const { replica, space } = await withNote(store)
    const batches: (readonly string[])[] = []
    const [reached, end] = [latch(), latch()]
    store.before = operation => {
      if (operation.name !== 'commit') return
      batches.push(operation.batch.puts.map(([key]) => new TextDecoder().decode(key)))
      reached.open()
      return end.opened.then(() => Promise.reject(new Error('the process is gone')))
    }
    void replica.protect(secret).catch(() => {})
    await reached.opened
    expect(batches).toEqual([[`space/${space.id}/secrets`, 'lock']])
    const crashed = memoryStore()
    await crashed.open()
    await crashed.commit({ puts: await place.scan(new Uint8Array(0)), deletes: [] })
    await crashed.close()
    end.open()
    await replica.close()
    await goOn(await open(crashed), space.id, 'Day 2')
  })
})

describe('misuse', () => {
  it('a secret for a store without protection is refused, and the store stays as it is', async () => {
    const store = memoryStore()
    const { replica, space } = await withNote(store)
    await replica.close()
    const before = await lying(store)
    await expect(open(store, { unlock: secret })).rejects.toMatchObject({
      code: 'ERR_PASSPHRASE',
      details: { reason: 'unprotected' },
    })
    expect(await lying(store)).toEqual(before)
    await goOn(await open(store), space.id, 'Day 2')
  })

  it.each([
    ['text', 'unlock:'],
    [{ passphrase: '' }, 'unlock.passphrase:'],
    [{ prf: new Uint8Array(16) }, 'unlock.prf:'],
  ])('unlock %o is a TypeError, before the store is touched', async (unlock, argument) => {
    const store = memoryStore()
    const error = await open(store, { unlock: unlock as typeof secret }).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(TypeError)
    expect((error as TypeError).message).toContain(argument)
    await store.open()
    await store.close()
  })

  it('no secret at all is a TypeError; a closed replica says so', async () => {
    const replica = await open(memoryStore())
    await expect(replica.protect(undefined as never)).rejects.toThrow(TypeError)
    await expect(replica.protect({ passphrase: '' })).rejects.toThrow('secret.passphrase')
    await replica.unprotect()
    await replica.close()
    await expect(replica.protect(secret)).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await expect(replica.unprotect()).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  })
})
