import { type DocumentId, documentIdOf, type SpaceId, toHex } from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { HeldSpaces } from '../src/held-spaces.ts'
import { DEFAULT_LIMITS, type Limits } from '../src/limits.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { deviceKey, SpaceLoads } from '../src/space-loads.ts'
import { type Authored, authorGenesis, makeDevice, spaceOf, type TestDevice } from './helpers/authoring.ts'
import { TestReplica } from './helpers/replica.ts'
import { openWorld, type World } from './helpers/world.ts'

const KIB = 1024
/** A space of one device that has written nothing but its genesis. */
const SMALL = 19 * KIB
const HERE = '203.0.113.7'
const THERE = '198.51.100.4'

interface Made {
  readonly space: SpaceId
  readonly owner: TestDevice
  readonly genesis: Authored
}

interface Town {
  readonly world: World
  readonly spaces: readonly Made[]
  /** Spaces that were read from the store, in order. */
  readonly reads: SpaceId[]
  /** A connection from there that has been greeted. */
  from(address: string): Promise<TestReplica>
}

/** A relay with some small spaces, none of which is in memory. */
async function town(count: number, changed: Partial<Limits>): Promise<Town> {
  const inner = memoryLogStore()
  const reads: SpaceId[] = []
  const store = {
    ...inner,
    readSpace: (space: SpaceId) => {
      reads.push(space)
      return inner.readSpace(space)
    },
  }
  const limits = { idleSpaces: 0, loadBytesPerAddress: 0, ...changed }
  const addressOf = (url: string): string | undefined => {
    const { hostname } = new URL(url)
    return hostname === 'relay.test' ? undefined : hostname
  }
  const world = await openWorld({ store, limits, addressOf })
  const { random } = world.environment
  const creator = await world.connect()
  const spaces: Made[] = []
  for (let i = 0; i < count; i++) {
    const owner = makeDevice(random)
    const genesis = authorGenesis(random, owner, world.relay)
    spaces.push({ space: spaceOf(genesis), owner, genesis })
    creator.push(spaceOf(genesis), genesis)
    await world.relay.deliverAll()
  }
  world.relay.restart()
  reads.length = 0
  return {
    world,
    spaces,
    reads,
    async from(address) {
      const replica = new TestReplica(world.relay, `ws://${address}`)
      await world.relay.deliverAll()
      return replica
    },
  }
}

const at = (spaces: readonly Made[], i: number): Made => spaces[i] as Made

/** @returns the code of the refusal, and after how many milliseconds to try again */
async function open({ world }: Town, replica: TestReplica, { space, owner }: Made, device = owner) {
  const ref = replica.open(space, device)
  await world.relay.deliverAll()
  const { code, retryAfter } = replica.rejects.find(reject => reject.ref === ref) ?? {}
  return code === undefined ? 'opened' : [code, retryAfter]
}

async function leave({ world }: Town, replica: TestReplica, { space }: Made): Promise<void> {
  replica.send({ type: 'leave', space })
  await world.relay.deliverAll()
}

