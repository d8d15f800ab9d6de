import { KEPT_COSIGNED } from './log-store.ts'
import { type Check, equal, failingSteps, rejects } from './log-store-contract-checks.ts'
import { bytes, OTHER_SPACE, SPACE, sampleAppend } from './log-store-contract-samples.ts'

/** Notes that members have cosigned. */
export const COSIGNED_CASES: Readonly<Record<string, Check>> = {
  'of cosigned notes the largest are kept, one of each size': async (_, opened) => {
    const store = await opened()
    await rejects(store.putCosigned(SPACE, 1, bytes(100, 1)), 'ERR_STORE_LOCKED')
    const count = KEPT_COSIGNED + 3
    await store.append(sampleAppend({ from: 0, count }))
    for (const refused of [0, count + 1]) {
      await rejects(store.putCosigned(SPACE, refused, bytes(100, 1)), 'ERR_STORE_LOCKED')
    }
    await store.putCosigned(SPACE, 2, bytes(100, 2))
    await store.putCosigned(SPACE, 1, bytes(100, 1))
    await store.putCosigned(SPACE, 2, bytes(100, 50))
    equal(await store.readCosigned(SPACE), [bytes(100, 50), bytes(100, 1)])
    for (let size = count; size > 2; size--) await store.putCosigned(SPACE, size, bytes(100, size))
    const kept = Array.from({ length: KEPT_COSIGNED }, (_unused, i) => bytes(100, count - i))
    equal(await store.readCosigned(SPACE), kept)
    await store.putCosigned(SPACE, 1, bytes(100, 1))
    equal(await store.readCosigned(SPACE), kept)
    equal(await store.readCosigned(OTHER_SPACE), [])
  },

  'a cosigned note that fails at any step leaves those before': async (_, opened) => {
    const steps = failingSteps()
    const store = await opened(steps.take)
    await store.append(sampleAppend({ from: 0, count: 2 }))
    await store.putCosigned(SPACE, 1, bytes(100, 1))
    const attempt = (): Promise<void> => store.putCosigned(SPACE, 2, bytes(100, 2))
    for (let failAt = 1; await steps.fails(failAt, attempt); failAt++) {
      equal(await store.readCosigned(SPACE), [bytes(100, 1)])
    }
    equal(await store.readCosigned(SPACE), [bytes(100, 2), bytes(100, 1)])
  },
}
