import { publicKeyOf, putMailboxInput, signSync, toUtf8 } from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { filler } from './helpers/authoring.ts'
import { refusal } from './helpers/membership.ts'
import { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

const HERE = 'ws://203.0.113.7'
const THERE = 'ws://198.51.100.4'
const addressOf = (url: string): string => new URL(url).hostname

/** A connection from there with the space open. */
async function readerFrom(world: World, url: string, device = world.owner): Promise<TestReplica> {
  const replica = new TestReplica(world.relay, url)
  await world.relay.deliverAll()
  replica.open(world.space, device)
  await world.relay.deliverAll()
  await replica.follow(world.space)
  return replica
}

describe('what comes from one address (R-QUOTA-1)', () => {
  test.each([
    ['entries', { entriesPerAddress: 1 }, 10],
    ['bytes', { bytesPerAddress: 2500 }, 2500],
  ])('is bounded in %s, over all devices there; others go on', async (_what, limit, length) => {
    const world = await openWorld({ limits: { ...limit, burstTime: 2000 }, addressOf })
    const guest = await admit(world, await world.reader())
    world.environment.advance(60_000)
    const [owner, other] = [await readerFrom(world, HERE), await readerFrom(world, HERE, guest)]
    const away = await readerFrom(world, THERE, guest)
    const write = (replica: TestReplica, device = world.owner) => world.entry(replica, device, { body: filler(length) })
    for (let i = 0; i < 2; i++) {
      expect(await refusal(world, owner, owner.push(world.space, write(owner)))).toBeUndefined()
      await other.follow(world.space)
    }
    const held = write(other, guest)
    const refused = await refusal(world, other, other.push(world.space, held))
    expect(refused).toMatchObject({ code: 'ERR_RATE_LIMITED' })
    await away.follow(world.space)
    expect(await refusal(world, away, away.push(world.space, held))).toBeUndefined()
    world.environment.advance(4001)
    expect(await refusal(world, owner, owner.push(world.space, write(owner)))).toBeUndefined()
  })
})

test('a mailbox is written so often in an hour, and no more (R-QUOTA-1)', async () => {
  const world = await openWorld({ limits: { mailboxWrites: 2 } })
  const member = await world.reader()
  const { name, key } = member.welcome
  const seed = filler(32)
  const address = publicKeyOf(seed)
  const put = async (counter: number) => {
    const ref = member.ref()
    const bytes = toUtf8('sealed')
    const signature = signSync(seed, putMailboxInput({ name, key }, address, counter, bytes))
    member.send({ type: 'put-mailbox', ref, address, counter, bytes, signature })
    await world.relay.deliverAll()
    return member.rejects.find(reject => reject.ref === ref)
  }
  expect(await put(1)).toBeUndefined()
  expect(await put(2)).toBeUndefined()
  const refused = await put(3)
  expect(refused).toMatchObject({ code: 'ERR_RATE_LIMITED' })
  expect(refused?.retryAfter).toBeLessThanOrEqual(30 * 60_000)
  world.environment.advance(refused?.retryAfter ?? 0)
  expect(await put(3)).toBeUndefined()
})

test('of one connection, requests of so many bytes are under way, and the rest is read afterwards (R-GATE-2)', async () => {
  const world = await openWorld({ delivery: 'manual', limits: { requestBytesPerSocket: 65_536 } })
  const replica = await world.reader()
  const [connection] = world.relay.connections.slice(-1)
  const bytes = filler(30_000)
  const refs = Array.from({ length: 6 }, () => {
    const ref = replica.ref()
    replica.send({ type: 'put-body', ref, space: world.space, hash: filler(32), length: 1e6, offset: 0, bytes })
    return ref
  })
  // What is delivered in one go is not answered in between.
  let taken = 0
  while (connection?.deliverNext('toRelay')) taken++
  expect(taken).toBe(3)
  await world.relay.deliverAll()
  const answered = replica.messages.flatMap(message => (message.type === 'received' ? [message.ref] : []))
  expect(answered).toEqual(refs)
})

test('a connection must have opened a space within a time that can be set (R-GATE-2)', async () => {
  const world = await openWorld({ limits: { authenticationTime: 5000 } })
  const [member, stranger] = [await world.reader(), await world.connect()]
  world.environment.advance(4999)
  await world.relay.deliverAll()
  expect(stranger.isClosed).toBe(false)
  world.environment.advance(1)
  await world.relay.deliverAll()
  expect([member.isClosed, stranger.isClosed]).toEqual([false, true])
})

test('a transaction takes entries of so many bytes, and the next what is left', async () => {
  const world = await openWorld({ delivery: 'manual', limits: { groupBytes: 1_048_576 } })
  const replica = await world.reader()
  for (let i = 0; i < 8; i++) {
    replica.push(world.space, world.entry(replica, world.owner, { body: filler(250_000) }))
  }
  while (world.relay.deliverNext('toRelay'));
  await world.relay.deliverAll()
  const notes = new Set(replica.syncs.slice(1).map(({ batch }) => new TextDecoder().decode(batch.note)))
  expect((await replica.follow(world.space)).range.size).toBe(9)
  // Of 250 kB each, four share one.
  expect(notes.size).toBeGreaterThanOrEqual(2)
})
