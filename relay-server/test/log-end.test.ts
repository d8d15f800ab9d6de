import { type DocumentId, equalBytes, generateSeed, nobleSigningKey, parseNote, toHex } from 'sealog/protocol'
import { expect, test } from 'vitest'
import type { LogStore } from '../src/log-store.ts'
import { type MemoryContent, memoryContent, memoryLogStore } from '../src/log-store-memory.ts'
import type { MemorySpace } from '../src/log-store-memory-reading.ts'
import { type LoopbackRelay, loopbackRelay } from '../src/loopback.ts'
import { type Authored, author, pushEntryOf } from './helpers/authoring.ts'
import { TestReplica } from './helpers/replica.ts'
import { openWorld, type World } from './helpers/world.ts'

const BUSY_ROUNDS = 40

/** Two processes of one relay over one store; the world's own relay is the first of them. */
interface Pair {
  readonly world: World
  readonly content: MemoryContent
  readonly other: LoopbackRelay
  settle(): Promise<void>
  /** Somebody who has the space open at the first, or at the other, and all of it. */
  reader(relay: LoopbackRelay): Promise<TestReplica>
}

async function openPair(link: (store: LogStore) => LogStore = store => store): Promise<Pair> {
  const content = memoryContent()
  const signingKey = nobleSigningKey(generateSeed(length => new Uint8Array(length).fill(9)))
  const world = await openWorld({ store: memoryLogStore(content), signingKey })
  const { environment } = world
  const other = loopbackRelay({ environment, signingKey, store: link(memoryLogStore(content)) })
  async function settle(): Promise<void> {
    for (let quiet = 0; quiet < 24; quiet++) {
      const counts = await Promise.all([world.relay, other].map(relay => relay.deliverAll()))
      if (counts.some(count => count > 0)) quiet = 0
    }
  }
  return {
    world,
    content,
    other,
    settle,
    async reader(relay) {
      const replica = new TestReplica(relay)
      await settle()
      replica.open(world.space, world.owner, 0)
      await settle()
      await replica.follow(world.space)
      return replica
    },
  }
}

/** An entry that has seen nothing but the genesis, in a document of its own. */
function newcomer({ owner, genesis, environment }: World): Authored {
  owner.chains.clear()
  const document = toHex(environment.random(16)) as DocumentId
  return author(environment.random, owner, genesis.hash, { document, seen: { size: 1, root: genesis.hash } })
}

/**
 * One process took and signed entries; the other did not hear of it, and then the database was replaced by a standby
 * that never got them. What was signed is elsewhere, and still there.
 */
async function failedOver() {
  const pair = await openPair()
  const { world, content, settle, reader } = pair
  const { space } = world
  const owner = await reader(world.relay)
  const unaware = await reader(pair.other)
  content.listeners.clear()
  const standby = structuredClone(content.spaces.get(space)) as MemorySpace
  const entry = world.entry(owner)
  owner.push(space, entry)
  await settle()
  const signed = content.heads.get(space)?.note as Uint8Array
  expect(parseNote(signed).checkpoint.size).toBe(2)
  content.spaces.set(space, standby)
  return { ...pair, unaware, signed, entry }
}

test('a process that has not heard of what a failed database lost appends nothing in its place (R-RESTORE-9)', async () => {
  const { world, content, other, settle, unaware, signed, entry } = await failedOver()
  const { space } = world
  world.environment.advance(1001)
  unaware.push(space, newcomer(world))
  await settle()
  expect(unaware.rejects).toMatchObject([{ code: 'ERR_RELAY_BEHIND' }])
  expect(content.spaces.get(space)?.entries).toHaveLength(1)
  const giver = new TestReplica(other)
  await settle()
  giver.send({
    type: 'restore',
    ref: giver.ref(),
    space,
    note: signed,
    from: 1,
    entries: [pushEntryOf(entry)],
    more: false,
  })
  await settle()
  expect(giver.rejects).toEqual([])
  expect(content.spaces.get(space)?.entries).toHaveLength(2)
})

test.each([1, 2])(
  'nor does it sign another log, even where it was too fast to notice (R-FLEET-2, R-FLEET-5; %i entries)',
  async count => {
    const { world, content, settle, unaware, signed } = await failedOver()
    // Another time, or the store would refuse a second note anyway.
    world.environment.advance(500)
    unaware.push(world.space, ...Array.from({ length: count }, () => newcomer(world)))
    await settle()
    expect(content.heads.get(world.space)?.note).toEqual(signed)
    expect(unaware.syncs.map(({ batch }) => parseNote(batch.note).checkpoint.size)).toEqual([1])
    expect(unaware.rejects[0]).toMatchObject({ code: 'ERR_RELAY_STORAGE', ref: 0 })
  },
)

test('a bad push, and a log that others make longer all the time, do not keep what came with it from landing (R-FLEET-1)', async () => {
  let isBusy = false
  let rounds = 0
  const { world, content, other, settle, reader } = await openPair(inner => ({
    ...inner,
    async readHead(space) {
      if (isBusy && rounds < BUSY_ROUNDS) {
        rounds++
        writer.push(space, newcomer(world))
        await world.relay.deliverAll()
      }
      return inner.readHead(space)
    },
  }))
  const writer = await reader(world.relay)
  const there = await reader(other)
  const bad = newcomer(world)
  const good = newcomer(world)
  isBusy = true
  there.send({
    type: 'push',
    ref: there.ref(),
    space: world.space,
    entries: [{ ...pushEntryOf(bad), signature: new Uint8Array(64) }],
  })
  there.push(world.space, good)
  await settle()
  expect(there.rejects.map(({ code }) => code)).toEqual(['ERR_SIGNATURE'])
  const place = content.spaces.get(world.space)?.entries.findIndex(({ hash }) => equalBytes(hash, good.hash))
  expect(place).toBeGreaterThan(0)
  expect(place).toBeLessThan(BUSY_ROUNDS / 2)
})
