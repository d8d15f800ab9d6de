import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { VerifiedEntry } from '../../src/verify/log.ts'
import { type Outcome, Reader, withheld } from '../crdt/parking-support.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { adoptionOf, type History, historyOf, scripts, supplyFrom } from '../helpers/histories.ts'
import { DOCUMENT } from '../helpers/log-builder.ts'

beforeAll(initializeAutomerge)

/** How a replica gets a document. Places are shares of the log, 0 to 1. */
interface Way {
  /** Sizes of the batches, in turn. */
  readonly sizes: readonly number[]
  /** After each batch: nothing, open the document, let it go, restart. */
  readonly moves: readonly number[]
  /** Where it begins: what comes before is not there, or was there long ago. */
  readonly from: number
  /** Where it skips to, by fast-forward; behind `from`. */
  readonly skip: number | undefined
}

const ways: fc.Arbitrary<Way> = fc.record({
  sizes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
  moves: fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }),
  from: fc.constantFrom(0, 0, 0.3, 0.6),
  skip: fc.constantFrom(undefined, 0.5, 0.8, 1),
})

const ONE_BY_ONE: Way = { sizes: [1], moves: [1], from: 0, skip: undefined }

type Serving = 'never' | 'late' | 'early'

async function follow(history: History, way: Way, serving: Serving): Promise<Outcome> {
  const { entries } = history
  const missing = serving === 'early' ? new Set<number>() : history.withheld
  const served: History = { ...history, withheld: missing }
  const store = memoryStore()
  let reader = await Reader.on(store)
  let at = 0
  const receive = async (to: number): Promise<void> => {
    for (let batch = 0; at < to; batch++) {
      const next = entries.slice(at, Math.min(to, at + (way.sizes[batch % way.sizes.length] as number)))
      await reader.receive(...next.map(entry => (missing.has(entry.index) ? withheld(entry) : entry)))
      at += next.length
      const move = way.moves[batch % way.moves.length]
      if (move === 1) await reader.set.open(DOCUMENT)
      if (move === 2) {
        reader.used = false
        await reader.set.release(DOCUMENT)
      }
      if (move === 3) {
        await reader.close()
        reader = await Reader.on(store)
      }
      for (const { index } of next) await supplyFrom(reader, served, index)
    }
  }
  if (way.skip !== undefined) {
    const to = Math.ceil(way.skip * entries.length)
    await receive(Math.floor(way.from * to))
    await reader.adopt(adoptionOf(served, to))
    at = to
    for (let index = to - 1; index >= 0; index--) await supplyFrom(reader, served, index)
  }
  await receive(entries.length)
  if (serving === 'late') {
    // In whatever order they come.
    const wanted = reader.set.missingBodies().map(({ index }) => entries[index] as VerifiedEntry)
    for (const entry of (way.sizes[0] as number) % 2 === 0 ? wanted : wanted.reverse()) await reader.serve(entry)
  }
  const outcome = await reader.outcome()
  await reader.close()
  return outcome
}

describe('all ways of syncing end equal (R-PARK-6)', () => {
  it('one by one, in batches, over restarts, by fast-forward and tail, with whatever members write', async () => {
    const seen = new Set<string>()
    await fc.assert(
      fc.asyncProperty(scripts, fc.array(ways, { minLength: 3, maxLength: 3 }), async (script, others) => {
        const history = await historyOf(script)
        const parked = await follow(history, ONE_BY_ONE, 'never')
        const released = await follow(history, ONE_BY_ONE, 'early')
        for (const [, reason, , code] of [...parked.stopped, ...released.stopped]) seen.add(`${reason} ${code}`)
        expect(await follow(history, ONE_BY_ONE, 'late')).toEqual(released)
        for (const way of others) {
          expect(await follow(history, way, 'never')).toEqual(parked)
          expect(await follow(history, way, 'late')).toEqual(released)
        }
      }),
      { numRuns: 60 },
    )
    expect([...seen].sort()).toEqual([])
  }, 120_000)
})
