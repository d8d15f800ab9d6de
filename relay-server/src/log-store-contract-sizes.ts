import type { Append } from './log-store.ts'
import { type Check, equal, failingSteps, rejects } from './log-store-contract-checks.ts'
import {
  EVERYTHING,
  head,
  lengthOf,
  OTHER_SPACE,
  SPACE,
  sampleAppend,
  sampleFrontier,
  sampleWraps,
  spaceAfter,
} from './log-store-contract-samples.ts'

/** How large spaces are, which there are, and what is not appended to. */
export const SIZE_CASES: Readonly<Record<string, Check>> = {
  'the size of a space is known without reading it': async (_, opened) => {
    const store = await opened()
    equal(await store.readSize(SPACE), { size: 0, bytes: 0, floor: 0 })
    const first = sampleAppend({ from: 0, count: 3, bodyLength: 70 })
    await store.append(first)
    const wraps = sampleWraps(3, 2)
    const second = { ...sampleAppend({ from: 3, count: 2 }), wraps }
    await store.append(second)
    const bytes = lengthOf([...first.entries, ...second.entries]) + 2 * 1168
    equal(await store.readSize(SPACE), { size: 5, bytes, floor: 0 })
    const stored = await store.readSpace(SPACE)
    equal([stored?.size, stored?.bytes, stored?.floor], [5, bytes, 0])
    equal(await store.readSize(OTHER_SPACE), { size: 0, bytes: 0, floor: 0 })
  },

  'a body that is not stored counts for nothing, nor does one that is dropped twice': async (_, opened) => {
    const store = await opened()
    const sample = sampleAppend({ from: 0, count: 2 })
    const entries = sample.entries.map((entry, i) => (i === 0 ? { ...entry, body: undefined } : entry))
    await store.append({ ...sample, entries })
    equal(await store.readEntries(SPACE, EVERYTHING), entries)
    equal((await store.readSize(SPACE)).bytes, lengthOf(entries))
    const bare = entries.map(entry => ({ ...entry, body: undefined }))
    const second = { ...sampleAppend({ from: 2, count: 1 }), dropped: [0, 1] }
    await store.append(second)
    const third = { ...sampleAppend({ from: 3, count: 1 }), dropped: [1] }
    await store.append(third)
    equal((await store.readSize(SPACE)).bytes, lengthOf([...bare, ...second.entries, ...third.entries]))
  },

  'spaces are listed in order, those with entries and those with a head alone': async (_, opened) => {
    const store = await opened()
    equal(await store.readSpaces(undefined, 10), [])
    await store.append({ ...sampleAppend({ from: 0, count: 1 }), space: OTHER_SPACE })
    await store.putHead(OTHER_SPACE, head(1, 10))
    await store.putFloor(SPACE, 4)
    equal(await store.readSpaces(undefined, 10), [OTHER_SPACE])
    await store.putHead(SPACE, head(7, 10))
    equal(await store.readSpaces(undefined, 10), [SPACE, OTHER_SPACE])
    equal(await store.readSpaces(undefined, 1), [SPACE])
    equal(await store.readSpaces(SPACE, 10), [OTHER_SPACE])
    equal(await store.readSpaces(OTHER_SPACE, 10), [])
  },

  'on top of another log of the same size nothing is appended, and nothing of it is left': async (_, opened) => {
    const store = await opened()
    const first = sampleAppend({ from: 0, count: 3 })
    await store.append(first)
    // As after a standby that lagged behind took over, and took other entries in their place.
    const stranger = { ...sampleAppend({ from: 3, count: 2, seed: 7 }), base: sampleFrontier(3, 99), dropped: [0] }
    for (const refused of [stranger, { ...stranger, isRestored: true }]) {
      await rejects(store.append(refused), 'ERR_STORE_LOCKED')
    }
    equal(await store.readSpace(SPACE), spaceAfter(first))
    equal(await store.readEntries(SPACE, EVERYTHING), first.entries)
    await store.append({ ...stranger, base: first.frontier })
  },

  'what the last append was made on is known': async (_, opened) => {
    const store = await opened()
    for (const [from, count] of [
      [0, 2],
      [2, 3],
    ] as const) {
      await store.append(sampleAppend({ from, count }))
      equal((await store.readSpace(SPACE))?.base, sampleFrontier(from))
    }
  },

  'below the floor nothing is appended, and a floor only rises': async (_, opened) => {
    const store = await opened()
    const first = sampleAppend({ from: 0, count: 2 })
    await store.append(first)
    await store.putFloor(SPACE, 5)
    await store.putFloor(SPACE, 4)
    equal(await store.readSize(SPACE), { size: 2, bytes: lengthOf(first.entries), floor: 5 })
    equal((await store.readSpace(SPACE))?.floor, 5)
    const restored = (count: number): Append => ({ ...sampleAppend({ from: 2, count, seed: 20 }), isRestored: true })
    for (const refused of [sampleAppend({ from: 2, count: 1 }), sampleAppend({ from: 2, count: 4 }), restored(2)]) {
      await rejects(store.append(refused), 'ERR_STORE_LOCKED')
    }
    equal(await store.readEntries(SPACE, EVERYTHING), first.entries)
    await store.append(restored(3))
    equal((await store.readSize(SPACE)).floor, 0)
    await store.append(sampleAppend({ from: 5, count: 1 }))
  },

  'a restoration may go beyond the floor, and a space without entries may have one': async (_, opened) => {
    const store = await opened()
    await store.putFloor(SPACE, 2)
    equal(await store.readSpace(SPACE), undefined)
    equal(await store.readSize(SPACE), { size: 0, bytes: 0, floor: 2 })
    await rejects(store.append(sampleAppend({ from: 0, count: 2 })), 'ERR_STORE_LOCKED')
    const append = { ...sampleAppend({ from: 0, count: 3 }), isRestored: true }
    await store.append(append)
    equal(await store.readSpace(SPACE), spaceAfter(append))
  },

  'a floor that is reached already is none': async (_, opened) => {
    const store = await opened()
    await store.append(sampleAppend({ from: 0, count: 2 }))
    for (const size of [1, 2]) await store.putFloor(SPACE, size)
    equal((await store.readSize(SPACE)).floor, 0)
    await store.append({ ...sampleAppend({ from: 2, count: 1 }), isRestored: true })
    equal((await store.readSize(SPACE)).size, 3)
  },

  'of appends to several spaces at once each lands or fails by itself': async (_, opened) => {
    let step = 0
    let failing = 1
    const store = await opened(() => {
      if (++step === failing) throw new Error('made to fail')
    })
    const spaces = [SPACE, OTHER_SPACE]
    const sizes = [0, 0]
    do {
      step = 0
      const appends = spaces.map((space, i) => ({ ...sampleAppend({ from: sizes[i] as number, count: 2 }), space }))
      const late = { ...sampleAppend({ from: 5000, count: 1 }), space: OTHER_SPACE }
      const results = await Promise.allSettled([...appends, late].map(append => store.append(append)))
      equal(results[2]?.status, 'rejected')
      const landed = spaces.map((_space, i) => results[i]?.status === 'fulfilled')
      if (step < failing) equal(landed, [true, true])
      for (const i of [0, 1]) sizes[i] = (sizes[i] as number) + (landed[i] ? 2 : 0)
      const stored = await Promise.all(spaces.map(space => store.readSize(space)))
      equal(
        stored.map(each => each.size),
        sizes,
      )
    } while (step >= failing++)
  },

  'a floor that fails at any step is as before': async (_, opened) => {
    const steps = failingSteps()
    const store = await opened(steps.take)
    await store.putFloor(SPACE, 3)
    const attempt = (): Promise<void> => store.putFloor(SPACE, 4)
    for (let failAt = 1; await steps.fails(failAt, attempt); failAt++) equal((await store.readSize(SPACE)).floor, 3)
    equal((await store.readSize(SPACE)).floor, 4)
  },

  'a restoration that fails at any step leaves the floor': async (_, opened) => {
    const steps = failingSteps()
    const store = await opened(steps.take)
    const first = sampleAppend({ from: 0, count: 1 })
    await store.append(first)
    await store.putFloor(SPACE, 3)
    const attempt = (): Promise<void> => store.append({ ...sampleAppend({ from: 1, count: 2 }), isRestored: true })
    for (let failAt = 1; await steps.fails(failAt, attempt); failAt++) {
      equal(await store.readSpace(SPACE), { ...spaceAfter(first), floor: 3 })
    }
    equal((await store.readSize(SPACE)).floor, 0)
  },
}
