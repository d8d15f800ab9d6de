import { type Check, equal, failingSteps } from './log-store-contract-checks.ts'
import { OTHER_SPACE, SPACE, sampleAppend, sampleWraps, spaceAfter } from './log-store-contract-samples.ts'

/** What entries deliver to devices. */
export const WRAP_CASES: Readonly<Record<string, Check>> = {
  'wraps are found by entry and device, and of an entry in their order': async (_, opened) => {
    const store = await opened()
    const [first, second] = [sampleWraps(1, 12), sampleWraps(3, 2)]
    await store.append({ ...sampleAppend({ from: 0, count: 2 }), wraps: first })
    await store.append({ ...sampleAppend({ from: 2, count: 2 }), wraps: second })
    equal(await store.readWraps(SPACE, 1), first)
    equal(await store.readWraps(SPACE, 3), second)
    equal(await store.readWrap(SPACE, 1, 23), first[11])
    equal(await store.readWrap(SPACE, 3, 3), second[1])
  },

  'wraps that are not stored are not there': async (_, opened) => {
    const store = await opened()
    equal(await store.readWraps(SPACE, 0), [])
    equal(await store.readWrap(SPACE, 0, 1), undefined)
    await store.append({ ...sampleAppend({ from: 0, count: 2 }), wraps: sampleWraps(1, 2) })
    equal(await store.readWraps(SPACE, 0), [])
    equal(await store.readWrap(SPACE, 0, 1), undefined)
    equal(await store.readWrap(SPACE, 1, 2), undefined)
    equal(await store.readWraps(OTHER_SPACE, 1), [])
    equal(await store.readWrap(OTHER_SPACE, 1, 1), undefined)
  },

  'an append with wraps that fails at any step leaves none of them': async (_, opened) => {
    const steps = failingSteps()
    const store = await opened(steps.take)
    const before = sampleAppend({ from: 0, count: 1 })
    await store.append(before)
    const attempt = (): Promise<void> =>
      store.append({ ...sampleAppend({ from: 1, count: 1, seed: 30 }), wraps: sampleWraps(1, 3) })
    for (let failAt = 1; await steps.fails(failAt, attempt); failAt++) {
      equal(await store.readWraps(SPACE, 1), [])
      equal(await store.readSpace(SPACE), spaceAfter(before))
    }
    equal(await store.readWraps(SPACE, 1), sampleWraps(1, 3))
  },

  'wraps are there for the next store over the same place': async (place, opened) => {
    if (!place.isPersistent) return
    const before = await opened()
    await before.append({ ...sampleAppend({ from: 0, count: 1 }), wraps: sampleWraps(0, 2) })
    await before.close()
    const store = await opened()
    equal(await store.readWraps(SPACE, 0), sampleWraps(0, 2))
  },
}
