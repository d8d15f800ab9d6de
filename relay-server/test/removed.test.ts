import {
  type ControlBody,
  type DocumentId,
  defaultVerifier,
  memberIdOf,
  type ReplicaMessage,
  sha256,
  WRAP_LENGTH,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { authorInvite, authorJoin, makeDevice, type TestDevice } from './helpers/authoring.ts'
import { act, control, invite, refusal, rotate } from './helpers/membership.ts'
import { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

const NOTES = 'd1'.repeat(16) as DocumentId

function removal({ number }: TestDevice): ControlBody {
  return { type: 'remove-device', time: 0, device: number }
}

/** A space in which somebody wrote, was removed, and others went on. */
async function withRemoved(options: Parameters<typeof openWorld>[0] = {}) {
  const world = await openWorld(options)
  const owner = await world.reader()
  const removed = await admit(world, owner)
  for (let i = 0; i < 3; i++) {
    await refusal(world, owner, owner.push(world.space, world.entry(owner, world.owner, { document: NOTES })))
  }
  const before = owner.seen.size
  await act(world, owner, removal(removed))
  await rotate(world, owner)
  await refusal(world, owner, owner.push(world.space, world.entry(owner, world.owner, { document: NOTES })))
  expect(owner.seen.size).toBe(before + 3)
  return { world, owner, removed, end: before + 1 }
}

interface Told {
  readonly replica: TestReplica
  readonly ref: number
}

async function opened(world: World, device: TestDevice, from = 0, wants?: readonly DocumentId[]): Promise<Told> {
  const replica = await world.connect()
  const ref = replica.open(world.space, device, from, wants)
  await world.relay.deliverAll()
  return { replica, ref }
}

/** It got the log up to there, each entry of it proven, no content, and then the notice. */
async function expectTold(world: World, { replica, ref }: Told, end: number): Promise<void> {
  const view = await replica.follow(world.space)
  expect(view.range.size).toBe(end)
  expect(replica.verified.at(-1)?.control).toBeDefined()
  expect(
    replica.verified.filter(({ header }) => header.kind !== 'control').every(({ body }) => body === undefined),
  ).toBe(true)
  expect(replica.rejects).toMatchObject([{ ref, code: 'ERR_REMOVED' }])
  expect(replica.messages.at(-1)?.type).toBe('reject')
}

describe.each([
  ['memory', memoryLogStore],
  ['SQLite', () => sqliteLogStore(':memory:')],
])('a device that was removed while it was away, at a relay over %s', (_name, store) => {
  test('gets the log up to the entry that removed it, and is told (R-REMOVED-2)', async () => {
    const { world, removed, end } = await withRemoved({ store: store() })
    for (const isRestarted of [false, true]) {
      if (isRestarted) world.relay.restart()
      const told = await opened(world, removed)
      await expectTold(world, told, end)
      const { control } = told.replica
      expect(control.devices.get(removed.number)?.removed?.index).toBe(end - 1)
      // The note is about all of the log, which it does not get.
      expect(told.replica.view?.head?.size).toBe(end + 2)
    }
  })
})

describe('a device that was removed while it was away', () => {
  test('and knows only part of the state gets tracers', async () => {
    const { world, removed, end } = await withRemoved()
    const told = await opened(world, removed, 0, [NOTES])
    await expectTold(world, told, end)
  })

  test('goes on from where it was', async () => {
    const { world, removed, end } = await withRemoved()
    for (let from = 1; from < end; from++) {
      const { replica, ref } = await opened(world, removed, from)
      expect(replica.syncs).toMatchObject([{ ref, batch: { from } }])
      expect(replica.syncs[0]?.batch.entries.length).toBe(end - from)
      expect(replica.rejects).toMatchObject([{ ref, code: 'ERR_REMOVED' }])
    }
  })

  test('and has the entry already is just told', async () => {
    const { world, removed, end } = await withRemoved()
    for (const from of [end, end + 1, end + 2]) {
      const { replica, ref } = await opened(world, removed, from)
      expect(replica.messages.slice(1)).toMatchObject([{ type: 'reject', ref, code: 'ERR_REMOVED' }])
    }
    const { replica } = await opened(world, removed, end + 3)
    expect(replica.rejects).toMatchObject([{ code: 'ERR_RELAY_BEHIND' }])
  })

  test('has to hold the key', async () => {
    const { world, removed } = await withRemoved()
    const thief = { ...removed, seed: world.environment.random(32) }
    const { replica } = await opened(world, thief)
    expect(replica.syncs).toEqual([])
    expect(replica.rejects).toMatchObject([{ code: 'ERR_UNAUTHORIZED' }])
  })

  test('gets nothing else, while it is told and afterwards', async () => {
    const { world, removed, owner } = await withRemoved({ delivery: 'manual' })
    const { space } = world
    const replica = await world.connect()
    const asked = (ref: number): readonly ReplicaMessage[] => [
      { type: 'pull', ref, space },
      { type: 'get-body', ref, space, index: 3, offset: 0 },
      { type: 'get-body', ref, space, index: 0, offset: 0 },
      { type: 'get-keys', ref, space, from: 0, to: 9 },
      { type: 'get-document', ref, space, document: NOTES, snapshot: 0 },
      { type: 'get-chain', ref, space, document: NOTES, actor: owner.verified[3]?.actor as never, from: 0, to: 1 },
      { type: 'skip', ref, space, at: 2, from: 0, attestations: 0, prove: [] },
      { type: 'read', ref, space, from: 0, to: 2 },
      { type: 'cosign', ref, space, note: owner.syncs.at(-1)?.batch.note as Uint8Array },
      { type: 'put-body', ref, space, hash: sha256(), length: 1, offset: 0, bytes: Uint8Array.of(1) },
    ]
    const opening = replica.open(space, removed)
    const refs: number[] = []
    for (const { ref, ...rest } of asked(0) as readonly (ReplicaMessage & { ref: number })[]) {
      refs.push(replica.ref())
      replica.send({ ...rest, ref: refs.at(-1) as number } as ReplicaMessage)
    }
    refs.push(replica.push(space, world.entry(owner, world.owner, { document: NOTES })))
    while (world.relay.deliverNext('toRelay')) {}
    await world.relay.deliverAll()
    expect(replica.syncs.map(sync => sync.ref)).toEqual([opening])
    expect(replica.messages.filter(message => !['welcome', 'sync', 'reject'].includes(message.type))).toEqual([])
    const codes = new Map(replica.rejects.map(({ ref, code }) => [ref, code]))
    // A body is just not there, so that the replica goes on to the entry that removed it.
    expect(refs.map(ref => codes.get(ref))).toEqual(
      refs.map((_, i) => (i === 1 || i === 2 ? 'ERR_BODY' : 'ERR_REMOVED')),
    )
    expect(codes.get(opening)).toBe('ERR_REMOVED')
    await owner.follow(space)
    expect(owner.seen.size).toBe(9)
  })
})

describe('a device that is removed while it listens', () => {
  test('gets the entries up to that, and is told the same (R-REMOVED-1)', async () => {
    const world = await openWorld({ delivery: 'manual' })
    const owner = await world.reader()
    const member = await admit(world, owner)
    const full = await world.reader(member)
    const sparse = await opened(world, member, 0, [])
    await sparse.replica.follow(world.space)
    const size = owner.seen.size
    owner.push(
      world.space,
      world.entry(owner, world.owner, { document: NOTES }),
      control(world, owner, removal(member)),
      control(world, owner, { type: 'policy', time: 0, policy: owner.control.policy, url: 'ws://relay.other' }),
    )
    await world.relay.deliverAll()
    expect((await owner.follow(world.space)).range.size).toBe(size + 3)
    for (const replica of [full, sparse.replica]) {
      expect((await replica.follow(world.space)).range.size).toBe(size + 2)
      expect(replica.rejects).toMatchObject([{ ref: 0, code: 'ERR_REMOVED' }])
      expect(replica.isClosed).toBe(false)
      replica.pull(world.space)
    }
    await world.relay.deliverAll()
    for (const replica of [full, sparse.replica]) expect(replica.rejects.at(-1)?.code).toBe('ERR_REMOVED')
  })

  test.each<[string, (member: TestDevice, owner: TestReplica) => ControlBody]>([
    ['with its member', (device, owner) => ({ type: 'remove-member', time: 0, member: memberOf(owner, device) })],
    ['as the last of its member', device => removal(device)],
  ])('%s learns it too', async (_how, bodyOf) => {
    const world = await openWorld()
    const owner = await world.reader()
    const member = await admit(world, owner)
    const listener = await world.reader(member)
    await act(world, owner, bodyOf(member, owner))
    await listener.follow(world.space)
    expect(listener.control.members.get(memberOf(owner, member))?.removed).toBeDefined()
    expect(listener.rejects).toMatchObject([{ ref: 0, code: 'ERR_REMOVED' }])
  })

  test('by itself, as it leaves, gets the answer to its push before', async () => {
    const world = await openWorld()
    const owner = await world.reader()
    const member = await admit(world, owner)
    const leaver = await world.reader(member)
    const ref = leaver.push(world.space, control(world, leaver, { type: 'leave', time: 0 }, member))
    expect(await refusal(world, leaver, ref)).toBeUndefined()
    expect(leaver.syncs.at(-1)?.ref).toBe(ref)
    expect(leaver.rejects).toMatchObject([{ ref: 0, code: 'ERR_REMOVED' }])
  })
})

describe('who holds an invite', () => {
  test.each(['instant', 'approved'] as const)('that is %s and was revoked learns it by a proven entry', async kind => {
    const world = await openWorld()
    const owner = await world.reader()
    const guest = await invite(world, owner, { kind })
    const listening = await world.reader(guest)
    await act(world, owner, { type: 'revoke', time: 0, invite: guest.number })
    const end = owner.seen.size
    await rotate(world, owner)
    await listening.follow(world.space)
    expect(listening.rejects).toMatchObject([{ ref: 0, code: 'ERR_REMOVED' }])
    const late = await opened(world, guest)
    await expectTold(world, late, end)
    expect(late.replica.verified.at(-1)?.control).toMatchObject({ type: 'revoke', invite: guest.number })
  })

  test('that somebody else has used learns that', async () => {
    const world = await openWorld()
    const owner = await world.reader()
    const guest = await invite(world, owner)
    const own = makeDevice(world.environment.random, owner.control.count)
    const join = authorJoin(world.environment.random, guest, world.genesis.hash, own, owner.seen)
    expect(await refusal(world, owner, owner.push(world.space, join))).toBeUndefined()
    const end = owner.seen.size
    await refusal(world, owner, owner.push(world.space, world.entry(owner)))
    const late = await opened(world, guest)
    await expectTold(world, late, end)
    expect(late.replica.verified.at(-1)?.control?.type).toBe('join')
  })

  test('and whose request is turned down learns it', async () => {
    const world = await openWorld()
    const owner = await world.reader()
    const guest = await invite(world, owner, { kind: 'approved' })
    const own = makeDevice(world.environment.random, owner.control.count)
    const join = authorJoin(world.environment.random, guest, world.genesis.hash, own, owner.seen)
    expect(await refusal(world, owner, owner.push(world.space, join))).toBeUndefined()
    await act(world, owner, { type: 'revoke', time: 0, invite: own.number })
    const end = owner.seen.size
    await expectTold(world, await opened(world, own), end)
  })
})

describe('who is no member yet', () => {
  async function asking() {
    const world = await openWorld()
    const owner = await world.reader()
    await refusal(world, owner, owner.push(world.space, world.entry(owner, world.owner, { document: NOTES })))
    const guest = await invite(world, owner, { kind: 'approved' })
    const own = makeDevice(world.environment.random, owner.control.count)
    const join = authorJoin(world.environment.random, guest, world.genesis.hash, own, owner.seen)
    return { world, owner, guest, own, join }
  }

  test.each(['the link', 'a request'])('with %s, reads the log and no content (R-GUEST-1)', async standing => {
    const { world, owner, guest, own, join } = await asking()
    const { space } = world
    if (standing === 'a request') await refusal(world, owner, owner.push(space, join))
    const reader = await world.reader(standing === 'a request' ? own : guest)
    expect(reader.view?.range.size).toBe(owner.seen.size)
    expect(reader.verified.filter(({ body }) => body === undefined).map(({ index }) => index)).toEqual([1])
    const ask = async (message: Record<string, unknown>): Promise<string | undefined> => {
      const ref = reader.ref()
      reader.send({ ref, space, ...message } as unknown as ReplicaMessage)
      await world.relay.deliverAll()
      expect(reader.messages.some(each => 'ref' in each && each.ref === ref)).toBe(true)
      return reader.rejects.find(reject => reject.ref === ref)?.code
    }
    for (const message of [
      { type: 'get-body', index: 0, offset: 0 },
      { type: 'get-keys', from: 0, to: 0 },
      { type: 'skip', at: 2, from: 0, attestations: 0, prove: [] },
      { type: 'read', from: 0, to: 2 },
      { type: 'pull' },
    ]) {
      expect(await ask(message)).toBeUndefined()
    }
    const { actor } = owner.verified[1] as { readonly actor: string }
    for (const message of [
      { type: 'get-document', document: NOTES, snapshot: 0 },
      { type: 'get-chain', document: NOTES, actor, from: 0, to: 0 },
      { type: 'cosign', note: owner.syncs.at(-1)?.batch.note },
    ]) {
      expect(await ask(message)).toBe('ERR_UNAUTHORIZED')
    }
    expect(await ask({ type: 'get-body', index: 1, offset: 0 })).toBe('ERR_BODY')
    // Nor what is written from now on, although all others get it.
    await refusal(world, owner, owner.push(space, world.entry(owner, world.owner, { document: NOTES })))
    const live = reader.syncs.at(-1)?.batch
    expect(live?.from).toBe(owner.seen.size - 1)
    expect(live?.entries).toMatchObject([{ body: undefined }])
    expect(owner.syncs.at(-1)?.batch.entries[0]?.body).toBeDefined()
  })

  test('gets content from the entry on that approves it', async () => {
    const { world, owner, own, join } = await asking()
    await refusal(world, owner, owner.push(world.space, join))
    const listener = await world.reader(own)
    await act(world, owner, {
      type: 'approve',
      time: 0,
      request: own.number,
      wrap: world.environment.random(WRAP_LENGTH),
      memberName: world.environment.random(40),
      deviceName: world.environment.random(40),
    })
    await refusal(world, owner, owner.push(world.space, world.entry(owner, world.owner, { document: NOTES })))
    await listener.follow(world.space)
    expect(listener.verified.at(-1)?.body).toBeDefined()
    const ref = listener.ref()
    listener.send({ type: 'get-document', ref, space: world.space, document: NOTES, snapshot: 2 })
    expect(await refusal(world, listener, ref)).toBeUndefined()
  })

  test('writes nothing but what the rules let it write', async () => {
    const { world, owner, guest } = await asking()
    const visitor = await world.reader(guest)
    const size = owner.seen.size
    for (const make of [
      () => world.entry(visitor, guest),
      () => control(world, visitor, { type: 'leave', time: 0 }, guest),
      () => control(world, visitor, policyOf(owner), guest),
    ]) {
      guest.chains.clear()
      const refused = await refusal(world, visitor, visitor.push(world.space, make()))
      expect(refused?.code).toBe('ERR_UNAUTHORIZED')
    }
    expect((await visitor.follow(world.space)).range.size).toBe(size)
  })
})

test('a hundred who join at once are all in', { timeout: 60_000 }, async () => {
  const world = await openWorld({ delivery: 'manual', verifier: await defaultVerifier() })
  const owner = await world.reader()
  const { random } = world.environment
  const guests = Array.from({ length: 100 }, (_, i) => makeDevice(random, 1 + i))
  const invites = guests.map(guest =>
    authorInvite(random, world.owner, world.genesis.hash, guest, { seen: owner.seen }),
  )
  expect(await refusal(world, owner, owner.push(world.space, ...invites))).toBeUndefined()
  const count = owner.control.count
  const visitors = guests.map(() => new TestReplica(world.relay))
  await world.relay.deliverAll()
  for (const [i, guest] of guests.entries()) visitors[i]?.open(world.space, guest, owner.seen.size)
  await world.relay.deliverAll()
  const devices = guests.map((guest, i) => {
    const own = makeDevice(random, count + i)
    visitors[i]?.push(world.space, authorJoin(random, guest, world.genesis.hash, own, owner.seen))
    return own
  })
  const heads = owner.syncs.length
  while (world.relay.deliverNext('toRelay')) {}
  await world.relay.deliverAll()
  await owner.follow(world.space)
  expect(owner.syncs.length).toBe(heads + 1)
  const codes = visitors.flatMap(({ rejects }) => rejects.map(({ code }) => code))
  expect(codes).toEqual(guests.map(() => 'ERR_REMOVED'))
  expect(owner.control.count).toBe(count + 100)
  for (const { number, signing } of devices) {
    expect(owner.control.devices.get(number)).toMatchObject({ signing, standing: 'member', removed: undefined })
  }
  world.relay.restart()
  for (const device of [devices[0], devices[57], devices[99]] as TestDevice[]) {
    const { replica, ref } = await opened(world, device, owner.seen.size)
    expect(replica.syncs).toMatchObject([{ ref, batch: { entries: [] } }])
  }
})

function memberOf({ control: { devices } }: TestReplica, { number }: TestDevice) {
  return devices.get(number)?.member ?? memberIdOf(new Uint8Array(16))
}

function policyOf(owner: TestReplica): ControlBody {
  return { type: 'policy', time: 0, policy: owner.control.policy, url: 'ws://relay.other' }
}