describe('bringing spaces into memory (R-QUOTA-6)', () => {
  test('is charged to the address: over and over is slowed down, and others are not', async () => {
    const made = await town(6, { loadBytesPerAddress: SMALL, burstTime: 3000 })
    const { spaces, reads, world } = made
    const here = await made.from(HERE)
    for (let i = 0; i < 3; i++) {
      expect(await open(made, here, at(spaces, i))).toBe('opened')
      await leave(made, here, at(spaces, i))
    }
    expect(await open(made, here, at(spaces, 3))).toEqual(['ERR_RATE_LIMITED', 1])
    expect(reads.length).toBe(3)
    expect(await open(made, await made.from(THERE), at(spaces, 4))).toBe('opened')
    world.environment.advance(1001)
    expect(await open(made, here, at(spaces, 3))).toBe('opened')
    expect(reads.length).toBe(5)
  })

  test('is free where it is there already', async () => {
    const made = await town(1, { loadBytesPerAddress: SMALL, burstTime: 1000 })
    const { spaces, reads } = made
    const replicas = [await made.from(HERE), await made.from(HERE), await made.from(HERE)]
    for (const replica of replicas) expect(await open(made, replica, at(spaces, 0))).toBe('opened')
    expect(reads.length).toBe(1)
  })

  test('counts whether or not whoever asks has a right to it', async () => {
    const made = await town(3, { loadBytesPerAddress: SMALL, burstTime: 2000 })
    const { spaces, reads, world } = made
    const here = await made.from(HERE)
    const stranger = makeDevice(world.environment.random)
    const [code] = await open(made, here, at(spaces, 0), stranger)
    expect(code).toBe('ERR_UNAUTHORIZED')
    const { space, genesis } = at(spaces, 1)
    here.push(space, genesis)
    await world.relay.deliverAll()
    expect(here.rejects.at(-1)?.code).toBe('ERR_SPACE_EXISTS')
    const ref = here.ref()
    here.send({
      type: 'restore',
      ref,
      space: at(spaces, 2).space,
      note: new Uint8Array(9),
      from: 0,
      entries: [],
      more: true,
    })
    await world.relay.deliverAll()
    expect(here.rejects.at(-1)).toMatchObject({ ref, code: 'ERR_RATE_LIMITED' })
    expect(reads.length).toBe(2)
  })

  test('of many at once does not slip through before the first is charged', async () => {
    const made = await town(20, { loadBytesPerAddress: SMALL, burstTime: 1000 })
    const here = await made.from(HERE)
    for (const { space, owner } of made.spaces) here.open(space, owner)
    await made.world.relay.deliverAll()
    // One is paid for; three more were on their way with it.
    expect(here.rejects.map(({ code }) => code)).toEqual(Array.from({ length: 16 }, () => 'ERR_RATE_LIMITED'))
    expect(made.reads.length).toBe(4)
  })

  test('is charged to the device as well, wherever it comes from', async () => {
    const made = await town(2, { loadBytesPerDevice: SMALL, burstTime: 2000 })
    const { spaces, world } = made
    const [own, other] = [at(spaces, 0), at(spaces, 1)]
    for (let i = 0; i < 2; i++) {
      const replica = await made.from(`203.0.113.${i + 1}`)
      expect(await open(made, replica, own)).toBe('opened')
      replica.close()
      await world.relay.deliverAll()
    }
    const replica = await made.from('203.0.113.9')
    expect(await open(made, replica, own)).toEqual(['ERR_RATE_LIMITED', 1])
    expect(await open(made, replica, other)).toBe('opened')
  })

  test('is never charged to a device that somebody merely names', async () => {
    const made = await town(1, { loadBytesPerDevice: SMALL, burstTime: 1000 })
    const own = at(made.spaces, 0)
    const { seed } = makeDevice(made.world.environment.random)
    const forger = await made.from(THERE)
    for (let i = 0; i < 4; i++) {
      const [code] = await open(made, forger, own, { ...own.owner, seed })
      expect(code).toBe('ERR_UNAUTHORIZED')
    }
    expect(made.reads.length).toBe(4)
    expect(await open(made, await made.from(HERE), own)).toBe('opened')
  })

  test('waits in a line of its own for each address, and what fails gives its place back', async () => {
    const limits = { ...DEFAULT_LIMITS, loadBytesPerAddress: 100, burstTime: 1000 }
    let now = 0
    const loads = new SpaceLoads(limits, () => now)
    const device = deviceKey('ab'.repeat(32) as SpaceId, toHex(new Uint8Array(32)))
    const passes = await Promise.all([1, 2, 3, 4].map(() => loads.begin({ address: HERE, device })))
    let isThrough = false
    const fifth = loads.begin({ address: HERE, device }).then(pass => {
      isThrough = true
      return pass
    })
    const other = await loads.begin({ address: THERE, device })
    other.done(0)
    await Promise.resolve()
    expect(isThrough).toBe(false)
    passes[0]?.done(0)
    ;(await fifth).done(150)
    for (const pass of passes.slice(1)) pass.done(0)
    await expect(loads.begin({ address: HERE, device })).rejects.toMatchObject({ code: 'ERR_RATE_LIMITED' })
    now += 501
    ;(await loads.begin({ address: HERE, device })).done(0)
  })
})

