import * as Automerge from '@automerge/automerge/slim'
import { LIES } from 'sealog-relay/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SpaceDocument } from '../../src/space-document.ts'
import { isFrozen, type LyingWorld, openLyingWorld, partyOf, settleAll, stateOf, within } from '../helpers/lies.ts'
import type { Note } from '../helpers/world.ts'

const TRACER_LIES = LIES.filter(({ name }) => name.endsWith('-tracer'))

describe('a sparse replica is lied to about documents that it does not hold', () => {
  let opened: LyingWorld
  /** Ann's, never opened by Bob. */
  let unknown: SpaceDocument<Note>

  beforeAll(async () => {
    opened = await openLyingWorld('opened')
    unknown = await opened.ann.space.createDocument<Note>({ title: 'Day 9', body: '' }, { name: 'Day 9' })
    await settleAll(opened)
  })

  afterAll(() => opened.close())

  const cases = TRACER_LIES.flatMap((lie, i) => [[lie.name, i % 2 === 0 ? 'catch-up' : 'live', lie] as const])
  it.each(cases)('%s, in %s: is refused, and nothing of it is kept (R-ADVANCE-1)', async (name, moment, lie) => {
    const { ann, bob, relay } = opened
    const problems: string[] = []
    const stop = bob.space.on('problem', ({ problem }) => void problems.push(problem.code))
    if (moment === 'catch-up') bob.space.pause()
    const before = await stateOf(bob)
    const told = relay.told.length
    if (moment === 'live') relay.lie(name, { to: await partyOf(bob) })
    unknown.change(doc => Automerge.splice(doc, ['body'], 0, 0, 'x'))
    await ann.space.sync(within(opened))
    if (moment === 'catch-up') {
      relay.lie(name, { to: await partyOf(bob) })
      bob.space.resume()
    }
    await expect.poll(() => problems.length, { interval: 2, timeout: 5000 }).toBeGreaterThan(1)
    stop()
    expect(relay.told[told]).toMatchObject({ lie: name, moment })
    for (const code of problems) expect(lie.expected).toContain(code)
    expect(isFrozen(bob.space)).toBe(false)
    expect(await stateOf(bob)).toEqual(before)
    relay.honest()
    await settleAll(opened)
    expect(bob.space.problems).toEqual([])
    expect(bob.space.status.confirmed.size).toBe(ann.space.status.confirmed.size)
  })
})
