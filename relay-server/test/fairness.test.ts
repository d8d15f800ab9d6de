import { describe, expect, test } from 'vitest'
import { author, authorGenesis, filler, makeDevice, spaceOf } from './helpers/authoring.ts'
import { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

const GROUP = 10

/** What was sent so far reaches the relay, and nothing comes back yet. */
function arrive({ relay }: World): void {
  while (relay.deliverNext('toRelay'));
}

/** Pushes of some entries each, all at once. */
function flood(world: World, replica: TestReplica, device = world.owner, pushes = 20, each = 5): void {
  for (let i = 0; i < pushes; i++) {
    replica.push(world.space, ...Array.from({ length: each }, () => world.entry(replica, device)))
  }
}

describe('a flood (R-QUOTA-3)', () => {
  test('of one device does not keep another one of the same space waiting', async () => {
    const world = await openWorld({ delivery: 'manual', limits: { groupEntries: GROUP } })
    const owner = await world.reader()
    const guest = await admit(world, owner)
    const quiet = await world.reader(guest)
    const before = quiet.seen.size
    flood(world, owner)
    const ref = quiet.push(world.space, world.entry(quiet, guest))
    arrive(world)
    await world.relay.deliverAll()
    const answer = quiet.syncs.find(sync => sync.ref === ref)
    // In the first group, or in the one after a group that was under way when it came; 100 entries were before it.
    const place = (answer?.batch.from ?? 0) + (answer?.batch.entries.length ?? 0) - before
    expect(place).toBeLessThanOrEqual(2 * GROUP)
    expect((await quiet.follow(world.space)).range.size).toBe(before + 101)
  })

  test('of one space does not keep another space waiting', async () => {
    const world = await openWorld({ delivery: 'manual', limits: { groupEntries: GROUP } })
    const noisy = await world.reader()
    const { random } = world.environment
    const device = makeDevice(random)
    const genesis = authorGenesis(random, device, world.relay)
    const space = spaceOf(genesis)
    const creator = await world.connect()
    creator.push(space, genesis)
    await world.relay.deliverAll()
    const quiet = await world.connect()
    quiet.open(space, device)
    await world.relay.deliverAll()
    await quiet.follow(space)

    flood(world, noisy)
    const { length } = noisy.syncs
    const ref = quiet.push(space, author(random, device, genesis.hash, { seen: quiet.seen }))
    arrive(world)
    // In the order in which the relay sends it.
    let groups: number | undefined
    const count = (): void => {
      const isAnswered = quiet.syncs.some(sync => sync.ref === ref)
      if (isAnswered) groups ??= noisy.syncs.length - length
    }
    while (groups === undefined) {
      if (!world.relay.deliverNext('toReplica')) await world.relay.settle()
      count()
    }
    await world.relay.deliverAll()
    expect(noisy.syncs.length - length).toBeGreaterThanOrEqual(10)
    // Each group of the noisy space answers two pushes.
    expect(groups).toBeLessThanOrEqual(4)
  })
})

describe('a hundred readers that take nothing', () => {
  test('end, keep nobody waiting and no memory, and go on where they were', async () => {
    const limits = { sendBytesPerSocket: 64 * 1024 }
    const world = await openWorld({ delivery: 'manual', limits })
    const { relay, space } = world
    const slow = await Promise.all(Array.from({ length: 100 }, async () => new TestReplica(relay)))
    await relay.deliverAll()
    for (const replica of slow) replica.open(space, world.owner)
    await relay.deliverAll()
    const idle = relay.connections
    expect(idle.length).toBe(100)
    const writer = await world.reader()
    const own = relay.connections.at(-1)

    for (let i = 0; i < 12; i++) {
      const ref = writer.push(space, world.entry(writer, world.owner, { body: filler(10_000) }))
      own?.deliverNext('toRelay')
      while (!writer.syncs.some(sync => sync.ref === ref)) {
        await relay.settle()
        own?.deliverNext('toReplica')
      }
      await writer.follow(space)
      // What waits for one that does not read is bounded, whatever is written.
      for (const connection of idle) expect(connection.queued('toReplica')).toBeLessThanOrEqual(8)
    }
    expect(relay.connections.filter(connection => connection.nextOrder('toRelay') !== undefined)).toEqual([])
    await relay.deliverAll()
    expect(slow.map(replica => replica.closed?.message.includes('1013'))).toEqual(slow.map(() => true))
    expect(writer.isClosed).toBe(false)

    const { range } = await writer.follow(space)
    for (const [i, replica] of slow.entries()) {
      if (i % 20 !== 0) continue
      const view = await replica.follow(space)
      const again = await world.connect()
      again.view = view
      again.open(space, world.owner, view.range.size)
      await relay.deliverAll()
      expect((await again.follow(space)).range).toEqual(range)
    }
  })
})

test('a request too many is refused nobody: the relay reads on when others are answered', async () => {
  const world = await openWorld({ limits: { requestBytes: 20_000 } })
  const replicas = await Promise.all([world.reader(), world.reader(), world.reader()])
  for (let i = 0; i < 10; i++) {
    for (const replica of replicas) {
      const ref = replica.ref()
      const { hash } = world.genesis
      replica.send({ type: 'put-body', ref, space: world.space, hash, length: 1e6, offset: 0, bytes: filler(9000) })
    }
  }
  const last = replicas.map(replica => replica.pull(world.space))
  await world.relay.deliverAll()
  for (const [i, replica] of replicas.entries()) {
    expect(replica.messages.filter(({ type }) => type === 'received').length).toBe(10)
    expect(replica.syncs.map(({ ref }) => ref)).toContain(last[i])
  }
})
