import { emptyRange, SealogError, type SpaceId } from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import type { RelayContext } from '../src/context.ts'
import type { Follower } from '../src/followers.ts'
import type { Judged, Push, RefusedEntry } from '../src/judge.ts'
import { DEFAULT_LIMITS } from '../src/limits.ts'
import type { LogEnd } from '../src/log-end.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { NO_METER } from '../src/meter.ts'
import type { PushedEntry } from '../src/pushed-entry.ts'
import { SpaceSequencer } from '../src/space-sequencer.ts'
import { testEnvironment } from './helpers/environment.ts'

const SPACE = '5'.repeat(64) as SpaceId
const BUSY = new SealogError('ERR_STORE', 'all connections are in use', { details: { reason: 'busy' } })
const REFUSED: RefusedEntry = { position: 0, error: new SealogError('ERR_STALE_CHAIN', 'longer by now') }

/** A sequencer of groups of one push, over a log that refuses every entry, and tells what was asked of it. */
function sequencerOver(refusing: { append?: () => unknown; freshen?: () => unknown; fallBehind?: () => unknown } = {}) {
  const done: string[] = []
  const logged: string[] = []
  const fails = { count: 0 }
  const end = {
    view: { space: SPACE, range: emptyRange, state: undefined },
    head: undefined,
    behind: undefined,
    bytes: 0,
    leave() {},
    takeGrowth: () => ({ entries: [], isWhole: true }),
    async append(pushes: readonly Push[]): Promise<Judged> {
      await refusing.append?.()
      done.push(...pushes.map(push => (push[0] as PushedEntry & { name: string }).name))
      return { view: end.view, accepted: [], refused: pushes.map(() => REFUSED) }
    },
    async fallBehind(): Promise<void> {
      await refusing.fallBehind?.()
      done.push('behind')
    },
    async freshen(): Promise<void> {
      await refusing.freshen?.()
      done.push('note')
    },
  }
  const context = {
    limits: { ...DEFAULT_LIMITS, groupEntries: 1 },
    environment: testEnvironment(),
    store: memoryLogStore(),
    meter: NO_METER,
    log: (record: { event: string }) => void logged.push(record.event),
    turn: () => Promise.resolve(),
  }
  const sequencer = new SpaceSequencer(context as unknown as RelayContext, end as unknown as LogEnd, () => {
    fails.count++
  })
  const push = (name: string, device: number, kind: 'changes' | 'control' = 'changes') =>
    sequencer.push([{ name, header: { kind }, encoded: ONE_BYTE, body: ONE_BYTE } as unknown as PushedEntry], {
      follower: follower(device),
      ref: 1,
    })
  return { sequencer, push, done, logged, fails, end }
}

const ONE_BYTE = new Uint8Array(1)

function follower(device: number): Follower & { readonly failures: SealogError[] } {
  const failures: SealogError[] = []
  return { device, failures, onRemoved() {}, onAppended() {}, onFailed: error => void failures.push(error) }
}

describe('who asks how the log stands (R-PULL-2)', () => {
  test('R-PULL-1: does not wait until everything is judged that others have pushed', async () => {
    const { sequencer, push, done } = sequencerOver()
    const flood = Array.from({ length: 20 }, (_, i) => push(`a${i}`, 1))
    await sequencer.settle(2).then(() => done.push('answer'))
    expect(done).toEqual(['a0', 'note', 'answer'])
    await Promise.all(flood)
    expect(done).toHaveLength(22)
  })

  test('hears of its own pushes first', async () => {
    const { sequencer, push, done } = sequencerOver()
    for (const name of ['a1', 'a2', 'a3']) void push(name, 1)
    for (const name of ['b1', 'b2']) void push(name, 2)
    await sequencer.settle(2)
    expect(done).toEqual(expect.arrayContaining(['b1', 'b2', 'note']))
    expect(done.indexOf('note')).toBe(done.length - 1)
  })

  test('hears of what decides about rights first: a join that came before makes its device current', async () => {
    for (const ask of ['settle', 'level'] as const) {
      const { sequencer, push, done } = sequencerOver()
      for (const name of ['a1', 'a2', 'a3']) void push(name, 1)
      void push('join', 3, 'control')
      void push('c1', 3)
      await sequencer[ask]()
      expect(done).toContain('join')
      expect(done).not.toContain('c1')
    }
  })

  test('waits for everything where that is what it asks: before a relay ends', async () => {
    const { sequencer, push, done } = sequencerOver()
    for (const name of ['a1', 'a2', 'b1']) void push(name, name === 'b1' ? 2 : 1)
    await sequencer.idle()
    expect([...done].sort()).toEqual(['a1', 'a2', 'b1'])
  })

  test('what else writes to the store does not wait for pushes', async () => {
    const { sequencer, push, done } = sequencerOver()
    for (const name of ['a1', 'a2', 'a3']) void push(name, 1)
    await sequencer.inLine(async () => void done.push('task'))
    expect(done).toEqual(['a1', 'task'])
    await expect(sequencer.inLine(() => Promise.reject(REFUSED.error))).rejects.toBe(REFUSED.error)
  })
})

