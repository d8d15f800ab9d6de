import { benchGrowth } from './control-growth.ts'
import { benchDelivery } from './key-delivery.ts'
import type { BenchOptions, Figure } from './measure.ts'
import { benchJoins } from './member-joins.ts'
import { benchOldEpochs } from './old-epochs.ts'
import { crewsOf } from './synthetic-crew.ts'

const CREWS = [10, 100, 1_000]
/** Epochs since an entry was written. */
const AGES = [100, 1_000]
/** Replicas that join, and how many of them stay to the end. */
const JOINS: readonly (readonly [devices: number, present: number])[] = [
  [10, 10],
  [30, 1],
]

/**
 * What it takes to get the secrets of epochs to many devices, and back to old entries: each part alone, in memory; then
 * joins and a rotation end to end, over the relay's own code and an Automerge document.
 */
export async function benchKeys({ say }: BenchOptions): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  say(`spaces of ${CREWS.join(', ')} devices`)
  const crews = crewsOf(CREWS)
  for (const [i, crew] of crews.entries()) {
    const devices = CREWS[i] as number
    say(`a rotation for ${devices} devices`)
    figures.push(...(await benchDelivery(devices, crew)))
  }
  for (const [i, crew] of crews.entries()) figures.push(...(await benchGrowth(CREWS[i] as number, crew)))
  say('entries of old epochs')
  figures.push(...(await benchOldEpochs(AGES)))
  for (const [devices, present] of JOINS) {
    say(`${devices} replicas join`)
    figures.push(...(await benchJoins(devices, present)))
  }
  return figures
}
