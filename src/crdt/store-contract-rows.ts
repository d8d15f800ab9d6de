import type { StoreRow } from './store.ts'
import { MAX_KEY_LENGTH } from './store.ts'
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

/** The cases about keys, values, prefixes and copies. */
export const ROW_CASES: readonly ContractCheck[] = [
  openCase('a key that was never put has no value', async store => {
    checkBytes(await store.get(bytes(1)), undefined, 'nothing')
    checkRows(await everything(store), [], 'nothing')
  }),
  openCase('values come back byte for byte, from none to 8 MiB', async store => {
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
  openCase('a key has 1 to 512 bytes, anything else is a TypeError', async store => {
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
  openCase('what is put is copied at the call', async store => {
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
  openCase('what is put is copied even from a kind of bytes that slices by reference', async store => {
    const value = new SharedSlices(bytes(1, 2, 3))
    const key = new SharedSlices(bytes(4))
    const committed = store.commit({ puts: [[key, value]], deletes: [] })
    value.fill(0)
    key.fill(0)
    await committed
    checkRows(await everything(store), [[bytes(4), bytes(1, 2, 3)]], 'as it was at the call')
  }),
  openCase('what is handed out is a copy, of the plain kind, in a buffer that holds nothing else', async store => {
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
  openCase('a scan gives the keys with a prefix, in the order of unsigned bytes, shorter first', async store => {
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
]

/** Stands for Node's own subclass of Uint8Array, whose `slice` is a view. */
class SharedSlices extends Uint8Array {
  override slice(start?: number, end?: number): Uint8Array<ArrayBuffer> {
    return this.subarray(start, end) as Uint8Array<ArrayBuffer>
  }
}
