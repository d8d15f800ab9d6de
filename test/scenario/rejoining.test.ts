import * as Automerge from '@automerge/automerge/slim'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { toUtf8 } from '../../src/bytes.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import {
  admitted,
  allSynced,
  codesOf,
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
import { type Note, openWorld, settleKeys, type World } from '../helpers/world.ts'
import { controlledStore, latch, writes } from './controlled-store.ts'

vi.setConfig({ testTimeout: 90_000 })

const HURRY = 0.02

let world: World
afterEach(() => world.close())

interface Removed {
  readonly ann: Founder
  readonly bob: Person
  /** Which Bob made offline: nobody has heard of it. */
  readonly own: SpaceDocument<Note>
}

/** Bob has sent two edits of Ann's note, written more of it offline, and begun a note of his own; then he was removed. */
async function removedWithEdits(): Promise<Removed> {
  world = await openWorld({ hurry: HURRY })
  const ann = await founded(world)
  const bob = await admitted(world, ann.space, 'Bob')
  await settleKeys(ann.space, timely(world))
  await allSynced(world, ann, bob)
  const note = await noteOf(bob, ann.note)
  for (const word of ['sent ', 'too ']) {
    append(note, word)
    await bob.space.sync(timely(world))
  }
  await allSynced(world, ann, bob)
  bob.space.pause()
  append(note, 'unsent ')
  append(note, 'neither ')
  const own = await bob.space.createDocument<Note>({ title: 'Own', body: 'mine' }, { name: 'Own' })
  await own.saved()
  await ann.space.removeMember(idOf(ann.space, 'Bob'), timely(world))
  await ann.space.sync(timely(world))
  bob.space.resume()
  await eventually(() => bob.space.status.membership).toBe('removed')
  retitle(ann.note, 'meanwhile')
  await ann.space.sync(timely(world))
  return { ann, bob, own }
}

function append(note: SpaceDocument<Note>, word: string): void {
  note.change(doc => {
    doc.body += word
  })
}

async function rowsOf({ store, space }: Person): Promise<number> {
  return (await store.scan(toUtf8(`space/${space.id}/secrets/`))).length
}

function isFormer(key: Uint8Array): boolean {
  return new TextDecoder().decode(key).endsWith('/secrets/former')
}

function wordsOf(note: SpaceDocument<Note>): readonly string[] {
  return note.doc().body.trim().split(' ').sort()
}

const ALL = ['neither', 'sent', 'too', 'unsent']

/** Ann has what Bob wrote, each word once; Bob is a member once. */
async function expectNothingLost({ ann, own }: Removed, bob: Person): Promise<void> {
  await allSynced(world, ann, bob)
  expect(wordsOf(ann.note)).toEqual(ALL)
  expect(ann.note.doc().title).toBe('meanwhile')
  const note = await noteOf(bob, ann.note)
  expect(note.heads()).toEqual(ann.note.heads())
  const seen = await ann.space.openDocument<Note>(own.id)
  expect(seen.doc()).toEqual({ title: 'Own', body: 'mine' })
  expect(bob.space.status.local).toEqual({ unsaved: 0, pending: 0, sequenced: 0 })
  expect(ann.space.members().map(({ name }) => name)).toEqual(['Ann', 'Bob'])
  for (const { space } of [ann, bob]) expect(space.problems).toEqual([])
}

