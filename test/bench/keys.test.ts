import { describe, expect, it } from 'vitest'
import { benchGrowth } from '../../bench/control-growth.ts'
import { benchDelivery } from '../../bench/key-delivery.ts'
import type { Figure } from '../../bench/measure.ts'
import { benchJoins } from '../../bench/member-joins.ts'
import { benchOldEpochs } from '../../bench/old-epochs.ts'
import { crewsOf } from '../../bench/synthetic-crew.ts'

const DEVICES = 6

/** Each case is there once, and what it measured is an amount. */
function assertSound(figures: readonly Figure[]): void {
  expect(new Set(figures.map(figure => figure.case)).size).toBe(figures.length)
  for (const { value, floor = 1 } of figures) expect(Math.min(value, floor)).toBeGreaterThan(0)
}

function bytesIn(figures: readonly Figure[], name: string): Pick<Figure, 'value' | 'floor' | 'unit'> | undefined {
  return figures.find(figure => figure.case === `${DEVICES} devices: ${name}`)
}

describe('npm run bench -- keys, on little', { timeout: 60_000 }, () => {
  const [crew] = crewsOf([DEVICES])
  if (crew === undefined) throw new Error('no crew')

  it('measures a rotation that reducer, relay, device and audit take for a true one', async () => {
    const figures = await benchDelivery(DEVICES, crew)
    assertSound(figures)
    expect(bytesIn(figures, 'up: wraps')).toMatchObject({ value: 1168 * DEVICES, floor: 80 * DEVICES, unit: 'bytes' })
    // The wrap, a proof of three hashes at most, and the message around them.
    const down = bytesIn(figures, 'down, each device')?.value
    expect(down).toBeGreaterThan(1168)
    expect(down).toBeLessThan(1168 + 3 * 34 + 100)
  })

  it('measures what a control entry adds to the state', async () => {
    const figures = await benchGrowth(DEVICES, crew)
    assertSound(figures)
    // All rows hold a KEM key for each device; one entry writes a small part of them.
    const all = bytesIn(figures, 'control state: all rows')?.value
    expect(all).toBeGreaterThan(1216 * DEVICES)
    expect(bytesIn(figures, 'control entry: rows written')?.value).toBeLessThan(1216)
  })

  it('measures the way back to old epochs', async () => {
    assertSound(await benchOldEpochs([3]))
  })

  it('measures joins and a rotation, end to end', async () => {
    assertSound(await benchJoins(3, 3))
  })
})
