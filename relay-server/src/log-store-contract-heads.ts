import { type Check, equal, failingSteps, rejects } from './log-store-contract-checks.ts'
import {
  bytes,
  EVERYTHING,
  head,
  kept,
  OTHER_SPACE,
  SPACE,
  sampleAppend,
  spaceAfter,
} from './log-store-contract-samples.ts'

/** What was signed, which is kept apart from what it was signed of. */
export const HEAD_CASES: Readonly<Record<string, Check>> = {
  'a head is replaced, and never goes back in size or time': async (_, opened) => {
    const store = await opened()
    equal(await store.readHead(SPACE), undefined)
    await store.append(sampleAppend({ from: 0, count: 3 }))
    for (const [size, time] of [
      [1, 10],
      [2, 10],
      [2, 30],
    ] as const) {
      await store.putHead(SPACE, head(size, time))
      equal(await store.readHead(SPACE), kept(head(size, time)))
    }
    for (const refused of [head(0, 40), head(1, 40), head(2, 20), head(3, 29)]) {
      await rejects(store.putHead(SPACE, refused), 'ERR_STORE_LOCKED')
    }
    equal(await store.readHead(SPACE), kept(head(2, 30)))
    equal(await store.readHead(OTHER_SPACE), undefined)
  },

  'of one size and time there is one note': async (_, opened) => {
    const store = await opened()
    await store.putHead(SPACE, head(2, 30))
    await rejects(store.putHead(SPACE, { ...head(2, 30), note: bytes(150, 1) }), 'ERR_STORE_LOCKED')
    await store.putHead(SPACE, head(2, 30))
    equal(await store.readHead(SPACE), kept(head(2, 30)))
    await store.putHead(SPACE, { ...head(2, 31), note: bytes(150, 1) })
  },

  'of two notes that are put at once for one size and time, one stands': async (_, opened) => {
    const store = await opened()
    const rivals = [1, 2].map(seed => ({ size: 2, time: 30, note: bytes(150, seed) }))
    const results = await Promise.allSettled(rivals.map(rival => store.putHead(SPACE, rival)))
    const winners = rivals.filter((_rival, i) => results[i]?.status === 'fulfilled')
    equal(winners.length, 1)
    equal((await store.readHead(SPACE))?.note, winners[0]?.note)
  },

  'a head follows the one that its signer knows, or is refused': async (_, opened) => {
    const store = await opened()
    const none = new Uint8Array(0)
    await store.putHead(SPACE, head(2, 30), none)
    for (const unknown of [none, head(2, 31).note]) {
      await rejects(store.putHead(SPACE, head(3, 40), unknown), 'ERR_STORE_LOCKED')
    }
    equal(await store.readHead(SPACE), kept(head(2, 30)))
    await store.putHead(SPACE, head(3, 40), head(2, 30).note)
    await store.acceptRollback(SPACE)
    await rejects(store.putHead(SPACE, head(2, 50), head(3, 40).note), 'ERR_STORE_LOCKED')
    await store.putHead(SPACE, head(2, 50), none)
    equal((await store.readHead(SPACE))?.note, head(2, 50).note)
  },

  'heads of several spaces that are put at once are each kept': async (_, opened) => {
    const store = await opened()
    await store.putHead(OTHER_SPACE, head(5, 50))
    const results = await Promise.allSettled([
      store.putHead(SPACE, head(1, 10)),
      store.putHead(OTHER_SPACE, head(4, 60)),
      store.putHead(SPACE, head(2, 11)),
    ])
    equal(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
    equal(await store.readHead(SPACE), kept(head(2, 11)))
    equal(await store.readHead(OTHER_SPACE), kept(head(5, 50)))
  },

  'a head may be of more than is stored, and of a space without entries': async (_, opened) => {
    const store = await opened()
    const append = sampleAppend({ from: 0, count: 2 })
    await store.append(append)
    await store.putHead(SPACE, head(4, 10))
    await store.putHead(OTHER_SPACE, head(3, 10))
    equal(await store.readSpace(SPACE), spaceAfter(append))
    equal(await store.readSpace(OTHER_SPACE), undefined)
    equal(await store.readHead(OTHER_SPACE), kept(head(3, 10)))
  },

  'a head that turns up is kept where it is larger, and its time where it is later': async (_, opened) => {
    const store = await opened()
    await store.raiseHead(SPACE, head(5, 50))
    equal(await store.readHead(SPACE), kept(head(5, 50)))
    await store.raiseHead(SPACE, head(4, 90))
    equal(await store.readHead(SPACE), { ...kept(head(5, 50)), latest: 90 })
    await store.raiseHead(SPACE, head(7, 70))
    equal(await store.readHead(SPACE), { ...kept(head(7, 70)), latest: 90 })
    for (const refused of [head(7, 80), head(8, 89), head(6, 95)]) {
      await rejects(store.putHead(SPACE, refused), 'ERR_STORE_LOCKED')
    }
    await store.putHead(SPACE, head(7, 91))
    equal(await store.readHead(SPACE), kept(head(7, 91)))
  },

  'a rollback that is accepted leaves the time of the head, the entries, and no floor': async (_, opened) => {
    const store = await opened()
    const append = sampleAppend({ from: 0, count: 2 })
    await store.append(append)
    await store.putHead(SPACE, head(4, 10))
    await store.raiseHead(SPACE, head(3, 40))
    await store.putFloor(SPACE, 4)
    await store.acceptRollback(SPACE)
    equal(await store.readHead(SPACE), { size: 0, time: 0, note: new Uint8Array(0), latest: 40, abandoned: 40 })
    equal(await store.readSpace(SPACE), spaceAfter(append))
    await rejects(store.putHead(SPACE, head(2, 39)), 'ERR_STORE_LOCKED')
    await store.putHead(SPACE, head(2, 41))
    equal(await store.readHead(SPACE), { ...kept(head(2, 41)), abandoned: 40 })
    await store.append(sampleAppend({ from: 2, count: 1 }))
    await store.acceptRollback(OTHER_SPACE)
    equal(await store.readHead(OTHER_SPACE), undefined)
  },

  'a rollback that fails at any step can be accepted again, and until then nothing is appended': async (_, opened) => {
    const steps = failingSteps()
    const store = await opened(steps.take)
    await store.append(sampleAppend({ from: 0, count: 2 }))
    await store.putHead(SPACE, head(4, 10))
    await store.putFloor(SPACE, 4)
    for (let failAt = 1; await steps.fails(failAt, () => store.acceptRollback(SPACE)); failAt++) {
      const { floor } = await store.readSize(SPACE)
      const ahead = await store.readHead(SPACE)
      equal(floor === 4 || ahead?.size === 4, true)
    }
    equal([(await store.readSize(SPACE)).floor, (await store.readHead(SPACE))?.size], [0, 0])
  },

  'a head that fails at any step leaves the one before': async (_, opened) => {
    const steps = failingSteps()
    const store = await opened(steps.take)
    await store.append(sampleAppend({ from: 0, count: 2 }))
    await store.putHead(SPACE, head(1, 5))
    for (const attempt of [
      () => store.putHead(SPACE, head(2, 10)),
      () => store.raiseHead(SPACE, head(3, 20)),
      () => store.raiseHead(SPACE, head(2, 40)),
    ]) {
      const before = await store.readHead(SPACE)
      for (let failAt = 1; await steps.fails(failAt, attempt); failAt++) equal(await store.readHead(SPACE), before)
    }
    equal(await store.readHead(SPACE), { ...kept(head(3, 20)), latest: 40 })
  },

  'heads stay when the entries are set back': async (place, opened) => {
    if (place.backUpLogs === undefined) return
    const before = await opened()
    await before.writeIdentity({ name: 'relay.example', key: bytes(32, 1) })
    const append = sampleAppend({ from: 0, count: 2 })
    await before.append(append)
    await before.putHead(SPACE, head(2, 10))
    await before.close()
    const setBack = await place.backUpLogs()
    const later = await opened()
    await later.append(sampleAppend({ from: 2, count: 3 }))
    await later.putHead(SPACE, head(5, 20))
    await later.append({ ...sampleAppend({ from: 0, count: 1 }), space: OTHER_SPACE })
    await later.putHead(OTHER_SPACE, head(1, 30))
    await later.raiseHead(OTHER_SPACE, head(1, 40))
    await later.close()
    await setBack()
    const store = await opened()
    equal(await store.readSpace(SPACE), spaceAfter(append))
    equal(await store.readEntries(SPACE, EVERYTHING), append.entries)
    equal(await store.readHead(SPACE), kept(head(5, 20)))
    equal(await store.readSpace(OTHER_SPACE), undefined)
    equal(await store.readHead(OTHER_SPACE), { ...kept(head(1, 30)), latest: 40 })
    equal(await store.readSpaces(undefined, 10), [SPACE, OTHER_SPACE])
    await store.putFloor(SPACE, 5)
    await rejects(store.append(sampleAppend({ from: 2, count: 1 })), 'ERR_STORE_LOCKED')
    await rejects(store.putHead(SPACE, head(3, 50)), 'ERR_STORE_LOCKED')
    await store.append({ ...sampleAppend({ from: 2, count: 3 }), isRestored: true })
  },

  'heads, their latest times and floors are there for the next store over the same place': async (place, opened) => {
    if (!place.isPersistent) return
    const before = await opened()
    await before.putHead(SPACE, head(5, 20))
    await before.raiseHead(SPACE, head(4, 40))
    await before.putFloor(SPACE, 5)
    await before.close()
    const store = await opened()
    equal(await store.readHead(SPACE), { ...kept(head(5, 20)), latest: 40 })
    equal(await store.readSize(SPACE), { size: 0, bytes: 0, floor: 5 })
    equal(await store.readSpaces(undefined, 10), [SPACE])
  },
}
