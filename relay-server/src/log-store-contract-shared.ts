import { hasCode, type SpaceId } from 'sealog/protocol'
import { type Append, KEPT_COSIGNED, type LogStore } from './log-store.ts'
import { contractCases, type LogStoreContractCase } from './log-store-contract.ts'
import { type Check, equal, type LogStorePlace, rejects } from './log-store-contract-checks.ts'
import {
  bytes,
  EVERYTHING,
  OTHER_SPACE,
  SPACE,
  sampleAppend,
  sampleFrontier,
  spaceAfter,
} from './log-store-contract-samples.ts'
import { SHARED_HEAD_CASES } from './log-store-contract-shared-heads.ts'
import { landed, RIVALS, several } from './log-store-contract-shared-stores.ts'

/**
 * What a store must promise beyond `logStoreContract` where several processes use one place at once. Every store over a
 * place stands for a process of its own.
 */
export function sharedLogStoreContract(makePlace: () => LogStorePlace): readonly LogStoreContractCase[] {
  return contractCases(makePlace, { ...CASES, ...SHARED_HEAD_CASES })
}

const ROUNDS = 6

const CASES: Readonly<Record<string, Check>> = {
  'several stores may open an empty place at once': async (_, opened) => {
    const stores = await several(opened)
    equal(
      stores.map(store => store.isShared),
      stores.map(() => true),
    )
    await stores[0]?.append(sampleAppend({ from: 0, count: 1 }))
    for (const store of stores) equal((await store.readSize(SPACE)).size, 1)
  },

  'of several that write the identity at once, one does': async (_, opened) => {
    const stores = await several(opened)
    const key = bytes(32, 1)
    const results = await Promise.allSettled(stores.map(store => store.writeIdentity({ name: 'relay.example', key })))
    equal(landed(results).length, 1)
    for (const store of stores) equal(await store.readIdentity(), { name: 'relay.example', key })
  },

  'what one appended is there for the others, whole': async (_, opened) => {
    const [one, other] = (await several(opened)) as [LogStore, LogStore]
    const first = sampleAppend({ from: 0, count: 3 })
    await one.append(first)
    equal(await other.readSpace(SPACE), spaceAfter(first))
    equal(await other.readEntries(SPACE, EVERYTHING), first.entries)
    const second = sampleAppend({ from: 3, count: 2 })
    await other.append(second)
    equal(await one.readEntries(SPACE, EVERYTHING), [...first.entries, ...second.entries])
    await rejects(one.append(sampleAppend({ from: 3, count: 1 })), 'ERR_STORE_LOCKED')
  },

  'of appends by several at one place exactly one lands, and nothing of the others': async (_, opened) => {
    const stores = await several(opened)
    const [reader] = stores as [LogStore]
    let from = 0
    for (let round = 0; round < ROUNDS; round++) {
      // Of different lengths, so that what is left of a loser would stand behind the winner's.
      const rivals = stores.map((_store, i) => sampleAppend({ from, count: i + 1, seed: 50 * (i + 1) + round }))
      const results = await Promise.allSettled(stores.map((store, i) => store.append(rivals[i] as Append)))
      const winner = only(rivals.filter((_rival, i) => results[i]?.status === 'fulfilled'))
      landed(results)
      const end = from + winner.entries.length
      equal(await reader.readEntries(SPACE, { ...EVERYTHING, from }), winner.entries)
      const stored = await reader.readSpace(SPACE)
      equal([stored?.size, stored?.frontier], [end, winner.frontier])
      equal(stored?.state, winner.state)
      equal(await reader.readBody(SPACE, end, 0, 1), undefined)
      for (const [level, index, hash] of winner.nodes) equal(await reader.readNodes(SPACE, [[level, index]]), [hash])
      from = end
    }
  },

  'of appends by several on different logs of one size, only that on the stored one lands': async (_, opened) => {
    const stores = await several(opened)
    await stores[0]?.append(sampleAppend({ from: 0, count: 3 }))
    const rivals = stores.map((_store, i) => ({
      ...sampleAppend({ from: 3, count: i + 1, seed: 10 * i }),
      base: sampleFrontier(3, i === 1 ? 3 : 50 + i),
    }))
    const results = await Promise.allSettled(stores.map((store, i) => store.append(rivals[i] as Append)))
    equal(landed(results).length, 1)
    equal(await stores[0]?.readEntries(SPACE, { ...EVERYTHING, from: 3 }), rivals[1]?.entries)
  },

  'each of several gets all of its entries in, one behind the other': async (_, opened) => {
    const stores = await several(opened)
    const places = await Promise.all(stores.map(store => appendPersistently(store, ROUNDS)))
    const all = places.flat().sort((a, b) => a - b)
    equal(
      all,
      Array.from({ length: RIVALS * ROUNDS }, (_unused, i) => i),
    )
    const entries = (await stores[0]?.readEntries(SPACE, EVERYTHING)) ?? []
    equal(
      entries,
      all.flatMap(from => sampleAppend({ from, count: 1 }).entries),
    )
  },

  'a space is read as it was at one moment, however fast it grows': async (_, opened) => {
    const [writer, reader] = (await several(opened)) as [LogStore, LogStore]
    await writer.append(sampleAppend({ from: 0, count: 1 }))
    let isGrowing = true
    const writing = appendPersistently(writer, 4 * ROUNDS).finally(() => {
      isGrowing = false
    })
    let seen = 0
    while (isGrowing) {
      const stored = await reader.readSpace(SPACE)
      const size = stored?.size ?? 0
      const expected = sampleAppend({ from: size - 1, count: 1 })
      equal([stored?.frontier, stored?.state], [expected.frontier, expected.state])
      equal(size >= seen, true)
      seen = size
    }
    await writing
    equal((await reader.readSpace(SPACE))?.size, 4 * ROUNDS + 1)
  },

  'spaces of several do not hinder each other': async (_, opened) => {
    const [one, other] = (await several(opened)) as [LogStore, LogStore]
    const [mine, theirs] = [sampleAppend({ from: 0, count: 2 }), sampleAppend({ from: 0, count: 3, seed: 9 })]
    await Promise.all([one.append(mine), other.append({ ...theirs, space: OTHER_SPACE })])
    equal(await other.readEntries(SPACE, EVERYTHING), mine.entries)
    equal(await one.readEntries(OTHER_SPACE, EVERYTHING), theirs.entries)
  },

  'a floor that one put holds for all, until the entries are restored': async (_, opened) => {
    const [one, other] = (await several(opened)) as [LogStore, LogStore]
    await one.append(sampleAppend({ from: 0, count: 2 }))
    await one.putFloor(SPACE, 5)
    await rejects(other.append(sampleAppend({ from: 2, count: 3 })), 'ERR_STORE_LOCKED')
    await rejects(other.append({ ...sampleAppend({ from: 2, count: 2 }), isRestored: true }), 'ERR_STORE_LOCKED')
    equal((await one.readSize(SPACE)).size, 2)
    const restorations = [one, other].map(store =>
      store.append({ ...sampleAppend({ from: 2, count: 3 }), isRestored: true }),
    )
    equal(landed(await Promise.allSettled(restorations)).length, 1)
    const { size, floor } = await other.readSize(SPACE)
    equal([size, floor], [5, 0])
    await one.append(sampleAppend({ from: 5, count: 1 }))
  },

  'of appends and a floor that come together, none lands after the floor': async (_, opened) => {
    const [one, other] = (await several(opened)) as [LogStore, LogStore]
    await one.append(sampleAppend({ from: 0, count: 1 }))
    for (let round = 0; round < ROUNDS; round++) {
      const { size } = await one.readSize(SPACE)
      const append = one.append(sampleAppend({ from: size, count: 1 }))
      await Promise.allSettled([append, other.putFloor(SPACE, size + 9)])
      const after = await other.readSize(SPACE)
      equal(after.floor, size + 9)
      await rejects(one.append(sampleAppend({ from: after.size, count: 1 })), 'ERR_STORE_LOCKED')
      const missing = size + 9 - after.size
      await other.append({ ...sampleAppend({ from: after.size, count: missing }), isRestored: true })
    }
  },

  'of cosigned notes that come from several, the largest stay': async (_, opened) => {
    const stores = await several(opened)
    const count = KEPT_COSIGNED + 3
    await stores[0]?.append(sampleAppend({ from: 0, count }))
    for (let size = 1; size <= count; size++) {
      await Promise.all(stores.map(store => store.putCosigned(SPACE, size, bytes(100, size))))
    }
    const kept = Array.from({ length: KEPT_COSIGNED }, (_unused, i) => bytes(100, count - i))
    for (const store of stores) equal(await store.readCosigned(SPACE), kept)
  },

  'of contents of a mailbox that come from several, the one with the largest counter stays': async (_, opened) => {
    const stores = await several(opened)
    const address = bytes(32, 1)
    const put = (store: LogStore, counter: number, seed: number): Promise<boolean> =>
      store.putMailbox(address, { counter, bytes: bytes(100, seed), signature: bytes(64, seed) })
    for (let round = 1; round <= ROUNDS; round++) {
      const taken = await Promise.all(stores.map((store, i) => put(store, round, i)))
      equal(taken.filter(each => each).length, 1)
      equal((await stores[0]?.readMailbox(address))?.bytes, bytes(100, taken.indexOf(true)))
    }
    await Promise.all(stores.map((store, i) => put(store, 100 + i, i)))
    equal((await stores[0]?.readMailbox(address))?.counter, 100 + RIVALS - 1)
  },

  'what one announces the others hear, for as long as they listen': async (_, opened) => {
    const [one, ...others] = (await several(opened)) as [LogStore, ...LogStore[]]
    await one.append(sampleAppend({ from: 0, count: 1 }))
    const heard = others.map(store => hearing(store))
    await one.announce(SPACE)
    for (const ear of heard) equal(await ear.next(), SPACE)
    heard[0]?.stop()
    await one.announce(OTHER_SPACE)
    equal(await heard[1]?.next(), OTHER_SPACE)
    equal(heard[0]?.count(), 1)
  },
}

function only<T>(items: readonly T[]): T {
  equal(items.length, 1)
  return items[0] as T
}

/** Appends one entry after the other, wherever the log ends. @returns their places */
async function appendPersistently(store: LogStore, count: number): Promise<readonly number[]> {
  const places: number[] = []
  while (places.length < count) {
    const { size: from } = await store.readSize(SPACE)
    try {
      await store.append(sampleAppend({ from, count: 1 }))
      places.push(from)
    } catch (error) {
      if (!hasCode(error, 'ERR_STORE_LOCKED')) throw error
    }
  }
  return places
}

interface Ear {
  /** The next announcement that was not taken yet. */
  next(): Promise<SpaceId | undefined>
  count(): number
  stop(): void
}

function hearing(store: LogStore): Ear {
  const heard: (SpaceId | undefined)[] = []
  let taken = 0
  let wake: () => void = () => {}
  const stop = store.onGrown(space => {
    heard.push(space)
    wake()
  })
  return {
    async next() {
      while (heard.length <= taken) {
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
      return heard[taken++]
    },
    count: () => heard.length,
    stop,
  }
}
