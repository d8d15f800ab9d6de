import { type DocumentId, generateSeed, nobleSigningKey, parseNote, toHex } from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import type { Append, KeptHead, LogStore, StoredEntry } from '../src/log-store.ts'
import { type MemoryContent, memoryContent, memoryLogStore } from '../src/log-store-memory.ts'
import type { MemorySpace } from '../src/log-store-memory-reading.ts'
import { type LoopbackRelay, loopbackRelay } from '../src/loopback.ts'
import { type SeededRandom, seededRandom } from '../src/seeded-random.ts'
import { type Authored, author, pushEntryOf, type TestDevice } from './helpers/authoring.ts'
import { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

/** Several processes of one relay over one store, all in this one; the world's own relay is the first of them. */
interface Fleet {
  readonly world: World
  readonly relays: readonly LoopbackRelay[]
  readonly content: MemoryContent
  /** Until nothing is under way anywhere. */
  settle(): Promise<void>
  reader(process: number, device?: TestDevice, from?: number): Promise<TestReplica>
}

interface FleetOptions {
  readonly count?: number
  /** What lies between a process and the store. */
  readonly link?: (store: LogStore, process: number) => LogStore
}

async function openFleet({ count = 2, link = store => store }: FleetOptions = {}): Promise<Fleet> {
  const content = memoryContent()
  const signingKey = nobleSigningKey(generateSeed(length => new Uint8Array(length).fill(7)))
  const world = await openWorld({ store: link(memoryLogStore(content), 0), signingKey })
  const { environment } = world
  const others = Array.from({ length: count - 1 }, (_, i) =>
    loopbackRelay({
      // Its clock is late.
      environment: { ...environment, now: () => environment.now() - 7000 * (i + 1) },
      signingKey,
      store: link(memoryLogStore(content), i + 1),
    }),
  )
  const relays = [world.relay, ...others]
  async function settle(): Promise<void> {
    // Readers are served from the store in steps that nobody else can wait for.
    for (let quiet = 0; quiet < 24; quiet++) {
      const counts = await Promise.all(relays.map(relay => relay.deliverAll()))
      if (counts.some(count => count > 0)) quiet = 0
    }
  }
  return {
    world,
    relays,
    content,
    settle,
    async reader(process, device = world.owner, from = 0) {
      const replica = new TestReplica(relays[process] as LoopbackRelay)
      await settle()
      replica.open(world.space, device, from)
      await settle()
      if (from === 0) await replica.follow(world.space)
      return replica
    },
  }
}

/** Whatever any of these was told: one root for each size, and a larger log was never signed for an earlier time. */
function expectOneLog(...replicas: readonly TestReplica[]): void {
  const roots = new Map<number, string>()
  const notes = replicas.flatMap(replica => replica.syncs.map(({ batch }) => parseNote(batch.note).checkpoint))
  let latest = 0
  for (const { size, root, time } of notes.toSorted((a, b) => a.size - b.size || a.time - b.time)) {
    expect(roots.get(size) ?? toHex(root)).toBe(toHex(root))
    roots.set(size, toHex(root))
    expect(time).toBeGreaterThanOrEqual(latest)
    latest = time
  }
}

describe('several processes over one store are one relay', () => {
  test('what one takes, the others show (R-FLEET-3)', async () => {
    const { world, settle, reader } = await openFleet()
    const here = await reader(0)
    const there = await reader(1)
    here.push(world.space, world.entry(here))
    await settle()
    expect((await here.follow(world.space)).range.size).toBe(2)
    expect((await there.follow(world.space)).range).toEqual(here.view?.range)
    there.push(world.space, author(world.environment.random, world.owner, world.genesis.hash, { seen: there.seen }))
    await settle()
    expect((await here.follow(world.space)).range.size).toBe(3)
    expect((await there.follow(world.space)).range).toEqual(here.view?.range)
    expectOneLog(here, there)
  })

  test('a note is signed once: the others show the very same (R-FLEET-2)', async () => {
    const { world, settle, reader } = await openFleet()
    const here = await reader(0)
    const there = await reader(1)
    here.push(world.space, world.entry(here))
    await settle()
    expect(there.syncs.at(-1)?.batch.note).toEqual(here.syncs.at(-1)?.batch.note)
  })

  test('who was admitted at one is known to the others, also where nothing was announced (R-FLEET-3, R-FLEET-4)', async () => {
    const { world, content, settle, reader } = await openFleet()
    const owner = await reader(0)
    // The other process has the space open already.
    await reader(1)
    content.listeners.clear()
    const guest = await admit(world, owner)
    await settle()
    const member = await reader(1, guest)
    expect(member.rejects).toEqual([])
    expect(member.view?.range.size).toBe(3)
  })

  test('an author who has seen more than the process it asks is not turned away (R-FLEET-3)', async () => {
    const { world, content, settle, reader } = await openFleet()
    const owner = await reader(0)
    const there = await reader(1)
    content.listeners.clear()
    owner.push(world.space, world.entry(owner))
    await settle()
    await owner.follow(world.space)
    const next = world.entry(owner)
    there.push(world.space, next)
    await settle()
    expect(there.rejects).toEqual([])
    expect((await there.follow(world.space)).range.size).toBe(3)
  })

  test('an open at a process that knows less is answered from where the reader is (R-FLEET-3)', async () => {
    const { world, content, settle, reader } = await openFleet()
    const owner = await reader(0)
    await reader(1)
    content.listeners.clear()
    owner.push(world.space, world.entry(owner))
    await settle()
    const moved = await reader(1, world.owner, 2)
    expect(moved.rejects).toEqual([])
    expect(parseNote(moved.syncs[0]?.batch.note as Uint8Array).checkpoint.size).toBe(2)
  })

  test('a pull hears of what was not announced (R-FLEET-3, R-FLEET-4)', async () => {
    const { world, content, settle, reader } = await openFleet()
    const owner = await reader(0)
    const there = await reader(1)
    content.listeners.clear()
    owner.push(world.space, world.entry(owner))
    await settle()
    there.pull(world.space)
    await settle()
    expect((await there.follow(world.space)).range.size).toBe(2)
  })

  test('entries that a process stored and did not live to sign are signed by another (R-FLEET-2)', async () => {
    let isDying = false
    const { world, relays, settle, reader } = await openFleet({
      link: (inner, process) => ({
        ...inner,
        async putHead(space, head) {
          if (process === 0 && isDying) return new Promise<void>(() => {})
          await inner.putHead(space, head)
        },
      }),
    })
    const owner = await reader(0)
    isDying = true
    owner.push(world.space, world.entry(owner))
    await (relays[0] as LoopbackRelay).deliverNext()
    await new Promise(resolve => setTimeout(resolve, 20))
    ;(relays[0] as LoopbackRelay).stop()
    const other = await reader(1)
    expect(other.view?.range.size).toBe(2)
    await settle()
    expectOneLog(owner, other)
  })

  test('clocks that differ never make time go back (R-FLEET-2)', async () => {
    const { world, settle, reader } = await openFleet()
    const owner = await reader(0)
    const there = await reader(1)
    for (let i = 0; i < 4; i++) {
      world.environment.advance(500)
      const [writer, other] = i % 2 === 0 ? [owner, there] : [there, owner]
      writer.push(world.space, world.entry(writer))
      await settle()
      await writer.follow(world.space)
      await other.follow(world.space)
    }
    expectOneLog(owner, there)
  })
})

describe('several processes over a store that lost entries', () => {
  /** The log as it was, which comes back from a backup; what was signed since is known or not. */
  async function setBack(isHeadKept: boolean) {
    const fleet = await openFleet()
    const { world, content, relays, settle, reader } = fleet
    const { space } = world
    const owner = await reader(0)
    const backup = structuredClone(content.spaces.get(space)) as MemorySpace
    const head = content.heads.get(space) as KeptHead
    const entries = [world.entry(owner), world.entry(owner), world.entry(owner)]
    owner.push(space, ...entries)
    await settle()
    await owner.follow(space)
    const note = owner.syncs.at(-1)?.batch.note as Uint8Array
    content.spaces.set(space, backup)
    if (!isHeadKept) content.heads.set(space, head)
    return { ...fleet, relays, owner, note, entries: entries.map(pushEntryOf) }
  }

  function newcomer({ random }: World['environment'], world: World): Authored {
    world.owner.chains.clear()
    const document = toHex(random(16)) as DocumentId
    const seen = { size: 1, root: world.genesis.hash }
    return author(random, world.owner, world.genesis.hash, { document, seen })
  }

  test('notice it while they run, append nothing, and take it back by whichever process (R-RESTORE-8, R-RESTORE-9)', async () => {
    const { world, settle, reader, note, entries } = await setBack(true)
    const { space } = world
    const writer = await reader(0)
    writer.push(space, newcomer(world.environment, world))
    await settle()
    world.environment.advance(1000)
    const [here, there] = [await reader(0), await reader(1)]
    for (const each of [here, there]) expect(each.rejects).toMatchObject([{ code: 'ERR_RELAY_BEHIND', position: 1 }])
    there.send({ type: 'restore', ref: there.ref(), space, note, from: 1, entries, more: false })
    await settle()
    for (const process of [0, 1]) expect((await reader(process)).view?.range.size).toBe(4)
  })

  test('stop all of them as soon as one is shown what was signed (R-RESTORE-9)', async () => {
    const { world, relays, settle, reader, note, entries } = await setBack(false)
    const { space } = world
    for (const relay of relays) relay.restart()
    const writer = await reader(0)
    expect(writer.view?.range.size).toBe(1)
    const giver = await reader(1)
    giver.send({ type: 'restore', ref: giver.ref(), space, note, from: 1, entries: entries.slice(0, 1), more: true })
    await settle()
    writer.push(space, newcomer(world.environment, world))
    await settle()
    expect(writer.rejects.map(reject => reject.code)).toEqual(['ERR_RELAY_BEHIND'])
    giver.send({ type: 'restore', ref: giver.ref(), space, note, from: 2, entries: entries.slice(1), more: false })
    await settle()
    expect(giver.rejects).toEqual([])
    expect((await reader(0)).view?.range.size).toBe(4)
  })
})

test('a process that stores what the reducer refuses is not followed (R-FLEET-3)', async () => {
  const { world, content, settle, reader } = await openFleet()
  const owner = await reader(0)
  const there = await reader(1)
  content.listeners.clear()
  owner.push(world.space, world.entry(owner), world.entry(owner))
  await settle()
  // As a process would that has a defect, or whose memory has.
  const stored = content.spaces.get(world.space) as MemorySpace
  const [first, second] = stored.entries.splice(1, 2) as [StoredEntry, StoredEntry]
  stored.entries.push(second, first)
  there.pull(world.space)
  await settle()
  expect(there.rejects[0]).toMatchObject({ code: 'ERR_RELAY_STORAGE', ref: 0 })
  expect((await there.follow(world.space)).range.size).toBe(1)
})

/** Every call takes a random time, and those of different processes overtake each other. */
function slowly(
  inner: LogStore,
  random: SeededRandom,
  isSlow: () => boolean,
  onLate: (error: unknown) => never,
): LogStore {
  const late = async (): Promise<void> => {
    if (!isSlow()) return
    for (let turns = Math.floor(random.fraction() * 4); turns > 0; turns--) {
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  const slow =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      await late()
      const result = await call(...args)
      await late()
      return result
    }
  return {
    ...inner,
    readSpace: slow(inner.readSpace),
    readSize: slow(inner.readSize),
    readHead: slow(inner.readHead),
    append: slow((append: Append) => inner.append(append).catch(onLate)),
    putHead: slow(inner.putHead),
    readEntries: slow(inner.readEntries),
    readNodes: slow(inner.readNodes),
  }
}

test.each([1, 2, 3, 4])(
  'three processes that take entries of one space at once, and die and come back: one log, nothing acknowledged is lost (R-FLEET-1, R-FLEET-2; seed %i)',
  async seed => {
    const random = seededRandom(seed, 'fleet')
    let isSlow = false
    let late = 0
    const onLate = (error: unknown): never => {
      late++
      throw error
    }
    const { world, relays, settle, reader } = await openFleet({
      count: 3,
      link: store => slowly(store, random, () => isSlow, onLate),
    })
    const { space } = world
    const all: TestReplica[] = []
    const acknowledged = new Set<string>()
    const owner = await reader(0)
    all.push(owner)
    const guests = [world.owner, await admit(world, owner), await admit(world, owner)]
    isSlow = true
    for (let round = 0; round < 5; round++) {
      const writers = await Promise.all(guests.map((guest, i) => reader((i + round) % 3, guest)))
      all.push(...writers)
      for (const [i, writer] of writers.entries()) {
        for (let burst = 0; burst < 2; burst++) {
          // Each its own document: no chain depends on what another round lost.
          const document = toHex(world.environment.random(16)) as DocumentId
          const guest = guests[i] as TestDevice
          const entry = world.entry(writer, guest, { document })
          writer.push(space, entry)
        }
      }
      world.environment.advance(10_000)
      const victim = relays[Math.floor(random.fraction() * 3)] as LoopbackRelay
      const isKilled = random.fraction() < 0.5
      if (isKilled) {
        for (let i = 0; i < Math.floor(random.fraction() * 12); i++) {
          for (const relay of relays) relay.deliverNext()
          await new Promise(resolve => setImmediate(resolve))
        }
        victim.restart()
      }
      await settle()
      for (const writer of writers) {
        await writer.follow(space)
        expect(writer.rejects).toEqual([])
        for (const { hash } of writer.verified) acknowledged.add(toHex(hash))
        writer.close()
      }
      await settle()
    }
    const final = await Promise.all([0, 1, 2].map(process => reader(process)))
    const [first] = final
    for (const each of final) expect(each.view?.range).toEqual(first?.view?.range)
    const stored = new Set(first?.verified.map(({ hash }) => toHex(hash)))
    for (const hash of acknowledged) expect(stored.has(hash)).toBe(true)
    expect(acknowledged.size).toBeGreaterThan(12)
    // They did get in each other's way.
    expect(late).toBeGreaterThan(0)
    expectOneLog(...all, ...final)
  },
)
