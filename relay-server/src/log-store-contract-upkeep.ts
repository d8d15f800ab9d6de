import type { Append } from './log-store.ts'
import { type Check, equal, failingSteps, rejects } from './log-store-contract-checks.ts'
import {
  bytes,
  EVERYTHING,
  head,
  kept,
  lengthOf,
  OTHER_SPACE,
  SPACE,
  sampleAppend,
  sampleWraps,
  spaceAfter,
  WHOLE,
} from './log-store-contract-samples.ts'

/** What an operator does with a store. */
export const UPKEEP_CASES: Readonly<Record<string, Check>> = {
  'all mailboxes can be gone through, in order': async (_, opened) => {
    const store = await opened()
    equal(await store.readMailboxes(undefined, 10), [])
    const boxes = [1, 2, 3].map(seed => {
      const address = new Uint8Array(32).fill(seed)
      return { address, counter: seed, bytes: bytes(100, seed), signature: bytes(64, seed) }
    })
    for (const { address, ...mailbox } of [...boxes].reverse()) await store.putMailbox(address, mailbox)
    equal(await store.readMailboxes(undefined, 10), boxes)
    equal(await store.readMailboxes(undefined, 2), boxes.slice(0, 2))
    equal(await store.readMailboxes(boxes[0]?.address, 10), boxes.slice(1))
    equal(await store.readMailboxes(boxes[2]?.address, 10), [])
  },

  'what was written by the book is without fault': async (_, opened) => {
    const store = await opened()
    await store.append({ ...sampleAppend({ from: 0, count: 4 }), wraps: sampleWraps(1, 2) })
    await store.append({ ...sampleAppend({ from: 4, count: 3 }), dropped: [1, 5] })
    await store.putHead(SPACE, head(7, 10))
    await store.putHead(OTHER_SPACE, head(3, 10))
    await store.putMailbox(bytes(32, 1), { counter: 1, bytes: bytes(100, 1), signature: bytes(64, 1) })
    await store.discard(SPACE, [0])
    equal(await store.inspect(10), [])
  },

  'bodies that are discarded are gone, and nothing else is': async (_, opened) => {
    const store = await opened()
    const append = sampleAppend({ from: 0, count: 4 })
    await store.append(append)
    await store.putCosigned(SPACE, 2, bytes(100, 2))
    await store.discard(SPACE, [1, 3, 9])
    await store.discard(SPACE, [1])
    await store.discard(OTHER_SPACE, [0])
    const left = append.entries.map((entry, i) => (i % 2 === 1 ? { ...entry, body: undefined } : entry))
    equal(await store.readEntries(SPACE, EVERYTHING), left)
    equal(await store.readSize(SPACE), { size: 4, bytes: lengthOf(left), floor: 0 })
    equal(await store.readCosigned(SPACE), [bytes(100, 2)])
  },

  'a removal of bodies that fails at any step removes none': async (_, opened) => {
    const steps = failingSteps()
    const store = await opened(steps.take)
    const append = sampleAppend({ from: 0, count: 3 })
    await store.append(append)
    const attempt = (): Promise<void> => store.discard(SPACE, [0, 2])
    for (let failAt = 1; await steps.fails(failAt, attempt); failAt++) {
      equal(await store.readEntries(SPACE, EVERYTHING), append.entries)
      equal(await store.readSpace(SPACE), spaceAfter(append))
    }
    equal((await store.readSize(SPACE)).bytes < lengthOf(append.entries), true)
  },

  'of a space that is removed nothing is left but that it was there, for good': async (_, opened) => {
    const store = await opened()
    const other = { ...sampleAppend({ from: 0, count: 2 }), wraps: sampleWraps(1, 1), space: OTHER_SPACE }
    await store.append({ ...sampleAppend({ from: 0, count: 3 }), wraps: sampleWraps(2, 2) })
    await store.append(other)
    await store.putHead(SPACE, head(2, 10))
    await store.putHead(OTHER_SPACE, head(2, 10))
    await store.putCosigned(SPACE, 2, bytes(100, 2))
    await store.removeSpace(SPACE)
    equal(await store.readSpace(SPACE), undefined)
    equal(await store.readSize(SPACE), { size: 0, bytes: 0, floor: 0 })
    equal(await store.readEntries(SPACE, EVERYTHING), [])
    equal(await store.readChoice(SPACE, { kind: 'control', from: 0, to: 10 }, WHOLE), [])
    equal(await store.readBody(SPACE, 0, 0, 10), undefined)
    equal(await store.readWraps(SPACE, 2), [])
    equal(await store.readCosigned(SPACE), [])
    await rejects(store.readNodes(SPACE, [[0, 0]]), 'ERR_STORE_CORRUPT')
    equal(await store.readSpaces(undefined, 10), [SPACE, OTHER_SPACE])
    const buried = async (latest: number): Promise<void> => {
      const tombstone = await store.readHead(SPACE)
      equal([tombstone?.size, tombstone?.note, tombstone?.latest], [3, new Uint8Array(0), latest])
    }
    await buried(10)
    await rejects(store.putHead(SPACE, head(9, 90)), 'ERR_STORE_LOCKED')
    await store.raiseHead(SPACE, head(9, 20))
    await buried(20)
    await store.acceptRollback(SPACE)
    await store.removeSpace(SPACE)
    await buried(20)
    equal(await store.readSpace(OTHER_SPACE), spaceAfter(other))
    equal(await store.readEntries(OTHER_SPACE, EVERYTHING), other.entries)
    equal(await store.readWraps(OTHER_SPACE, 1), other.wraps)
    equal(await store.readHead(OTHER_SPACE), kept(head(2, 10)))
    equal(await store.inspect(10), [])
  },

  'a space whose removal fails at any step is all there or is signed no more': async (_, opened) => {
    const steps = failingSteps()
    const store = await opened(steps.take)
    const append: Append = { ...sampleAppend({ from: 0, count: 2 }), wraps: sampleWraps(1, 2) }
    await store.append(append)
    await store.putHead(SPACE, head(2, 10))
    for (let failAt = 1; await steps.fails(failAt, () => store.removeSpace(SPACE)); failAt++) {
      equal(await store.readSpace(SPACE), spaceAfter(append))
      equal(await store.readEntries(SPACE, EVERYTHING), append.entries)
      equal(await store.readWraps(SPACE, 1), append.wraps)
    }
    equal(await store.readSpace(SPACE), undefined)
  },

  'compacting changes nothing that can be read': async (_, opened) => {
    const store = await opened()
    const append = sampleAppend({ from: 0, count: 5 })
    await store.append(append)
    await store.putHead(SPACE, head(5, 10))
    await store.append({ ...sampleAppend({ from: 0, count: 40, bodyLength: 900 }), space: OTHER_SPACE })
    await store.removeSpace(OTHER_SPACE)
    const { before, after } = await store.compact()
    equal(after <= before, true)
    equal(await store.readSpace(SPACE), spaceAfter(append))
    equal(await store.readEntries(SPACE, EVERYTHING), append.entries)
    equal(await store.readHead(SPACE), kept(head(5, 10)))
    await store.append(sampleAppend({ from: 5, count: 1 }))
  },
}
