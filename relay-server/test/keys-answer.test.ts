import {
  type ControlState,
  type DeliveryRecord,
  type EpochRecord,
  encodeMessage,
  MAX_FRAME_LENGTH,
  type ProvenWrap,
  type SpaceId,
  sha256,
  verifyInclusion,
  WRAP_LENGTH,
  wrapLeaf,
  wrapsRootOf,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { answerKeys, planKeys } from '../src/keys-answer.ts'
import type { LogStore, StoredWrap } from '../src/log-store.ts'
import { SPACE, sampleAppend } from '../src/log-store-contract-samples.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { WrapProofs } from '../src/wrap-proofs.ts'

const DEVICE = 3

/** A control state of which the answer reads nothing but its epochs. */
function withEpochs(deliveries: readonly (readonly number[])[], wrapsCount = 1000): ControlState {
  const epochs = deliveries.map(
    (indices, epoch): Partial<EpochRecord> => ({
      index: indices[0] ?? epoch,
      deliveries: indices.map(index => ({ index, wrapsCount }) as DeliveryRecord),
    }),
  )
  return { epochs } as unknown as ControlState
}

/** Every delivery has one for the device, with a proof as long as among a thousand. */
function proofsAtHand(has = true): Pick<WrapProofs, 'has' | 'prove'> {
  const proof = Array.from({ length: 10 }, () => sha256())
  const wrap = new Uint8Array(WRAP_LENGTH)
  return {
    has: () => has,
    prove: async (): Promise<ProvenWrap> => ({ device: DEVICE, position: 999, wrap, proof }),
  }
}

function asked(from: number, to: number, position = 1_000_000) {
  return { type: 'get-keys', ref: 1, space: SPACE as SpaceId, from, to, position } as const
}

async function answered(
  proofs: ReturnType<typeof proofsAtHand>,
  control: ControlState,
  request: ReturnType<typeof asked>,
) {
  return (await answerKeys(proofs, request, DEVICE, planKeys(proofs, control, request))).message
}

describe('an answer with keys', () => {
  test('fits a frame, and ends with a whole epoch (R-KEYS-2)', async () => {
    const many = withEpochs(Array.from({ length: 2000 }, (_, i) => [3 * i, 3 * i + 1]))
    let from = 0
    let count = 0
    for (; from < 2000; count++) {
      const answer = await answered(proofsAtHand(), many, asked(from, 5000))
      const frame = encodeMessage(answer)
      expect(frame.length).toBeLessThanOrEqual(MAX_FRAME_LENGTH)
      expect(answer.wraps.map(({ epoch }) => epoch)).toEqual(
        Array.from({ length: 2 * (answer.to - from + 1) }, (_, i) => from + Math.floor(i / 2)),
      )
      if (answer.to < 1999) expect(frame.length).toBeGreaterThan(MAX_FRAME_LENGTH - 100_000)
      from = answer.to + 1
    }
    expect(count).toBeLessThan(10)
  })

  test('has of an epoch that was mended over and over the first delivery, and the latest', async () => {
    const indices = Array.from({ length: 500 }, (_, i) => i + 1)
    const answer = await answered(proofsAtHand(), withEpochs([indices]), asked(0, 0))
    expect(answer.wraps.map(({ index }) => index)).toEqual([1, ...indices.slice(-31)])
    expect(encodeMessage(answer).length).toBeLessThanOrEqual(MAX_FRAME_LENGTH)
  })

  test('knows nothing of what stands behind the entries that the reader has', async () => {
    const control = withEpochs([[], [5, 8], [10]])
    const at = async (position: number) => {
      const { wraps, to } = await answered(proofsAtHand(), control, asked(0, 9, position))
      return [to, wraps.map(({ index }) => index)]
    }
    expect(await at(1)).toEqual([0, []])
    expect(await at(5)).toEqual([0, []])
    expect(await at(6)).toEqual([1, [5]])
    expect(await at(9)).toEqual([1, [5, 8]])
    expect(await at(11)).toEqual([2, [5, 8, 10]])
  })
})

test.each([
  [10, 1],
  [100, 4],
  [1000, 36],
])(
  'among %i devices, one that missed 500 rotations which nobody else asks for gets them in %i answers',
  (devices, rounds) => {
    const deliveries = Array.from({ length: 501 }, (_, epoch) => (epoch === 0 ? [] : [epoch]))
    const control = withEpochs(deliveries, devices)
    let count = 0
    for (let from = 1; from <= 500; count++) from = planKeys(proofsAtHand(false), control, asked(from, 500)).to + 1
    expect(count).toBe(rounds)
  },
)

describe('what an answer with keys costs (R-QUOTA-5)', () => {
  const control = withEpochs(Array.from({ length: 100 }, (_, i) => [i]))

  test('is known before anything is read, and is at least what is sent', async () => {
    for (const to of [0, 9, 99]) {
      const request = asked(0, to)
      const plan = planKeys(proofsAtHand(), control, request)
      const { message, read } = await answerKeys(proofsAtHand(), request, DEVICE, plan)
      const frame = encodeMessage(message)
      expect(plan.cost).toBeGreaterThanOrEqual(read + frame.length)
      expect(plan.cost).toBeLessThan((read + frame.length) * 1.1 + 1024)
    }
  })

  test('has in it what must be read of deliveries that are not at hand, of which one answer holds only so many', () => {
    const warm = planKeys(proofsAtHand(), control, asked(0, 99))
    const cold = planKeys(proofsAtHand(false), control, asked(0, 99))
    expect(warm.to).toBe(99)
    // A thousand wraps each, in 16 MiB.
    expect(cold.to).toBe(13)
    expect(cold.cost - planKeys(proofsAtHand(), control, asked(0, 13)).cost).toBe(14 * 1000 * WRAP_LENGTH)
    expect(planKeys(proofsAtHand(false), control, asked(cold.to + 1, 99)).to).toBe(27)
  })

  test('has nothing in it, in the end, for deliveries that hold no wrap for whoever asks: of those no more is read', async () => {
    const request = asked(0, 13)
    const readBy = async (proofs: Pick<WrapProofs, 'has' | 'prove'>): Promise<number> =>
      (await answerKeys(proofs, request, DEVICE, planKeys(proofs, control, request))).read
    const warm = await readBy(proofsAtHand())
    const cold = proofsAtHand(false)
    expect(await readBy(cold)).toBe(warm + 14 * 1000 * WRAP_LENGTH)
    let looks = 0
    const forOne: typeof cold.prove = async (...args) => (looks++ === 0 ? cold.prove(...args) : undefined)
    expect(await readBy({ ...cold, prove: forOne })).toBe(warm + 1000 * WRAP_LENGTH)
    expect(looks).toBe(14)
  })
})

describe('proofs of wraps', () => {
  async function stored(wraps: readonly StoredWrap[]): Promise<{ store: LogStore; reads: () => number }> {
    const inner = memoryLogStore()
    await inner.open()
    await inner.append({
      ...sampleAppend({ from: 0, count: 1 + Math.max(0, ...wraps.map(({ index }) => index)) }),
      wraps,
    })
    let reads = 0
    const readWraps: LogStore['readWraps'] = (...args) => {
      reads++
      return inner.readWraps(...args)
    }
    return { store: { ...inner, readWraps }, reads: () => reads }
  }

  function wrapsAt(index: number, count: number): readonly StoredWrap[] {
    return Array.from({ length: count }, (_, position) => ({
      index,
      position,
      device: 10 + position,
      wrap: new Uint8Array(WRAP_LENGTH).fill(position + index),
    }))
  }

  function deliveryOf(wraps: readonly StoredWrap[], index: number): DeliveryRecord {
    const leaves = wraps.map(({ device, wrap }) => wrapLeaf(device, wrap))
    return { index, wrapsCount: leaves.length, wrapsRoot: wrapsRootOf(leaves) } as DeliveryRecord
  }

  test.each([1, 2, 3, 7, 8, 13])('verify for each of %i devices, from one reading', async count => {
    const wraps = wrapsAt(1, count)
    const { store, reads } = await stored(wraps)
    const delivery = deliveryOf(wraps, 1)
    const proofs = new WrapProofs(store, SPACE)
    for (const { device, position, wrap } of wraps) {
      const proven = await proofs.prove(delivery, device)
      expect(proven).toMatchObject({ device, position, wrap })
      verifyInclusion({
        index: position,
        size: count,
        leafHash: wrapLeaf(device, wrap),
        proof: proven?.proof ?? [],
        root: delivery.wrapsRoot,
      })
    }
    expect(reads()).toBe(1)
    expect(await proofs.prove(delivery, 9)).toBeUndefined()
  })

  test('are not made where some are lost, or others came back', async () => {
    const wraps = wrapsAt(1, 5)
    const delivery = deliveryOf(wraps, 1)
    for (const kept of [wraps.slice(0, -1), wraps.map(row => ({ ...row, wrap: new Uint8Array(WRAP_LENGTH) }))]) {
      const { store } = await stored(kept)
      expect(await new WrapProofs(store, SPACE).prove(delivery, 10)).toBeUndefined()
    }
  })

  test('are at hand for the deliveries asked for last, as many as there is room for', async () => {
    const wraps = [1, 2, 3, 4, 5, 6].map(index => wrapsAt(index, 3))
    const { store } = await stored(wraps.flat())
    // A delivery of three takes four places.
    const proofs = new WrapProofs(store, SPACE, 20)
    const delivery = (index: number): DeliveryRecord => deliveryOf(wraps[index - 1] ?? [], index)
    for (const index of [1, 2, 3, 4, 5, 1, 6]) await proofs.prove(delivery(index), 10)
    expect([1, 2, 3, 4, 5, 6].map(index => proofs.has(delivery(index)))).toEqual([true, false, true, true, true, true])
  })
})
