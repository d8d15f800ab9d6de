import { afterEach, describe, expect, it, vi } from 'vitest'
import { admitted, allSynced, eventually, founded, timely } from '../helpers/people.ts'
import { openWorld, settleKeys, type World } from '../helpers/world.ts'

vi.setConfig({ testTimeout: 60_000 })

const HURRY = 0.02

let world: World
afterEach(() => world.close())

describe('status.waitingFor', () => {
  it('says that keys are waited for that only a member who reads everything can give', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await allSynced(world, ann, bob)
    await settleKeys(ann.space, timely(world))
    const link = await ann.space.invite({ history: 'from-join', ...timely(world) })
    ann.space.pause()
    // From here on nothing is sealed before the next epoch, which nobody who is there can start.
    await bob.space.leave(timely(world))
    const cyd = await world.open('Cyd')
    const joining = cyd.joinSpace(link, timely(world))
    const space = await eventuallyOpen(() => cyd.openSpace(ann.space.id))
    await eventually(() => space.status.waitingFor).toBe('keys')
    expect(space.status.membership).toBe('joining')
    ann.space.resume()
    await joining
    await space.sync(timely(world))
    await eventually(() => space.status.waitingFor).toBeUndefined()
  })

  it('says nothing to a member that starts the next epoch itself', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await allSynced(world, ann, bob)
    const told = new Set<string | undefined>()
    let tainted = 0
    ann.space.on('status', ({ space, status }) => {
      told.add(status.waitingFor)
      if (space.members().length === 1) tainted++
    })
    await ann.space.removeMember(bob.space.me.id, timely(world))
    expect(tainted).toBeGreaterThan(0)
    expect(told).toEqual(new Set([undefined]))
  })

  it('says that an admin has yet to let this device in', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await world.open('Bob')
    const joining = bob.joinSpace(await ann.space.invite({ kind: 'approved', ...timely(world) }), timely(world))
    const space = await eventuallyOpen(() => bob.openSpace(ann.space.id))
    await eventually(() => space.status.waitingFor).toBe('approval')
    await eventually(() => ann.space.requests()).toHaveLength(1)
    await ann.space.approve(ann.space.requests()[0]?.id as number, timely(world))
    await joining
    await eventually(() => space.status.waitingFor).toBeUndefined()
  })
})

describe('status.local.sequenced', () => {
  it('counts what was edited, and no entry about members or keys', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const counts: number[] = []
    ann.space.on('status', ({ status }) => void counts.push(status.local.sequenced))
    await ann.space.rotateKeys(timely(world))
    await ann.space.invite(timely(world))
    expect(counts.length).toBeGreaterThan(0)
    expect(new Set(counts)).toEqual(new Set([0]))
    ann.note.change(doc => {
      doc.title = 'edited'
    })
    await ann.space.sync(timely(world))
    expect(Math.max(...counts)).toBe(1)
    expect(ann.space.status.local.sequenced).toBe(0)
  })
})

/** A space is in the store a moment after somebody began to join it. */
async function eventuallyOpen<T>(open: () => Promise<T>): Promise<T> {
  let space: T | undefined
  await expect
    .poll(
      async () => {
        space = await open().catch(() => undefined)
        return space !== undefined
      },
      { timeout: 15_000 },
    )
    .toBe(true)
  return space as T
}
