import {
  type Anchor,
  advance,
  assertChecks,
  emptyView,
  nobleVerifier,
  parseNote,
  type SignatureVerifier,
  type SpaceId,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import type { LogRecord } from '../src/log-record.ts'
import type { KeptHead, LogStore, StoredSpace } from '../src/log-store.ts'
import { failingLogStore } from '../src/log-store-failing.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { author, authorGenesis, makeDevice, spaceOf } from './helpers/authoring.ts'
import type { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

/** Everything that was ever signed to somebody. */
function signedTo(...replicas: readonly TestReplica[]): readonly Anchor[] {
  return replicas.flatMap(replica =>
    replica.syncs.map(sync => {
      const { size, root } = parseNote(sync.batch.note).checkpoint
      return { size, root }
    }),
  )
}

/** Reads the whole log as somebody who holds all these heads: any contradiction to one of them is refused. */
async function readAgainst(world: World, anchors: readonly Anchor[]) {
  const reader = await world.connect()
  reader.open(world.space, world.owner)
  await world.relay.deliverAll()
  expect(reader.rejects).toEqual([])
  let view = emptyView(world.space, world.relay, anchors)
  for (const { batch } of reader.syncs) {
    const advanced = advance(view, batch)
    await assertChecks(nobleVerifier, advanced.checks)
    view = advanced.view
  }
  return view
}

test('a relay that restarts goes on where it was', async () => {
  const world = await openWorld()
  const before = await world.reader()
  before.push(world.space, world.entry(before), world.entry(before))
  await world.relay.deliverAll()
  await before.follow(world.space)
  world.relay.restart()
  expect(before.isClosed).toBe(true)
  const after = await world.reader()
  expect(after.view?.range).toEqual(before.view?.range)
  expect(after.view?.state).toEqual(before.view?.state)
  after.push(world.space, world.entry(after))
  await world.relay.deliverAll()
  await after.follow(world.space)
  expect(after.view?.range.size).toBe(4)
  await readAgainst(world, signedTo(before, after))
})

test('members who joined are members after a restart', async () => {
  const world = await openWorld()
  const owner = await world.reader()
  const own = await admit(world, owner)
  world.relay.restart()
  const member = await world.reader(own)
  expect(member.view?.state).toEqual(owner.view?.state)
  member.push(world.space, world.entry(member, own))
  await world.relay.deliverAll()
  expect((await member.follow(world.space)).range.size).toBe(4)
})

/** A few pushes, as far as the relay lets them; what was acknowledged, and what was signed. */
async function session(store: LogStore) {
  const world = await openWorld({ store })
  const replica = await world.connect()
  replica.open(world.space, world.owner)
  await world.relay.deliverAll()
  if (replica.rejects.length > 0) return { world, replica, acknowledged: 0 }
  await replica.follow(world.space)
  for (let i = 0; i < 3 && replica.rejects.length === 0; i++) {
    world.environment.advance(11_000)
    replica.push(world.space, world.entry(replica), world.entry(replica))
    replica.pull(world.space)
    await world.relay.deliverAll()
    await replica.follow(world.space)
  }
  return { world, replica, acknowledged: replica.view?.range.size ?? 0 }
}

describe('a store that fails at any one write', () => {
  test.each(['before', 'after'] as const)(
    '%s its effect: nothing acknowledged is lost, nothing is signed twice',
    async mode => {
      const counting = failingLogStore(memoryLogStore())
      const { acknowledged: all } = await session(counting)
      expect(all).toBe(7)
      expect(counting.operations).toBeGreaterThanOrEqual(8)
      for (let failAt = 1; failAt <= counting.operations; failAt++) {
        const store = failingLogStore(memoryLogStore(), { failAt, mode })
        const { world, replica, acknowledged } = await session(store)
        for (const reject of replica.rejects) {
          // The last is for what was asked after the space had ended on that connection.
          expect(['ERR_RELAY_STORAGE', 'ERR_UNKNOWN_SPACE', 'ERR_UNAUTHORIZED']).toContain(reject.code)
        }
        world.relay.restart()
        if (acknowledged === 0) {
          const creator = await world.connect()
          creator.push(world.space, world.genesis)
          await world.relay.deliverAll()
        }
        const view = await readAgainst(world, signedTo(replica))
        expect(view.range.size).toBeGreaterThanOrEqual(Math.max(1, acknowledged))
        // And it takes more.
        world.owner.chains.clear()
        const writer = await world.reader()
        writer.push(world.space, world.entry(writer))
        await world.relay.deliverAll()
        expect((await writer.follow(world.space)).range.size).toBe(view.range.size + 1)
      }
    },
  )
})

test('after a failure the space ends for all who have it open, and begins anew with what is stored; other spaces go on (R-PUSH-7)', async () => {
  const inner = memoryLogStore()
  let isBroken = (_space: SpaceId) => false
  const records: LogRecord[] = []
  const store: LogStore = {
    ...inner,
    append: append => (isBroken(append.space) ? Promise.reject(new Error('disk on fire')) : inner.append(append)),
  }
  const world = await openWorld({ store, log: record => records.push(record) })
  const replica = await world.reader()
  const other = await world.reader()
  isBroken = space => space === world.space
  const ref = replica.push(world.space, world.entry(replica))
  await world.relay.deliverAll()
  const failed = { code: 'ERR_RELAY_STORAGE', retryAfter: 1000 }
  expect(replica.rejects).toMatchObject([
    { ...failed, ref: 0 },
    { ...failed, ref },
  ])
  expect(other.rejects).toMatchObject([{ ...failed, ref: 0 }])
  expect((await replica.follow(world.space)).range.size).toBe(1)
  expect(records).toMatchObject([
    { level: 'error', event: 'space-stopped', space: world.space, reason: 'disk on fire' },
  ])
  // At once it is not even looked at again.
  const early = await world.connect()
  early.open(world.space, world.owner)
  await world.relay.deliverAll()
  expect(early.rejects).toMatchObject([failed])

  world.environment.advance(1000)
  const reader = await world.reader()
  expect(reader.view?.range.size).toBe(1)
  isBroken = () => false
  world.owner.chains.clear()
  reader.push(world.space, world.entry(reader))
  await world.relay.deliverAll()
  expect((await reader.follow(world.space)).range.size).toBe(2)

  const { random } = world.environment
  const device = makeDevice(random)
  const genesis = authorGenesis(random, device, world.relay)
  const creator = await world.connect()
  creator.push(spaceOf(genesis), genesis, author(random, device, genesis.hash))
  await world.relay.deliverAll()
  expect((await creator.follow(spaceOf(genesis))).range.size).toBe(2)
})

test('what was durable but not signed when the relay died is signed by the next start, and only then shown', async () => {
  // 1 and 2 are the genesis and its note, 3 is the append of the push, 4 its note.
  const world = await openWorld({ store: failingLogStore(memoryLogStore(), { failAt: 4 }) })
  const before = await world.reader()
  const entry = world.entry(before)
  before.push(world.space, entry)
  await world.relay.deliverAll()
  expect(before.rejects.map(reject => reject.code)).toEqual(['ERR_RELAY_STORAGE', 'ERR_RELAY_STORAGE'])
  world.relay.restart()
  const after = await world.reader()
  expect(after.verified[1]?.hash).toEqual(entry.hash)
  await readAgainst(world, signedTo(before, after))
})

test('a relay that is killed in the middle of a group does nothing any more', async () => {
  for (let turns = 0; turns < 40; turns++) {
    const world = await openWorld({ delivery: 'manual' })
    const replica = await world.reader()
    replica.push(world.space, world.entry(replica))
    while (world.relay.deliverNext('toRelay')) {}
    for (let i = 0; i < turns; i++) await Promise.resolve()
    world.relay.restart()
    const view = await readAgainst(world, signedTo(replica))
    const size = view.range.size
    await new Promise(resolve => setImmediate(resolve))
    expect((await readAgainst(world, signedTo(replica))).range.size).toBe(size)
  }
})

/** A store in which what is read back of a space is not what was written. */
function lyingStore(
  inner: LogStore,
  lie: (space: StoredSpace) => StoredSpace,
  about: () => string,
  lieOfHead: (head: KeptHead) => KeptHead,
): LogStore {
  return {
    ...inner,
    async readHead(space) {
      const head = await inner.readHead(space)
      return head !== undefined && space === about() ? lieOfHead(head) : head
    },
    async readSpace(space) {
      const stored = await inner.readSpace(space)
      return stored !== undefined && space === about() ? lie(stored) : stored
    },
  }
}

describe('a store that contradicts what the relay signed is not served from', () => {
  async function refusedWith(
    lie: (space: StoredSpace, earlier: StoredSpace) => StoredSpace,
    change = (store: LogStore) => store,
    lieOfHead = (head: KeptHead) => head,
  ) {
    const records: LogRecord[] = []
    const inner = memoryLogStore()
    let about = ''
    let earlier: StoredSpace | undefined
    const store = change(
      lyingStore(
        inner,
        space => lie(space, earlier as StoredSpace),
        () => about,
        lieOfHead,
      ),
    )
    const world = await openWorld({ store, log: record => records.push(record) })
    const replica = await world.reader()
    replica.push(world.space, world.entry(replica))
    await world.relay.deliverAll()
    earlier = await inner.readSpace(world.space)
    await replica.follow(world.space)
    replica.push(world.space, world.entry(replica))
    await world.relay.deliverAll()
    about = world.space
    world.relay.restart()
    const reader = await world.connect()
    reader.open(world.space, world.owner)
    await world.relay.deliverAll()
    expect(reader.syncs).toEqual([])
    expect(reader.rejects.map(reject => reject.code)).toEqual(['ERR_RELAY_STORAGE'])
    expect(records).toMatchObject([{ level: 'error', event: 'space-refused', space: world.space }])
    return String(records[0]?.reason)
  }

  test('it is behind the signed head', async () => {
    const reason = await refusedWith((_, earlier) => earlier)
    expect(reason).toContain('number of entries is another')
  })

  test('its state is not the one that was signed', async () => {
    expect(await refusedWith((now, earlier) => ({ ...now, state: earlier.state }))).toContain('the state is another')
  })

  test('its frontier does not fit its tree', async () => {
    expect(await refusedWith((now, earlier) => ({ ...now, frontier: earlier.frontier }))).toContain('frontier')
  })

  test('its head is another relay’s', async () => {
    const reason = await refusedWith(
      now => now,
      store => store,
      head => {
        const note = head.note.slice()
        // Within the signature, and still canonical base64.
        note[note.length - 20] = (note[note.length - 20] as number) === 65 ? 66 : 65
        return { ...head, note }
      },
    )
    expect(reason).toContain('ERR_CHECKPOINT_SIGNATURE')
  })

  test('an entry of it has been changed', async () => {
    let isChanged = false
    const reason = await refusedWith(
      now => {
        isChanged = true
        return now
      },
      store => ({
        ...store,
        async readEntries(space, range) {
          const entries = await store.readEntries(space, range)
          if (!isChanged) return entries
          return entries.map(entry => ({ ...entry, header: entry.header.with(30, 1) }))
        },
      }),
    )
    expect(reason).toContain('an entry has another hash')
  })

  test('its tree leads elsewhere', async () => {
    let isChanged = false
    const reason = await refusedWith(
      now => {
        isChanged = true
        return now
      },
      store => ({
        ...store,
        async readNodes(space, places) {
          const nodes = await store.readNodes(space, places)
          return isChanged ? nodes.map(node => node.with(0, (node[0] as number) ^ 1)) : nodes
        },
      }),
    )
    expect(reason).toContain('does not lead to the frontier')
  })
})

test('spaces that nobody uses leave memory, and come back', async () => {
  const reads: string[] = []
  const inner = memoryLogStore()
  const store: LogStore = {
    ...inner,
    readSpace(space) {
      reads.push(space)
      return inner.readSpace(space)
    },
  }
  const world = await openWorld({ store, limits: { idleSpaces: 1 } })
  const { random } = world.environment
  const others = [makeDevice(random), makeDevice(random)].map(device => authorGenesis(random, device, world.relay))
  const creator = await world.connect()
  for (const genesis of others) {
    creator.push(spaceOf(genesis), genesis)
    await world.relay.deliverAll()
  }
  reads.length = 0
  const reader = await world.reader()
  reader.push(world.space, world.entry(reader))
  await world.relay.deliverAll()
  expect((await reader.follow(world.space)).range.size).toBe(2)
  expect(reads).toEqual([world.space])
  // Held by its reader, it stays, whatever else comes and goes.
  for (const genesis of others) {
    creator.push(spaceOf(genesis), genesis)
    await world.relay.deliverAll()
  }
  await world.reader()
  expect(reads.filter(space => space === world.space).length).toBe(1)
})

test('a verifier that breaks costs no entry and no acknowledgement', async () => {
  let isBroken = false
  const verifier: SignatureVerifier = {
    ...nobleVerifier,
    verifyAll: checks => (isBroken ? Promise.reject(new Error('no entropy')) : nobleVerifier.verifyAll(checks)),
  }
  const world = await openWorld({ verifier })
  const replica = await world.reader()
  isBroken = true
  replica.push(world.space, world.entry(replica))
  await world.relay.deliverAll()
  expect(replica.rejects.map(reject => reject.code)).toEqual(['ERR_RELAY_STORAGE', 'ERR_RELAY_STORAGE'])
  expect((await replica.follow(world.space)).range.size).toBe(1)
})
