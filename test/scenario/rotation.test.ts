import { afterEach, describe, expect, it, vi } from 'vitest'
import type { StoreBatch } from '../../src/crdt/store.ts'
import type { memoryStore } from '../../src/crdt/store-memory.ts'
import { SealogError } from '../../src/errors.ts'
import { countingNetwork } from '../helpers/breaking-network.ts'
import {
  admitted,
  allSynced,
  codesOf,
  epochIn,
  eventually,
  founded,
  idOf,
  noteOf,
  type Person,
  reopened,
  retitle,
  timely,
} from '../helpers/people.ts'
import { type Note, openWorld, type World } from '../helpers/world.ts'
import { controlledStore } from './controlled-store.ts'

vi.setConfig({ testTimeout: 60_000 })

const HURRY = 0.02
const DAY = 24 * 60 * 60 * 1000

let world: World
afterEach(() => world.close())

describe('a new epoch', () => {
  it('on demand comes with a limit, which a reason on record lifts', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    await ann.space.rotateKeys(timely(world))
    expect(await epochIn(ann.space)).toBe(1)
    await expect(ann.space.rotateKeys(timely(world))).rejects.toMatchObject({ code: 'ERR_RATE_LIMITED' })
    expect(await epochIn(ann.space)).toBe(1)
    // A link that may be in the wrong hands is such a reason.
    const link = await ann.space.invite(timely(world))
    await ann.space.revokeInvite(link, timely(world))
    expect(await epochIn(ann.space)).toBe(2)
    for (let i = 0; i < 16; i++) {
      retitle(ann.note, `entry ${i}`)
      await ann.space.sync(timely(world))
    }
    await ann.space.rotateKeys(timely(world))
    expect(await epochIn(ann.space)).toBe(3)
    const reader = await admitted(world, ann.space, 'Rita', { role: 'reader' })
    const late = await admitted(world, ann.space, 'Late', { history: 'from-join' })
    for (const { space } of [reader, late]) {
      await expect(space.rotateKeys(timely(world))).rejects.toMatchObject({ code: 'ERR_UNAUTHORIZED' })
    }
  })

  it('starts by itself after so many entries, or days, as the policy wants (R-ROTATE-6)', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    await ann.space.setPolicy({ rotateEvery: { entries: 20, days: 30 } }, timely(world))
    expect(ann.space.policy).toMatchObject({ rotateEntries: 20, rotateDays: 30 })
    for (let i = 0; i < 20; i++) {
      retitle(ann.note, `entry ${i}`)
      await ann.space.sync(timely(world))
    }
    await eventually(() => epochIn(ann.space)).toBe(1)
    world.later(31 * DAY)
    // It is as old, but too few entries ago for the same member to start one more.
    retitle(ann.note, 'a month later')
    const again = await reopened(world, ann)
    await again.space.sync(timely(world))
    const note = await noteOf(again, ann.note)
    for (let i = 0; i < 17; i++) {
      retitle(note, `later ${i}`)
      await again.space.sync(timely(world))
    }
    await eventually(() => epochIn(again.space)).toBe(2)
    expect((await again.space.history()).at(-1)).toMatchObject({ type: 'rotate', epoch: 2 })
  })

  it('started by two at once counts once, and both go on', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await eventually(() => epochIn(bob.space)).toBeGreaterThan(0)
    await allSynced(world, ann, bob)
    for (let i = 0; i < 17; i++) {
      retitle(ann.note, `entry ${i}`)
      await ann.space.sync(timely(world))
    }
    await allSynced(world, bob, ann)
    const before = await epochIn(ann.space)
    await Promise.all([ann.space.rotateKeys(timely(world)), bob.space.rotateKeys(timely(world))])
    await allSynced(world, ann, bob)
    expect(await epochIn(ann.space)).toBe(before + 1)
    retitle(ann.note, 'by Ann')
    await allSynced(world, ann, bob)
    const bobNote = await noteOf(bob, ann.note)
    expect(bobNote.doc().title).toBe('by Ann')
    retitle(bobNote, 'by Bob')
    await allSynced(world, bob, ann)
    expect(ann.note.doc().title).toBe('by Bob')
  })

  it('at the same time as somebody joins, and as the inviter is removed, leaves nobody without keys', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob', { role: 'admin' })
    await allSynced(world, ann, bob)
    const link = await bob.space.invite(timely(world))
    const carl = await world.open('Carl')
    const [joined] = await Promise.allSettled([
      carl.joinSpace(link, timely(world)),
      ann.space.removeMember(idOf(ann.space, 'Bob'), timely(world)),
    ])
    await ann.space.sync(timely(world))
    retitle(ann.note, 'after')
    await ann.space.sync(timely(world))
    if (joined.status === 'rejected') {
      expect(joined.reason).toMatchObject({ code: 'ERR_INVITE' })
      expect(ann.space.members().map(({ name }) => name)).toEqual(['Ann'])
      return
    }
    await joined.value.sync(timely(world))
    expect((await joined.value.openDocument<Note>(ann.note.id)).doc().title).toBe('after')
    expect(ann.space.members().map(({ name }) => name)).toEqual(['Ann', 'Carl'])
  })
})

