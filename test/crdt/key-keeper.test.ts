import { describe, expect, it } from 'vitest'
import { KeyKeeper, type KeyKeeperOptions } from '../../src/crdt/key-keeper.ts'
import { type Problem, Problems } from '../../src/crdt/problems.ts'
import { SealogError } from '../../src/errors.ts'
import type { Keys } from '../../src/relay/key-messages.ts'
import { type KeyChain, keyChain } from '../helpers/key-chain.ts'

interface Kept {
  readonly keeper: KeyKeeper
  readonly problems: Problems
  readonly told: readonly Problem[]
  /** Ranges that the relay was asked for. */
  readonly asked: readonly string[]
  readonly clock: { now: number }
  readonly gather: () => Promise<boolean>
}

type Answer = (from: number, to: number) => Pick<Keys, 'wraps' | 'to'>

/** A keeper with nothing, and a relay that answers honestly with up to `most` epochs at a time. */
function kept(chain: KeyChain, answer: Answer = honest(chain), options: Partial<KeyKeeperOptions> = {}): Kept {
  const told: Problem[] = []
  const asked: string[] = []
  const clock = { now: 1000 }
  const problems = new Problems(problem => told.push(problem))
  const keeper = new KeyKeeper({
    space: chain.space,
    channel: {
      keys: async (from, to) => {
        asked.push(`${from}-${to}`)
        return { type: 'keys', ref: 0, space: '' as Keys['space'], ...answer(from, to) }
      },
      bodyStart: async () => new Uint8Array(0),
    },
    problems,
    environment: {
      random: length => new Uint8Array(length),
      now: () => clock.now,
      // Deadlines never come; whoever gives others their turn goes on at once.
      schedule: (delay, task) => {
        if (delay === 0) queueMicrotask(task)
        return () => {}
      },
    },
    epochs: new Map(),
    keep: async () => {},
    ...options,
  })
  return { keeper, problems, told, asked, clock, gather: () => keeper.gather(chain.control, chain.holder, []) }
}

function honest({ wraps }: KeyChain, most: number = Number.POSITIVE_INFINITY): Answer {
  return (from, to) => {
    const end = Math.min(to, from + most - 1)
    return { wraps: wraps.filter(({ epoch }) => from <= epoch && epoch <= end), to: end }
  }
}

function readable({ keeper }: Kept, { control }: KeyChain): readonly number[] {
  return control.epochs.map((_, epoch) => epoch).filter(epoch => keeper.keys.canRead(epoch))
}

const upTo = (last: number): readonly number[] => Array.from({ length: last }, (_, i) => i + 1)

