import 'fake-indexeddb/auto'
import { forceCloseDatabase } from 'fake-indexeddb'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { indexedDbStore } from '../../src/crdt/store-indexeddb.ts'
import type { LeaseEnvironment } from '../../src/crdt/store-indexeddb-lease.ts'
import { FakeWebLocks } from '../helpers/web-locks.ts'

const KEY = Uint8Array.of(1)
const EVERYTHING = new Uint8Array(0)

let count = 0
let name = ''
let locks = new FakeWebLocks()

beforeEach(() => {
  count++
  name = `replica-${count}`
  locks = new FakeWebLocks()
  vi.stubGlobal('navigator', { locks })
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
})

test('rows are ArrayBuffers of exactly their bytes, in a database under a name of our own', async () => {
  const store = await opened()
  const around = Uint8Array.of(7, 1, 7, 2, 7)
  await store.commit({ puts: [[around.subarray(1, 2), around.subarray(3, 4)]], deletes: [] })
  await store.close()
  const db = await openRaw()
  const rows = db.transaction('rows').objectStore('rows')
  const [keys, values] = await Promise.all([result(rows.getAllKeys()), result(rows.getAll())])
  expect([keys, values]).toEqual([[Uint8Array.of(1).buffer], [Uint8Array.of(2).buffer]])
  db.close()
})

test('a commit asks the browser for the durability it was given, strict by default', async () => {
  const transaction = vi.spyOn(IDBDatabase.prototype, 'transaction')
  const store = await opened()
  await store.commit({ puts: [[KEY, KEY]], deletes: [] })
  await store.commit({ puts: [[KEY, KEY]], deletes: [], durability: 'relaxed' })
  const asked = transaction.mock.calls.slice(-2).map(([, mode, options]) => [mode, options?.durability])
  expect(asked).toEqual([
    ['readwrite', 'strict'],
    ['readwrite', 'relaxed'],
  ])
})

test('a database of a newer version is refused, and its lock let go', async () => {
  await (await opened()).close()
  ;(await openRaw(2)).close()
  await expect(indexedDbStore(name).open()).rejects.toMatchObject({ code: 'ERR_STORE_SCHEMA', retryable: false })
  await expect(indexedDbStore(name).open()).rejects.toMatchObject({ code: 'ERR_STORE_SCHEMA' })
})

test('a database that something else made is refused and left as it is', async () => {
  const other = await openRaw(1, db => db.createObjectStore('diary'))
  other.close()
  await expect(indexedDbStore(name).open()).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
  const again = await openRaw()
  expect([...again.objectStoreNames]).toEqual(['diary'])
  again.close()
})

