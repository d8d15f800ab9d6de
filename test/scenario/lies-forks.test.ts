import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  bodies,
  isFrozen,
  type LyingWorld,
  openLyingWorld,
  type Party,
  partyOf,
  settleAll,
  stateOf,
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

const codes = ({ space }: Party): readonly string[] => space.problems.map(problem => problem.code)

async function shown(party: Party): Promise<string> {
  await expect.poll(() => codes(party).length, { interval: 2, timeout: 5000 }).toBeGreaterThan(0)
  return codes(party)[0] as string
}

/** Ann and Bob on a branch each, and on each branch something that the other does not have. */
async function fork(): Promise<void> {
  const { ann, bob, relay } = opened
  const isAnn = await partyOf(ann)
  await relay.branch({ space: ann.space.id, to: listener => !isAnn(listener) })
  await settleAll(opened)
  write(ann, 'left ')
  write(bob, 'right ')
  await settleAll(opened)
}

/** What somebody wrote is there, whatever the relay does, and can be added to. */
async function keepsWorking(party: Party, words: readonly string[]): Promise<void> {
  write(party, 'still ')
  for (const note of party.notes) await note.saved()
  for (const body of bodies(party)) for (const word of ['still ', ...words]) expect(body).toContain(word)
}

describe('two members on two branches of one log', () => {
  it('see nothing of it while they are kept apart, and nothing of each other', async () => {
    await fork()
    const { ann, bob } = opened
    expect([...codes(ann), ...codes(bob)]).toEqual([])
    for (const body of bodies(ann)) expect(body).not.toContain('right ')
    for (const body of bodies(bob)) expect(body).not.toContain('left ')
    expect(ann.notes.every(note => note.receipt.state === 'proven')).toBe(true)
    expect(bob.notes.every(note => note.receipt.state === 'proven')).toBe(true)
  })

  it('never again accept the log of the other: the head of one is refused by the other', async () => {
    await fork()
    const { ann, bob, relay } = opened
    const before = await stateOf(bob)
    // The first log has to be the longer one, or the relay itself has no answer for Bob.
    write(ann, 'more ')
    await ann.space.sync(within(opened))
    relay.honest()
    expect(await shown(bob)).toBeOneOf(['ERR_FROZEN', 'ERR_ROOT_MISMATCH', 'ERR_STATE_ROOT', 'ERR_PROOF'])
    expect(await stateOf(bob)).toEqual(before)
    await keepsWorking(bob, ['right '])
    expect(codes(ann)).toEqual([])
  })

  it('nor an entry of the other, even where the relay signs a log that has it', async () => {
    await fork()
    const { ann, bob, relay } = opened
    write(ann, 'more ')
    await ann.space.sync(within(opened))
    const before = await stateOf(bob)
    relay.lie('signed-entry-of-another-branch', { to: await partyOf(bob) })
    bob.space.pause()
    bob.space.resume()
    write(bob, 'and ')
    for (const note of bob.notes) await note.saved()
    expect(await shown(bob)).toBeOneOf(['ERR_INVALID_ENTRY', 'ERR_PROOF', 'ERR_FROZEN'])
    expect(relay.told.at(-1)?.lie).toBe('signed-entry-of-another-branch')
    expect((await stateOf(bob)) as { size: number }).toMatchObject({ size: (before as { size: number }).size })
    await keepsWorking(bob, ['and ', 'right '])
  })

  it('nor what follows in the other, where the relay signs it as if it were this one', async () => {
    await fork()
    const { ann, bob, relay } = opened
    write(ann, 'more ')
    await ann.space.sync(within(opened))
    const before = await stateOf(bob)
    relay.lie('log-of-another-branch', { to: await partyOf(bob) })
    bob.space.pause()
    bob.space.resume()
    expect(await shown(bob)).toBeOneOf([
      'ERR_FROZEN',
      'ERR_ROOT_MISMATCH',
      'ERR_STATE_ROOT',
      'ERR_PROOF',
      'ERR_INVALID_ENTRY',
    ])
    expect(await stateOf(bob)).toEqual(before)
    await keepsWorking(bob, ['right '])
  })

  it('nor can somebody whom one of them invites be brought into the log of the other (R-LINK-4)', async () => {
    await fork()
    const { ann, bob, relay, world } = opened
    const link = await bob.space.invite(within(opened))
    const [isAnn, isBob] = [await partyOf(ann), await partyOf(bob)]
    // The invite is on Bob's branch: there Carl is let in, and then shown Ann's.
    relay.lie('log-of-another-branch', { to: listener => !isAnn(listener) && !isBob(listener) })
    const carl = await world.open('Carl')
    await expect(carl.joinSpace(link, { timeout: world.patience(400) })).rejects.toThrow()
    expect(relay.told.at(-1)?.lie).toBe('log-of-another-branch')
    // Nor by a relay that has never heard of the invite.
    relay.honest()
    await expect(carl.joinSpace(link, { timeout: world.patience(400) })).rejects.toThrow()
    await carl.close()
  })
})

