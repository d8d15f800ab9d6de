import { randomBytes } from 'node:crypto'
import { LIES } from 'sealog-relay/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { equalBytes } from '../../src/bytes.ts'
import { judgeEvidence } from '../../src/verify/judge.ts'
import {
  bodies,
  isFrozen,
  type LyingWorld,
  openLyingWorld,
  partyOf,
  settleAll,
  within,
  write,
} from '../helpers/lies.ts'
import type { Note } from '../helpers/world.ts'

let opened: LyingWorld

beforeEach(async () => {
  opened = await openLyingWorld()
})

afterEach(async () => {
  await opened.close()
})

describe('what the relay tells one of two replicas only', () => {
  it.each(['uncovered-entry', 'flip-header-seen-root', 'other-body', 'drop-entry', 'drop-author'])(
    '%s: that one refuses it, the other one goes on, and both end alike',
    async name => {
      const { ann, bob, relay, world } = opened
      const carl = await world.open('Carl')
      const carlSpace = await carl.joinSpace(await ann.space.invite(within(opened)), within(opened))
      await settleAll(opened)
      relay.lie(name, { to: await partyOf(bob) })
      write(ann, 'new ')
      await ann.space.sync(within(opened))
      await carlSpace.sync(within(opened))
      const expected = LIES.find(lie => lie.name === name)?.expected ?? []
      await expect.poll(() => bob.space.problems[0]?.code, { interval: 2, timeout: 5000 }).toBeOneOf([...expected])
      expect(carlSpace.problems).toEqual([])
      const carlNote = await carlSpace.openDocument<Note>(ann.notes[0]?.id as never)
      expect(carlNote.doc().body).toContain('new ')
      for (const body of bodies(bob)) expect(body).not.toContain('new ')
      relay.honest()
      await settleAll(opened)
      expect(bodies(bob)).toEqual(bodies(ann))
      await carl.close()
    },
  )
})

describe('a body that is withheld', () => {
  it('parks its author in that document on that replica, holds up nothing else, and is taken when it comes', async () => {
    const { ann, bob, relay } = opened
    const [isAnn] = [await partyOf(ann)]
    relay.lie('withhold-body', { to: listener => !isAnn(listener) })
    write(ann, 'new ')
    await ann.space.sync(within(opened))
    await expect.poll(() => bob.space.problems[0]?.code, { interval: 2, timeout: 5000 }).toBe('ERR_BODY')
    await bob.space.sync(within(opened))
    expect(bob.space.status.confirmed.size).toBe(ann.space.status.confirmed.size)
    expect(bodies(bob).some(body => !body.includes('new '))).toBe(true)
    expect(isFrozen(bob.space)).toBe(false)
    // What depends on it waits with it; what does not goes on.
    write(bob, 'own ')
    await bob.space.sync(within(opened))
    relay.honest()
    await settleAll(opened)
    await expect.poll(() => bodies(bob), { interval: 5, timeout: 5000 }).toEqual(bodies(ann))
    expect(bodies(ann).every(body => body.includes('new ') && body.includes('own '))).toBe(true)
    expect(bob.space.problems).toEqual([])
  })
})

describe('a tail that is withheld', () => {
  it('shows in nothing but the time of the last confirmation, and nothing is lost by it', async () => {
    const { ann, bob, relay } = opened
    relay.lie('withheld-tail', { to: await partyOf(bob) })
    const { size } = bob.space.status.confirmed
    write(ann, 'new ')
    await ann.space.sync(within(opened))
    await bob.space.sync(within(opened)).catch(() => {})
    expect(bob.space.status.confirmed.size).toBe(size)
    for (const body of bodies(bob)) expect(body).not.toContain('new ')
    write(bob, 'own ')
    relay.honest()
    relay.cut()
    await settleAll(opened)
    expect(bodies(bob)).toEqual(bodies(ann))
    for (const body of bodies(ann)) expect(body).toContain('own ')
  })
})

describe('a long body, which travels in parts', () => {
  it.each(
    LIES.filter(({ name }) => /^[a-z]+-body-part$|^2\^53-body-part-offset$/.test(name)).map(
      lie => [lie.name, lie] as const,
    ),
  )('%s: nothing of it is shown, and it is taken when it is served well (R-BODY-1)', async (name, lie) => {
    const { ann, bob, relay } = opened
    const [note] = ann.notes
    bob.space.pause()
    // Random, as what compresses well is short again.
    const long = new Uint8Array(randomBytes(300_000))
    note?.change(doc => {
      ;(doc as Note & { blob?: Uint8Array }).blob = long
    })
    await ann.space.sync(within(opened))
    const before = bob.notes[0]?.heads()
    relay.lie(name, { to: await partyOf(bob) })
    bob.space.resume()
    await expect.poll(() => relay.told.length, { interval: 2, timeout: 5000 }).toBeGreaterThan(0)
    await expect.poll(() => bob.space.problems[0]?.code, { interval: 2, timeout: 5000 }).toBeOneOf([...lie.expected])
    // Either the batch is refused, or it is taken without the body, and its author waits.
    expect(bob.notes[0]?.heads()).toEqual(before)
    expect(isFrozen(bob.space)).toBe(false)
    relay.honest()
    await settleAll(opened)
    const isHere = (): boolean => {
      const doc = bob.notes[0]?.doc() as (Note & { blob?: Uint8Array }) | undefined
      return doc?.blob !== undefined && equalBytes(doc.blob, long)
    }
    await expect.poll(isHere, { interval: 5, timeout: 5000 }).toBe(true)
    expect(bob.space.problems).toEqual([])
  })
})

describe('a space that is not what the invite says', () => {
  it.each(['fabricated-log', 'truncated-log'])('%s: is not joined (R-LINK-4)', async name => {
    const { ann, relay, world } = opened
    const link = await ann.space.invite(within(opened))
    const size = relay.log(ann.space.id).length
    const { bob } = opened
    const isAnn = await partyOf(ann)
    const isBob = await partyOf(bob)
    relay.lie(name, { to: listener => !isAnn(listener) && !isBob(listener) })
    const carl = await world.open('Carl')
    await expect(carl.joinSpace(link, { timeout: world.patience(400) })).rejects.toThrow()
    expect(relay.told.at(-1)?.lie).toBe(name)
    expect(relay.log(ann.space.id).length).toBe(size)
    // What is no log of this space convicts the relay; a shorter one is just refused. Nothing of the invite is used up.
    const refused = await carl.openSpace(ann.space.id)
    expect(isFrozen(refused)).toBe(name === 'fabricated-log')
    const evidence = refused.exportEvidence()
    if (evidence !== undefined) expect(judgeEvidence(evidence)).toMatchObject({ verdict: 'holds', space: ann.space.id })
    expect(refused.problems.length).toBeGreaterThan(0)
    expect(refused.status.confirmed.size).toBe(0)
    await carl.close()
    relay.honest()
    const dan = await world.open('Dan')
    const space = await dan.joinSpace(link, within(opened))
    const note = await space.openDocument<Note>(ann.notes[0]?.id as never)
    expect(note.doc().title).toBe('Day 0')
    await dan.close()
  })
})