test('a row that is not bytes gives ERR_STORE_CORRUPT', async () => {
  await (await opened()).close()
  const db = await openRaw()
  await result(db.transaction('rows', 'readwrite').objectStore('rows').put('text', KEY))
  db.close()
  const store = await opened()
  await expect(store.get(KEY)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
  await expect(store.scan(EVERYTHING)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
})

test('without IndexedDB open says so', async () => {
  vi.stubGlobal('indexedDB', undefined)
  await expect(indexedDbStore(name).open()).rejects.toMatchObject({ code: 'ERR_STORE' })
})

test('wrong arguments are TypeErrors that name them', () => {
  for (const wrong of ['', undefined, 7]) expect(() => indexedDbStore(wrong as string)).toThrow(/^name:/)
})

describe('a commit that cannot be finished leaves no part of itself, and the store goes on', () => {
  const TWO = {
    puts: [
      [KEY, Uint8Array.of(9)],
      [Uint8Array.of(2), KEY],
    ],
    deletes: [Uint8Array.of(3)],
  } as const

  /** Lets the second put of the next commit do something else. */
  function sabotageSecondPut(sabotage: (rows: IDBObjectStore) => IDBRequest<IDBValidKey>): void {
    const put = IDBObjectStore.prototype.put
    let puts = 0
    vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(function (this: IDBObjectStore, ...row) {
      puts++
      return puts === 2 ? sabotage(this) : put.apply(this, row)
    })
  }

  test.each<[string, string, (rows: IDBObjectStore) => IDBRequest<IDBValidKey>]>([
    ['put throws for want of space', 'ERR_STORE_FULL', () => raise('QuotaExceededError')],
    ['put throws', 'ERR_STORE', () => raise('UnknownError')],
    ['a request fails', 'ERR_STORE', rows => rows.add(KEY.buffer, KEY.buffer)],
    ['the browser aborts for want of space', 'ERR_STORE_FULL', rows => abortWith(rows, 'QuotaExceededError')],
    ['the browser aborts without a reason', 'ERR_STORE', rows => abortWith(rows, null)],
  ])('%s: %s', async (_, code, sabotage) => {
    const store = await opened()
    await store.commit({
      puts: [
        [KEY, KEY],
        [Uint8Array.of(3), KEY],
      ],
      deletes: [],
    })
    const before = await store.scan(EVERYTHING)
    sabotageSecondPut(sabotage)
    await expect(store.commit(TWO)).rejects.toMatchObject({ code })
    expect(await store.scan(EVERYTHING)).toEqual(before)
    await store.commit(TWO)
    expect(await store.scan(EVERYTHING)).toEqual([
      [KEY, Uint8Array.of(9)],
      [Uint8Array.of(2), KEY],
    ])
  })

  function raise(errorName: string): never {
    throw new DOMException('made to fail', errorName)
  }

  /** Aborts as the browser itself does, which a script cannot: with an error, or with none. */
  function abortWith(rows: IDBObjectStore, errorName: string | null): IDBRequest<IDBValidKey> {
    queueMicrotask(() => (rows.transaction as AbortableTransaction)._abort(errorName))
    return rows.put(KEY.buffer, KEY.buffer)
  }
})

describe('when the database is taken away', () => {
  test('another page that deletes it is let through; from then on calls reject with ERR_STORE', async () => {
    const store = await opened()
    const underWay = store.commit({ puts: [[KEY, new Uint8Array(100_000)]], deletes: [] })
    const deletion = indexedDB.deleteDatabase(`sealog/${name}`)
    await underWay
    await result(deletion)
    for (const call of [store.get(KEY), store.scan(KEY), store.commit({ puts: [], deletes: [] })]) {
      await expect(call).rejects.toMatchObject({ code: 'ERR_STORE' })
    }
    await store.close()
    await expect(store.get(KEY)).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await store.open()
    expect(await store.scan(EVERYTHING)).toEqual([])
    await store.close()
  })

  test('a newer version of the library is let through', async () => {
    const store = await opened()
    ;(await openRaw(2)).close()
    await expect(store.get(KEY)).rejects.toMatchObject({ code: 'ERR_STORE' })
  })

  test('when the browser closes it, commits under way reject cleanly and later calls with ERR_STORE', async () => {
    const transaction = vi.spyOn(IDBDatabase.prototype, 'transaction')
    const store = await opened()
    const underWay = store.commit({ puts: [[KEY, KEY]], deletes: [] })
    const rejected = expect(underWay).rejects.toMatchObject({ code: 'ERR_STORE' })
    const { value } = transaction.mock.results.at(-1) as { value: AbortableTransaction }
    value._abort('AbortError')
    forceCloseDatabase(value.db as unknown as Parameters<typeof forceCloseDatabase>[0])
    await rejected
    await expect(store.get(KEY)).rejects.toThrow('ERR_STORE: the browser closed the database')
    await store.close()
    const again = await opened()
    expect(await again.scan(EVERYTHING)).toEqual([])
  })
})

test('when the Web Lock is stolen, calls reject with ERR_STORE_LOCKED', async () => {
  const store = await opened()
  locks.steal(`sealog/${name}`)
  await pause()
  await expect(store.commit({ puts: [], deletes: [] })).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
  await store.close()
})

test('when Web Locks are forbidden here, open rejects with ERR_STORE', async () => {
  vi.spyOn(locks, 'request').mockRejectedValue(new DOMException('opaque origin', 'SecurityError'))
  await expect(indexedDbStore(name).open()).rejects.toMatchObject({ code: 'ERR_STORE' })
})

describe('without Web Locks', () => {
  beforeEach(() => {
    vi.stubGlobal('navigator', {})
  })

  test('a lease that is renewed outlasts its term', async () => {
    const clock = new Clock()
    await opened(clock)
    for (let i = 0; i < 10; i++) await clock.advance(1_500)
    await expect(indexedDbStore(name, clock).open()).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
  })

  test('a page that crashed blocks its successor for no longer than five seconds', async () => {
    await opened(new Clock(), 'crashed')
    const clock = new Clock()
    await clock.advance(4_999)
    await expect(indexedDbStore(name, clock).open()).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
    await clock.advance(1)
    await put(await opened(clock), KEY)
  })

  test('a page that slept and was succeeded can write no more, even before it notices', async () => {
    const sleeper = await opened(new Clock())
    await put(sleeper, KEY)
    const clock = new Clock()
    await clock.advance(6_000)
    const successor = await opened(clock)
    await expect(put(sleeper, Uint8Array.of(2))).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
    await expect(sleeper.get(KEY)).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
    await put(successor, Uint8Array.of(3))
    await sleeper.close()
    await put(successor, Uint8Array.of(4))
    expect((await successor.scan(EVERYTHING)).map(([key]) => key[0])).toEqual([1, 3, 4])
    await expect(indexedDbStore(name, clock).open()).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
  })

  test('a page that slept and was succeeded notices at its next renewal', async () => {
    const sleeping = new Clock()
    const sleeper = await opened(sleeping)
    const clock = new Clock()
    await clock.advance(6_000)
    await opened(clock)
    await sleeping.advance(6_000)
    await expect(sleeper.get(KEY)).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
  })

  test('a page that slept, and was not succeeded, goes on', async () => {
    const clock = new Clock()
    const store = await opened(clock)
    await clock.advance(60_000)
    await put(store, KEY)
    await expect(indexedDbStore(name, clock).open()).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
  })

  test('a clock that was put back does not make a lease eternal', async () => {
    const future = new Clock()
    await future.advance(86_400_000)
    await opened(future, 'crashed')
    await opened(new Clock())
  })

  test('after close nothing is renewed any more', async () => {
    const clock = new Clock()
    const store = await opened(clock)
    await clock.advance(1_500)
    await store.close()
    expect(clock.timers).toBe(0)
    await put(await opened(new Clock()), KEY)
  })

  test('a renewal under way when the store is closed neither revives the lease nor the timer', async () => {
    const clock = new Clock()
    const store = await opened(clock)
    const renewed = clock.advance(1_500)
    await store.close()
    await renewed
    expect(clock.timers).toBe(0)
    await opened(new Clock())
  })
})

/** What lets a test abort as the browser itself does. */
type AbortableTransaction = IDBTransaction & { _abort(errorName: string | null): void }

/** A clock driven by hand, whose timers run when it passes them. */
class Clock implements LeaseEnvironment {
  #time = 1_700_000_000_000
  #pending = new Map<() => void, number>()
  readonly now = (): number => this.#time
  readonly schedule = (ms: number, task: () => void): (() => void) => {
    this.#pending.set(task, this.#time + ms)
    return () => void this.#pending.delete(task)
  }

  get timers(): number {
    return this.#pending.size
  }

  async advance(ms: number): Promise<void> {
    this.#time += ms
    for (const [task, due] of [...this.#pending]) {
      if (due > this.#time) continue
      this.#pending.delete(task)
      task()
    }
    await pause()
  }
}

/** An open store, which is closed when the test is over, unless it is to stand for a page that crashed. */
async function opened(environment?: LeaseEnvironment, fate: 'closed' | 'crashed' = 'closed'): Promise<ReplicaStore> {
  const store = indexedDbStore(name, environment)
  await store.open()
  if (fate === 'closed') onTestFinished(() => store.close())
  return store
}

function put(store: ReplicaStore, key: Uint8Array): Promise<void> {
  return store.commit({ puts: [[key, key]], deletes: [] })
}

function openRaw(version?: number, upgrade: (db: IDBDatabase) => void = () => undefined): Promise<IDBDatabase> {
  const request = indexedDB.open(`sealog/${name}`, version)
  request.onupgradeneeded = () => upgrade(request.result)
  return result(request)
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

function pause(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, 20))
}
