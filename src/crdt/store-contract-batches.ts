import { compareBytes } from '../bytes.ts'
import type { StoreBatch, StoreRow } from './store.ts'
import { MAX_VALUE_LENGTH } from './store.ts'
import type { ContractCheck } from './store-contract-check.ts'
import {
  bytes,
  check,
  checkBytes,
  checkRejects,
  checkRows,
  everything,
  openCase,
  pattern,
  startsWith,
} from './store-contract-check.ts'

const EMPTY: Uint8Array = new Uint8Array(0)

/** The cases about batches and their order. */
export const BATCH_CASES: readonly ContractCheck[] = [
  openCase('a batch with anything wrong in it is a TypeError and changes nothing', async store => {
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
  openCase('of several values for one key in a batch the last one wins', async store => {
    await store.commit({
      puts: [
        [bytes(1), bytes(1)],
        [bytes(1), bytes(2)],
      ],
      deletes: [],
    })
    checkRows(await everything(store), [[bytes(1), bytes(2)]], 'the last one')
  }),
  openCase('deleting removes a key, and is no error where there is none', async store => {
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
  openCase('an empty batch is a commit like any other', async store => {
    await store.commit({ puts: [], deletes: [] })
    checkRows(await everything(store), [], 'nothing')
  }),
  openCase('commits take effect in the order of the calls, and reads see those called before', async store => {
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
  openCase('a commit that rejects stops neither those before nor those after it', async store => {
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
  openCase('a thousand rows go in and out in one batch', async store => {
    const rows = Array.from({ length: 1000 }, (_, i): StoreRow => [bytes(1, i >> 8, i & 0xff), pattern(i)])
    await store.commit({ puts: rows, deletes: [] })
    checkRows(await store.scan(bytes(1)), rows, 'all of them')
    await store.commit({ puts: [], deletes: rows.map(([key]) => key) })
    checkRows(await everything(store), [], 'none of them')
  }),
  openCase('random batches and scans agree with a plain map', async store => {
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
