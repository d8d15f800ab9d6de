import { LIES } from 'sealog-relay/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { EAGER } from '../helpers/eager.ts'
import { isFrozen, type LyingWorld, openLyingWorld, partyOf, settleAll, within, write } from '../helpers/lies.ts'
import { problemsOf } from '../helpers/problems.ts'
import type { Note } from '../helpers/world.ts'

/** A join replays, fetches and verifies everything: in real milliseconds, on a machine that has other things to do. */
const PATIENCE = 45_000

const SKIP_LIES = LIES.filter(({ name }) => name.startsWith('skip-'))

describe('who joins a long log, and is lied to about what it skips (R-SKIP-8)', () => {
  let opened: LyingWorld

  beforeAll(async () => {
    opened = await openLyingWorld('all', EAGER)
    for (const word of ['c ', 'd ']) {
      write(opened.ann, word)
      await settleAll(opened)
    }
  })

  afterEach(() => opened.relay.honest())
  afterAll(() => opened.close())

  it.each(SKIP_LIES.map((lie, i) => [lie.name, i % 2 === 0 ? 'all' : 'opened', lie] as const))(
    '%s, to a replica of %s: does not skip, replays the log instead, and has everything',
    async (name, replicate, lie) => {
      const { ann, bob, relay, world } = opened
      const [isAnn, isBob] = [await partyOf(ann), await partyOf(bob)]
      const wait = within(opened, PATIENCE)
      const link = await ann.space.invite(wait)
      const told = relay.told.length
      const carl = await world.open('Carl', undefined, { replicate })
      const shown = problemsOf('skip')
      relay.lie(name, { to: listener => !isAnn(listener) && !isBob(listener) })
      const space = await carl.joinSpace(link, wait)
      expect(relay.told[told]?.lie).toBe(name)
      expect(shown()).toEqual([expect.toBeOneOf([...lie.expected])])
      expect(space.status.trust).toEqual({ level: 'verified' })
      expect(isFrozen(space)).toBe(false)
      const note = await space.openDocument<Note>(ann.notes[0]?.id as string)
      await space.sync(wait)
      expect(note.heads()).toEqual(ann.notes[0]?.heads())
      expect(space.status.confirmed.size).toBe(await world.logSize(space.id))
      // Nothing is left of it once all that it would have skipped is here.
      await expect.poll(() => shown.isLeft(), { interval: 2, timeout: 5000 }).toBe(false)
      await carl.close()
    },
  )

  it('and where it is told the truth, it does skip', async () => {
    const { ann, world } = opened
    const wait = within(opened, PATIENCE)
    const skips = world.count('read')
    const carl = await world.open('Carl')
    const space = await carl.joinSpace(await ann.space.invite(wait), wait)
    await expect.poll(() => space.status.trust.level, { interval: 2, timeout: 5000 }).toBe('verified')
    expect(world.count('read')).toBeGreaterThan(skips)
    expect(space.problems).toEqual([])
    await carl.close()
  })
})
