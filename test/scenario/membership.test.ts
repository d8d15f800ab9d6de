import * as Automerge from '@automerge/automerge/slim'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  admitted,
  allSynced,
  codesOf,
  epochIn,
  eventually,
  founded,
  idOf,
  noteOf,
  reopened,
  retitle,
  timely,
} from '../helpers/people.ts'
import { type Note, openWorld, type World } from '../helpers/world.ts'

vi.setConfig({ testTimeout: 60_000 })

const HURRY = 0.02

let world: World
afterEach(() => world.close())

describe('somebody who was removed', () => {
  it('is told by a proven entry, keeps reading and exporting, and can say nothing more', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    const carl = await admitted(world, ann.space, 'Carl', { role: 'admin' })
    await allSynced(world, ann, bob, carl)
    const bobNote = await noteOf(bob, ann.note)
    const before = await epochIn(ann.space)
    await ann.space.removeMember(idOf(ann.space, 'Bob'), timely(world))
    retitle(ann.note, 'after')
    await allSynced(world, ann, carl)
    expect((await noteOf(carl, ann.note)).doc().title).toBe('after')
    expect(await epochIn(carl.space)).toBeGreaterThan(before)
    await eventually(() => bob.space.status.membership).toBe('removed')
    expect(bobNote.doc().title).toBe('Day 1')
    expect(Automerge.load<Note>(Automerge.save(bobNote.doc())).title).toBe('Day 1')
    expect(() => retitle(bobNote, 'no')).toThrow(/ERR_REMOVED/)
    await expect(bob.space.sync(timely(world))).rejects.toMatchObject({ code: 'ERR_REMOVED' })
    await expect(bob.space.createDocument({})).rejects.toMatchObject({ code: 'ERR_REMOVED' })
    await expect(bob.space.invite(timely(world))).rejects.toMatchObject({ code: 'ERR_REMOVED' })
    expect(ann.space.members().map(({ name }) => name)).toEqual(['Ann', 'Carl'])
    // The last that it is told is its own removal.
    const told = (await bob.space.history()).at(-1)
    expect(told).toMatchObject({ type: 'remove-member', member: { name: 'Bob' } })
    for (const { space } of [ann, carl]) expect(space.problems).toEqual([])
  })

  it('while it was offline learns it when it comes back, also after a restart, and sends nothing (R-REMOVED-3)', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await allSynced(world, ann, bob)
    bob.space.pause()
    retitle(await noteOf(bob, ann.note), 'unsent')
    const own = await bob.space.createDocument<Note>({ title: 'own', body: '' }, { name: 'Own' })
    await own.saved()
    await ann.space.removeMember(idOf(ann.space, 'Bob'), timely(world))
    await ann.space.sync(timely(world))
    await ann.space.rotateKeys(timely(world)).catch(() => {})
    const size = await world.logSize(ann.space.id)
    const again = await reopened(world, bob)
    await expect(again.space.sync(timely(world))).rejects.toMatchObject({ code: 'ERR_REMOVED' })
    const note = await noteOf(again, ann.note)
    expect(note.doc().title).toBe('unsent')
    expect((await noteOf(again, own)).doc().title).toBe('own')
    expect(() => retitle(note, 'no')).toThrow(/ERR_REMOVED/)
    const oncemore = await reopened(world, again)
    expect(oncemore.space.status.membership).toBe('removed')
    expect((await noteOf(oncemore, ann.note)).doc().title).toBe('unsent')
    expect(oncemore.space.status.local.pending).toBeGreaterThan(0)
    await oncemore.replica.close()
    expect(await world.logSize(ann.space.id)).toBe(size)
    expect(ann.note.doc().title).toBe('Day 1')
    expect(ann.space.documents()).toHaveLength(1)
  })

  it('and those who removed each other are settled by the order of the log', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob', { role: 'owner' })
    await allSynced(world, ann, bob)
    const results = await Promise.allSettled([
      ann.space.removeMember(idOf(ann.space, 'Bob'), timely(world)),
      bob.space.removeMember(idOf(bob.space, 'Ann'), timely(world)),
    ])
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const [stays, goes] = results[0]?.status === 'fulfilled' ? [ann, bob] : [bob, ann]
    await eventually(() => goes.space.status.membership).toBe('removed')
    await stays.space.sync(timely(world))
    retitle(await noteOf(stays, ann.note), 'goes on')
    await stays.space.sync(timely(world))
    expect(stays.space.members()).toHaveLength(1)
    expect(stays.space.problems).toEqual([])
  })
})

