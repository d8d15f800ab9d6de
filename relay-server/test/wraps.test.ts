import {
  assertDelivered,
  type DeliveredWrap,
  type DeliveryRecord,
  type Keys,
  parseNote,
  sha256,
  WRAP_LENGTH,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { failingLogStore } from '../src/log-store-failing.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import type { TestDevice } from './helpers/authoring.ts'
import {
  act,
  control,
  type Delivered,
  invite,
  joined,
  keys,
  putWhole,
  refusal,
  repairing,
  rotate,
  rotation,
  sendDelivering,
  sendWith,
} from './helpers/membership.ts'
import type { TestReplica } from './helpers/replica.ts'
import { setBackStore } from './helpers/set-back.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

type Answer = Pick<Keys, 'wraps' | 'to'>

/** Is this what the delivery held for the device, and does the log prove it? */
function expectDelivered(answer: Answer | string, replica: TestReplica, device: TestDevice, made: Delivered): void {
  if (typeof answer === 'string') throw new Error(answer)
  const wrap = answer.wraps.find(({ index }) => index === made.index)
  expect(wrap?.device).toBe(device.number)
  expect(wrap?.wrap).toEqual(made.wraps[made.recipients.findIndex(({ number }) => number === device.number)])
  expectProven(replica, wrap as DeliveredWrap)
}

function expectProven({ control: { epochs } }: TestReplica, wrap: DeliveredWrap): void {
  const delivery = epochs[wrap.epoch]?.deliveries.find(({ index }) => index === wrap.index)
  expect(() => assertDelivered(delivery as DeliveryRecord, wrap)).not.toThrow()
}

/** Gives the owner a reason to rotate once more, so that it may. */
async function taint(world: World, replica: TestReplica): Promise<void> {
  const guest = await invite(world, replica)
  await act(world, replica, { type: 'revoke', time: 0, invite: guest.number })
}

describe.each([
  ['memory', memoryLogStore],
  ['SQLite', () => sqliteLogStore(':memory:')],
])('what an epoch start delivers, over %s', (_name, store) => {
  test('gets to each device that is due it, with a proof, before and after a restart (R-KEYS-1)', async () => {
    const world = await openWorld({ store: store() })
    const owner = await world.reader()
    const members = [world.owner, await admit(world, owner), await admit(world, owner)]
    const link = await invite(world, owner)
    const made = await rotate(world, owner)
    expect(made.recipients.map(({ number }) => number)).toEqual([...members, link].map(({ number }) => number))
    for (const isRestarted of [false, true]) {
      if (isRestarted) world.relay.restart()
      for (const device of [...members, link]) {
        const reader = await world.reader(device)
        const answer = await keys(world, reader, 1, 1)
        expectDelivered(answer, reader, device, made)
        expect((answer as Answer).wraps.length).toBe(1)
        expect((answer as Answer).to).toBe(1)
      }
    }
  })
})

describe('wraps that are not the ones that the entry commits to are refused, and nothing lands (R-WRAP-3)', () => {
  const WRONG: Readonly<Record<string, (wraps: readonly Uint8Array[], world: World) => readonly Uint8Array[]>> = {
    'one is missing': wraps => wraps.slice(0, -1),
    'one is too many': wraps => [...wraps, ...wraps.slice(0, 1)],
    'all are missing': () => [new Uint8Array(1)],
    'one is cut short': wraps => [...wraps.slice(0, -1), (wraps.at(-1) as Uint8Array).slice(0, -1)],
    'a bit is flipped': ([first, ...rest]) => [
      (first as Uint8Array).with(7, ((first as Uint8Array)[7] as number) ^ 1),
      ...rest,
    ],
    'two have changed places': ([a, b, ...rest]) => [b as Uint8Array, a as Uint8Array, ...rest],
    'one is for two devices': ([a, _b, ...rest]) => [a as Uint8Array, a as Uint8Array, ...rest],
    'all are other bytes': (wraps, world) => wraps.map(() => world.environment.random(WRAP_LENGTH)),
  }

  test.each(Object.entries(WRONG))('%s', async (_what, change) => {
    const world = await openWorld()
    const owner = await world.reader()
    await admit(world, owner)
    const size = owner.view?.range.size
    const made = rotation(world, owner)
    const wrong = await refusal(
      world,
      owner,
      sendDelivering(world, owner, { ...made, wraps: change(made.wraps, world) }),
    )
    expect(wrong).toMatchObject({ code: 'ERR_BODY', position: 0 })
    expect(owner.view?.range.size).toBe(size)
    // The entry itself was good.
    expect(await refusal(world, owner, sendDelivering(world, owner, made))).toBeUndefined()
    expect(owner.epoch).toBe(1)
  })

  test('they were never sent, or not named', async () => {
    const world = await openWorld()
    const owner = await world.reader()
    const made = rotation(world, owner)
    expect(await refusal(world, owner, sendWith(world, owner, made.entry))).toMatchObject({ code: 'ERR_BODY' })
    const never = sendWith(world, owner, made.entry, sha256(joined(made.wraps)))
    expect(await refusal(world, owner, never)).toMatchObject({ code: 'ERR_BODY' })
    expect(owner.epoch).toBe(0)
  })

  test('they come with an entry that delivers none', async () => {
    const world = await openWorld()
    const owner = await world.reader()
    const bytes = world.environment.random(WRAP_LENGTH)
    putWhole(world, owner, bytes)
    const changes = sendWith(world, owner, world.entry(owner), sha256(bytes))
    expect(await refusal(world, owner, changes)).toMatchObject({ code: 'ERR_BODY' })
    world.owner.chains.clear()
    const leave = control(world, owner, { type: 'revoke', time: 0, invite: 3 })
    expect(await refusal(world, owner, sendWith(world, owner, leave, sha256(bytes)))).toMatchObject({
      code: 'ERR_INVALID_ENTRY',
    })
    expect(owner.view?.range.size).toBe(1)
  })

  test('unless the entry is in the log already: then its author has to look (R-PUSH-4)', async () => {
    const world = await openWorld()
    const owner = await world.reader()
    const made = await rotate(world, owner)
    expect(await refusal(world, owner, sendWith(world, owner, made.entry))).toMatchObject({ code: 'ERR_STALE_CHAIN' })
  })
})

test('of two epochs that are started at once the first wins, and the author of the other tries again', async () => {
  const world = await openWorld({ delivery: 'manual' })
  const owner = await world.reader()
  const other = await admit(world, owner)
  const rival = await world.reader(other)
  const [mine, theirs] = [rotation(world, owner), rotation(world, rival, other)]
  const won = sendDelivering(world, owner, mine)
  const lost = sendDelivering(world, rival, theirs)
  while (world.relay.deliverNext('toRelay')) {}
  expect(await refusal(world, owner, won)).toBeUndefined()
  const refused = await refusal(world, rival, lost)
  expect(refused).toMatchObject({ code: 'ERR_STALE_EPOCH', position: 0 })
  expect(rival.epoch).toBe(1)
  // Both were in one group: one transaction, one note.
  expect(parseNote(owner.syncs.at(-1)?.batch.note as Uint8Array).checkpoint.size).toBe(4)
  await taint(world, owner)
  await rival.follow(world.space)
  other.chains.clear()
  expect(await refusal(world, rival, sendDelivering(world, rival, rotation(world, rival, other)))).toBeUndefined()
  expect(rival.epoch).toBe(2)
})

test('an epoch start that did not see who was admitted meanwhile is refused (reason base)', async () => {
  const world = await openWorld()
  const owner = await world.reader()
  const made = rotation(world, owner)
  const second = await world.reader()
  world.owner.chains.clear()
  await invite(world, second)
  world.owner.chains.clear()
  const refused = await refusal(world, owner, sendDelivering(world, owner, made))
  expect(refused).toMatchObject({ code: 'ERR_STALE_EPOCH', message: expect.stringContaining('base') })
})

test.each(['before', 'after'] as const)(
  'an epoch start that the relay stores as it dies is there with all that it delivers, or not at all (%s)',
  async mode => {
    const steps = failingLogStore(memoryLogStore())
    const count = await openWorld({ store: steps }).then(async world => {
      await rotate(world, await world.reader())
      return steps.operations
    })
    // The append of the rotation, and the head that was signed for it, come last.
    for (const failAt of [count - 1, count]) {
      const world = await openWorld({ store: failingLogStore(memoryLogStore(), { failAt, mode }) })
      const owner = await world.reader()
      const made = rotation(world, owner)
      const refused = await refusal(world, owner, sendDelivering(world, owner, made))
      expect(refused?.code).toBe('ERR_RELAY_STORAGE')
      world.relay.restart()
      const reader = await world.reader()
      const isStored = mode === 'after' || failAt === count
      expect(reader.epoch).toBe(isStored ? 1 : 0)
      const answer = await keys(world, reader, 1, 1)
      if (isStored) expectDelivered(answer, reader, world.owner, { ...made, index: 1 })
      else expect(answer).toEqual({ wraps: [], to: 0 })
    }
  },
)

test('uploads whose entries landed make room for the next', async () => {
  const world = await openWorld({ limits: { stagedBytesPerSocket: 3 * WRAP_LENGTH, stagedBytes: 3 * WRAP_LENGTH } })
  const owner = await world.reader()
  await admit(world, owner)
  for (let i = 0; i < 3; i++) {
    await rotate(world, owner)
    await taint(world, owner)
  }
  const more = await rotate(world, owner)
  expect(more.wraps.length).toBe(2)
  expect(owner.epoch).toBe(4)
})

describe('asking for keys', () => {
  test('brings all deliveries of the epochs, repairs too, by epoch and place in the log', async () => {
    const world = await openWorld()
    const owner = await world.reader()
    const own = await admit(world, owner)
    const made: Delivered[] = []
    for (let i = 0; i < 3; i++) {
      made.push(await rotate(world, owner))
      await taint(world, owner)
    }
    const member = await world.reader(own)
    const repair = repairing(world, member, 2, own)
    expect(await refusal(world, member, sendDelivering(world, member, repair))).toBeUndefined()
    const answer = await keys(world, member, 0, 3)
    if (typeof answer === 'string') throw new Error(answer)
    expect(answer.wraps.map(({ epoch }) => epoch)).toEqual([1, 2, 2, 3])
    const [first, second, third] = made.map(({ index }) => index)
    expect(answer.wraps.map(({ index }) => index)).toEqual([first, second, member.seen.size - 1, third])
    for (const wrap of answer.wraps) expectProven(member, wrap)
    const at = repair.recipients.findIndex(({ number }) => number === own.number)
    expect(answer.wraps[2]?.wrap).toEqual(repair.wraps[at])
    expectDelivered(await keys(world, member, 3, 3), member, own, made[2] as Delivered)
  })

  test('beyond the epoch in force is about that one, and in the wrong order is refused (R-KEYS-2)', async () => {
    const world = await openWorld()
    const owner = await world.reader()
    const made = await rotate(world, owner)
    for (const [from, to] of [
      [1, 1],
      [1, 1000],
      [77, 1000],
    ] as const) {
      const answer = await keys(world, owner, from, to)
      expectDelivered(answer, owner, world.owner, made)
      expect((answer as Answer).to).toBe(1)
    }
    expect(await keys(world, owner, 0, 0)).toEqual({ wraps: [], to: 0 })
    expect(await keys(world, owner, 2, 1)).toBe('ERR_UNEXPECTED')
  })

  test('gives nothing to devices that are due nothing, and is for who has opened the space', async () => {
    const world = await openWorld()
    const owner = await world.reader()
    const asking = await invite(world, owner, { kind: 'approved' })
    await rotate(world, owner)
    const late = await admit(world, owner)
    for (const device of [asking, late]) {
      expect(await keys(world, await world.reader(device), 0, 9)).toEqual({ wraps: [], to: 1 })
    }
    const stranger = await world.connect()
    const ref = stranger.ref()
    stranger.send({ type: 'get-keys', ref, space: world.space, from: 0, to: 1 })
    await world.relay.deliverAll()
    expect(stranger.rejects).toMatchObject([{ ref, code: 'ERR_UNAUTHORIZED' }])
  })

  test('comes behind the entries that delivered: nobody gets a wrap of an epoch that it does not know', async () => {
    const world = await openWorld({ delivery: 'manual' })
    const owner = await world.reader()
    const own = await admit(world, owner)
    const member = await world.reader(own)
    sendDelivering(world, owner, rotation(world, owner))
    while (world.relay.deliverNext('toRelay')) {}
    await world.relay.settle()
    const ref = member.ref()
    member.send({ type: 'get-keys', ref, space: world.space, from: 1, to: 1 })
    while (world.relay.deliverNext('toRelay')) {}
    await world.relay.deliverAll()
    const answered = member.messages.findIndex(message => message.type === 'keys')
    const known = member.messages
      .slice(0, answered)
      .filter(message => message.type === 'sync')
      .at(-1)
    const { wraps } = member.messages[answered] as Keys
    expect(wraps.length).toBe(1)
    expect((known?.batch.from ?? 0) + (known?.batch.entries.length ?? 0)).toBeGreaterThan(wraps[0]?.index as number)
  })

  test('of many epochs gives all that fit one answer, whole, and says how far', async () => {
    const world = await openWorld()
    const owner = await world.reader()
    const made: Delivered[] = []
    for (let i = 0; i < 20; i++) {
      made.push(await rotate(world, owner))
      await taint(world, owner)
    }
    world.relay.restart()
    const reader = await world.reader()
    const wraps: DeliveredWrap[] = []
    const steps: number[] = []
    for (let from = 1; from <= 20; ) {
      const answer = await keys(world, reader, from, 20)
      if (typeof answer === 'string') throw new Error(answer)
      wraps.push(...answer.wraps)
      steps.push(answer.to)
      from = answer.to + 1
    }
    expect(steps).toEqual([20])
    expect(wraps.map(({ epoch }) => epoch)).toEqual(made.map((_, i) => i + 1))
    for (const [i, wrap] of wraps.entries()) {
      expect(wrap.wrap).toEqual(made[i]?.wraps[0])
      expectProven(reader, wrap)
    }
    // What is at hand costs nothing.
    expect(await keys(world, reader, 1, 20)).toMatchObject({ to: 20 })
  })
})

test('a relay that was given its log back has lost the wraps; a repair brings new ones', async () => {
  const store = setBackStore(memoryLogStore)
  const world = await openWorld({ store })
  const owner = await world.reader()
  const own = await admit(world, owner)
  await rotate(world, owner)
  const note = owner.syncs.at(-1)?.batch.note as Uint8Array
  const log = owner.syncs.flatMap(({ batch }) => batch.entries)
  world.relay.stop()
  await store.setBack(world.space, 3)
  world.relay.restart()
  const giver = await world.connect()
  const entries = log
    .slice(3)
    .map(({ header, signature, body }) => ({ header, signature: signature as Uint8Array, body }))
  giver.send({ type: 'restore', ref: giver.ref(), space: world.space, note, from: 3, entries, more: false })
  await world.relay.deliverAll()
  expect(giver.rejects).toEqual([])
  const member = await world.reader(own)
  expect(member.epoch).toBe(1)
  expect(await keys(world, member, 1, 1)).toEqual({ wraps: [], to: 1 })
  const repair = repairing(world, member, 1, own)
  expect(await refusal(world, member, sendDelivering(world, member, repair))).toBeUndefined()
  const answer = await keys(world, member, 1, 1)
  if (typeof answer === 'string') throw new Error(answer)
  expect(answer.wraps.length).toBe(1)
  for (const wrap of answer.wraps) expectProven(member, wrap)
})