describe('a relay that goes back to an old, consistent state of the log', () => {
  /** Ann and Bob have seen more than the relay has from now on. */
  async function rollBack(): Promise<void> {
    const { ann, relay } = opened
    const size = relay.log(ann.space.id).length
    write(ann, 'later ')
    await settleAll(opened)
    await relay.branch({ space: ann.space.id, to: () => true, size })
  }

  it('is refused by those who have seen more, and they go on from there once it has all again', async () => {
    await rollBack()
    const { ann, bob, relay } = opened
    const before = await stateOf(bob)
    for (const party of [ann, bob])
      expect(await shown(party)).toBeOneOf(['ERR_UNEXPECTED', 'ERR_ROLLBACK', 'ERR_RELAY_BEHIND'])
    expect(await stateOf(bob)).toEqual(before)
    await keepsWorking(bob, ['later '])
    relay.honest()
    await settleAll(opened)
    expect(bodies(ann)).toEqual(bodies(bob))
    expect([...codes(ann), ...codes(bob)]).toEqual([])
  })

  it('is refused after a restart of the replica, of the relay, and of both', async () => {
    await rollBack()
    const { bob, relay, world } = opened
    const reopen = async (): Promise<Party> => {
      const replica = await world.open('Bob', bob.store)
      const space = await replica.openSpace(bob.space.id)
      const notes = await Promise.all(bob.notes.map(({ id }) => space.openDocument<Note>(id)))
      return { ...bob, replica, space, notes }
    }
    await bob.replica.close()
    let again = await reopen()
    const refusals = ['ERR_UNEXPECTED', 'ERR_ROLLBACK', 'ERR_RELAY_BEHIND']
    expect(await shown(again)).toBeOneOf(refusals)
    relay.restart()
    await expect.poll(() => again.space.problems[0]?.count ?? 0, { interval: 2, timeout: 5000 }).toBeGreaterThan(1)
    await again.replica.close()
    relay.restart()
    again = await reopen()
    expect(await shown(again)).toBeOneOf(refusals)
    await keepsWorking(again, ['later '])
    relay.honest()
    for (const space of [again.space, opened.ann.space]) await space.sync(within(opened))
    expect(again.space.problems).toEqual([])
    for (const body of bodies(opened.ann)) expect(body).toContain('still ')
    await again.replica.close()
  })

  it('cannot say so in an answer either (R-NOTE-4)', async () => {
    const { ann, bob, relay } = opened
    write(ann, 'later ')
    await settleAll(opened)
    const before = await stateOf(bob)
    relay.lie('truncated-log', { to: await partyOf(bob) })
    relay.cut()
    expect(await shown(bob)).toBe('ERR_ROLLBACK')
    // The shorter log is how the longer one begins: a relay that lost its tail says the same.
    expect(isFrozen(bob.space)).toBe(false)
    expect(await stateOf(bob)).toEqual(before)
  })
})
