import { afterEach, describe, expect, it, vi } from 'vitest'
import { addDeviceBody, deviceKeysOf, newDevice } from '../../src/crdt/membership.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { encodeControlBody } from '../../src/verify/control-codec.ts'
import { latestEpoch } from '../../src/verify/control-state.ts'
import { controlAsMember } from '../helpers/hostile-keys.ts'
import { openMember } from '../helpers/hostile-member.ts'
import { plunder, relayLoot, thiefOf } from '../helpers/loot.ts'
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
import { type Note, openWorld, settleKeys, type World } from '../helpers/world.ts'

vi.setConfig({ testTimeout: 60_000 })

const HURRY = 0.02
const HOUR = 60 * 60 * 1000

let world: World
afterEach(() => world.close())

/** One more device of somebody, by the link that the first one shows. */
async function deviceOf(person: Person, name: string): Promise<Person> {
  const link = await person.space.inviteDevice(timely(world))
  const store = memoryStore()
  const replica = await world.open(name, store)
  const space = await replica.joinSpace(link, timely(world))
  await space.sync(timely(world))
  return { name, store, replica, space }
}

describe('one more device of a member', () => {
  it('is the same member, in role, name and history, and either renames and removes the other', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    const preview = await (await world.open('?')).previewInvite(await bob.space.inviteDevice(timely(world)))
    expect(preview).toMatchObject({ kind: 'device', role: 'writer', inviterName: 'Bob', spaceName: 'Field notes' })
    const phone = await deviceOf(bob, 'Bob on the phone')
    await allSynced(world, ann, bob, phone)
    expect(phone.space.me.id).toBe(bob.space.me.id)
    expect(phone.space.me.name).toBe('Bob')
    expect(ann.space.members().map(({ name, devices }) => [name, devices.length])).toEqual([
      ['Ann', 1],
      ['Bob', 2],
    ])
    const phoneNote = await noteOf(phone, ann.note)
    retitle(phoneNote, 'from the phone')
    await allSynced(world, phone, ann, bob)
    expect(ann.note.doc().title).toBe('from the phone')
    const [laptopId, phoneId] = bob.space.me.devices.map(({ id }) => id)
    await phone.space.renameDevice(laptopId as number, 'The old one', timely(world))
    await bob.space.rename('me', 'Robert', timely(world))
    await allSynced(world, ann, bob, phone)
    expect(ann.space.members()[1]).toMatchObject({ name: 'Robert', devices: [{ name: 'The old one' }, {}] })
    // Nobody names devices of somebody above.
    const owners = ann.space.me.devices[0]?.id as number
    await expect(bob.space.renameDevice(owners, 'x', timely(world))).rejects.toMatchObject({ code: 'ERR_UNAUTHORIZED' })
    const before = await epochIn(ann.space)
    await phone.space.removeDevice(laptopId as number, timely(world))
    await eventually(() => bob.space.status.membership).toBe('removed')
    expect(() => retitle(phoneNote, 'still there')).not.toThrow()
    await allSynced(world, phone, ann)
    expect(await epochIn(ann.space)).toBeGreaterThan(before)
    expect((await noteOf(bob, ann.note)).doc().title).toBe('from the phone')
    await expect(bob.space.sync(timely(world))).rejects.toMatchObject({ code: 'ERR_REMOVED' })
    expect(ann.space.members()[1]).toMatchObject({ name: 'Robert', devices: [{ id: phoneId }] })
    for (const { space } of [ann, phone]) expect(codesOf(space)).toEqual([])
  })

  it('that was lost is removed by an admin, with the invites that it made; the last one takes the member with it', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob', { role: 'admin' })
    const dora = await admitted(world, ann.space, 'Dora')
    const phone = await deviceOf(bob, 'Bob on the phone')
    await allSynced(world, ann, bob, phone, dora)
    const link = await phone.space.invite({ role: 'reader', ...timely(world) })
    const mine = await bob.space.invite({ role: 'reader', ...timely(world) })
    await ann.space.sync(timely(world))
    const [laptopId, phoneId] = bob.space.me.devices.map(({ id }) => id)
    await expect(dora.space.removeDevice(phoneId as number, timely(world))).rejects.toMatchObject({
      code: 'ERR_UNAUTHORIZED',
    })
    await ann.space.removeDevice(phoneId as number, timely(world))
    await eventually(() => phone.space.status.membership).toBe('removed')
    const carl = await world.open('Carl')
    await expect(carl.joinSpace(link, timely(world))).rejects.toMatchObject({ code: 'ERR_INVITE' })
    await (await world.open('Carla')).joinSpace(mine, timely(world))
    expect(bob.space.status.membership).toBe('member')
    await ann.space.removeDevice(laptopId as number, timely(world))
    await eventually(() => bob.space.status.membership).toBe('removed')
    await allSynced(world, ann, dora)
    expect(dora.space.members().map(({ name }) => name)).toEqual(['Ann', 'Dora', 'Carla'])
    // The last device of the last owner stays.
    const own = ann.space.me.devices[0]?.id as number
    await expect(ann.space.removeDevice(own, timely(world))).rejects.toMatchObject({ code: 'ERR_INVALID_ENTRY' })
  })

  it('comes by a link that is good once, and for a time', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const link = await ann.space.inviteDevice({ expiresIn: HOUR, ...timely(world) })
    const used = await ann.space.inviteDevice(timely(world))
    const phone = await world.open('phone')
    await phone.joinSpace(used, timely(world))
    world.later(2 * HOUR)
    for (const each of [link, used]) {
      const thief = await world.open('thief')
      await expect(thief.joinSpace(each, timely(world))).rejects.toMatchObject({ code: 'ERR_INVITE' })
    }
    await ann.space.sync(timely(world))
    expect(ann.space.me.devices).toHaveLength(2)
  })

  it('of a reader reads, and of a member from its admission on reads as far back as the first', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const rita = await admitted(world, ann.space, 'Rita', { role: 'reader' })
    const late = await admitted(world, ann.space, 'Late', { history: 'from-join' })
    const since = await ann.space.createDocument<Note>({ title: 'since', body: '' })
    await allSynced(world, ann, rita, late)
    const tablet = await deviceOf(rita, 'tablet')
    expect((await noteOf(tablet, ann.note)).doc().title).toBe('Day 1')
    expect(() => tablet.space.me.role).not.toThrow()
    await expect(tablet.space.createDocument({})).rejects.toMatchObject({ code: 'ERR_READ_ONLY' })
    const second = await deviceOf(late, 'second')
    await eventually(() => second.space.documents().find(({ id }) => id === since.id)?.locked).toBe(false)
    await eventually(async () => (await noteOf(second, since)).doc().title).toBe('since')
    await expect(second.space.openDocument(ann.note.id)).rejects.toMatchObject({ code: 'ERR_LOCKED' })
  })
})