describe('a member that was removed and is invited anew (R-REJOIN-1, R-REJOIN-2)', () => {
  it('just joins: what it had stays, what it had not sent goes out once, as the new member', async () => {
    const removed = await removedWithEdits()
    const { ann, bob } = removed
    const former = bob.space.me.id
    const link = await ann.space.invite(timely(world))
    const space = await bob.replica.joinSpace(link, timely(world))
    expect(bob.space.isClosed).toBe(true)
    expect(space.status.membership).toBe('member')
    expect(space.me.id).not.toBe(former)
    const again: Person = { ...bob, space }
    await expectNothingLost(removed, again)
    expect(await rowsOf(again)).toBe(0)
    const restarted = await reopened(world, again)
    append(await noteOf(restarted, ann.note), 'on ')
    await allSynced(world, restarted, ann)
    expect(wordsOf(ann.note)).toEqual([...ALL, 'on'].sort())
  })

  it('reads and exports while it waits to be let in, over a restart too', async () => {
    const removed = await removedWithEdits()
    const { ann, bob, own } = removed
    const link = await ann.space.invite({ kind: 'approved', ...timely(world) })
    const hasty = bob.replica.joinSpace(link, { timeout: world.patience(1500) })
    await expect(hasty).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    await eventually(() => ann.space.requests()).toHaveLength(1)
    const waiting = await reopened(world, { ...bob, space: await bob.replica.openSpace(bob.space.id) })
    await eventually(() => waiting.space.status.waitingFor).toBe('approval')
    expect(wordsOf(await noteOf(waiting, ann.note))).toEqual(
      expect.arrayContaining(['sent', 'too', 'unsent', 'neither']),
    )
    expect(Automerge.load<Note>(Automerge.save((await noteOf(waiting, own)).doc())).body).toBe('mine')
    const joining = waiting.replica.joinSpace(link, timely(world))
    await ann.space.approve(ann.space.requests()[0]?.id as number, timely(world))
    const space = await joining
    await expectNothingLost(removed, { ...waiting, space })
    expect(space.status.waitingFor).toBeUndefined()
  })

  it('is where it was when the invite comes to nothing, and joins by a better one', async () => {
    const removed = await removedWithEdits()
    const { ann, bob } = removed
    const revoked = await ann.space.invite(timely(world))
    await ann.space.revokeInvite(revoked, timely(world))
    const declined = await ann.space.invite({ kind: 'approved', ...timely(world) })
    await expect(bob.replica.joinSpace(revoked, timely(world))).rejects.toMatchObject({ code: 'ERR_INVITE' })
    const back = { ...bob, space: await bob.replica.openSpace(bob.space.id) }
    expect(back.space.status.membership).toBe('removed')
    expect(back.space.status.local.pending).toBeGreaterThan(0)
    expect(wordsOf(await noteOf(back, ann.note))).toContain('unsent')
    const asking = expect(bob.replica.joinSpace(declined, timely(world))).rejects.toMatchObject({ code: 'ERR_INVITE' })
    await eventually(() => ann.space.requests()).toHaveLength(1)
    await ann.space.decline(ann.space.requests()[0]?.id as number, timely(world))
    await asking
    const link = await ann.space.invite(timely(world))
    await expectNothingLost(removed, { ...bob, space: await bob.replica.joinSpace(link, timely(world)) })
  })

  it('is where it was also when the request is declined, or comes through, while nobody waits', async () => {
    const { ann, bob } = await removedWithEdits()
    const ask = async (replica: Person['replica']) => {
      const link = await ann.space.invite({ kind: 'approved', ...timely(world) })
      const asking = replica.joinSpace(link, { timeout: world.patience(1500) })
      await expect(asking).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
      await eventually(() => ann.space.requests()).toHaveLength(1)
      return ann.space.requests()[0]?.id as number
    }
    await ann.space.decline(await ask(bob.replica), timely(world))
    await eventually(() => rowsOf(bob)).toBe(0)
    const back = { ...bob, space: await bob.replica.openSpace(bob.space.id) }
    expect(back.space.status.membership).toBe('removed')
    expect(back.space.status.local.pending).toBeGreaterThan(0)
    expect(wordsOf(await noteOf(back, ann.note))).toContain('unsent')

    const request = await ask(bob.replica)
    const waiting = await reopened(world, { ...bob, space: await bob.replica.openSpace(bob.space.id) })
    expect(await rowsOf(waiting)).toBe(1)
    await ann.space.approve(request, timely(world))
    await eventually(() => rowsOf(waiting)).toBe(0)
    expect(waiting.space.status.membership).toBe('member')
    await eventually(() => wordsOf(ann.note)).toEqual(ALL)
  })

  it('loses no edit of meanwhile that the store has not taken yet when the invite comes to nothing', async () => {
    const { ann, bob } = await removedWithEdits()
    const link = await ann.space.inviteDevice(timely(world))
    await ann.space.revokeInvite(link, timely(world))
    await bob.replica.close()
    const store = controlledStore(bob.store.twin())
    const replaced = latch()
    store.after = batch => {
      if (batch.puts.some(([key]) => isFormer(key))) replaced.open()
    }
    const replica = await world.open('Bob', store)
    world.down()
    const joining = expect(replica.joinSpace(link, timely(world))).rejects.toMatchObject({ code: 'ERR_STORE' })
    await replaced.opened
    const space = await replica.openSpace(ann.space.id)
    store.before = operation => {
      if (operation.name === 'commit' && writes(operation.batch, 'local')) throw new Error('the disk is full')
    }
    append(await space.openDocument<Note>(ann.note.id), 'late ')
    await eventually(() => space.status.storage).toBe('failed')
    world.up()
    await joining
    expect(space.isClosed).toBe(false)
    expect(space.status.local.unsaved).toBeGreaterThan(0)
    store.before = () => {}
    await eventually(() => space.status.local.unsaved).toBe(0)
    await expect(replica.joinSpace(link, timely(world))).rejects.toMatchObject({ code: 'ERR_INVITE' })
    const back = { ...bob, replica, space: await replica.openSpace(ann.space.id) }
    expect(back.space.status.membership).toBe('removed')
    expect(wordsOf(await noteOf(back, ann.note))).toEqual([...ALL, 'late'].sort())
  })

  it('can be forgotten while it waits to be let in', async () => {
    const { ann, bob } = await removedWithEdits()
    const link = await ann.space.invite({ kind: 'approved', ...timely(world) })
    const asking = expect(bob.replica.joinSpace(link, { timeout: world.patience(1500) })).rejects
    await asking.toMatchObject({ code: 'ERR_TIMEOUT' })
    await bob.replica.removeLocal(ann.space.id)
    expect(await bob.replica.spaces()).toEqual([])
    expect(await rowsOf(bob)).toBe(0)
  })

  it('cannot be opened half-way, between the one device and the other', async () => {
    const { ann, bob } = await removedWithEdits()
    await bob.replica.close()
    const store = controlledStore(bob.store.twin())
    const replacing = latch()
    const asked = latch()
    store.before = async operation => {
      if (operation.name !== 'commit' || !operation.batch.puts.some(([key]) => isFormer(key))) return
      replacing.open()
      await asked.opened
    }
    const replica = await world.open('Bob', store)
    const joining = replica.joinSpace(await ann.space.invite(timely(world)), timely(world))
    await replacing.opened
    const opening = replica.openSpace(ann.space.id)
    const first = await Promise.race([opening, new Promise(resolve => setTimeout(resolve, 100, 'closed'))])
    expect(first).toBe('closed')
    asked.open()
    expect(await opening).toBe(await joining)
  })

  it('as a reader keeps what it has not sent until it may write', async () => {
    const removed = await removedWithEdits()
    const { ann, bob } = removed
    const link = await ann.space.invite({ role: 'reader', ...timely(world) })
    const again = { ...bob, space: await bob.replica.joinSpace(link, timely(world)) }
    await eventually(() => codesOf(again.space)).toContain('ERR_READ_ONLY')
    expect(again.space.status.local.pending).toBeGreaterThan(0)
    expect(wordsOf(ann.note)).not.toContain('unsent')
    await ann.space.setRole(again.space.me.id, 'writer', timely(world))
    await eventually(() => again.space.me.role).toBe('writer')
    await expectNothingLost(removed, again)
  })

  it('with less to read than before is told what to do, and has lost nothing', async () => {
    const { ann, bob } = await removedWithEdits()
    const link = await ann.space.invite({ history: 'from-join', ...timely(world) })
    const refused = await bob.replica.joinSpace(link, timely(world)).catch(error => error)
    expect(refused).toMatchObject({ code: 'ERR_REMOVED' })
    expect(refused.message).toMatch(/export .* `removeLocal`, and join anew/)
    expect(bob.space.isClosed).toBe(false)
    expect(wordsOf(await noteOf(bob, ann.note))).toContain('unsent')
    await bob.replica.removeLocal(bob.space.id)
    const space = await bob.replica.joinSpace(link, timely(world))
    expect(space.status.membership).toBe('member')
  })

  it('needs another recovery phrase for this space, and is told so', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await bob.replica.createRecovery(timely(world))
    expect(await bob.replica.recoveryState()).toEqual({ covered: [ann.space.id], missing: [] })
    await ann.space.removeMember(idOf(ann.space, 'Bob'), timely(world))
    await eventually(() => bob.space.status.membership).toBe('removed')
    await bob.replica.joinSpace(await ann.space.invite(timely(world)), timely(world))
    expect(await bob.replica.recoveryState()).toEqual({ covered: [], missing: [ann.space.id] })
    await bob.replica.createRecovery(timely(world))
    expect(await bob.replica.recoveryState()).toEqual({ covered: [ann.space.id], missing: [] })
  })
})

