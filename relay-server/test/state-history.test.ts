import fc from 'fast-check'
import { type DocumentRecord, mapRoot, type StateMap } from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { StateHistory } from '../src/state-history.ts'
import { StateRewind } from '../src/state-rewind.ts'
import { type RandomLog, randomLog, type Shape } from './helpers/random-log.ts'

const shapes = (minLength: number, maxLength: number): fc.Arbitrary<Shape[]> =>
  fc.array(
    fc.record({
      kind: fc.constantFrom<Shape['kind'][]>('changes', 'changes', 'changes', 'snapshot', 'retire', 'import'),
      device: fc.nat(2),
      document: fc.integer({ min: 1, max: 4 }),
      fresh: fc.constantFrom(false, false, false, true),
    }),
    { minLength, maxLength },
  )

function latestOf({ views }: RandomLog) {
  const { range, state } = views.at(-1) as RandomLog['views'][number]
  if (state === undefined) throw new Error('no state')
  return { size: range.size, state }
}

/** Its root commits to all of a map, records and what they hold. */
function expectAt({ views }: RandomLog, size: number, documents: StateMap<DocumentRecord>): void {
  const { state } = views[size] as RandomLog['views'][number]
  const expected = state === undefined ? new Uint8Array(32) : mapRoot(state.documents)
  expect(mapRoot(documents)).toEqual(expected)
}

/** All the way from the latest state, which a history does only where nothing is nearer. */
async function setBack(log: RandomLog, size: number): Promise<StateMap<DocumentRecord>> {
  const rewind = new StateRewind()
  const range = { from: size, to: latestOf(log).size, inlineLength: -1, maxBytes: Number.POSITIVE_INFINITY }
  for (const entry of await log.store.readEntries(log.space, range)) rewind.add(entry)
  return rewind.apply(latestOf(log).state.documents)
}

describe('the documents at an old size', () => {
  test('are those that the reducer had, whatever the log and the order of asking', async () => {
    await fc.assert(
      fc.asyncProperty(shapes(1, 40), fc.array(fc.nat(), { minLength: 1, maxLength: 12 }), async (tried, picks) => {
        const log = await randomLog(tried)
        const latest = latestOf(log)
        const history = new StateHistory(log.store, log.space)
        for (const pick of picks) {
          const size = pick % (latest.size + 1)
          expectAt(log, size, await history.documentsAt(size, latest))
          expectAt(log, size, await setBack(log, size))
        }
      }),
      { numRuns: 12 },
    )
  })

  test('are found from a newer or an older one at hand, and part by part', async () => {
    const kinds: readonly Shape['kind'][] = ['changes', 'changes', 'snapshot', 'changes', 'retire']
    const tried = Array.from({ length: 330 }, (_, i) => ({
      kind: kinds[i % kinds.length] as Shape['kind'],
      device: i % 3,
      document: 1 + (i % 7),
      fresh: i % 11 === 0,
    }))
    const log = await randomLog(tried, 2, 50)
    const latest = latestOf(log)
    expect(latest.size).toBeGreaterThan(300)
    let read = 0
    const counting = {
      ...log.store,
      readEntries: async (...args: Parameters<typeof log.store.readEntries>) => {
        const entries = await log.store.readEntries(...args)
        read += entries.length
        return entries
      },
    }
    const history = new StateHistory(counting, log.space)
    for (const size of [0, 1, 60, 200, latest.size]) expectAt(log, size, await setBack(log, size))
    read = 0
    expectAt(log, 30, await history.documentsAt(30, latest))
    expect(read).toBe(30)
    read = 0
    // Near what is kept, in both directions, and near the head.
    for (const size of [33, 29, latest.size - 2]) expectAt(log, size, await history.documentsAt(size, latest))
    expect(read).toBe(3 + 1 + 2)
    read = 0
    const entries = await log.store.readEntries(log.space, { from: 33, to: 43, inlineLength: -1, maxBytes: Infinity })
    await history.continueBehind(33, entries, latest)
    expectAt(log, 43, await history.documentsAt(43, latest))
    expect(read).toBe(0)
  })
})
