import {
  CONTROL_DOCUMENT,
  type DocumentId,
  decodeHeader,
  documentIdOf,
  type Reject,
  type ReplicaMessage,
  SealogError,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { DEFAULT_LIMITS, type Limits } from '../src/limits.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { type PushCost, pushCost } from '../src/push-cost.ts'
import { WriteQuota } from '../src/write-quota.ts'
import { type Authored, filler, type TestDevice } from './helpers/authoring.ts'
import { act, control, invite, refusal, rotation, sendDelivering } from './helpers/membership.ts'
import type { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

const NOTES: DocumentId = documentIdOf(new Uint8Array(16).fill(7))
const NO_LIMITS: Partial<Limits> = { entriesPerDevice: 0, bytesPerDevice: 0, entriesPerSpace: 0, bytesPerSpace: 0 }

/** @returns why it was refused, if it was */
async function push(world: World, replica: TestReplica, ...entries: Authored[]): Promise<Reject | undefined> {
  return refusal(world, replica, replica.push(world.space, ...entries))
}

const change = (world: World, replica: TestReplica, device?: TestDevice, length = 60): Authored =>
  world.entry(replica, device, { document: NOTES, body: filler(length) })

describe('one device (R-QUOTA-1)', () => {
  test('may go so far at once; then it is told when to go on, and the very same entry lands', async () => {
    const world = await openWorld({ limits: { ...NO_LIMITS, entriesPerDevice: 1, burstTime: 3000 } })
    const replica = await world.reader()
    for (let i = 0; i < 3; i++) expect(await push(world, replica, change(world, replica))).toBeUndefined()
    const fourth = change(world, replica)
    const refused = await push(world, replica, fourth)
    expect(refused).toMatchObject({ code: 'ERR_RATE_LIMITED', position: 0, retryAfter: 1 })
    world.environment.advance(refused?.retryAfter ?? 0)
    expect(await push(world, replica, fourth)).toBeUndefined()
    expect((await push(world, replica, change(world, replica)))?.retryAfter).toBeGreaterThan(900)
  })

  test('may send so many bytes at once, however few entries they are', async () => {
    const world = await openWorld({ limits: { ...NO_LIMITS, bytesPerDevice: 10_000, burstTime: 1000 } })
    const replica = await world.reader()
    expect(await push(world, replica, change(world, replica, undefined, 15_000))).toBeUndefined()
    const refused = await push(world, replica, change(world, replica))
    expect(refused?.code).toBe('ERR_RATE_LIMITED')
    // What went beyond is paid for.
    expect(refused?.retryAfter).toBeGreaterThan(500)
  })

  test('may say far less about members and keys, and that keeps nobody from writing', async () => {
    const world = await openWorld({ limits: { controlsPerDevice: 2 } })
    const replica = await world.reader()
    await invite(world, replica)
    await invite(world, replica)
    await expect(invite(world, replica)).rejects.toThrow('ERR_RATE_LIMITED')
    expect(await push(world, replica, change(world, replica))).toBeUndefined()
    world.environment.advance(31 * 60_000)
    world.owner.chains.delete(CONTROL_DOCUMENT)
    await invite(world, replica)
  })

  test('is not charged to others: each has its own', async () => {
    const world = await openWorld({ limits: { ...NO_LIMITS, entriesPerDevice: 1, burstTime: 5000 } })
    const owner = await world.reader()
    const guest = await admit(world, owner)
    for (let i = 0; i < 10; i++) await push(world, owner, change(world, owner))
    const other = await world.reader(guest)
    expect(await push(world, other, change(world, other, guest))).toBeUndefined()
  })

  test('may bring no longer bodies than the relay takes; what comes before in the push lands', async () => {
    const world = await openWorld({ limits: { bodyLength: 1000 } })
    const replica = await world.reader()
    const [first, second] = [change(world, replica), change(world, replica, undefined, 1001)]
    const refused = await push(world, replica, first, second)
    expect(refused).toMatchObject({ code: 'ERR_LIMIT', position: 1 })
    expect(replica.view?.range.size).toBe(2)
  })
})

describe('a space', () => {
  test('takes so many bytes, and says that waiting does not help; what lands in it counts, what was refused does not', async () => {
    const world = await openWorld({ limits: { spaceBytes: 20_000 } })
    const replica = await world.reader()
    expect((await push(world, replica, change(world, replica, undefined, 20_000)))?.code).toBe('ERR_QUOTA')
    world.owner.chains.delete(NOTES)
    expect(await push(world, replica, change(world, replica, undefined, 10_000))).toBeUndefined()
    const refused = await push(world, replica, change(world, replica, undefined, 10_000))
    expect(refused).toMatchObject({ code: 'ERR_QUOTA', position: 0, retryAfter: 0 })
  })

  test('counts what is on its way: pushes at once do not slip through together', async () => {
    const world = await openWorld({ limits: { spaceBytes: 50_000 } })
    const replica = await world.reader()
    const refs = Array.from({ length: 6 }, () => replica.push(world.space, change(world, replica, undefined, 10_000)))
    await world.relay.deliverAll()
    expect(replica.rejects.filter(({ ref }) => refs.includes(ref)).map(({ code }) => code)).toContain('ERR_QUOTA')
    expect((await replica.follow(world.space)).range.size).toBeLessThan(6)
  })

  test('that is full does not keep a member from being removed, nor the others from going on without (R-QUOTA-2)', async () => {
    const store = memoryLogStore()
    const limits: { spaceBytes?: number } = {}
    const world = await openWorld({ store, limits })
    const spammer = await admit(world, await world.reader())
    limits.spaceBytes = (await store.readSize(world.space)).bytes + 1
    world.relay.restart()
    const replica = await world.reader()
    expect((await push(world, replica, change(world, replica)))?.code).toBe('ERR_QUOTA')
    const { member } = replica.control.devices.get(spammer.number) ?? {}
    if (member === undefined) throw new Error('no such device')
    await act(world, replica, { type: 'remove-member', time: 0, member })
    expect(replica.control.rotation).toBe('tainted')
    const rotate = async () => refusal(world, replica, sendDelivering(world, replica, rotation(world, replica)))
    expect(await rotate()).toBeUndefined()
    // That was relief; another rotation is not, nor is anything else.
    expect((await rotate())?.code).toBe('ERR_QUOTA')
    world.owner.chains.delete(NOTES)
    expect((await push(world, replica, change(world, replica)))?.code).toBe('ERR_QUOTA')
  })

  test('shares its rate: who takes all there is stops nobody but themselves (R-QUOTA-3)', async () => {
    const world = await openWorld({ limits: { ...NO_LIMITS, entriesPerSpace: 10, burstTime: 1000 } })
    const owner = await world.reader()
    const guest = await admit(world, owner)
    const noisy = await world.reader(guest)
    world.environment.advance(60_000)
    let refused: Reject | undefined
    let landed = 0
    while (refused === undefined && landed < 100) {
      refused = await push(world, noisy, change(world, noisy, guest))
      landed++
    }
    expect(refused).toMatchObject({ code: 'ERR_RATE_LIMITED' })
    expect(landed).toBeLessThan(15)
    await owner.follow(world.space)
    for (let i = 0; i < 3; i++) expect(await push(world, owner, change(world, owner))).toBeUndefined()
    expect((await push(world, noisy, change(world, noisy, guest)))?.code).toBe('ERR_RATE_LIMITED')
  })

  test('that is too busy for whoever removes others still lets them do it (R-QUOTA-2)', async () => {
    const limits: Partial<Record<'entriesPerSpace' | 'entriesPerDevice' | 'burstTime', number>> = {}
    const world = await openWorld({ limits })
    const spammer = await admit(world, await world.reader())
    Object.assign(limits, { entriesPerSpace: 1, entriesPerDevice: 1, burstTime: 1000 })
    world.relay.restart()
    const replica = await world.reader()
    expect(await push(world, replica, change(world, replica))).toBeUndefined()
    expect((await push(world, replica, change(world, replica)))?.code).toBe('ERR_RATE_LIMITED')
    await act(world, replica, { type: 'remove-device', time: 0, device: spammer.number })
    expect(replica.control.devices.get(spammer.number)?.removed).toBeDefined()
  })
})

describe('the rate of a space (R-QUOTA-3)', () => {
  const cost = (entries: number, isRelief = false): PushCost => ({ entries, bytes: entries, controls: 0, isRelief })

  function shared() {
    let now = 0
    const limits = { ...DEFAULT_LIMITS, ...NO_LIMITS, entriesPerSpace: 100, burstTime: 1000 }
    const quota = new WriteQuota(limits, () => now)
    const admit = (member: string, entries: number, isRelief = false) => {
      const writer = { space: 'ab'.repeat(32) as World['space'], device: member.length, member, address: undefined }
      return quota.admit(writer, cost(entries, isRelief), 0)
    }
    const isRefused = (member: string, entries: number): boolean => {
      try {
        admit(member, entries)
        return false
      } catch {
        return true
      }
    }
    const advance = (ms: number): void => {
      now += ms
    }
    return { admit, isRefused, advance }
  }

  test('is not used up by entries that do not land', () => {
    const { admit, isRefused } = shared()
    for (let i = 0; i < 50; i++) admit('liar', 100).done(0, 0)
    expect(isRefused('liar', 1)).toBe(false)
  })

  test('goes to everyone in equal parts under a flood: each of them, as often as it likes, up to its part', () => {
    const { isRefused, advance } = shared()
    const landed = { flood: 0, a: 0, b: 0 }
    for (let i = 0; i < 1000; i++) {
      advance(10)
      for (let k = 0; k < 20; k++) if (!isRefused('flood', 1)) landed.flood++
      if (i % 10 === 0 && !isRefused('a', 1)) landed.a++
      if (i % 5 === 0 && !isRefused('b', 2)) landed.b += 2
    }
    // In ten seconds: 10 and 40 per second are below a third of 100, and pass, all but a few.
    expect(landed.a).toBe(100)
    expect(landed.b).toBeGreaterThan(300)
    // The flood gets what is left of the rate, and no more than its burst and its part on top.
    expect(landed.flood).toBeLessThan(2 * 1000)
  })

  test('is not what keeps anybody from ending the rights of others', () => {
    const { admit, isRefused } = shared()
    while (!isRefused('flood', 10));
    for (let i = 0; i < 10; i++) admit('flood', 10, true)
  })

  test('of more spaces than are kept is forgotten, and no memory grows', () => {
    const quota = new WriteQuota({ ...DEFAULT_LIMITS, entriesPerSpace: 1, burstTime: 1000 }, () => 0)
    for (let i = 0; i < 10_000; i++) {
      const space = i.toString(16).padStart(64, '0') as World['space']
      quota.admit({ space, device: 0, member: 'm', address: undefined }, cost(1), 0).done(1, 1)
    }
    expect(() => quota.admit(writerIn(9_999), cost(1), 0)).toThrow('ERR_RATE_LIMITED')
    expect(() => quota.admit(writerIn(0), cost(1), 0)).not.toThrow()
  })

  const writerIn = (i: number) => {
    const space = i.toString(16).padStart(64, '0') as World['space']
    return { space, device: 1, member: 'm', address: undefined }
  }
})

describe('relief', () => {
  test('is nothing but entries that end rights: one that does more makes the push like any other', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const guest = await invite(world, replica)
    const revoke = control(world, replica, { type: 'revoke', time: 0, invite: guest.number })
    const pushed = (entries: readonly Authored[]) =>
      entries.map(entry => ({ ...entry, encoded: entry.header, header: decodeHeader(entry.header), wraps: undefined }))
    expect(pushCost(pushed([revoke]), replica.control)).toMatchObject({ entries: 1, controls: 1, isRelief: true })
    expect(pushCost(pushed([revoke, change(world, replica)]), replica.control).isRelief).toBe(false)
    expect(pushCost(pushed([rotation(world, replica).entry]), replica.control).isRelief).toBe(false)
    expect(pushCost([], replica.control).isRelief).toBe(false)
    expect(pushCost([{ fault: new SealogError('ERR_MALFORMED', 'none') }], replica.control).isRelief).toBe(false)
  })
})

describe('reading what is not new (R-QUOTA-5)', () => {
  const limits = { readBytesPerDevice: 50_000, burstTime: 1000 }

  const SIZE = 11

  async function filled(rates: Partial<Limits> = limits): Promise<{ world: World; replica: TestReplica }> {
    const world = await openWorld({ limits: rates })
    const replica = await world.reader()
    for (let i = 0; i < 10; i++) await push(world, replica, change(world, replica, undefined, 2000))
    return { world, replica }
  }

  async function untilRefused(
    world: World,
    replica: TestReplica,
    ask: (ref: number) => ReplicaMessage,
  ): Promise<number> {
    for (let count = 0; count < 100; count++) {
      const ref = replica.ref()
      replica.send(ask(ref))
      await world.relay.deliverAll()
      const refused = replica.rejects.find(reject => reject.ref === ref)
      if (refused === undefined) continue
      expect(refused.code).toBe('ERR_RATE_LIMITED')
      expect(refused.retryAfter).toBeGreaterThan(0)
      return count
    }
    throw new Error('never refused')
  }

  test.each([
    ['read', (space: World['space']) => ({ type: 'read', space, from: 1, to: 11 }) as const],
    ['skip', (space: World['space']) => ({ type: 'skip', space, at: 5, from: 0, attestations: 0, prove: [] }) as const],
    [
      'get-document',
      (space: World['space']) => ({ type: 'get-document', space, document: NOTES, snapshot: 2 }) as const,
    ],
    ['get-body', (space: World['space']) => ({ type: 'get-body', space, index: 3, offset: 0 }) as const],
    ['get-keys', (space: World['space']) => ({ type: 'get-keys', space, from: 0, to: 1 }) as const],
  ])('%s is bounded by what it costs, and goes on after a while', async (_, ask) => {
    const { world, replica } = await filled()
    const first = await untilRefused(world, replica, ref => ({ ...ask(world.space), ref }))
    expect(first).toBeGreaterThan(1)
    expect(first).toBeLessThan(20)
    world.environment.advance(2000)
    expect(await untilRefused(world, replica, ref => ({ ...ask(world.space), ref }))).toBeGreaterThanOrEqual(first)
    // What is new still comes, and whoever is level may open anew.
    const { length } = replica.syncs
    replica.push(world.space, change(world, replica))
    await world.relay.deliverAll()
    expect(replica.syncs.length).toBe(length + 1)
    const again = await world.connect()
    const ref = again.open(world.space, world.owner, SIZE + 1)
    await world.relay.deliverAll()
    expect(again.syncs.map(sync => sync.ref)).toContain(ref)
  })

  test.each([
    ['audits', (space: World['space']) => ({ type: 'read', space, from: 1, to: 11 }) as const],
    ['keys', (space: World['space']) => ({ type: 'get-keys', space, from: 0, to: 1 }) as const],
  ])('%s that are asked for at once, on many sockets, are paid for before the work', async (_, ask) => {
    const { world, replica } = await filled({ readBytesPerDevice: 12_000, burstTime: 1000 })
    const readers = [replica]
    while (readers.length < 3) {
      world.environment.advance(60_000)
      readers.push(await world.reader())
    }
    world.environment.advance(60_000)
    for (const reader of readers) {
      for (let i = 0; i < 10; i++) reader.send({ ...ask(world.space), ref: reader.ref() })
    }
    await world.relay.deliverAll()
    const refused = readers.flatMap(({ rejects }) => rejects).filter(({ code }) => code === 'ERR_RATE_LIMITED')
    // Each costs 4 kB or more, and the last one that is served may be on credit.
    expect(refused.length).toBeGreaterThan(30 - 6)
    expect(refused.length).toBeLessThan(30)
  })

  test('all of a log over and over ends in waiting', async () => {
    const { world } = await filled()
    const codes: (string | undefined)[] = []
    for (let i = 0; i < 10; i++) {
      const reader = await world.connect()
      reader.open(world.space, world.owner)
      await world.relay.deliverAll()
      codes.push(reader.rejects[0]?.code)
      reader.close()
    }
    expect(codes[0]).toBeUndefined()
    expect(codes.at(-1)).toBe('ERR_RATE_LIMITED')
  })

  test('cosignatures count too', async () => {
    const { world, replica } = await filled()
    const note = replica.syncs.at(-1)?.batch.note ?? new Uint8Array(0)
    const refs = Array.from({ length: 5 }, () => replica.ref())
    for (const ref of refs) replica.send({ type: 'cosign', ref, space: world.space, note })
    await world.relay.deliverAll()
    expect(replica.rejects.filter(({ code }) => code === 'ERR_RATE_LIMITED').length).toBe(4)
  })
})
