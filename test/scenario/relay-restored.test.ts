import { forgeLog, type Lie } from 'sealog-relay/testing'
import { afterEach, describe, expect, it } from 'vitest'
import { encodeNote, parseNote } from '../../src/verify/checkpoint.ts'
import { EAGER } from '../helpers/eager.ts'
import {
  bodies,
  isFrozen,
  type LyingWorld,
  openLyingWorld,
  type Party,
  settleAll,
  within,
  write,
} from '../helpers/lies.ts'
import { deviceOf } from '../helpers/members.ts'
import type { Note } from '../helpers/world.ts'

let opened: LyingWorld

afterEach(() => opened.world.close())

/** Every problem of a party, as they come. */
function problemsOf({ space }: Party): readonly string[] {
  const codes: string[] = []
  space.on('problem', ({ problem }) => void codes.push(problem.code))
  return codes
}

/** All that was ever written is at the relay: a newcomer gets it. */
async function expectWhole(rounds: number): Promise<void> {
  const { ann, world } = opened
  const carl = await world.open('Carl')
  const space = await carl.joinSpace(await ann.space.invite(within(opened)), within(opened))
  for (const own of ann.notes) {
    const note = await space.openDocument<Note>(own.id)
    await space.sync(within(opened))
    expect(note.heads()).toEqual(own.heads())
    for (let i = 0; i < rounds; i++) expect(note.doc().body).toContain(`later-${i} `)
  }
  expect(space.problems).toEqual([])
  await carl.close()
}

/** Ann and Bob write so often what the relay then has no more. @returns how many entries it still has */
async function loseTail(rounds: number): Promise<number> {
  const { ann, bob, relay } = opened
  const size = relay.log(ann.space.id).length
  for (let i = 0; i < rounds; i++) {
    write(i % 2 === 0 ? ann : bob, `later-${i} `)
    await settleAll(opened)
  }
  return size
}

describe('a relay that was put back to an old copy of its store (R-RESTORE-7)', () => {
  it('gets the end of its log back from two clients at once, who say so, and nobody freezes', async () => {
    opened = await openLyingWorld()
    const { ann, bob, relay } = opened
    const size = await loseTail(4)
    const seen = [problemsOf(ann), problemsOf(bob)]
    await relay.branch({ space: ann.space.id, to: () => true, size })
    await settleAll(opened)
    expect(seen.flat()).toContain('ERR_RELAY_BEHIND')
    for (const code of seen.flat()) expect(code).toBeOneOf(['ERR_RELAY_BEHIND', 'ERR_RATE_LIMITED', 'ERR_UNEXPECTED'])
    for (const { space } of [ann, bob]) {
      expect(space.problems).toEqual([])
      expect(isFrozen(space)).toBe(false)
    }
    write(bob, 'on ')
    await settleAll(opened)
    expect(bodies(ann)).toEqual(bodies(bob))
    for (const body of bodies(ann)) expect(body).toContain('on ')
    await expectWhole(4)
  })

  it('gets it back after a restart of relay and replica, from what the replica stored', async () => {
    opened = await openLyingWorld('opened')
    const { bob, ann, relay, world } = opened
    const size = await loseTail(3)
    ann.space.pause()
    await bob.replica.close()
    await relay.branch({ space: ann.space.id, to: () => true, size })
    relay.restart()
    const replica = await world.open('Bob', bob.store, { replicate: 'opened' })
    const space = await replica.openSpace(bob.space.id)
    await space.sync(within(opened))
    expect(space.problems).toEqual([])
    ann.space.resume()
    await ann.space.sync(within(opened))
    expect(ann.space.problems).toEqual([])
    await expectWhole(3)
  })

  it('waits, and is said to be behind, where a client does not have enough; another one has', async () => {
    opened = await openLyingWorld('all', EAGER)
    const { ann, bob, relay, world } = opened
    const dan = await world.open('Dan')
    const danSpace = await dan.joinSpace(await ann.space.invite(within(opened)), within(opened))
    await danSpace.sync(within(opened))
    await expect.poll(() => danSpace.status.trust.level, { interval: 2, timeout: 5000 }).toBe('verified')
    danSpace.pause()
    await settleAll(opened)
    const size = await loseTail(6)
    // Dan skips what the relay is going to lose: he holds no more than the end of it.
    const device = await deviceOf(ann.store, ann.space.id)
    const cosigned: Lie = {
      name: 'cosigned',
      says: 'the latest checkpoint, which Ann has cosigned',
      expected: [],
      isSigned: false,
      freezes: false,
      tell: async (_message, { asked, log, notes }) => {
        if (asked?.type !== 'skip') return undefined
        const { checkpoint, text, signatures } = parseNote(notes.at(-1) as Uint8Array)
        const note = encodeNote(checkpoint, [...signatures, await device.cosign(text)])
        return [forgeLog(log).skip(asked, { checkpoint, note })]
      },
    }
    relay.lie(cosigned)
    danSpace.resume()
    await danSpace.sync(within(opened))
    expect(relay.told.at(-1)?.lie).toBe('cosigned')
    await expect.poll(() => danSpace.status.trust.level, { interval: 2, timeout: 5000 }).toBe('verified')
    for (const { space } of [ann, bob]) space.pause()
    await relay.branch({ space: ann.space.id, to: () => true, size })
    const before = danSpace.status.confirmed.size
    await expect.poll(() => danSpace.problems.map(problem => problem.code)).toContain('ERR_RELAY_BEHIND')
    await expect(danSpace.sync({ timeout: world.patience(200) })).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    expect(danSpace.status.confirmed.size).toBe(before)
    expect(isFrozen(danSpace)).toBe(false)
    const note = await danSpace.openDocument<Note>(ann.notes[0]?.id as string)
    note.change(doc => {
      doc.title = 'from Dan'
    })
    for (const { space } of [ann, bob]) space.resume()
    await settleAll(opened)
    await danSpace.sync(within(opened))
    await settleAll(opened)
    expect(danSpace.problems).toEqual([])
    expect(ann.notes[0]?.doc().title).toBe('from Dan')
  })

  it('gets it back even from a device that was admitted in the very entries that are lost', async () => {
    opened = await openLyingWorld()
    const { ann, bob, relay, world } = opened
    const size = relay.log(ann.space.id).length
    const dan = await world.open('Dan')
    const danSpace = await dan.joinSpace(await ann.space.invite(within(opened)), within(opened))
    const note = await danSpace.openDocument<Note>(ann.notes[0]?.id as string)
    note.change(doc => {
      doc.title = 'from Dan'
    })
    await danSpace.sync(within(opened))
    await settleAll(opened)
    for (const { space } of [ann, bob]) space.pause()
    const codes: string[] = []
    danSpace.on('problem', ({ problem }) => void codes.push(problem.code))
    await relay.branch({ space: ann.space.id, to: () => true, size })
    await danSpace.sync(within(opened))
    expect(codes).toContain('ERR_RELAY_BEHIND')
    expect(danSpace.problems).toEqual([])
    for (const { space } of [ann, bob]) space.resume()
    await settleAll(opened)
    expect([...ann.space.problems, ...bob.space.problems]).toEqual([])
    expect(ann.notes[0]?.doc().title).toBe('from Dan')
  })
})
