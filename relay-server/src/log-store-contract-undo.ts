import { decodeRange } from 'sealog/protocol'
import type { AppendUndo, LogStore } from './log-store.ts'
import { type Check, equal, failingSteps, rejects } from './log-store-contract-checks.ts'
import {
  actorRow,
  bytes,
  documentId,
  EVERYTHING,
  lengthOf,
  OTHER_SPACE,
  SPACE,
  sampleAppend,
  sampleFrontier,
  sampleWraps,
  spaceAfter,
} from './log-store-contract-samples.ts'

const FIRST = { ...sampleAppend({ from: 0, count: 5 }), wraps: sampleWraps(2, 2) }
const LAST = {
  ...sampleAppend({ from: 5, count: 3, seed: 40 }),
  state: {
    control: [
      { name: 'core', value: bytes(90, 8) },
      { name: 'later', value: bytes(9, 9) },
    ],
    documents: [{ document: documentId(2), value: bytes(20, 9) }],
    actors: [actorRow(2, 2, 3)],
  },
  wraps: sampleWraps(6, 3),
}
const UNDO: AppendUndo = { space: SPACE, frontier: LAST.frontier, base: FIRST.frontier, state: FIRST.state, floor: 9 }

async function grown(store: LogStore): Promise<void> {
  await store.append(FIRST)
  await store.putCosigned(SPACE, 4, bytes(100, 4))
  await store.append(LAST)
  await store.putCosigned(SPACE, 7, bytes(100, 7))
}

/** Taking the last append back. */
export const UNDO_CASES: Readonly<Record<string, Check>> = {
  'the last append is taken back with all that came with it, and the floor then keeps the place': async (_, opened) => {
    const store = await opened()
    await store.append({ ...sampleAppend({ from: 0, count: 2 }), space: OTHER_SPACE })
    await grown(store)
    await store.undoAppend(UNDO)
    const { size } = decodeRange(UNDO.base)
    equal(await store.readSpace(SPACE), { ...spaceAfter(FIRST), size, base: undefined, floor: 9 })
    equal(await store.readEntries(SPACE, EVERYTHING), FIRST.entries)
    equal((await store.readSize(SPACE)).bytes, lengthOf(FIRST.entries) + 2 * 1168)
    equal(await store.readWraps(SPACE, 2), FIRST.wraps)
    equal(await store.readWraps(SPACE, 6), [])
    equal(await store.readCosigned(SPACE), [bytes(100, 4)])
    for (const [level, index, hash] of FIRST.nodes) equal(await store.readNodes(SPACE, [[level, index]]), [hash])
    await rejects(store.readNodes(SPACE, [[1, 2]]), 'ERR_STORE_CORRUPT')
    // The sample of a cosigned note is none.
    const faults = (await store.inspect(10)).filter(({ reason }) => reason !== 'the cosigned note of 4 is another')
    equal(faults, [])
    equal((await store.readSize(OTHER_SPACE)).size, 2)
    await rejects(store.append(sampleAppend({ from: 5, count: 2 })), 'ERR_STORE_LOCKED')
    await store.append({ ...sampleAppend({ from: 5, count: 4 }), isRestored: true })
    equal((await store.readSize(SPACE)).floor, 0)
  },

  'nothing but the last append can be taken back, and that once': async (_, opened) => {
    const store = await opened()
    await rejects(store.undoAppend(UNDO), 'ERR_STORE_LOCKED')
    await grown(store)
    const before = await store.readSpace(SPACE)
    for (const wrong of [
      { ...UNDO, frontier: sampleFrontier(8, 1) },
      { ...UNDO, base: sampleFrontier(5, 1) },
      { ...UNDO, base: sampleFrontier(4) },
    ]) {
      await rejects(store.undoAppend(wrong), 'ERR_STORE_LOCKED')
    }
    equal(await store.readSpace(SPACE), before)
    await store.undoAppend(UNDO)
    await rejects(store.undoAppend(UNDO), 'ERR_STORE_LOCKED')
    await rejects(store.undoAppend({ ...UNDO, frontier: FIRST.frontier, base: sampleFrontier(0) }), 'ERR_STORE_LOCKED')
  },

  'the first append is taken back as any other: the space then waits for what was signed': async (_, opened) => {
    const store = await opened()
    await store.append(FIRST)
    const none = { control: [], documents: [], actors: [] }
    const undo = { space: SPACE, frontier: FIRST.frontier, base: sampleFrontier(0), state: none, floor: 2 }
    await store.undoAppend(undo)
    equal(await store.readSpace(SPACE), undefined)
    equal(await store.readSize(SPACE), { size: 0, bytes: 0, floor: 2 })
    await store.append({ ...sampleAppend({ from: 0, count: 2 }), isRestored: true })
    equal((await store.readSize(SPACE)).floor, 0)
  },

  'an append is taken back whole or not at all': async (_, opened) => {
    const steps = failingSteps()
    const store = await opened(steps.take)
    await grown(store)
    const before = await store.readSpace(SPACE)
    for (let failAt = 1; await steps.fails(failAt, () => store.undoAppend(UNDO)); failAt++) {
      equal(await store.readSpace(SPACE), before)
      equal(await store.readEntries(SPACE, EVERYTHING), [...FIRST.entries, ...LAST.entries])
    }
    equal((await store.readSize(SPACE)).size, 5)
  },
}
