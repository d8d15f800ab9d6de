import type { SealogError, SpaceId } from 'sealog/protocol'
import { expect, test } from 'vitest'
import type { RelayContext } from '../src/context.ts'
import type { LogRecord } from '../src/log-record.ts'
import type { KeptHead, StoredEntry } from '../src/log-store.ts'
import { memoryContent, memoryLogStore } from '../src/log-store-memory.ts'
import { startScrub } from '../src/scrub.ts'
import { type TestEnvironment, testEnvironment } from './helpers/environment.ts'
import { until } from './helpers/replica.ts'
import { storedWorld, write } from './helpers/stored-world.ts'
import type { World } from './helpers/world.ts'

async function scrubbed() {
  const content = memoryContent()
  const world = await storedWorld(memoryLogStore(content))
  const environment = testEnvironment()
  const store = memoryLogStore(content)
  await store.open()
  const logged: LogRecord[] = []
  const refused: { space: SpaceId; error: SealogError }[] = []
  const context = {
    name: world.relay.name,
    signingKey: { publicKey: world.relay.key },
    verifier: {
      backend: 'noble',
      verify: async () => true,
      verifyAll: async (checks: readonly unknown[]) => checks.map(() => true),
    },
    environment,
    store,
    log: (record: LogRecord) => logged.push(record),
  } as unknown as RelayContext
  const relay = {
    context,
    async refuse(space: SpaceId, error: SealogError) {
      refused.push({ space, error })
    },
  }
  return { content, world, environment, store, logged, refused, relay }
}

/** Lets time go on, a little at a time, until something has happened. */
async function passTime(environment: TestEnvironment, what: () => boolean): Promise<number> {
  const begin = environment.now()
  await until(() => {
    environment.advance(100)
    return what()
  })
  return environment.now() - begin
}

function damageBody(entries: StoredEntry[], index: number): void {
  const entry = entries[index] as StoredEntry
  entries[index] = { ...entry, body: entry.body?.with(0, 1 ^ (entry.body[0] as number)) }
}

test('a space that is as it must be is gone through at the pace asked for, and left in peace', async () => {
  const { relay, environment, logged, refused, world, store } = await scrubbed()
  const { size } = await store.readSize(world.space)
  const scrub = startScrub(relay, { entriesPerSecond: 2 })
  const took = await passTime(environment, () => logged.length > 0)
  expect(logged).toEqual([{ level: 'info', event: 'scrubbed', space: world.space, size }])
  expect(took).toBeGreaterThanOrEqual((size / 2) * 1000 - 500)
  expect(refused).toEqual([])
  await scrub.stop()
})

test('damage is logged, stops its space and no other, and is looked for again in the next round', async () => {
  const { relay, environment, logged, refused, content, world } = await scrubbed()
  const other = 'ff'.repeat(32) as SpaceId
  content.heads.set(other, { size: 0, time: 0, note: new Uint8Array(0), latest: 5, abandoned: 5 })
  damageBody(content.spaces.get(world.space)?.entries ?? [], 5)
  const scrub = startScrub(relay, { entriesPerSecond: 1000, roundPause: 1000 })
  await passTime(environment, () => logged.length >= 2)
  expect(logged[0]).toMatchObject({
    level: 'error',
    event: 'scrub-failed',
    space: world.space,
    checked: 'body',
    entry: 5,
  })
  expect(logged[1]).toMatchObject({ event: 'scrubbed', space: other })
  expect(refused.map(({ space, error }) => [space, error.code])).toEqual([[world.space, 'ERR_STORE_CORRUPT']])
  await passTime(environment, () => refused.length === 2)
  await scrub.stop()
})

test('entries that were lost do not stop a space, as members give them back; nor does a time without its note', async () => {
  const { relay, environment, logged, refused, content, world } = await scrubbed()
  const older = structuredClone(content.spaces)
  const reader = await world.reader()
  await write(world, reader, world.entry(reader))
  for (const [space, stored] of older) content.spaces.set(space, stored)
  const head = content.heads.get(world.space) as KeptHead
  content.heads.set(world.space, { ...head, latest: head.latest + 10 })
  const scrub = startScrub(relay, { entriesPerSecond: 1000 })
  await passTime(environment, () => logged.length >= 2)
  expect(logged.map(({ checked }) => checked)).toEqual(['latest', 'behind'])
  expect(refused).toEqual([])
  await scrub.stop()
})

test('what is written meanwhile, superseded snapshots included, is no damage', async () => {
  const { relay, environment, logged, refused, world } = await scrubbed()
  const reader = await world.reader()
  const scrub = startScrub(relay, { entriesPerSecond: 1000, roundPause: 100 })
  for (let i = 0; i < 6; i++) {
    environment.advance(7)
    await write(world as World, reader, world.entry(reader))
    environment.advance(7)
    await new Promise(resolve => setImmediate(resolve))
  }
  await passTime(environment, () => logged.length >= 2)
  expect(logged.every(({ event }) => event === 'scrubbed')).toBe(true)
  expect(refused).toEqual([])
  await scrub.stop()
})

test('it stops at once, wherever it is, and whatever the store does', async () => {
  const { relay, environment, logged } = await scrubbed()
  const scrub = startScrub(relay, { entriesPerSecond: 1 })
  await until(() => {
    environment.advance(1)
    return true
  })
  await scrub.stop()
  await scrub.stop()
  expect(logged).toEqual([])
  await relay.context.store.close()
  const closed = startScrub(relay, { entriesPerSecond: 1 })
  await until(() => logged.length > 0)
  expect(logged[0]).toMatchObject({ event: 'scrub-ended' })
  await closed.stop()
})

test('a pace that is none is misuse', async () => {
  const { relay } = await scrubbed()
  expect(() => startScrub(relay, { entriesPerSecond: 0 })).toThrow(TypeError)
  expect(() => startScrub(relay, { entriesPerSecond: 1, roundPause: -1 })).toThrow(TypeError)
})