describe('what is kept open (R-QUOTA-6)', () => {
  test('on one connection is bounded by what it takes in memory; what is left makes room', async () => {
    const made = await town(4, { openBytesPerSocket: SMALL })
    const { spaces } = made
    const replica = await made.from(HERE)
    expect(await open(made, replica, at(spaces, 0))).toBe('opened')
    expect(await open(made, replica, at(spaces, 1))).toBe('opened')
    expect(await open(made, replica, at(spaces, 2))).toEqual(['ERR_LIMIT', 30_000])
    // Again what is open: that is no more than before.
    expect(await open(made, replica, at(spaces, 1))).toBe('opened')
    expect(await open(made, await made.from(HERE), at(spaces, 2))).toBe('opened')
    await leave(made, replica, at(spaces, 0))
    expect(await open(made, replica, at(spaces, 3))).toBe('opened')
  })

  test('from one address likewise, over all of its connections', async () => {
    const made = await town(4, { openBytesPerAddress: SMALL })
    const { spaces } = made
    const replicas = [await made.from(HERE), await made.from(HERE), await made.from(HERE)] as const
    expect(await open(made, replicas[0], at(spaces, 0))).toBe('opened')
    expect(await open(made, replicas[1], at(spaces, 1))).toBe('opened')
    expect((await open(made, replicas[2], at(spaces, 2)))[0]).toBe('ERR_LIMIT')
    expect(await open(made, await made.from(THERE), at(spaces, 2))).toBe('opened')
    // Shared with somebody else, it is half as much for each.
    expect((await open(made, replicas[2], at(spaces, 3)))[0]).toBe('ERR_LIMIT')
    replicas[0].close()
    await made.world.relay.deliverAll()
    expect(await open(made, replicas[2], at(spaces, 2))).toBe('opened')
  })

  test('grows with what is in the space, and the first one may be of any size', async () => {
    const made = await town(1, { openBytesPerSocket: 1 })
    const { world } = made
    const documents = Array.from({ length: 8 }, (_, i): DocumentId => documentIdOf(new Uint8Array(16).fill(i + 1)))
    const reader = await world.reader()
    reader.push(world.space, ...documents.map(document => world.entry(reader, world.owner, { document })))
    await world.relay.deliverAll()
    reader.close()
    await world.relay.deliverAll()
    const replica = await made.from(HERE)
    expect(await open(made, replica, { space: world.space, owner: world.owner, genesis: world.genesis })).toBe('opened')
    expect((await open(made, replica, at(made.spaces, 0)))[0]).toBe('ERR_LIMIT')
  })

  test('by a holder that comes and goes leaves nothing behind, however often it is let go', () => {
    const held = new HeldSpaces(50, 'connection')
    const [first, second] = ['ab'.repeat(32), 'cd'.repeat(32)] as [SpaceId, SpaceId]
    const holder = {}
    const leave = held.hold(holder, first, () => 90)
    const leaveAgain = held.hold(holder, first, () => 90)
    leave()
    leave()
    expect(() => held.hold(holder, second, () => 90)).toThrow(/connection/)
    leaveAgain()
    held.hold(holder, second, () => 90)()
    // What two hold is half as much for each.
    const others = [{}, {}] as const
    for (const each of [first, second]) for (const other of others) held.hold(other, each, () => 60)
    const third = 'ef'.repeat(32) as SpaceId
    expect(() => held.hold(others[0], third, () => 21)).toThrow(/too large/)
    held.hold(others[0], third, () => 20)
  })

  test('leaves out the largest one: what may be open together may be opened in any order', () => {
    const [small, large, third] = ['ab', 'cd', 'ef'].map(each => each.repeat(32)) as [SpaceId, SpaceId, SpaceId]
    const weights = new Map([
      [small, 50],
      [large, 500],
      [third, 51],
    ] as const)
    for (const order of [
      [small, large],
      [large, small],
    ] as const) {
      const held = new HeldSpaces(100, 'connection')
      const holder = {}
      for (const space of order) held.hold(holder, space, () => weights.get(space) ?? 0)
      expect(() => held.hold(holder, third, () => 51)).toThrow(/too large/)
      held.hold(holder, third, () => 50)
    }
  })
})

test('spaces that nobody uses stay in memory within a number of bytes; the last one does in any case', async () => {
  const made = await town(4, { idleSpaces: 100, idleBytes: 2 * SMALL })
  const { spaces, reads } = made
  const replica = await made.from(HERE)
  for (const each of spaces) {
    await open(made, replica, each)
    await leave(made, replica, each)
  }
  reads.length = 0
  for (const each of [at(spaces, 3), at(spaces, 2), at(spaces, 0)]) await open(made, replica, each)
  expect(reads).toEqual([at(spaces, 0).space])
  const tight = await town(2, { idleSpaces: 100, idleBytes: 1 })
  const only = await tight.from(HERE)
  await open(tight, only, at(tight.spaces, 0))
  await leave(tight, only, at(tight.spaces, 0))
  tight.reads.length = 0
  await open(tight, only, at(tight.spaces, 0))
  expect(tight.reads).toEqual([])
})
