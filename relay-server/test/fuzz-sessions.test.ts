import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type DocumentId, encodeMessage, toHex } from 'sealog/protocol'
import { expect, test } from 'vitest'
import type { LogRecord } from '../src/log-record.ts'
import { pushEntryOf, type TestDevice } from './helpers/authoring.ts'
import { anyFrame, type Dice, diceOf, type Surroundings } from './helpers/fuzz-frames.ts'
import { assertReadable, surroundingsOf } from './helpers/fuzz-world.ts'
import type { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

/** The same frames in every run; another seed is another run. */
const SEED = Number(process.env.SEALOG_FUZZ_SEED ?? 1)
const ROUNDS = 30
const WARM_UP = 10
const FRAMES = 24
/** What the relay may hold more at the end than at the beginning, in bytes: its log has grown by some entries. */
const GROWTH: number = 24 * 1024 * 1024

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

function heldBytes(): number {
  collect()
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

interface Arena {
  readonly world: World
  readonly member: TestDevice
  readonly around: Surroundings
  /** Owner's connection, which does nothing wrong. */
  readonly honest: TestReplica
  /** What the relay itself takes for a fault. */
  readonly faults: LogRecord[]
}

async function openArena(): Promise<Arena> {
  const faults: LogRecord[] = []
  const world = await openWorld({
    delivery: 'manual',
    log: record => {
      if (record.level === 'error') faults.push(record)
    },
  })
  const first = await world.reader()
  const member = await admit(world, first)
  first.close()
  const around = await surroundingsOf(world, member)
  world.owner.chains.clear()
  return { world, member, around, honest: await world.reader(), faults }
}

/** Some connections at once, authenticated or not, whose frames arrive in any order; some are cut in the middle. */
async function attack({ world, member, around }: Arena, dice: Dice): Promise<void> {
  const connect = (): Promise<TestReplica> => (dice.chance(0.6) ? world.reader(member) : world.connect())
  const all: TestReplica[] = []
  const replicas: TestReplica[] = []
  for (let i = 0; i <= dice.below(3); i++) replicas.push(await connect())
  const twice: Uint8Array[] = []
  for (let i = 0; i < FRAMES; i++) {
    // Many a frame ends its connection: what is to be reached behind it needs another.
    for (const [at, each] of replicas.entries()) if (each.isClosed) all.push(...replicas.splice(at, 1, await connect()))
    const replica = dice.pick(replicas)
    const frame =
      twice.length > 0 && dice.chance(0.1) ? dice.pick(twice) : hostileFrame(world, member, around, replica, dice)
    twice.push(frame)
    replica.sendFrame(frame)
    // A delivery in which the session throws fails the test: nothing else stands between it and the transport.
    while (dice.chance(0.6) && world.relay.deliverNext()) if (dice.chance(0.1)) await Promise.resolve()
    if (dice.chance(0.02)) replica.close()
  }
  await world.relay.deliverAll()
  for (const replica of [...all, ...replicas]) {
    for (const frame of replica.frames) assertReadable(frame)
    replica.close()
  }
  await world.relay.deliverAll()
}

/** Anything, and in between what the relay has to take. */
function hostileFrame(
  world: World,
  member: TestDevice,
  around: Surroundings,
  replica: TestReplica,
  dice: Dice,
): Uint8Array {
  if (replica.view === undefined || dice.chance(0.85)) return anyFrame(dice, around)
  // A chain of its own, as nobody knows what becomes of the one before.
  member.chains.clear()
  const document = toHex(dice.bytes(16)) as DocumentId
  const entries = [pushEntryOf(world.entry(replica, member, { document }))]
  return encodeMessage({ type: 'push', ref: dice.below(1000), space: world.space, entries })
}

/** Somebody who has done nothing wrong writes, is acknowledged, and verifies all that came from the others. */
async function assertUnharmed({ world, honest, faults }: Arena, round: number): Promise<void> {
  expect(faults, `round ${round}`).toEqual([])
  expect(honest.isClosed, `round ${round}`).toBe(false)
  await honest.follow(world.space)
  const ref = honest.push(world.space, world.entry(honest))
  await world.relay.deliverAll()
  expect(honest.rejects, `round ${round}`).toEqual([])
  expect(
    honest.syncs.some(sync => sync.ref === ref),
    `round ${round}`,
  ).toBe(true)
  await honest.follow(world.space)
  expect(world.relay.connections, `round ${round}`).toHaveLength(1)
}

test('whatever is sent in whatever order: no session throws, nothing stays behind, and others go on (R-FUZZ-1)', async () => {
  const arena = await openArena()
  let before = 0
  for (let round = 0; round < ROUNDS; round++) {
    if (round === WARM_UP) before = heldBytes()
    await attack(arena, diceOf(SEED * 1000 + round))
    await assertUnharmed(arena, round)
    arena.world.environment.advance(5000)
  }
  expect(heldBytes() - before).toBeLessThan(GROWTH)
  // What the hostile member wrote in between has landed: the frames got beyond the authentication.
  const view = await arena.honest.follow(arena.world.space)
  expect(view.range.size).toBeGreaterThan(ROUNDS + 20)
}, 120_000)