describe('a device that comes back after many rotations (R-KEYS-3)', () => {
  it('asks for one wrap where links lead to the rest (R-EPOCH-7)', async () => {
    const chain = await keyChain({ epochs: 30, history: 'all' })
    const replica = kept(chain)
    expect(await replica.gather()).toBe(true)
    expect(replica.asked).toEqual(['30-30'])
    expect(readable(replica, chain)).toEqual([0, ...upTo(30)])
    expect(replica.keeper.isLacking).toBe(false)
    expect(await replica.gather()).toBe(false)
    expect(replica.asked).toHaveLength(1)
  })

  it('asks for all of them at once where it reads from its admission on, and on where an answer ends (R-KEYS-2)', async () => {
    const chain = await keyChain({ epochs: 30, history: 'from-join' })
    const replica = kept(chain, honest(chain, 12))
    await replica.gather()
    expect(replica.asked).toEqual(['1-30', '13-30', '25-30'])
    expect(readable(replica, chain)).toEqual(upTo(30))
    expect(replica.keeper.keys.kindOf(0)).toBe('names')
    expect(replica.problems.list()).toEqual([])
  })

  it('asks by one range for epochs past which every link was broken', async () => {
    const chain = await keyChain({
      epochs: 12,
      history: 'all',
      spoil: (epoch, delivery) => (epoch === 12 ? delivery : { ...delivery, link: new Uint8Array(72) }),
    })
    const replica = kept(chain)
    await replica.gather()
    expect(replica.asked).toEqual(['12-12', '1-10'])
    expect(readable(replica, chain)).toEqual(upTo(12))
  })

  it('goes on asking where the relay answers with less than was asked for, and gives up where it answers with nothing', async () => {
    const chain = await keyChain({ epochs: 4, history: 'from-join' })
    for (const to of [0, -1]) {
      const replica = kept(chain, from => ({ wraps: [], to: to < 0 ? from - 1 : to }))
      await replica.gather()
      expect(replica.asked).toEqual(['1-4'])
      expect(replica.keeper.isLacking).toBe(true)
      // One problem, however many epochs.
      expect(replica.told.map(({ message, index }) => [index, message])).toEqual([
        [40, expect.stringMatching(/epoch 4 .* is not served by the relay, nor are those of 3 epochs before/)],
      ])
      await replica.gather()
      expect(replica.asked).toHaveLength(1)
    }
    const slow = kept(chain, honest(chain, 1))
    await slow.gather()
    expect(slow.asked).toEqual(['1-4', '2-4', '3-4', '4-4'])
    expect(readable(slow, chain)).toEqual(upTo(4))
  })

  it('keeps what it was given before the connection was lost, and asks for the rest alone', async () => {
    const chain = await keyChain({ epochs: 6, history: 'from-join' })
    let isDown = false
    const replica = kept(chain, (from, to) => {
      if (isDown) throw new SealogError('ERR_OFFLINE', 'gone')
      isDown = true
      return honest(chain, 4)(from, to)
    })
    await expect(replica.gather()).rejects.toMatchObject({ code: 'ERR_OFFLINE' })
    isDown = false
    // What came is told as news now: nobody was told of it before.
    expect(await replica.gather()).toBe(true)
    expect(replica.asked).toEqual(['1-6', '5-6', '5-6'])
    expect(readable(replica, chain)).toEqual(upTo(6))
  })
})

describe('a relay that is asked too much', () => {
  it('is left alone for as long as it says, and asked for what is lacking then (R-QUOTA-4)', async () => {
    const chain = await keyChain({ epochs: 6, history: 'from-join' })
    let served = 0
    const replica = kept(chain, (from, to) => {
      if (served++ % 2 === 1) throw new SealogError('ERR_RATE_LIMITED', 'slower', { details: { retryAfter: 700 } })
      return honest(chain, 3)(from, to)
    })
    expect(await replica.gather()).toBe(true)
    expect(replica.asked).toEqual(['1-6', '4-6'])
    expect(readable(replica, chain)).toEqual([1, 2, 3])
    expect(replica.keeper).toMatchObject({ isLacking: true, retryAfter: 700 })
    expect(replica.problems.list().map(({ code }) => code)).toEqual(['ERR_RATE_LIMITED'])
    // Not by another batch either, nor because somebody is impatient.
    replica.keeper.forgetTries()
    await replica.gather()
    expect(replica.asked).toHaveLength(2)
    replica.clock.now += 700
    await replica.gather()
    expect(replica.asked).toEqual(['1-6', '4-6', '4-6'])
    expect(readable(replica, chain)).toEqual(upTo(6))
    expect(replica.keeper).toMatchObject({ isLacking: false, retryAfter: undefined })
    expect(replica.problems.list()).toEqual([])
  })
})

describe('a wrong link', () => {
  it('is a problem once, and none any more where the epoch came by another way', async () => {
    const chain = await keyChain({
      epochs: 4,
      history: 'from-join',
      spoil: (epoch, delivery) => (epoch === 1 ? { ...delivery, namesLink: new Uint8Array(72) } : delivery),
    })
    const replica = kept(chain)
    for (let batch = 0; batch < 5; batch++) await replica.gather()
    expect(replica.told.map(({ message, count }) => [message, count])).toEqual([
      [expect.stringMatching(/the link from epoch 1 to 0 that device 0 made in entry 10 is wrong/), 1],
    ])
    const mended = await keyChain({ epochs: 4, history: 'from-join' })
    const epochs = chain.control.epochs.map((record, epoch) => {
      const [good] = mended.control.epochs[epoch]?.deliveries ?? []
      return epoch === 1 && good ? { ...record, deliveries: [...record.deliveries, { ...good, index: 90 }] } : record
    })
    await replica.keeper.gather({ ...chain.control, epochs }, chain.holder, [])
    expect(replica.keeper.keys.kindOf(0)).toBe('names')
    expect(replica.problems.list()).toEqual([])
  })
})
