import { type DocumentId, equalBytes, generateSeed, nobleSigningKey, parseNote, toHex } from 'sealog/protocol'
import { expect, test } from 'vitest'
import type { KeptHead, LogStore } from '../src/log-store.ts'
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

/** The log, and what was signed of it, as both were when it had one entry: of four that were signed, and shown. */
async function setBack(link?: (store: LogStore) => LogStore) {
  const pair = await openPair(link)
  const { world, content, settle, reader } = pair
  const { space } = world
  const owner = await reader(world.relay)
  const standby = structuredClone(content.spaces.get(space)) as MemorySpace
  const head = content.heads.get(space) as KeptHead
  const entries = [world.entry(owner), world.entry(owner), world.entry(owner)]
  owner.push(space, ...entries)
  await settle()
  const signed = content.heads.get(space) as KeptHead
  expect(signed.size).toBe(4)
  content.spaces.set(space, standby)
  content.heads.set(space, head)
  return { ...pair, owner, signed, entries: entries.map(pushEntryOf) }
}

test('a process that has the note of a log which was set back, heads and all, makes the fleet go by it (R-RESTORE-8, R-RESTORE-9)', async () => {
  const { world, content, other, settle, reader, owner, signed, entries } = await setBack()
  const { space } = world
  other.restart()
  world.environment.advance(1001)
  owner.push(space, newcomer(world))
  await settle()
  expect(owner.rejects[0]).toMatchObject({ code: 'ERR_RELAY_STORAGE' })
  expect(content.heads.get(space)).toMatchObject({ size: 4, note: signed.note })
  expect(content.spaces.get(space)).toMatchObject({ floor: 4 })
  world.environment.advance(500)
  for (const relay of [world.relay, other]) {
    const asking = new TestReplica(relay)
    await settle()
    asking.open(space, world.owner, 0)
    await settle()
    expect(asking.rejects).toMatchObject([{ code: 'ERR_RELAY_BEHIND', position: 1 }])
  }
  const giver = new TestReplica(other)
  await settle()
  giver.send({ type: 'restore', ref: giver.ref(), space, note: signed.note, from: 1, entries, more: false })
  await settle()
  expect(giver.rejects).toEqual([])
  expect((await reader(world.relay)).view?.range.size).toBe(4)
})

test('but not where the operator has given up what that note is about (R-RESTORE-11)', async () => {
  const { world, content, settle, owner, signed } = await setBack()
  const { space } = world
  const { latest } = signed
  content.heads.set(space, { size: 0, time: 0, note: new Uint8Array(0), latest, abandoned: latest })
  world.environment.advance(1001)
  owner.push(space, newcomer(world))
  await settle()
  expect(owner.rejects[0]).toMatchObject({ code: 'ERR_RELAY_STORAGE' })
  expect(content.heads.get(space)).toMatchObject({ size: 0, abandoned: latest })
})

test('entries that are stored under a longer log that was signed are shown to nobody, and stop nobody (R-RESTORE-3)', async () => {
  const { world, content, other, settle, reader, signed, entries } = await setBack()
  const { space } = world
  for (const relay of [world.relay, other]) relay.restart()
  const here = await reader(world.relay)
  const there = await reader(other)
  const giver = new TestReplica(world.relay)
  await settle()
  content.listeners.clear()
  there.push(space, newcomer(world))
  await settle()
  expect(parseNote(there.syncs.at(-1)?.batch.note as Uint8Array).checkpoint.size).toBe(2)
  const show = (by: TestReplica): void =>
    by.send({
      type: 'restore',
      ref: by.ref(),
      space,
      note: signed.note,
      from: 2,
      entries: entries.slice(1, 2),
      more: true,
    })
  const teller = new TestReplica(other)
  await settle()
  show(teller)
  await settle()
  expect(teller.rejects).toEqual([])
  expect(content.heads.get(space)?.size).toBe(4)
  const shown = here.syncs.length
  here.pull(space)
  await settle()
  expect(here.rejects).toMatchObject([{ code: 'ERR_RELAY_BEHIND', position: 2 }])
  expect(here.syncs).toHaveLength(shown)
  // The space is still the one that takes back what is missing, in parts.
  show(giver)
  await settle()
  here.pull(space)
  await settle()
  expect(giver.rejects).toEqual([])
  expect(here.rejects.map(({ code }) => code)).toEqual(['ERR_RELAY_BEHIND', 'ERR_RELAY_BEHIND'])
})

test('what landed and cannot be signed any more is not called done (R-RESTORE-3)', async () => {
  let raised: KeptHead | undefined
  const { world, content, other, settle, reader, signed } = await setBack(inner => ({
    ...inner,
    async append(append) {
      await inner.append(append)
      // Another process is shown it at this very moment, and has not come to the floor yet.
      if (raised !== undefined) await inner.raiseHead(append.space, raised)
    },
  }))
  const { space } = world
  for (const relay of [world.relay, other]) relay.restart()
  const writer = await reader(other)
  const shown = writer.syncs.length
  raised = signed
  writer.push(space, newcomer(world))
  await settle()
  expect(writer.rejects).toMatchObject([{ code: 'ERR_RELAY_BEHIND', position: 0 }])
  expect(writer.rejects[0]?.ref).toBeGreaterThan(0)
  expect(writer.syncs).toHaveLength(shown)
  expect(content.spaces.get(space)).toMatchObject({ floor: 4 })
  expect(content.heads.get(space)).toMatchObject({ size: 4, note: signed.note })
})
