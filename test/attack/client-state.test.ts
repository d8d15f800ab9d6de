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
  retitle,
  timely,
} from '../helpers/people.ts'
import { type Note, openWorld, type World } from '../helpers/world.ts'

vi.setConfig({ testTimeout: 60_000 })

const HURRY = 0.05

let world: World
afterEach(() => world.close())

describe('a recovery phrase that could not be ended at once', () => {
  it('is ended by asking again', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    await ann.replica.createRecovery(timely(world))
    const named = (): number => ann.space.me.devices.filter(({ name }) => name === 'Recovery phrase').length
    expect(named()).toBe(1)
    world.down()
    await expect(ann.replica.removeRecovery({ timeout: world.patience(300) })).rejects.toThrow(
      /ERR_TIMEOUT|ERR_ABORTED/,
    )
    expect(await ann.replica.recoveryState()).toBeDefined()
    world.up()
    await ann.replica.removeRecovery(timely(world))
    expect(named()).toBe(0)
    expect(await ann.replica.recoveryState()).toBeUndefined()
  })

  it('does not cost the next one, where a space has removed this device', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    const own = await bob.replica.createSpace({ name: 'Own', ...timely(world) })
    await own.sync(timely(world))
    expect((await bob.replica.createRecovery(timely(world))).failed).toEqual([])
    const device = bob.space.me.devices.find(({ me }) => me)?.id as number
    await bob.space.removeDevice(device, timely(world))
    await eventually(() => bob.space.status.membership).toBe('removed')
    const next = await bob.replica.createRecovery(timely(world))
    expect(next.phrase.split(' ')).toHaveLength(24)
    expect(next.done).toEqual([own.id])
    expect(next.failed.map(({ error }) => error.code)).toEqual(['ERR_REMOVED'])
  })
})

describe('a request to join that was declined', () => {
  it('while nobody waited for it is in the way of no other invite', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await world.open('Bob')
    const link = await ann.space.invite({ kind: 'approved', ...timely(world) })
    await expect(bob.joinSpace(link, { timeout: world.patience(400) })).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    await eventually(() => ann.space.requests()).toHaveLength(1)
    await ann.space.decline(ann.space.requests()[0]?.id as number, timely(world))
    const asked = await bob.openSpace(ann.space.id)
    await eventually(() => asked.status.membership).toBe('removed')
    const again = await ann.space.invite(timely(world))
    const space = await bob.joinSpace(again, timely(world))
    expect(space.status.membership).toBe('member')
    expect(ann.space.members()).toHaveLength(2)
  })
})

describe('who waits for what will not come', () => {
  it('is told: after a removal nothing is proven, and nothing is appended', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await allSynced(world, ann, bob)
    bob.space.pause()
    const note = await noteOf(bob, ann.note)
    retitle(note, 'never sent')
    const proven = expect(note.receipt.proven()).rejects.toMatchObject({ code: 'ERR_REMOVED' })
    await ann.space.removeMember(idOf(ann.space, 'Bob'), timely(world))
    bob.space.resume()
    await proven
    await expect(bob.space.joined()).rejects.toMatchObject({ code: 'ERR_REMOVED' })
    await expect(bob.space.inviteDevice()).rejects.toMatchObject({ code: 'ERR_REMOVED' })
  })
})

describe('an entry that is refused', () => {
  it('is not even tried by who may start no epoch: a reader ends an own device, and goes on', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const rita = await admitted(world, ann.space, 'Rita', { role: 'reader' })
    const link = await rita.space.inviteDevice(timely(world))
    await allSynced(world, ann, rita)
    ann.space.pause()
    const problems: string[] = []
    rita.space.on('problem', ({ problem }) => problems.push(problem.code))
    await rita.space.revokeInvite(link, timely(world))
    expect(problems.filter(code => code !== 'ERR_STALE_EPOCH')).toEqual([])
    // Names wait for the next epoch, which others have to start (R-EPOCH-8).
    const renaming = rita.space.rename('me', 'Rita R.', timely(world))
    ann.space.resume()
    await renaming
    await allSynced(world, ann, rita)
    expect(codesOf(rita.space)).toEqual([])
  })
})

describe('rotation by policy', () => {
  it('after every entry counts entries of people, not the epochs themselves (R-ROTATE-6)', async () => {
    world = await openWorld({ hurry: 0.01 })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await allSynced(world, ann, bob)
    await ann.space.setPolicy({ rotateEvery: { entries: 1 } }, timely(world))
    await eventually(async () => (await epochIn(ann.space)) > 0).toBe(true)
    // Each would have its turn every 100 ms or less.
    await new Promise(resolve => setTimeout(resolve, 500))
    await allSynced(world, ann, bob)
    const size = await world.logSize(ann.space.id)
    await new Promise(resolve => setTimeout(resolve, 1500))
    expect(await world.logSize(ann.space.id)).toBe(size)
  })
})

describe('a relay that never answers for keys', () => {
  it('keeps nobody from learning who was removed', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob', { role: 'reader' })
    await admitted(world, ann.space, 'Eve')
    await allSynced(world, ann, bob)
    world.tamper = message => (message.type === 'keys' ? [] : [message])
    await ann.space.removeMember(idOf(ann.space, 'Eve'), timely(world))
    await eventually(() => bob.space.members().map(({ name }) => name)).not.toContain('Eve')
    await eventually(() => codesOf(bob.space)).toContain('ERR_KEY')
    world.tamper = undefined
    await eventually(() => codesOf(bob.space)).toEqual([])
  })
})

describe('documents that are locked', () => {
  it('are not fetched anew with every epoch', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    for (let i = 0; i < 3; i++) await ann.space.createDocument<Note>({ title: `${i}`, body: '' }, { name: `${i}` })
    await ann.space.sync(timely(world))
    const late = await admitted(world, ann.space, 'Late', { history: 'from-join' })
    await allSynced(world, ann, late)
    expect(late.space.documents().every(({ locked }) => locked)).toBe(true)
    const before = world.count('get-document')
    await ann.space.revokeInvite(await ann.space.invite(timely(world)), timely(world))
    const epoch = await epochIn(ann.space)
    await allSynced(world, ann, late)
    await eventually(() => epochIn(late.space)).toBe(epoch)
    expect(world.count('get-document')).toBe(before)
    // A grant opens them.
    await ann.space.grantHistory(idOf(ann.space, 'Late'), 0, timely(world))
    await eventually(() => late.space.documents().some(({ locked }) => locked)).toBe(false)
    await late.space.sync(timely(world))
    expect((await noteOf(late, ann.note)).doc().title).toBe('Day 1')
  })
})