describe('a store that has no time (R-PUSH-8)', () => {
  const retry = { code: 'ERR_RELAY_STORAGE', retryable: true, details: { retryAfter: 1000 } }

  test('R-PUSH-7: refuses what was pushed, for a while, and the space goes on', async () => {
    const refusing = { append: () => Promise.reject(BUSY) as unknown }
    const { sequencer, push, done, logged, fails } = sequencerOver(refusing)
    const reader = follower(7)
    sequencer.follow(reader)
    expect(await push('a1', 1)).toMatchObject({ landed: 0, refused: { position: 0, error: retry } })
    expect(logged).toEqual(['store-busy'])
    refusing.append = () => undefined
    expect(await push('a1', 1)).toEqual({ landed: 0, refused: REFUSED })
    expect({ done, failures: reader.failures, fails }).toEqual({ done: ['a1'], failures: [], fails: { count: 0 } })
  })

  test('refuses who asks how the log stands, rather than to answer with what may be old', async () => {
    const refusing = { freshen: () => Promise.reject(BUSY) as unknown }
    const { sequencer, fails } = sequencerOver(refusing)
    const drained = sequencer.idle()
    await expect(sequencer.settle(1)).rejects.toMatchObject(retry)
    await drained
    refusing.freshen = () => undefined
    await sequencer.settle(1)
    expect(fails.count).toBe(0)
  })

  test('refuses who shows what is missing, and the space goes on', async () => {
    const refusing = { fallBehind: () => Promise.reject(BUSY) as unknown }
    const { sequencer, fails, logged, done } = sequencerOver(refusing)
    const reader = follower(7)
    sequencer.follow(reader)
    const note = {} as Parameters<SpaceSequencer['fallBehind']>[0]
    await expect(sequencer.fallBehind(note)).rejects.toMatchObject(retry)
    expect(logged).toEqual(['store-busy'])
    refusing.fallBehind = () => undefined
    await sequencer.fallBehind(note)
    expect({ done, failures: reader.failures, fails }).toEqual({ done: ['behind'], failures: [], fails: { count: 0 } })
  })

  test('ends the space where entries are stored by then that nobody has signed', async () => {
    const { sequencer, push, fails, logged, end } = sequencerOver({
      append() {
        end.view = { ...end.view, range: { size: 1, hashes: [new Uint8Array(32)] } }
        return Promise.reject(BUSY)
      },
    })
    const reader = follower(7)
    sequencer.follow(reader)
    expect(await push('a1', 1)).toMatchObject({ landed: 0, refused: { error: retry } })
    expect(reader.failures).toMatchObject([retry])
    expect({ fails, logged }).toEqual({ fails: { count: 1 }, logged: ['space-stopped'] })
  })

  test('is not what any other failure of a store is: that ends the space', async () => {
    const other = new SealogError('ERR_STORE', 'the database failed')
    const { push, fails } = sequencerOver({ append: () => Promise.reject(other) })
    expect(await push('a1', 1)).toMatchObject({ refused: { error: retry } })
    expect(await push('a2', 1)).toMatchObject({ refused: { error: retry } })
    expect(fails.count).toBe(1)
  })
})
