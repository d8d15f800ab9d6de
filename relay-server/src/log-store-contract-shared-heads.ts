import type { LogStore, StoredHead } from './log-store.ts'
import { type Check, equal, rejects } from './log-store-contract-checks.ts'
import { bytes, head, kept, SPACE, sampleAppend } from './log-store-contract-samples.ts'
import { landed, several } from './log-store-contract-shared-stores.ts'

const ROUNDS = 6

/** What several processes of one relay sign. */
export const SHARED_HEAD_CASES: Readonly<Record<string, Check>> = {
  'a head that one put stands for all': async (_, opened) => {
    const [one, other] = (await several(opened)) as [LogStore, LogStore]
    await one.append(sampleAppend({ from: 0, count: 3 }))
    await one.putHead(SPACE, head(2, 10))
    equal(await other.readHead(SPACE), kept(head(2, 10)))
    await other.putHead(SPACE, head(3, 20))
    for (const late of [head(2, 30), head(3, 10)]) await rejects(one.putHead(SPACE, late), 'ERR_STORE_LOCKED')
    equal(await one.readHead(SPACE), kept(head(3, 20)))
  },

  'of different notes for one size and time, from several at once, one stands': async (_, opened) => {
    const stores = await several(opened)
    await stores[0]?.append(sampleAppend({ from: 0, count: ROUNDS }))
    for (let size = 1; size <= ROUNDS; size++) {
      const notes = stores.map((_store, i): StoredHead => ({ size, time: size, note: bytes(150, 10 * size + i) }))
      const results = await Promise.allSettled(stores.map((store, i) => store.putHead(SPACE, notes[i] as StoredHead)))
      equal(landed(results).length, 1)
      const winner = notes[results.findIndex(result => result.status === 'fulfilled')]
      for (const store of stores) equal(await store.readHead(SPACE), { ...winner, latest: size, abandoned: 0 })
    }
  },

  'one note, from several at once, is refused to none': async (_, opened) => {
    const stores = await several(opened)
    await stores[0]?.append(sampleAppend({ from: 0, count: 1 }))
    await Promise.all(stores.map(store => store.putHead(SPACE, head(1, 5))))
    equal(await stores[1]?.readHead(SPACE), kept(head(1, 5)))
  },

  'of heads that come in any order, none that was kept is followed by an older one': async (_, opened) => {
    const stores = await several(opened)
    const sizes = [4, 1, 9, 2, 7, 3, 8, 5, 6]
    await stores[0]?.append(sampleAppend({ from: 0, count: sizes.length }))
    const results = await Promise.allSettled(
      sizes.map((size, i) => stores[i % stores.length]?.putHead(SPACE, head(size, size))),
    )
    landed(results)
    const accepted = sizes.filter((_size, i) => results[i]?.status === 'fulfilled')
    equal(await stores[0]?.readHead(SPACE), kept(head(Math.max(...accepted), Math.max(...accepted))))
    equal(accepted.includes(9), true)
  },

  'what one found to be signed earlier, and its time, is behind what any other signs': async (_, opened) => {
    const [one, other] = (await several(opened)) as [LogStore, LogStore]
    await one.append(sampleAppend({ from: 0, count: 5 }))
    await Promise.all([one.raiseHead(SPACE, head(4, 50)), other.raiseHead(SPACE, head(2, 90))])
    equal(await one.readHead(SPACE), { ...kept(head(4, 50)), latest: 90 })
    for (const late of [head(3, 100), head(4, 89), head(5, 60)]) {
      await rejects(other.putHead(SPACE, late), 'ERR_STORE_LOCKED')
    }
    await other.putHead(SPACE, head(4, 90))
    equal(await one.readHead(SPACE), kept(head(4, 90)))
  },

  'a space that one removed is signed by nobody any more': async (_, opened) => {
    const [one, other] = (await several(opened)) as [LogStore, LogStore]
    await one.append(sampleAppend({ from: 0, count: 3 }))
    await one.putHead(SPACE, head(2, 10))
    await one.removeSpace(SPACE)
    equal(await other.readSpace(SPACE), undefined)
    const { size, note, latest } = (await other.readHead(SPACE)) ?? kept(head(0, 0))
    equal([size, note.length, latest], [3, 0, 10])
    await rejects(other.putHead(SPACE, head(4, 50)), 'ERR_STORE_LOCKED')
    await rejects(other.append(sampleAppend({ from: 3, count: 1 })), 'ERR_STORE_LOCKED')
  },
}
