import { afterEach, describe, expect, it } from 'vitest'
import type { SpaceId } from '../../src/ids.ts'
import type { Space } from '../../src/space.ts'
import { controlAsMember, type Spoilt, spoiltRepair, spoiltRotation } from '../helpers/hostile-keys.ts'
import {
  admitted,
  allSynced,
  eventually,
  type Founder,
  founded,
  noteOf,
  type Person,
  reopened,
  retitle,
  timely,
} from '../helpers/people.ts'
import { openWorld, type World } from '../helpers/world.ts'

const HURRY = 0.02

let world: World
afterEach(() => world.close())

interface Group {
  readonly ann: Founder
  readonly bob: Person
  readonly eve: Person
  readonly id: SpaceId
}

/** Ann, Bob, and Eve, who will be hostile: her replica is closed. */
async function withEve(): Promise<Group> {
  world = await openWorld({ hurry: HURRY })
  const ann = await founded(world)
  const bob = await admitted(world, ann.space, 'Bob')
  const eve = await admitted(world, ann.space, 'Eve')
  await allSynced(world, ann, bob, eve)
  // A new epoch is due after every join: it is to be over.
  await eventually(() => [ann, bob, eve].map(({ space }) => space.status.confirmed.size)).toSatisfy(isSettled)
  await allSynced(world, ann, bob, eve)
  await eve.replica.close()
  return { ann, bob, eve, id: ann.space.id }
}

const isSettled = ([first, ...others]: number[]): boolean => others.every(size => size === first)

function deviceOf(space: Space): number {
  return space.me.devices[0]?.id ?? -1
}

function told(space: Space, index: number): readonly string[] {
  return space.problems.filter(problem => problem.index === index).map(({ code, message }) => `${code} ${message}`)
}