describe('a recovery phrase of a member that comes back as another', () => {
  async function removedWithPhrase(): Promise<{ readonly ann: Founder; readonly bob: Person }> {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await bob.replica.createRecovery(timely(world))
    await ann.space.sync(timely(world))
    return { ann, bob }
  }

  it('is not said to cover the space after a crash just as the new device took over', async () => {
    const { ann, bob } = await removedWithPhrase()
    await ann.space.removeMember(idOf(ann.space, 'Bob'), timely(world))
    await eventually(() => bob.space.status.membership).toBe('removed')
    await bob.replica.close()
    const kept = bob.store.twin()
    const store = controlledStore(kept)
    let crashed = false
    const fail = (): void => {
      if (crashed) throw new Error('the machine is off')
    }
    store.before = fail
    store.after = batch => {
      crashed ||= batch.puts.some(([key]) => isFormer(key))
      fail()
    }
    const replica = await world.open('Bob', store)
    const link = await ann.space.invite(timely(world))
    await expect(replica.joinSpace(link, timely(world))).rejects.toMatchObject({ code: 'ERR_STORE' })
    await replica.close().catch(() => {})
    const again = await world.open('Bob', kept.twin())
    const space = await again.openSpace(ann.space.id)
    await eventually(() => space.status.membership).toBe('member')
    expect(await again.recoveryState()).toEqual({ covered: [], missing: [ann.space.id] })
  })

  it('is not said to cover the space as a device of somebody else', async () => {
    const { ann, bob } = await removedWithPhrase()
    await ann.space.removeMember(idOf(ann.space, 'Bob'), timely(world))
    await eventually(() => bob.space.status.membership).toBe('removed')
    const space = await bob.replica.joinSpace(await ann.space.inviteDevice(timely(world)), timely(world))
    expect(space.me.id).toBe(ann.space.me.id)
    expect(await bob.replica.recoveryState()).toEqual({ covered: [], missing: [ann.space.id] })
  })

  it('stays on record for as long as it opens the space as the former one', async () => {
    const { ann, bob } = await removedWithPhrase()
    const former = ann.space.members().find(({ name }) => name === 'Bob')
    expect(former?.devices.map(({ name }) => name)).toEqual(["Bob's laptop", 'Recovery phrase'])
    const [laptop, paper] = former?.devices.map(({ id }) => id) ?? []
    await ann.space.removeDevice(laptop as number, timely(world))
    await eventually(() => bob.space.status.membership).toBe('removed')
    await expect(bob.replica.removeRecovery(timely(world))).rejects.toMatchObject({ code: 'ERR_REMOVED' })
    await bob.replica.joinSpace(await ann.space.invite(timely(world)), timely(world))
    await expect(bob.replica.removeRecovery(timely(world))).rejects.toMatchObject({ code: 'ERR_UNAUTHORIZED' })
    expect(await bob.replica.recoveryState()).toBeDefined()
    await ann.space.removeDevice(paper as number, timely(world))
    await bob.replica.openSpace(ann.space.id).then(space => space.sync(timely(world)))
    await bob.replica.removeRecovery(timely(world))
    expect(await bob.replica.recoveryState()).toBeUndefined()
  })
})

describe('a member that has left', () => {
  it('comes back by an invite, with the same store', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await allSynced(world, ann, bob)
    await bob.space.leave(timely(world))
    await eventually(() => bob.space.status.membership).toBe('removed')
    const link = await ann.space.invite(timely(world))
    const again = { ...bob, space: await bob.replica.joinSpace(link, timely(world)) }
    retitle(await noteOf(again, ann.note), 'back')
    await allSynced(world, again, ann)
    expect(ann.note.doc().title).toBe('back')
    for (const { space } of [ann, again]) expect(space.problems).toEqual([])
  })
})