describe('a device that a member adds by itself', () => {
  it('shows to everybody, changes the fingerprint, and is removed like any other', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const eve = await admitted(world, ann.space, 'Eve')
    await allSynced(world, ann, eve)
    await settleKeys(ann.space, timely(world))
    await allSynced(world, ann, eve)
    const { id } = ann.space
    await eve.replica.close()
    const digits = ann.space.fingerprint()?.digits
    const ghost = newDevice(world.platform.environment.random)
    await controlAsMember(world, eve.store.twin(), id, ({ space, control, keys, device, time, random }) => {
      const member = control.devices.get(device)?.member as Parameters<typeof deviceKeysOf>[2]
      const writing = { space, time, random, epoch: latestEpoch(control), keys }
      return { body: encodeControlBody(addDeviceBody(writing, deviceKeysOf(ghost, space, member), 'all', 'ghost')) }
    })
    await ann.space.sync(timely(world))
    expect(ann.space.fingerprint()?.digits).not.toBe(digits)
    const { devices } = ann.space.members().find(({ name }) => name === 'Eve') ?? { devices: [] }
    expect(devices.map(({ name }) => name)).toEqual(["Eve's laptop", 'ghost'])
    expect((await ann.space.history()).at(-1)).toMatchObject({ type: 'add-device', device: { name: 'ghost' } })
    await ann.space.removeMember(idOf(ann.space, 'Eve'), timely(world))
    retitle(ann.note, 'without ghosts')
    await ann.space.sync(timely(world))
    await ann.replica.close()
    const thief = thiefOf(await openMember(eve.store.twin(), id))
    const loot = await relayLoot(world, id)
    const opened = plunder(loot, [{ ...thief, seeds: [...thief.seeds, ghost.kem] }])
    expect(opened.content).not.toContain(loot.entries.length - 1)
    expect(opened.content.size).toBeGreaterThan(0)
  })

  it("with somebody else's KEM key, or for somebody else's member, is not admitted", async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const late = await admitted(world, ann.space, 'Late', { history: 'from-join' })
    await allSynced(world, ann, late)
    // The epoch that the join made due is to be over before anybody writes by hand.
    await settleKeys(ann.space, timely(world))
    await allSynced(world, ann, late)
    const { id } = ann.space
    await late.replica.close()
    const signing = newDevice(world.platform.environment.random)
    const add = (forge: (ofAnn: { signing: Uint8Array; kem: Uint8Array; member: string }) => 'kem' | 'member') =>
      controlAsMember(world, late.store.twin(), id, ({ space, control, keys, device, time, random }) => {
        const [first] = control.devices.values()
        const own = control.devices.get(device)?.member
        if (first === undefined || own === undefined) throw new Error('no devices')
        const what = forge(first)
        const made = deviceKeysOf(signing, space, what === 'member' ? first.member : own)
        const taken = what === 'kem' ? { ...made, kem: first.kem } : made
        const writing = { space, time, random, epoch: latestEpoch(control), keys }
        return { body: encodeControlBody(addDeviceBody(writing, taken, 'from-join', 'x')) }
      })
    await expect(add(() => 'kem')).rejects.toThrow(/ERR_(INVALID_ENTRY|SIGNATURE)/)
    await expect(add(() => 'member')).rejects.toThrow(/ERR_SIGNATURE/)
    const again = await reopened(world, late)
    await again.space.sync(timely(world))
    expect(again.space.me.devices).toHaveLength(1)
  })
})
