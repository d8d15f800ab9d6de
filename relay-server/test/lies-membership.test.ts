import {
  assertDelivered,
  type ControlBody,
  type DeliveredWrap,
  equalBytes,
  hasCode,
  type MemberId,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { ADMISSION_LIES } from '../src/lies-admissions.ts'
import { KEY_LIES } from '../src/lies-keys.ts'
import { type LyingRelay, lyingRelay } from '../src/lying-relay.ts'
import { type Authored, authorJoin, makeDevice, type TestDevice } from './helpers/authoring.ts'
import { act, control, invite, keys, refusal, rotate, rotation } from './helpers/membership.ts'
import type { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

interface LyingWorld {
  readonly world: World
  readonly relay: LyingRelay
  readonly owner: TestReplica
}

async function openLyingWorld(): Promise<LyingWorld> {
  let relay: LyingRelay | undefined
  const world = await openWorld({}, options => {
    relay = lyingRelay(options)
    return relay
  })
  return { world, relay: relay as LyingRelay, owner: await world.reader() }
}

describe('what a lying relay says of keys', () => {
  /** Is it for this device, from a delivery that the log has, and proven to be? */
  function isTrue({ control: { epochs } }: TestReplica, device: TestDevice, wrap: DeliveredWrap): boolean {
    const delivery = epochs[wrap.epoch]?.deliveries.find(({ index }) => index === wrap.index)
    if (delivery === undefined || wrap.device !== device.number) return false
    try {
      assertDelivered(delivery, wrap)
      return true
    } catch (error) {
      if (hasCode(error, 'ERR_PROOF')) return false
      throw error
    }
  }

  test.each(KEY_LIES.map(({ name }) => name))('%s is false, and shows', async name => {
    const { world, relay, owner } = await openLyingWorld()
    const device = await admit(world, owner)
    await rotate(world, owner)
    await invite(world, owner).then(({ number }) => act(world, owner, { type: 'revoke', time: 0, invite: number }))
    await rotate(world, owner)
    const reader = await world.reader(device)
    const truth = await keys(world, reader, 1, 2)
    if (typeof truth === 'string') throw new Error(truth)
    expect(truth.wraps.map(wrap => isTrue(reader, device, wrap))).toEqual([true, true])
    relay.lie(name, { times: 1 })
    const told = await keys(world, reader, 1, 2)
    if (typeof told === 'string') throw new Error(told)
    expect(relay.told).toMatchObject([{ lie: name, moment: undefined }])
    if (name === 'keys-withheld') expect(told.wraps).toEqual([])
    else expect(told.wraps.map(wrap => isTrue(reader, device, wrap))).toEqual([true, false])
    expect(await keys(world, reader, 1, 2)).toEqual(truth)
  })
})

describe('a log into which the relay lets what it must refuse is refused by whoever gets it', () => {
  interface Cast {
    readonly world: World
    readonly owner: TestReplica
    /** A writer, and an admin with another one. */
    readonly writer: TestDevice
    readonly admin: TestDevice
    readonly equal: TestDevice
  }

  async function join(world: World, owner: TestReplica, role: 'writer' | 'admin'): Promise<TestDevice> {
    const guest = await invite(world, owner, { role })
    const device = makeDevice(world.environment.random, owner.control.count)
    const { seen, epoch } = owner
    const entry = authorJoin(world.environment.random, guest, world.genesis.hash, device, seen, epoch)
    expect(await refusal(world, owner, owner.push(world.space, entry))).toBeUndefined()
    return device
  }

  const memberOf = ({ owner }: Cast, { number }: TestDevice): MemberId =>
    owner.control.devices.get(number)?.member as MemberId
  const says = (cast: Cast, author: TestDevice, body: ControlBody): Authored =>
    control(cast.world, cast.owner, body, author)

  /** What a hostile member pushes, and what happened before. */
  const ACTS: Readonly<Record<string, (cast: Cast) => Authored | Promise<Authored>>> = {
    'admits-promotion-of-oneself': cast =>
      says(cast, cast.writer, { type: 'set-role', time: 0, member: memberOf(cast, cast.writer), role: 'owner' }),
    'admits-promotion-above-oneself': cast =>
      says(cast, cast.admin, { type: 'set-role', time: 0, member: memberOf(cast, cast.writer), role: 'admin' }),
    'admits-removal-of-an-equal': cast =>
      says(cast, cast.admin, { type: 'remove-member', time: 0, member: memberOf(cast, cast.equal) }),
    'admits-second-use-of-invite': async ({ world, owner }) => {
      const { random } = world.environment
      const guest = await invite(world, owner)
      const first = makeDevice(random, owner.control.count)
      const used = authorJoin(random, guest, world.genesis.hash, first, owner.seen)
      expect(await refusal(world, owner, owner.push(world.space, used))).toBeUndefined()
      return authorJoin(random, guest, world.genesis.hash, makeDevice(random, owner.control.count), owner.seen)
    },
    'admits-guest': async cast => {
      const guest = await invite(cast.world, cast.owner)
      return says(cast, guest, { type: 'leave', time: 0 })
    },
    'admits-write-under-taint': async ({ world, owner, writer, equal }) => {
      await act(world, owner, { type: 'remove-device', time: 0, device: equal.number })
      return world.entry(owner, writer)
    },
    'admits-write-after-removal': async ({ world, owner, writer }) => {
      await act(world, owner, { type: 'remove-device', time: 0, device: writer.number })
      await rotate(world, owner)
      return world.entry(owner, writer)
    },
    'admits-backdated-write': async ({ world, owner, writer }) => {
      await rotate(world, owner)
      return world.entry(owner, writer, { header: { epoch: 0 } })
    },
    'admits-stale-rotation': async ({ world, owner }) => {
      const { entry } = rotation(world, owner)
      const second = await world.reader()
      world.owner.chains.clear()
      await invite(world, second)
      await owner.follow(world.space)
      return entry
    },
    'admits-expired-join': async ({ world, owner }) => {
      const { random, now, advance } = world.environment
      const guest = await invite(world, owner, { expires: now() + 1000 })
      advance(60_000)
      return authorJoin(random, guest, world.genesis.hash, makeDevice(random, owner.control.count), owner.seen)
    },
  }

  test('is shown for each of them', () => {
    expect(Object.keys(ACTS)).toEqual(ADMISSION_LIES.map(({ name }) => name))
  })

  test.each(Object.entries(ACTS))('%s', async (name, make) => {
    const { world, relay, owner } = await openLyingWorld()
    const cast: Cast = {
      world,
      owner,
      writer: await join(world, owner, 'writer'),
      admin: await join(world, owner, 'admin'),
      equal: await join(world, owner, 'admin'),
    }
    const entry = await make(cast)
    const { size } = owner.seen
    expect(await refusal(world, owner, owner.push(world.space, entry))).toBeDefined()
    expect(owner.seen.size).toBe(size)
    const listener = await world.reader()
    relay.lie(name, { times: 1 })
    listener.pull(world.space)
    await world.relay.deliverAll()
    expect(relay.told).toMatchObject([{ lie: name }])
    expect(listener.syncs.at(-1)?.batch.entries.at(-1)?.header).toEqual(entry.header)
    await expect(listener.follow(world.space)).rejects.toMatchObject({ code: 'ERR_INVALID_ENTRY' })
    expect(listener.view?.range.size).toBe(size)
  })
})

test('a removal that is withheld from one listener is known to the others, who go on', async () => {
  const { world, relay, owner } = await openLyingWorld()
  const victim = await admit(world, owner)
  const removed = await admit(world, owner)
  const listener = await world.reader(victim)
  relay.lie('withheld-removal', { to: ({ device }) => equalBytes(device, victim.signing) })
  await refusal(world, owner, owner.push(world.space, world.entry(owner)))
  await listener.follow(world.space)
  expect(relay.told).toEqual([])
  const { size } = owner.seen
  expect(listener.seen.size).toBe(size)
  await act(world, owner, { type: 'remove-device', time: 0, device: removed.number })
  await rotate(world, owner)
  listener.pull(world.space)
  await world.relay.deliverAll()
  await listener.follow(world.space)
  expect(owner.seen.size).toBe(size + 2)
  expect(listener.seen.size).toBe(size)
  expect(listener.control.devices.get(removed.number)?.removed).toBeUndefined()
  const late = await world.reader(victim)
  expect(late.seen.size).toBe(size)
  expect(late.view?.range).toEqual(listener.view?.range)
  relay.honest()
  const honest = await world.reader(victim)
  expect(honest.seen.size).toBe(size + 2)
})