describe('an admin that never stops', () => {
  it('inviting, revoking and rotating stops neither its removal nor what others write', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob', { role: 'admin' })
    const carl = await admitted(world, ann.space, 'Carl')
    await allSynced(world, ann, bob, carl)
    let rounds = 0
    const spamming = (async () => {
      for (;;) {
        await bob.space.revokeInvite(await bob.space.invite(timely(world)), timely(world))
        await bob.space.rotateKeys(timely(world)).catch(error => {
          if (error.code !== 'ERR_RATE_LIMITED') throw error
        })
        rounds++
      }
    })()
    const ended = expect(spamming).rejects.toMatchObject({ code: 'ERR_REMOVED' })
    await eventually(() => rounds).toBeGreaterThan(1)
    const carlNote = await noteOf(carl, ann.note)
    retitle(carlNote, 'in between')
    await carl.space.sync(timely(world))
    await ann.space.removeMember(idOf(ann.space, 'Bob'), timely(world))
    await ended
    await allSynced(world, ann, carl)
    expect(ann.note.doc().title).toBe('in between')
    expect(ann.space.members().map(({ name }) => name)).toEqual(['Ann', 'Carl'])
    expect(ann.space.invites()).toEqual([])
    retitle(ann.note, 'in peace')
    await allSynced(world, ann, carl)
    expect(carlNote.doc().title).toBe('in peace')
  })
})

describe('a writer made reader', () => {
  it('keeps what was not sent, and sends it once it may write again', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await allSynced(world, ann, bob)
    const bobNote = await noteOf(bob, ann.note)
    bob.space.pause()
    retitle(bobNote, 'unsent')
    await bobNote.saved()
    await ann.space.setRole(idOf(ann.space, 'Bob'), 'reader', timely(world))
    const size = await world.logSize(ann.space.id)
    bob.space.resume()
    await eventually(() => bob.space.me.role).toBe('reader')
    expect(() => retitle(bobNote, 'no')).toThrow(/ERR_READ_ONLY/)
    await expect(bob.space.createDocument({})).rejects.toMatchObject({ code: 'ERR_READ_ONLY' })
    expect(bob.space.status.local.pending).toBe(1)
    // What others write still arrives.
    ann.note.change(doc => {
      doc.body = 'news'
    })
    await ann.space.sync(timely(world))
    await eventually(() => bobNote.doc().body).toBe('news')
    expect(await world.logSize(ann.space.id)).toBe(size + 1)
    const again = await reopened(world, bob)
    expect((await noteOf(again, ann.note)).doc().title).toBe('unsent')
    await ann.space.setRole(idOf(ann.space, 'Bob'), 'writer', timely(world))
    await again.space.sync(timely(world))
    await ann.space.sync(timely(world))
    expect(ann.note.doc()).toMatchObject({ title: 'unsent', body: 'news' })
    expect(codesOf(again.space)).toEqual([])
  })
})

describe('roles', () => {
  it('bind at the client before anything is sent: nobody rises, or acts on equals and those above', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob', { role: 'admin' })
    const carl = await admitted(world, ann.space, 'Carl', { role: 'admin' })
    const dora = await admitted(world, ann.space, 'Dora')
    await allSynced(world, ann, bob, carl, dora)
    const size = await world.logSize(ann.space.id)
    const id = (name: string): string => idOf(ann.space, name)
    const wait = timely(world)
    const denied = { code: 'ERR_UNAUTHORIZED' }
    await expect(dora.space.setRole(id('Dora'), 'owner', wait)).rejects.toMatchObject(denied)
    await expect(bob.space.setRole(id('Bob'), 'owner', wait)).rejects.toMatchObject(denied)
    await expect(bob.space.setRole(id('Dora'), 'admin', wait)).rejects.toMatchObject(denied)
    await expect(bob.space.removeMember(id('Carl'), wait)).rejects.toMatchObject(denied)
    await expect(bob.space.removeMember(id('Ann'), wait)).rejects.toMatchObject(denied)
    await expect(dora.space.invite(wait)).rejects.toMatchObject(denied)
    await expect(bob.space.setPolicy({ attestations: 2 }, wait)).rejects.toMatchObject(denied)
    await expect(bob.space.invite({ role: 'admin', ...wait })).rejects.toMatchObject(denied)
    await expect(ann.space.leave(wait)).rejects.toMatchObject({ code: 'ERR_INVALID_ENTRY' })
    await expect(ann.space.setRole(id('Ann'), 'writer', wait)).rejects.toMatchObject({ code: 'ERR_INVALID_ENTRY' })
    expect(await world.logSize(ann.space.id)).toBe(size)
    // With a second owner the first may go.
    await ann.space.setRole(id('Bob'), 'owner', wait)
    await ann.space.leave(wait)
    expect(ann.space.status.membership).toBe('removed')
    await bob.space.sync(wait)
    retitle(await noteOf(bob, ann.note), 'without Ann')
    await allSynced(world, bob, carl, dora)
    expect((await noteOf(dora, ann.note)).doc().title).toBe('without Ann')
    expect(bob.space.members().map(({ name }) => name)).not.toContain('Ann')
    expect((await dora.space.history()).some(({ type }) => type === 'leave')).toBe(true)
  })
})