describe('a device that was offline across several rotations', () => {
  it('seals its outbox anew, and loses nothing', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await allSynced(world, ann, bob)
    bob.space.pause()
    const bobNote = await noteOf(bob, ann.note)
    retitle(bobNote, 'offline')
    const own = await bob.space.createDocument<Note>({ title: 'own', body: 'x' }, { name: 'Own' })
    await bobNote.saved()
    for (let i = 0; i < 4; i++) {
      const link = await ann.space.invite(timely(world))
      await ann.space.revokeInvite(link, timely(world))
      ann.note.change(doc => {
        doc.body += `${i}`
      })
      await ann.space.sync(timely(world))
    }
    expect(await epochIn(ann.space)).toBeGreaterThanOrEqual(5)
    const again = await reopened(world, bob)
    await again.space.sync(timely(world))
    await allSynced(world, ann, again)
    expect(ann.note.doc()).toEqual({ title: 'offline', body: '0123' })
    expect((await noteOf(again, ann.note)).doc()).toEqual({ title: 'offline', body: '0123' })
    expect((await ann.space.openDocument<Note>(own.id)).doc()).toEqual({ title: 'own', body: 'x' })
    for (const { space } of [ann, again]) expect(codesOf(space)).toEqual([])
  })
})

describe('a rotation that is interrupted', () => {
  it('by a connection that breaks between any two messages comes through, and what was written with it', async () => {
    const frames = countingNetwork()
    world = await openWorld({ hurry: 0.005, network: frames.network })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await allSynced(world, ann, bob)
    const bobNote = await noteOf(bob, ann.note)
    let breaks = 0
    for (let last = 1; ; last++) {
      const link = await ann.space.invite(timely(world))
      await allSynced(world, ann, bob)
      const epoch = await epochIn(ann.space)
      frames.breakAfter(last)
      retitle(ann.note, `before ${last}`)
      await ann.space.revokeInvite(link, timely(world))
      ann.note.change(doc => {
        doc.body = `after ${last}`
      })
      await allSynced(world, ann, bob)
      expect(bobNote.doc()).toEqual({ title: `before ${last}`, body: `after ${last}` })
      expect(await epochIn(ann.space)).toBeGreaterThan(epoch)
      if (!frames.hasBroken()) break
      breaks++
    }
    expect(breaks).toBeGreaterThan(10)
    for (const { space } of [ann, bob]) expect(codesOf(space)).toEqual([])
  })

  it('by the end of either process after any commit goes on after a restart', async () => {
    world = await openWorld({ hurry: 0.01 })
    const start = await founded(world)
    const joined = await admitted(world, start.space, 'Bob')
    await allSynced(world, start, joined)
    const stores = { ann: start.store, bob: joined.store }
    await Promise.all([start.replica.close(), joined.replica.close()])
    const { id } = start.space
    let deaths = 0
    for (let last = 1; ; last++) {
      const dying = { ann: mortal(stores.ann, last), bob: mortal(stores.bob, last) }
      const ann = await world.open('Ann', dying.ann.store)
      const bob = await world.open('Bob', dying.bob.store)
      const session = async (): Promise<void> => {
        const [annSpace, bobSpace] = await Promise.all([ann.openSpace(id), bob.openSpace(id)])
        const note = await annSpace.openDocument<Note>(start.note.id)
        const wait = { timeout: world.patience(1500) }
        const link = await annSpace.invite(wait)
        note.change(doc => {
          doc.body += 'x'
        })
        await annSpace.revokeInvite(link, wait)
        await annSpace.sync(wait)
        await bobSpace.sync(wait)
      }
      const isDone = await session().then(
        () => true,
        () => false,
      )
      await Promise.allSettled([ann.close(), bob.close()])
      if (isDone) break
      deaths++
      const again = await restarted(stores, id, start.note.id)
      stores.ann = again.stores.ann
      stores.bob = again.stores.bob
    }
    expect(deaths).toBeGreaterThan(5)
  })

  async function restarted(
    { ann: annStore, bob: bobStore }: { ann: ReturnType<typeof memoryStore>; bob: ReturnType<typeof memoryStore> },
    id: string,
    noteId: string,
  ): Promise<{ stores: { ann: ReturnType<typeof memoryStore>; bob: ReturnType<typeof memoryStore> } }> {
    const stores = { ann: annStore.twin(), bob: bobStore.twin() }
    const ann = await world.open('Ann', stores.ann)
    const bob = await world.open('Bob', stores.bob)
    const people: Person[] = []
    for (const [name, replica, store] of [['Ann', ann, stores.ann] as const, ['Bob', bob, stores.bob] as const]) {
      people.push({ name, store, replica, space: await replica.openSpace(id) })
    }
    await allSynced(world, ...people)
    const notes = await Promise.all(people.map(({ space }) => space.openDocument<Note>(noteId)))
    expect(notes[0]?.doc()).toEqual(notes[1]?.doc())
    for (const { space } of people) expect(codesOf(space)).toEqual([])
    await Promise.all([ann.close(), bob.close()])
    return { stores: { ann: stores.ann.twin(), bob: stores.bob.twin() } }
  }
})

/** A store whose process dies right after this commit. */
function mortal(inner: ReturnType<typeof memoryStore>, last: number): { store: ReturnType<typeof controlledStore> } {
  const store = controlledStore(inner)
  let commits = 0
  const alive = (): void => {
    if (commits >= last) throw new SealogError('ERR_STORE', 'the process is gone')
  }
  store.before = alive
  store.after = (_: StoreBatch) => {
    commits++
    alive()
  }
  return { store }
}
