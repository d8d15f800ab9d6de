import { afterEach, describe, expect, it, vi } from 'vitest'
import type { SpaceId } from '../../src/ids.ts'
import type { Space } from '../../src/space.ts'
import { decodeHeader } from '../../src/verify/entry.ts'
import { controlAsMember, type Spoilt, spoiltRepair, spoiltRotation } from '../helpers/hostile-keys.ts'
import {
  admitted,
  allSynced,
  eventually,
  type Founder,
  founded,
  idOf,
  noteOf,
  type Person,
  reopened,
  retitle,
  timely,
} from '../helpers/people.ts'
import { openWorld, settleKeys, type World } from '../helpers/world.ts'

vi.setConfig({ testTimeout: 60_000 })

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
  await settleKeys(ann.space, timely(world))
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

/** Everything that was ever a problem here, from now on: what is repaired is none any more. */
function toldOf(space: Space): (index: number) => string {
  const all: string[] = []
  space.on('problem', ({ problem }) => {
    if (problem.index !== undefined) all.push(`at ${problem.index}: ${problem.code} ${problem.message}`)
  })
  return index => all.filter(each => each.startsWith(`at ${index}: `)).join()
}

describe('keys that a member delivered wrongly', () => {
  it('a wrap: the entry and its author are named, the others repair it, and whoever was left out reads on (R-WRAP-7)', async () => {
    const { ann, bob, eve, id } = await withEve()
    bob.space.pause()
    const toldAnn = toldOf(ann.space)
    const at = await controlAsMember(world, eve.store.twin(), id, hand =>
      spoiltRotation(hand, { devices: [deviceOf(bob.space)] }),
    )
    retitle(ann.note, 'after')
    await ann.space.sync(timely(world))
    await eventually(() => toldAnn(at)).toMatch(/ERR_KEY .*device \d+ .*entry \d+/)
    bob.space.resume()
    await bob.space.sync(timely(world))
    await eventually(async () => (await noteOf(bob, ann.note)).doc().title).toBe('after')
    await eventually(async () => (await ann.space.history()).find(({ index }) => index > at)?.type).toBe('repair')
    // Once it is mended nothing is wrong any more, for any of them.
    await eventually(() => told(ann.space, at)).toEqual([])
    await eventually(() => told(bob.space, at)).toEqual([])
    retitle(await noteOf(bob, ann.note), 'by Bob')
    await allSynced(world, bob, ann)
    // The key may have been asked for while it was still kept back.
    await eventually(() => ann.note.doc().title).toBe('by Bob')
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
    const toldAnn = toldOf(ann.space)
    const at = await controlAsMember(world, eve.store.twin(), id, hand => spoiltRotation(hand, spoil(hand.random)))
    await allSynced(world, ann, bob)
    await eventually(() => toldAnn(at)).toMatch(/ERR_KEY .*entry \d+/)
    await eventually(async () =>
      (await ann.space.history()).some(({ index, type }) => index > at && type === 'repair'),
    ).toBe(true)
    await eventually(() => [ann, bob].flatMap(({ space }) => told(space, at))).toEqual([])
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

  it('a commitment that is of no secret: no one who could tell writes under it, and it is replaced (R-WRAP-8)', async () => {
    const { ann, bob, eve, id } = await withEve()
    const writers = new Set([deviceOf(ann.space), deviceOf(bob.space)])
    const at = await controlAsMember(world, eve.store.twin(), id, hand =>
      spoiltRotation(hand, { start: { readCommit: hand.random(32) } }),
    )
    retitle(ann.note, 'by Ann')
    await eventually(() => told(ann.space, at).join()).toMatch(/ERR_KEY .*device \d+ .*entry \d+/)
    await allSynced(world, ann, bob)
    expect((await noteOf(bob, ann.note)).doc().title).toBe('by Ann')
    const rotated = (await bob.space.history()).find(({ index, type }) => index > at && type === 'rotate')
    const { index: end } = rotated ?? { index: -1 }
    const range = { from: at + 1, to: end, inlineLength: 0, maxBytes: 1e6 }
    const between = await world.relayStore.readEntries(id, range)
    for (const { header } of between) expect(writers).not.toContain(decodeHeader(header).device)
    expect(ann.note.receipt.index).toBeGreaterThan(end)
    // Who comes later finds a way past it, to everything.
    const carl = await admitted(world, ann.space, 'Carl')
    expect((await noteOf(carl, ann.note)).doc().title).toBe('by Ann')
    expect(carl.space.members().map(({ name }) => name)).toEqual(['Ann', 'Bob', 'Eve', 'Carl'])
    const late = await admitted(world, ann.space, 'Late', { history: 'from-join' })
    expect(late.space.documents().map(({ name }) => name)).toEqual(['Day 1'])
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
    await eventually(() => ann.space.problems).toEqual([])
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

describe('keys that the relay keeps back, or has lost', () => {
  /** The relay answers as if it had no wraps. */
  const withhold = (): void => {
    world.tamper = message => [message.type === 'keys' ? { ...message, wraps: [] } : message]
  }

  it('are a problem that names the entry; what is sealed with them waits, and opens once they come', async () => {
    const { ann, bob } = await withEve()
    await ann.space.setRole(idOf(ann.space, 'Bob'), 'reader', timely(world))
    await allSynced(world, ann, bob)
    withhold()
    await ann.space.revokeInvite(await ann.space.invite(timely(world)), timely(world))
    const at = (await ann.space.history()).findLast(({ type }) => type === 'rotate')?.index as number
    retitle(ann.note, 'after')
    await ann.space.sync(timely(world))
    await eventually(() => bob.space.status.confirmed.size).toBeGreaterThan(at)
    await eventually(() => told(bob.space, at).join()).toMatch(/ERR_KEY .*entry \d+ is not served/)
    expect((await noteOf(bob, ann.note)).doc().title).toBe('Day 1')
    world.tamper = undefined
    await eventually(async () => (await noteOf(bob, ann.note)).doc().title).toBe('after')
    await eventually(() => bob.space.problems).toEqual([])
    const again = await reopened(world, bob)
    expect((await noteOf(again, ann.note)).doc().title).toBe('after')
  })

  it('from a writer make it start an epoch of its own, and nobody waits (R-EPOCH-7)', async () => {
    const { ann, bob } = await withEve()
    await ann.space.setRole(idOf(ann.space, 'Bob'), 'admin', timely(world))
    await allSynced(world, ann, bob)
    withhold()
    await ann.space.revokeInvite(await ann.space.invite(timely(world)), timely(world))
    const epoch = (await ann.space.history()).filter(({ type }) => type === 'rotate').length
    retitle(await noteOf(bob, ann.note), 'by Bob')
    await eventually(
      async () => (await bob.space.history()).filter(({ type }) => type === 'rotate').length,
    ).toBeGreaterThan(epoch)
    world.tamper = undefined
    await allSynced(world, bob, ann)
    // Ann was not served the key of that epoch either: she asks again by herself.
    await eventually(() => ann.note.doc().title).toBe('by Bob')
  })

  it('and those that it makes up are refused without being believed', async () => {
    const { ann, bob } = await withEve()
    let forged = 0
    world.tamper = message => {
      if (message.type !== 'keys' || forged > 0) return [message]
      forged += message.wraps.length
      return [{ ...message, wraps: message.wraps.map(each => ({ ...each, wrap: each.wrap.map(byte => byte ^ 1) })) }]
    }
    await ann.space.revokeInvite(await ann.space.invite(timely(world)), timely(world))
    retitle(ann.note, 'after')
    await allSynced(world, ann, bob)
    expect(forged).toBeGreaterThan(0)
    expect((await noteOf(bob, ann.note)).doc().title).toBe('after')
  })
})