describe('keys that a member delivered wrongly', () => {
  it('a wrap: the entry and its author are named, the others repair it, and whoever was left out reads on', async () => {
    const { ann, bob, eve, id } = await withEve()
    bob.space.pause()
    const at = await controlAsMember(world, eve.store.twin(), id, hand =>
      spoiltRotation(hand, { devices: [deviceOf(bob.space)] }),
    )
    retitle(ann.note, 'after')
    await ann.space.sync(timely(world))
    await eventually(() => told(ann.space, at).join()).toMatch(/ERR_KEY .*device \d+ .*entry \d+/)
    bob.space.resume()
    await bob.space.sync(timely(world))
    expect((await noteOf(bob, ann.note)).doc().title).toBe('after')
    const events = await ann.space.history()
    expect(events.find(({ index }) => index > at)).toMatchObject({ type: 'repair' })
    retitle(await noteOf(bob, ann.note), 'by Bob')
    await allSynced(world, bob, ann)
    expect(ann.note.doc().title).toBe('by Bob')
    const again = await reopened(world, bob)
    await again.space.sync(timely(world))
    retitle(await noteOf(again, ann.note), 'by Bob again')
    await allSynced(world, again, ann)
    expect(ann.note.doc().title).toBe('by Bob again')
  })

  const links: readonly (readonly [string, (random: (length: number) => Uint8Array) => Spoilt])[] = [
    ['the history link', random => ({ delivery: { link: random(72) } })],
    ['the names link', random => ({ delivery: { namesLink: random(72) } })],
  ]
  it.each(links)('%s: it is repaired, and who comes later reads everything', async (_, spoil) => {
    const { ann, bob, eve, id } = await withEve()
    const at = await controlAsMember(world, eve.store.twin(), id, hand => spoiltRotation(hand, spoil(hand.random)))
    await allSynced(world, ann, bob)
    await eventually(() => told(ann.space, at).join()).toMatch(/ERR_KEY .*entry \d+/)
    await eventually(async () =>
      (await ann.space.history()).some(({ index, type }) => index > at && type === 'repair'),
    ).toBe(true)
    retitle(ann.note, 'after')
    await allSynced(world, ann, bob)
    const carl = await admitted(world, ann.space, 'Carl')
    expect((await noteOf(carl, ann.note)).doc().title).toBe('after')
    expect(carl.space.documents().map(({ name }) => name)).toEqual(['Day 1'])
    expect(carl.space.members().map(({ name }) => name)).toEqual(['Ann', 'Bob', 'Eve', 'Carl'])
    const late = await admitted(world, ann.space, 'Late', { history: 'from-join' })
    expect(late.space.documents().map(({ name }) => name)).toEqual(['Day 1'])
    expect(late.space.members().map(({ name }) => name)).toEqual(['Ann', 'Bob', 'Eve', 'Carl', 'Late'])
  })

  it('commitments that disagree: nobody writes under them, the fault is proven to all, and the epoch replaced', async () => {
    const { ann, bob, eve, id } = await withEve()
    const carl = await admitted(world, ann.space, 'Carl', { history: 'from-join' })
    await eventually(async () => (await ann.space.history()).at(-1)?.type).toBe('rotate')
    await allSynced(world, ann, bob, carl)
    const mallory = await reopened(world, eve)
    await mallory.space.sync(timely(world))
    await mallory.replica.close()
    const note = await carl.space.createDocument({ title: 'by Carl', body: '' }, { name: 'By Carl' })
    await allSynced(world, carl, ann, bob)
    const store = mallory.store.twin()
    const newest = await reopened(world, mallory)
    await newest.space.sync(timely(world))
    await newest.replica.close()
    const at = await controlAsMember(world, store, id, hand =>
      spoiltRotation(hand, { start: { readCommit: hand.random(32) } }),
    )
    const epoch = (await ann.space.history()).filter(({ type }) => type === 'rotate').length
    retitle(ann.note, 'by Ann')
    note.change(doc => {
      doc.body = 'more'
    })
    await allSynced(world, ann, bob, carl)
    const after = (await bob.space.history()).filter(({ index }) => index > at).map(({ type }) => type)
    expect(after.slice(0, 2)).toEqual(['fault', 'rotate'])
    expect((await noteOf(bob, ann.note)).doc().title).toBe('by Ann')
    // No document entry stands between the epoch that cannot be used and the one that replaces it.
    const rotated = (await bob.space.history()).find(({ index, type }) => index > at && type === 'rotate')
    const { relayStore } = world
    const entries = await relayStore.readEntries(id, {
      from: at,
      to: rotated?.index ?? at,
      inlineLength: 0,
      maxBytes: 1e6,
    })
    expect(entries.every(({ isControl }) => isControl)).toBe(true)
    expect(epoch).toBeGreaterThan(0)
    expect((await ann.space.openDocument<{ body: string }>(note.id)).doc().body).toBe('more')
  })

  it('a hostile repair does not stick', async () => {
    const { ann, bob, eve, id } = await withEve()
    bob.space.pause()
    const deviceNumber = deviceOf(bob.space)
    await controlAsMember(world, eve.store.twin(), id, hand =>
      spoiltRepair(hand, hand.control.epochs.length - 1, {
        devices: [deviceNumber],
        delivery: { link: hand.random(72) },
      }),
    )
    await ann.space.sync(timely(world))
    await eventually(async () => (await ann.space.history()).filter(({ type }) => type === 'repair').length).toBe(2)
    retitle(ann.note, 'after')
    await ann.space.sync(timely(world))
    const again = await reopened(world, bob)
    await again.space.sync(timely(world))
    expect((await noteOf(again, ann.note)).doc().title).toBe('after')
    const carl = await admitted(world, ann.space, 'Carl')
    expect((await noteOf(carl, ann.note)).doc().title).toBe('after')
    expect(carl.space.members()).toHaveLength(4)
  })

  it('and then left: others see to it all the same', async () => {
    const { ann, bob, eve, id } = await withEve()
    bob.space.pause()
    ann.space.pause()
    await controlAsMember(world, eve.store.twin(), id, hand =>
      spoiltRotation(hand, { devices: [deviceOf(bob.space)], delivery: { link: hand.random(72) } }),
    )
    const gone = await reopened(world, eve)
    await gone.space.leave(timely(world))
    await gone.replica.close()
    for (const { space } of [ann, bob]) space.resume()
    retitle(ann.note, 'after')
    await allSynced(world, ann, bob)
    expect((await noteOf(bob, ann.note)).doc().title).toBe('after')
    const carl = await admitted(world, ann.space, 'Carl')
    expect((await noteOf(carl, ann.note)).doc().title).toBe('after')
  })
})
