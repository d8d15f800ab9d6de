import type { ReplicaStore, StoreRow } from './store.ts'
import type { ContractCheck } from './store-contract-check.ts'
import { check, checkBytes, checkRejects, checkRows, everything } from './store-contract-check.ts'

const KEY: Uint8Array = Uint8Array.of(1)
const ROW: StoreRow = [KEY, Uint8Array.of(2, 3)]
const PUT = { puts: [ROW], deletes: [] } as const

/** The cases about opening, closing, reopening and the lock. */
export const LIFETIME_CASES: readonly ContractCheck[] = [
  [
    'before open and after close every call rejects with ERR_CLOSED',
    async store => {
      const subject = store()
      await checkClosed(subject)
      await subject.open()
      await subject.commit(PUT)
      await subject.close()
      await checkClosed(subject)
    },
  ],
  [
    'misuse of a closed store is still a TypeError',
    async store => {
      await checkRejects(() => store().get(new Uint8Array(0)), 'TypeError', 'get')
    },
  ],
  [
    'what was committed is there for the next store over the same place',
    async store => {
      const rows = Array.from(
        { length: 50 },
        (_, i): StoreRow => [Uint8Array.of(1, i), new Uint8Array(i * 200).fill(i)],
      )
      const [strict, relaxed] = [rows.slice(0, 25), rows.slice(25)]
      const first = store()
      await first.open()
      await first.commit({ puts: [ROW, ...strict], deletes: [] })
      await first.commit({ puts: relaxed, deletes: [KEY], durability: 'relaxed' })
      await first.close()
      const second = store()
      await second.open()
      checkRows(await everything(second), rows, 'all rows')
    },
  ],
  [
    'a closed store can be opened again',
    async store => {
      const subject = store()
      await subject.open()
      await subject.commit(PUT)
      await subject.close()
      await subject.open()
      checkRows(await everything(subject), [ROW], 'with what it held')
    },
  ],
  [
    'close waits for the commits under way, and takes no more',
    async store => {
      const subject = store()
      await subject.open()
      const settled: string[] = []
      const commits = [1, 2, 3].map(i =>
        subject
          .commit({ puts: [[Uint8Array.of(i), new Uint8Array(100_000).fill(i)]], deletes: [] })
          .then(() => settled.push('commit')),
      )
      const closing = subject.close().then(() => settled.push('close'))
      await checkRejects(() => subject.commit(PUT), 'ERR_CLOSED', 'a commit after close was called')
      await Promise.all([...commits, closing])
      check(settled.join() === 'commit,commit,commit,close', `commits settle before close; got ${settled.join()}`)
      const next = store()
      await next.open()
      check((await everything(next)).length === 3, 'what was under way is there')
    },
  ],
  [
    'close is idempotent: before open, twice, and twice at once',
    async store => {
      const subject = store()
      await subject.close()
      await subject.open()
      await subject.commit(PUT)
      await Promise.all([subject.close(), subject.close()])
      await subject.close()
      const next = store()
      await next.open()
      await subject.close()
      checkBytes(await next.get(KEY), ROW[1], 'closing again does not touch the successor')
      await checkRejects(() => store().open(), 'ERR_STORE_LOCKED', "nor the successor's lock")
    },
  ],
  [
    'close during open leaves the place closed and free',
    async store => {
      const subject = store()
      const opening = subject.open()
      await subject.close()
      await opening
      await checkClosed(subject)
      await store().open()
    },
  ],
  [
    'a place has one writer: a second open rejects with ERR_STORE_LOCKED until the first is closed',
    async store => {
      const [first, second] = [store(), store()]
      await first.open()
      await checkRejects(() => second.open(), 'ERR_STORE_LOCKED', 'while the first is open')
      await checkRejects(() => second.commit(PUT), 'ERR_CLOSED', 'the refused store stays closed')
      await first.commit(PUT)
      await checkRejects(() => second.open(), 'ERR_STORE_LOCKED', 'still')
      await first.close()
      await second.open()
      checkRows(await everything(second), [ROW], 'the second one follows')
      await checkRejects(() => first.open(), 'ERR_STORE_LOCKED', 'and now excludes the first')
    },
  ],
  [
    'of two stores that open at once, one gets the place',
    async store => {
      const outcomes = await Promise.allSettled([store().open(), store().open(), store().open()])
      check(outcomes.filter(({ status }) => status === 'fulfilled').length === 1, 'exactly one')
    },
  ],
  [
    'an open store refuses to be opened again, and goes on',
    async store => {
      const subject = store()
      const opening = subject.open()
      await checkRejects(() => subject.open(), 'ERR_STORE_LOCKED', 'while it opens')
      await opening
      await checkRejects(() => subject.open(), 'ERR_STORE_LOCKED', 'when it is open')
      await subject.commit(PUT)
      checkRows(await everything(subject), [ROW], 'it still works')
    },
  ],
]

async function checkClosed(store: ReplicaStore): Promise<void> {
  await checkRejects(() => store.get(KEY), 'ERR_CLOSED', 'get')
  await checkRejects(() => store.scan(KEY), 'ERR_CLOSED', 'scan')
  await checkRejects(() => store.commit(PUT), 'ERR_CLOSED', 'commit')
}
