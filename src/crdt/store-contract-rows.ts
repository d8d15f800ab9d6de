import { compareBytes } from '../bytes.ts'
import type { ReplicaStore, StoreBatch, StoreRow } from './store.ts'
import { MAX_KEY_LENGTH, MAX_VALUE_LENGTH } from './store.ts'
import { check, checkBytes, checkRejects, checkRows, everything } from './store-contract-check.ts'

/** A promise and how to check it, given a way to get new, unopened stores over one place that is empty at first. */
export type ContractCheck = readonly [promise: string, run: (store: () => ReplicaStore) => Promise<void>]

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
const EMPTY: Uint8Array = new Uint8Array(0)

/** The cases about keys, values, prefixes and batches: each with one open store. */
export const ROW_CASES: readonly ContractCheck[] = [
  rowCase('a key that was never put has no value', async store => {
    checkBytes(await store.get(bytes(1)), undefined, 'nothing')
    checkRows(await everything(store), [], 'nothing')
  }),
  rowCase('values come back byte for byte, from none to 8 MiB', async store => {
    const every = Uint8Array.from({ length: 256 }, (_, i) => i)
    const large = pattern(8 * 2 ** 20)
    await store.commit({
      puts: [
        [bytes(0), EMPTY],
        [bytes(1), every],
        [bytes(2), large],
      ],
      deletes: [],
    })
    checkBytes(await store.get(bytes(0)), EMPTY, 'an empty value is a value')
    checkBytes(await store.get(bytes(1)), every, 'all bytes')
    checkBytes(await store.get(bytes(2)), large, 'a large value')
    checkRows(
      await everything(store),
      [
        [bytes(0), EMPTY],
        [bytes(1), every],
        [bytes(2), large],
      ],
      'the same in a scan',
    )
  }),
  rowCase('a key has 1 to 512 bytes, anything else is a TypeError', async store => {
    const longest = pattern(MAX_KEY_LENGTH)
    const tooLong = pattern(MAX_KEY_LENGTH + 1)
    await store.commit({
      puts: [
        [bytes(0), bytes(1)],
        [longest, bytes(2)],
      ],
      deletes: [],
    })
    checkBytes(await store.get(bytes(0)), bytes(1), 'the shortest key')
    checkBytes(await store.get(longest), bytes(2), 'the longest key')
    checkRows(await store.scan(longest), [[longest, bytes(2)]], 'the longest prefix')
    for (const key of [EMPTY, tooLong, 'text' as unknown as Uint8Array]) {
      await checkRejects(() => store.get(key), 'TypeError', 'get')
      await checkRejects(() => store.commit({ puts: [[key, EMPTY]], deletes: [] }), 'TypeError', 'put')
      await checkRejects(() => store.commit({ puts: [], deletes: [key] }), 'TypeError', 'delete')
    }
    await checkRejects(() => store.scan(tooLong), 'TypeError', 'scan')
    await checkRejects(() => store.scan(undefined as unknown as Uint8Array), 'TypeError', 'scan')
  }),
  rowCase('a batch with anything wrong in it is a TypeError and changes nothing', async store => {
    const [a, b] = [bytes(1), bytes(2)]
    await store.commit({ puts: [[a, a]], deletes: [] })
    const wrong: Record<string, unknown> = {
      'a value too long': {
        puts: [
          [b, b],
          [b, new Uint8Array(MAX_VALUE_LENGTH + 1)],
        ],
        deletes: [a],
      },
      'a value that is text': {
        puts: [
          [b, b],
          [b, 'text'],
        ],
        deletes: [a],
      },
      'a value that is missing': { puts: [[b, b], [b]], deletes: [a] },
      'a key in puts and deletes': {
        puts: [
          [b, b],
          [bytes(3), b],
        ],
        deletes: [a, bytes(3)],
      },
      'an unknown durability': { puts: [[b, b]], deletes: [a], durability: 'none' },
      'no puts': { deletes: [a] },
      'no deletes': { puts: [[b, b]] },
      'no batch': undefined,
    }
    for (const [what, batch] of Object.entries(wrong)) {
      await checkRejects(() => store.commit(batch as StoreBatch), 'TypeError', what)
      checkRows(await everything(store), [[a, a]], `${what} changes nothing`)
    }
    await store.commit({ puts: [[b, b]], deletes: [] })
    checkRows(
      await everything(store),
      [
        [a, a],
        [b, b],
      ],
      'the next batch is taken',
    )
  }),
  rowCase('what is put is copied at the call', async store => {
    const key = bytes(9, 1, 9)
    const value = bytes(7, 8)
    const deleted = bytes(5)
    const row: [Uint8Array, Uint8Array] = [key.subarray(1, 2), value]
    const puts = [row]
    await store.commit({
      puts: [
        [bytes(5), bytes(5)],
        [bytes(6), bytes(6)],
      ],
      deletes: [],
    })
    const committed = store.commit({ puts, deletes: [deleted] })
    key.fill(0)
    value.fill(0)
    deleted.fill(6)
    row[1] = bytes(1)
    puts.pop()
    await committed
    checkRows(
      await everything(store),
      [
        [bytes(1), bytes(7, 8)],
        [bytes(6), bytes(6)],
      ],
      'as it was at the call',
    )
    const sought = bytes(1)
    const found = store.get(sought)
    const scanned = store.scan(sought)
    sought.fill(6)
    checkBytes(await found, bytes(7, 8), 'the key sought is copied')
    checkRows(await scanned, [[bytes(1), bytes(7, 8)]], 'the prefix sought is copied')
  }),
  rowCase('what is put is copied even from a kind of bytes that slices by reference', async store => {
    const value = new SharedSlices(bytes(1, 2, 3))
    const key = new SharedSlices(bytes(4))
    const committed = store.commit({ puts: [[key, value]], deletes: [] })
    value.fill(0)
    key.fill(0)
    await committed
    checkRows(await everything(store), [[bytes(4), bytes(1, 2, 3)]], 'as it was at the call')
  }),
  rowCase('what is handed out is a copy, of the plain kind, in a buffer that holds nothing else', async store => {
    await store.commit({ puts: [[bytes(1), bytes(7, 8)]], deletes: [] })
    const [row] = await everything(store)
    const handedOut = [await store.get(bytes(1)), ...(row ?? [])]
    for (const copy of handedOut) {
      check(copy?.constructor === Uint8Array, 'a plain Uint8Array')
      check(copy.buffer.byteLength === copy.length, 'no bytes around it')
      copy.fill(0)
    }
    checkRows(await everything(store), [[bytes(1), bytes(7, 8)]], 'untouched')
  }),
  rowCase('of several values for one key in a batch the last one wins', async store => {
    await store.commit({
      puts: [
        [bytes(1), bytes(1)],
        [bytes(1), bytes(2)],
      ],
      deletes: [],
    })
    checkRows(await everything(store), [[bytes(1), bytes(2)]], 'the last one')
  }),
  rowCase('deleting removes a key, and is no error where there is none', async store => {
    await store.commit({
      puts: [
        [bytes(1), bytes(1)],
        [bytes(2), bytes(2)],
      ],
      deletes: [],
    })
    await store.commit({ puts: [], deletes: [bytes(1), bytes(3), bytes(3)] })
    checkRows(await everything(store), [[bytes(2), bytes(2)]], 'only the other is left')
    checkBytes(await store.get(bytes(1)), undefined, 'it is gone')
    await store.commit({ puts: [[bytes(1), bytes(4)]], deletes: [bytes(2)] })
    checkRows(await everything(store), [[bytes(1), bytes(4)]], 'and can be put again')
  }),
  rowCase('an empty batch is a commit like any other', async store => {
    await store.commit({ puts: [], deletes: [] })
    checkRows(await everything(store), [], 'nothing')
  }),
  rowCase('a scan gives the keys with a prefix, in the order of unsigned bytes, shorter first', async store => {
    const keys = [
      [0],
      [0, 0],
      [0, 255],
      [1],
      [127],
      [127, 255],
      [128],
      [128, 0],
      [254, 255],
      [255],
      [255, 0],
      [255, 255],
      [255, 255, 0],
    ]
    const sorted = keys.map((key): StoreRow => [Uint8Array.from(key), Uint8Array.from(key)])
    await store.commit({ puts: sorted.toReversed(), deletes: [] })
    const prefixes = [
      [],
      [0],
      [0, 0],
      [0, 255],
      [2],
      [127],
      [128],
      [254],
      [254, 255],
      [255],
      [255, 255],
      [255, 255, 255],
    ]
    for (const prefix of prefixes.map(prefix => Uint8Array.from(prefix))) {
      const expected = sorted.filter(([key]) => startsWith(key, prefix))
      checkRows(await store.scan(prefix), expected, `prefix ${prefix.join(' ')}`)
    }
  }),
  rowCase('commits take effect in the order of the calls, and reads see those called before', async store => {
    const commits: Promise<void>[] = []
    const reads: Promise<[Uint8Array | undefined, readonly StoreRow[]]>[] = []
    for (let i = 0; i < 30; i++) {
      const durability = i % 3 === 0 ? 'strict' : 'relaxed'
      // Sizes that would overtake each other if anything let them.
      const value = new Uint8Array(i % 2 === 0 ? 60_000 : 1).fill(i)
      commits.push(
        store.commit({
          puts: [
            [bytes(1), value],
            [bytes(2), bytes(i)],
          ],
          deletes: [],
          durability,
        }),
      )
      reads.push(Promise.all([store.get(bytes(1)), everything(store)]))
    }
    const [results] = await Promise.all([Promise.all(reads), Promise.all(commits)])
    for (const [i, [value, rows]] of results.entries()) {
      check((value?.[0] ?? -1) >= i, `read ${i} sees commit ${i}`)
      check(rows.length === 2 && rows[0]?.[1][0] === rows[1]?.[1][0], `scan ${i} sees each batch whole`)
      check((rows[0]?.[1][0] ?? -1) >= i, `scan ${i} sees commit ${i}`)
    }
    checkBytes(await store.get(bytes(2)), bytes(29), 'the last commit has the last word')
  }),
  rowCase('a commit that rejects stops neither those before nor those after it', async store => {
    const before = store.commit({ puts: [[bytes(1), bytes(1)]], deletes: [] })
    const wrong = checkRejects(
      () => store.commit({ puts: [[EMPTY, EMPTY]], deletes: [] }),
      'TypeError',
      'a wrong batch',
    )
    const after = store.commit({ puts: [[bytes(2), bytes(2)]], deletes: [] })
    await Promise.all([before, wrong, after])
    checkRows(
      await everything(store),
      [
        [bytes(1), bytes(1)],
        [bytes(2), bytes(2)],
      ],
      'both are there',
    )
  }),
  rowCase('a thousand rows go in and out in one batch', async store => {
    const rows = Array.from({ length: 1000 }, (_, i): StoreRow => [bytes(1, i >> 8, i & 0xff), pattern(i)])
    await store.commit({ puts: rows, deletes: [] })
    checkRows(await store.scan(bytes(1)), rows, 'all of them')
    await store.commit({ puts: [], deletes: rows.map(([key]) => key) })
    checkRows(await everything(store), [], 'none of them')
  }),
  rowCase('random batches and scans agree with a plain map', async store => {
    const model = new Map<string, StoreRow>()
    const next = numbers(1)
    const randomKey = (): Uint8Array =>
      Uint8Array.from({ length: 1 + next(3) }, () => [0, 1, 254, 255][next(4)] as number)
    for (let round = 0; round < 80; round++) {
      const puts = Array.from({ length: next(6) }, (): StoreRow => [randomKey(), pattern(next(40))])
      const put = new Set(puts.map(([key]) => key.join()))
      const deletes = Array.from({ length: next(6) }, randomKey).filter(key => !put.has(key.join()))
      for (const key of deletes) model.delete(key.join())
      for (const row of puts) model.set(row[0].join(), row)
      await store.commit({ puts, deletes, durability: 'relaxed' })
      const prefix = randomKey().subarray(0, next(3))
      const expected = [...model.values()]
        .filter(([key]) => startsWith(key, prefix))
        .sort(([a], [b]) => compareBytes(a, b))
      checkRows(await store.scan(prefix), expected, `round ${round}, prefix ${prefix.join(' ')}`)
    }
  }),
]

function rowCase(promise: string, run: (store: ReplicaStore) => Promise<void>): ContractCheck {
  return [
    promise,
    async make => {
      const store = make()
      await store.open()
      await run(store)
    },
  ]
}

/** Stands for Node's own subclass of Uint8Array, whose `slice` is a view. */
class SharedSlices extends Uint8Array {
  override slice(start?: number, end?: number): Uint8Array<ArrayBuffer> {
    return this.subarray(start, end) as Uint8Array<ArrayBuffer>
  }
}

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return prefix.every((byte, i) => key[i] === byte)
}

function pattern(length: number): Uint8Array {
  const out = new Uint8Array(length)
  for (let i = 0; i < length; i++) out[i] = i * 31 + (i >> 8) + length
  return out
}

/** A reproducible source of whole numbers from 0 to below `limit` (xorshift32). */
function numbers(seed: number): (limit: number) => number {
  let x = seed
  return limit => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % limit
  }
}
