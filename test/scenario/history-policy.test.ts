import { afterEach, describe, expect, it, vi } from 'vitest'
import type { SpaceDocument } from '../../src/space-document.ts'
import { encodeControlBody } from '../../src/verify/control-codec.ts'
import { controlAsMember } from '../helpers/hostile-keys.ts'
import { openMember } from '../helpers/hostile-member.ts'
import { plunder, relayLoot, thiefOf } from '../helpers/loot.ts'
import {
  admitted,
  allSynced,
  codesOf,
  epochIn,
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
import { type Note, openWorld, type World } from '../helpers/world.ts'

vi.setConfig({ testTimeout: 60_000 })

const HURRY = 0.02

let world: World
afterEach(() => world.close())

async function withLate(
  kind: 'instant' | 'approved' = 'instant',
): Promise<{ ann: Founder; late: Person; old: SpaceDocument<Note> }> {
  world = await openWorld({ hurry: HURRY })
  const ann = await founded(world)
  const old = await ann.space.createDocument<Note>({ title: 'Secret plan', body: '' }, { name: 'Plan' })
  await ann.space.sync(timely(world))
  const late = await admitted(world, ann.space, 'Late', { kind, history: 'from-join' })
  await allSynced(world, ann, late)
  return { ann, late, old }
}

it('what is locked is shown as that after a restart without a connection, too (R-LOCKED-1)', async () => {
  const { late, old } = await withLate()
  world.down()
  const again = await reopened(world, late)
  expect(
    again.space
      .documents()
      .map(({ name, locked }) => `${name} ${locked}`)
      .sort(),
  ).toEqual(['Day 1 true', 'Plan true'])
  await expect(again.space.openDocument(old.id)).rejects.toMatchObject({ code: 'ERR_LOCKED' })
})

describe.each(['instant', 'approved'] as const)('a member by an %s invite that reads from its admission on', kind => {
  it('sees all names and titles, works in new documents, and has the others listed as locked (R-LOCKED-1)', async () => {
    const { ann, late, old } = await withLate(kind)
    expect(late.space.name).toBe('Field notes')
    expect(late.space.members().map(({ name }) => name)).toEqual(['Ann', 'Late'])
    const listed = late.space.documents().map(({ name, locked }) => `${name} ${locked}`)
    expect(listed.sort()).toEqual(['Day 1 true', 'Plan true'])
    await expect(late.space.openDocument(old.id)).rejects.toMatchObject({ code: 'ERR_LOCKED' })
    expect(ann.space.documents().every(({ locked }) => !locked)).toBe(true)
    // Both ways, also after a restart.
    const fresh = await ann.space.createDocument<Note>({ title: 'For all', body: '' }, { name: 'New' })
    const again = await reopened(world, late)
    const own = await again.space.createDocument<Note>({ title: 'By Late', body: '' }, { name: 'Own' })
    await allSynced(world, ann, again)
    const shared = await noteOf(again, fresh)
    expect(shared.doc().title).toBe('For all')
    retitle(shared, 'By both')
    await again.space.rename('me', 'Latecomer', timely(world))
    await allSynced(world, again, ann)
    expect(fresh.doc().title).toBe('By both')
    expect((await noteOf(ann, own)).doc().title).toBe('By Late')
    expect(ann.space.members().map(({ name }) => name)).toEqual(['Ann', 'Latecomer'])
    // A document from before that goes on stays locked.
    retitle(old, 'Secret plan, continued')
    await allSynced(world, ann, again)
    await expect(again.space.openDocument(old.id)).rejects.toMatchObject({ code: 'ERR_LOCKED' })
    expect(again.space.documents().filter(({ locked }) => locked)).toHaveLength(2)
    for (const { space } of [ann, again]) expect(codesOf(space)).toEqual([])
  })
})

describe('history', () => {
  it('that is granted opens what was locked, on all devices of the member, from the epoch that was named on', async () => {
    const { ann, late, old } = await withLate()
    const second = await world.open('Late')
    const tablet = await second.joinSpace(await late.space.inviteDevice(timely(world)), timely(world))
    await tablet.sync(timely(world))
    await expect(tablet.openDocument(old.id)).rejects.toMatchObject({ code: 'ERR_LOCKED' })
    await expect(late.space.grantHistory(idOf(late.space, 'Late'), 0, timely(world))).rejects.toMatchObject({
      code: 'ERR_UNAUTHORIZED',
    })
    await ann.space.grantHistory(idOf(ann.space, 'Late'), 0, timely(world))
    await late.space.sync(timely(world))
    await tablet.sync(timely(world))
    expect((await noteOf(late, old)).doc().title).toBe('Secret plan')
    expect((await tablet.openDocument<Note>(old.id)).doc().title).toBe('Secret plan')
    expect(late.space.documents().some(({ locked }) => locked)).toBe(false)
    expect(ann.space.members()[1]?.devices.map(({ readsFrom }) => readsFrom)).toEqual([0, 0])
    retitle(await noteOf(late, old), 'By Late')
    await allSynced(world, late, ann)
    expect(old.doc().title).toBe('By Late')
    const again = await reopened(world, late)
    expect((await noteOf(again, old)).doc().title).toBe('By Late')
    const granted = (await ann.space.history()).map(({ text }) => text).filter(text => text.startsWith('Ann let'))
    expect(granted).toHaveLength(2)
  })

  it('comes with a role that administers, by the next epoch', async () => {
    const { ann, late, old } = await withLate()
    const before = await epochIn(ann.space)
    await ann.space.setRole(idOf(ann.space, 'Late'), 'admin', timely(world))
    await allSynced(world, ann, late)
    expect(await epochIn(ann.space)).toBeGreaterThan(before)
    await eventually(() => late.space.documents().some(({ locked }) => locked)).toBe(false)
    expect((await noteOf(late, old)).doc().title).toBe('Secret plan')
    expect(late.space.me).toMatchObject({ role: 'admin', history: 'all' })
    // And can let others in with all of it.
    const carl = await admitted(world, late.space, 'Carl')
    expect((await noteOf(carl, old)).doc().title).toBe('Secret plan')
  })

  it('that a hostile admin only pretended to grant, another one grants, on all devices of the member (R-GRANT-3)', async () => {
    const { ann, late, old } = await withLate()
    const eve = await admitted(world, ann.space, 'Eve', { role: 'admin' })
    await allSynced(world, ann, late, eve)
    await eve.replica.close()
    const number = late.space.me.devices[0]?.id ?? -1
    const { id } = ann.space
    await controlAsMember(world, eve.store.twin(), id, ({ time, random }) => ({
      body: encodeControlBody({ type: 'grant', time, device: number, from: 0, sealed: random(1168) }),
    }))
    await allSynced(world, ann, late)
    expect(late.space.me.devices[0]?.readsFrom).toBe(0)
    await eventually(() => late.space.problems.map(({ message }) => message).join()).toMatch(/has to grant it again/)
    expect(late.space.documents().find(document => document.id === old.id)?.locked).toBe(true)
    // Also after a restart: what it lacks follows from the log.
    const again = await reopened(world, late)
    await again.space.sync(timely(world))
    await eventually(() => again.space.problems.map(({ message }) => message).join()).toMatch(/has to grant it again/)
    await ann.space.grantHistory(idOf(ann.space, 'Late'), 0, timely(world))
    await again.space.sync(timely(world))
    await eventually(async () => (await noteOf(again, old)).doc().title).toBe('Secret plan')
    expect(codesOf(again.space)).toEqual([])
    // Nobody can tell that it holds what it should but its device: so it may be granted once more.
    const size = await world.logSize(id)
    await ann.space.grantHistory(idOf(ann.space, 'Late'), 0, timely(world))
    expect(await world.logSize(id)).toBe(size + 1)
    await again.space.sync(timely(world))
    expect(codesOf(again.space)).toEqual([])
  })

  it('that a member may not read it cannot give away', async () => {
    const { ann, late } = await withLate()
    const other = await admitted(world, ann.space, 'Other', { history: 'from-join' })
    await allSynced(world, ann, late, other)
    await expect(late.space.grantHistory(idOf(late.space, 'Other'), 0, timely(world))).rejects.toThrow(
      /ERR_UNAUTHORIZED/,
    )
    await expect(late.space.invite({ role: 'reader', ...timely(world) })).rejects.toMatchObject({
      code: 'ERR_UNAUTHORIZED',
    })
    expect(() => ann.space.invite({ role: 'admin', history: 'from-join' })).toThrow(TypeError)
  })
})

describe('all that a relay has, in the hands of', () => {
  it('two members that read from their admission on, opens nothing older', async () => {
    const { ann, late, old } = await withLate()
    const other = await admitted(world, ann.space, 'Other', { history: 'from-join', kind: 'approved' })
    const second = await world.open('Late')
    const tablet = await second.joinSpace(await late.space.inviteDevice(timely(world)), timely(world))
    await tablet.sync(timely(world))
    retitle(old, 'Secret plan, continued')
    const fresh = await ann.space.createDocument<Note>({ title: 'For all', body: '' }, { name: 'New' })
    await allSynced(world, ann, late, other)
    const { id } = ann.space
    await Promise.all([late.replica.close(), other.replica.close(), ann.replica.close()])
    const loot = await relayLoot(world, id)
    const thieves = await Promise.all(
      [late, other].map(async ({ store }) => thiefOf(await openMember(store.twin(), id))),
    )
    const opened = plunder(loot, thieves)
    const of = (document: string): number[] =>
      loot.entries.filter(entry => entry.document === document).map(({ index }) => index)
    expect(of(old.id).length).toBeGreaterThanOrEqual(2)
    for (const index of [...of(old.id), ...of(ann.note.id)]) expect(opened.content).not.toContain(index)
    for (const index of of(fresh.id)) expect(opened.content).toContain(index)
    // The same search finds everything where it begins with the secrets of somebody who may read all.
    const all = plunder(loot, [thiefOf(await openMember(ann.store.twin(), id))])
    for (const index of [...of(old.id), ...of(ann.note.id), ...of(fresh.id)]) expect(all.content).toContain(index)
  })

  it('a member that was removed, opens nothing that was sealed once its author knew', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    const eve = await admitted(world, ann.space, 'Eve', { role: 'admin' })
    await allSynced(world, ann, bob, eve)
    const link = await eve.space.invite({ role: 'reader', ...timely(world) })
    await allSynced(world, ann, bob, eve)
    const before = await world.logSize(ann.space.id)
    await ann.space.removeMember(idOf(ann.space, 'Eve'), timely(world))
    retitle(ann.note, 'without Eve')
    await allSynced(world, ann, bob)
    const fresh = await bob.space.createDocument<Note>({ title: 'New', body: '' }, { name: 'Not for Eve' })
    await ann.space.rename('space', 'Renamed', timely(world))
    await ann.space.revokeInvite(await ann.space.invite(timely(world)), timely(world))
    retitle(await noteOf(bob, ann.note), 'still without Eve')
    await allSynced(world, bob, ann)
    await eventually(() => eve.space.status.membership).toBe('removed')
    const { id } = ann.space
    for (const { replica } of [ann, bob, eve]) await replica.close()
    const loot = await relayLoot(world, id)
    // Her own secrets, and the link that she had made.
    const opened = plunder(loot, [thiefOf(await openMember(eve.store.twin(), id), link)])
    const later = loot.entries.filter(({ index }) => index >= before)
    expect(later.filter(({ document }) => document === fresh.id)).not.toEqual([])
    for (const { index } of later) {
      expect(opened.content).not.toContain(index)
      expect(opened.names).not.toContain(index)
    }
    const all = plunder(loot, [thiefOf(await openMember(bob.store.twin(), id))])
    for (const { index, isControl } of later) if (!isControl) expect(all.content).toContain(index)
    for (const { index, isControl } of loot.entries) {
      if (!isControl && index < before) expect(opened.content).toContain(index)
    }
  })
})
