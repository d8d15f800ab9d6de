import {
  authenticationInput,
  encodeMessage,
  INLINE_BODY_LENGTH,
  MAX_FRAME_LENGTH,
  type PutBody,
  parseNote,
  sha256,
  signSync,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { author, authorGenesis, authorInvite, authorJoin, filler, makeDevice, spaceOf } from './helpers/authoring.ts'
import type { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

async function push(world: World, replica: TestReplica, ...entries: Parameters<TestReplica['push']>[1][]) {
  replica.push(world.space, ...entries)
  await world.relay.deliverAll()
  await replica.follow(world.space)
}

describe('opening a space', () => {
  test('the relay says who it is and challenges anew on every connection', async () => {
    const world = await openWorld()
    const [a, b] = [await world.connect(), await world.connect()]
    expect(a.welcome).toMatchObject({ version: 1, name: world.relay.name, key: world.relay.key })
    expect(a.welcome.challenge).not.toEqual(b.welcome.challenge)
  })

  test.each([
    ['another device signed it', { seed: sha256() }],
    ['it is for the challenge of another connection', { challenge: sha256() }],
    ['it is for another relay of that key', { name: 'relay.elsewhere' }],
    ['it is for another relay of that name', { key: sha256() }],
    ['it is for another space', { space: 'ab'.repeat(32) as never }],
  ])('is refused where %s', async (_what, wrong) => {
    const world = await openWorld()
    const { owner, space, relay } = world
    const replica = await world.connect()
    const right = { name: relay.name, key: relay.key, challenge: replica.welcome.challenge, seed: owner.seed, space }
    const used = { ...right, ...wrong }
    const input = authenticationInput(used, used.challenge, used.space, owner.signing)
    const signature = signSync(used.seed, input)
    replica.send({ type: 'open', ref: 7, space, from: 0, device: owner.signing, signature, wants: undefined })
    await relay.deliverAll()
    expect(replica.messages.slice(1)).toMatchObject([{ type: 'reject', ref: 7, space, code: 'ERR_UNAUTHORIZED' }])
  })

  test('is refused to devices that are not in it, and for spaces and sizes that do not exist', async () => {
    const world = await openWorld()
    const replica = await world.connect()
    replica.open(world.space, makeDevice(world.environment.random))
    replica.open('cd'.repeat(32) as never, world.owner)
    replica.open(world.space, world.owner, 2)
    await world.relay.deliverAll()
    expect(replica.rejects.map(reject => [reject.ref, reject.code]).sort()).toEqual([
      [1, 'ERR_UNAUTHORIZED'],
      [2, 'ERR_UNKNOWN_SPACE'],
      [3, 'ERR_RELAY_BEHIND'],
    ])
    expect(replica.syncs).toEqual([])
  })

  test('is answered with the current note even where nothing is missing', async () => {
    const world = await openWorld()
    const replica = await world.reader(world.owner, 1)
    expect(replica.syncs).toMatchObject([{ ref: 1, batch: { from: 1, entries: [], consistency: [] } }])
  })

  test('comes first: nothing else is served before', async () => {
    const world = await openWorld()
    const reader = await world.reader()
    const stranger = await world.connect()
    const hash = sha256()
    const { space } = world
    stranger.push(space, world.entry(reader))
    stranger.pull(space)
    stranger.send({ type: 'put-body', ref: 3, space, hash, length: 1, offset: 0, bytes: Uint8Array.of(1) })
    stranger.send({ type: 'get-body', ref: 4, space, index: 0, offset: 0 })
    await world.relay.deliverAll()
    expect(stranger.rejects.map(reject => [reject.ref, reject.code])).toEqual(
      [1, 2, 3, 4].map(ref => [ref, 'ERR_UNAUTHORIZED']),
    )
    expect(stranger.syncs).toEqual([])
    expect((await reader.follow(space)).range.size).toBe(1)
  })

  test('must happen within 30 seconds', async () => {
    const world = await openWorld()
    const [silent, wrong, right] = [await world.connect(), await world.connect(), await world.connect()]
    wrong.open(world.space, makeDevice(world.environment.random))
    right.open(world.space, world.owner)
    const creator = await world.connect()
    const device = makeDevice(world.environment.random)
    const genesis = authorGenesis(world.environment.random, device, world.relay)
    creator.push(spaceOf(genesis), genesis)
    await world.relay.deliverAll()
    world.environment.advance(29_999)
    await world.relay.deliverAll()
    expect([silent, wrong, right, creator].map(each => each.isClosed)).toEqual([false, false, false, false])
    world.environment.advance(1)
    await world.relay.deliverAll()
    expect([silent, wrong, right, creator].map(each => each.isClosed)).toEqual([true, true, false, false])
    expect(silent.closed?.message).toContain('1008')
  })

  test('again on the same connection replaces the first, and leaving ends it', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const writer = await world.reader()
    replica.open(world.space, world.owner, 1)
    await world.relay.deliverAll()
    await push(world, writer, world.entry(writer))
    expect(replica.syncs.map(sync => [sync.ref, sync.batch.from])).toEqual([
      [1, 0],
      [2, 1],
      [0, 1],
    ])
    replica.send({ type: 'leave', space: world.space })
    await push(world, writer, world.entry(writer))
    expect(replica.syncs.length).toBe(3)
    replica.pull(world.space)
    await world.relay.deliverAll()
    expect(replica.rejects.map(reject => reject.code)).toEqual(['ERR_UNAUTHORIZED'])
  })

  test('works for several spaces on one connection, up to a limit', async () => {
    const world = await openWorld({ limits: { spacesPerSocket: 2 } })
    const { random } = world.environment
    const replica = await world.reader()
    for (const expected of [undefined, 'ERR_LIMIT']) {
      const device = makeDevice(random)
      const genesis = authorGenesis(random, device, world.relay)
      replica.push(spaceOf(genesis), genesis)
      const ref = replica.open(spaceOf(genesis), device)
      await world.relay.deliverAll()
      expect(replica.rejects.find(reject => reject.ref === ref)?.code).toBe(expected)
      if (expected !== undefined) continue
      replica.push(spaceOf(genesis), author(random, device, genesis.hash))
      await world.relay.deliverAll()
      expect(replica.syncs.filter(sync => sync.space === spaceOf(genesis)).length).toBe(2)
    }
    await push(world, replica, world.entry(replica))
    expect(replica.view?.range.size).toBe(2)
  })
})

describe('pull', () => {
  test('brings a note that is not older than ten seconds', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const timeOf = (i: number) => parseNote(replica.syncs.at(i)?.batch.note as Uint8Array).checkpoint.time
    const opened = timeOf(-1)
    world.environment.advance(10_000)
    replica.pull(world.space)
    await world.relay.deliverAll()
    expect(timeOf(-1)).toBe(opened)
    world.environment.advance(1)
    const ref = replica.pull(world.space)
    await world.relay.deliverAll()
    expect(timeOf(-1)).toBe(world.environment.now())
    expect(replica.syncs.at(-1)).toMatchObject({ ref, batch: { from: 1, entries: [] } })
    await replica.follow(world.space)
  })

  test('is answered after all that was on its way', async () => {
    const world = await openWorld({ delivery: 'manual' })
    const [replica, writer] = [await world.reader(), await world.reader()]
    writer.push(world.space, world.entry(writer))
    replica.push(world.space, world.entry(replica, world.owner, { document: '77'.repeat(16) as never }))
    const ref = replica.pull(world.space)
    while (world.relay.deliverNext('toRelay')) {}
    await world.relay.deliverAll()
    const view = await replica.follow(world.space)
    expect(replica.syncs.at(-1)).toMatchObject({ ref, batch: { from: 3, entries: [] } })
    expect(view.range.size).toBe(3)
  })
})

test('everyone gets the log without gap or overlap, whoever writes and whenever they come', async () => {
  const world = await openWorld({ delivery: 'manual' })
  const { random } = world.environment
  const pick = (count: number) => (random(1)[0] as number) % count
  const first = await world.reader()
  const writers = [first, await world.reader(), await world.reader()]
  const readers: { replica: TestReplica; from: number }[] = []
  let written = 0
  for (let step = 0; step < 400; step++) {
    const choice = pick(10)
    if (choice === 0 && readers.length < 12) {
      const replica = await new Promise<TestReplica>(resolve => {
        void world.connect().then(resolve)
      })
      const size = (first.view?.range.size ?? 1) - 1
      readers.push({ replica, from: pick(size + 1) })
      replica.open(world.space, world.owner, readers.at(-1)?.from)
    } else if (choice === 1 && written < 40) {
      const index = pick(writers.length)
      const writer = writers[index] as TestReplica
      const document = `${index + 1}`.repeat(32) as never
      writer.push(world.space, world.entry(writer, world.owner, { document }))
      written++
    } else if (choice === 2) {
      await (writers[pick(3)] as TestReplica).follow(world.space)
    } else {
      const connections = world.relay.connections
      connections[pick(connections.length)]?.deliverNext(pick(2) === 0 ? 'toRelay' : 'toReplica')
      if (pick(2) === 0) await new Promise(resolve => setImmediate(resolve))
    }
  }
  await world.relay.deliverAll()
  for (const writer of writers) expect((await writer.follow(world.space)).range.size).toBe(written + 1)
  expect(written).toBeGreaterThan(10)
  expect(readers.length).toBeGreaterThan(3)
  for (const { replica, from } of readers) {
    expect(replica.rejects).toEqual([])
    let next = from
    for (const { batch } of replica.syncs) {
      expect(batch.from).toBe(next)
      next += batch.entries.length
    }
    expect(next).toBe(written + 1)
  }
})

describe('catching up', () => {
  test('with more than a frame holds comes in parts, each verified by itself', async () => {
    const world = await openWorld()
    const writer = await world.reader()
    const own = await admit(world, writer)
    const second = await world.reader(own)
    const body = () => filler(100_000)
    for (let i = 0; i < 8; i++) {
      await push(world, writer, world.entry(writer, world.owner, { body: body() }), world.entry(writer))
      await push(world, second, world.entry(second, own, { body: body() }), world.entry(second, own, { body: body() }))
      await writer.follow(world.space)
    }
    const reader = await world.reader()
    const parts = reader.syncs
    expect(parts.length).toBeGreaterThan(2)
    expect(parts.map(part => part.ref)).toEqual([1, ...parts.slice(1).map(() => 0)])
    for (const frame of reader.frames) expect(frame.length).toBeLessThanOrEqual(MAX_FRAME_LENGTH)
    expect(reader.view).toEqual(writer.view)
    expect(reader.verified.every(entry => entry.body !== undefined)).toBe(true)
    // One signature for each actor of a part, and one for each control entry.
    const [part] = parts
    expect(part?.batch.entries.filter(entry => entry.signature !== undefined).length).toBe(3 + 2)
  })

  test('waits for whoever reads slowly', async () => {
    const world = await openWorld({ delivery: 'manual' })
    const writer = await world.reader()
    for (let i = 0; i < 40; i++) {
      await push(world, writer, world.entry(writer, world.owner, { body: filler(200_000) }))
    }
    const slow = await world.connect()
    slow.open(world.space, world.owner)
    const connection = world.relay.connections.at(-1)
    while (connection?.deliverNext('toRelay')) {}
    for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
    expect(connection?.queued('toReplica')).toBeLessThanOrEqual(3)
    await world.relay.deliverAll()
    expect((await slow.follow(world.space)).range.size).toBe(41)
  })

  test('who does not read at all is disconnected, and resumes by opening anew', async () => {
    const world = await openWorld({ delivery: 'manual', limits: { sendBytesPerSocket: 3_000_000 } })
    const writer = await world.reader()
    const stuck = await world.reader()
    const [, connection] = [writer, world.relay.connections.at(-1)]
    const others = () => world.relay.connections.filter(each => each !== connection)
    for (let i = 0; i < 20; i++) {
      writer.push(world.space, world.entry(writer, world.owner, { body: filler(250_000) }))
      for (let moved = true; moved; ) {
        moved = false
        for (const each of others()) moved = each.deliverNext('toRelay') || each.deliverNext('toReplica') || moved
        await new Promise(resolve => setImmediate(resolve))
      }
      await writer.follow(world.space)
    }
    expect(writer.view?.range.size).toBe(21)
    await world.relay.deliverAll()
    expect(stuck.isClosed).toBe(true)
    expect(stuck.closed?.message).toContain('1013')
    const resumed = await world.reader()
    expect(resumed.view?.range.size).toBe(21)
  })
})

describe('a device that is removed', () => {
  test('gets the entry that removes it, nothing behind that, and its notice', async () => {
    const world = await openWorld({ delivery: 'manual' })
    const { random } = world.environment
    const owner = await world.reader()
    const guest = makeDevice(random, 1)
    await push(world, owner, authorInvite(random, world.owner, world.genesis.hash, guest, { seen: owner.seen }))
    const visitor = await world.reader(guest)
    const own = makeDevice(random, 2)
    const join = authorJoin(random, guest, world.genesis.hash, own, visitor.seen)
    const joined = visitor.push(world.space, join)
    // In the same group, behind the join.
    owner.push(world.space, world.entry(owner))
    while (world.relay.deliverNext('toRelay')) {}
    const pulled = visitor.pull(world.space)
    await world.relay.deliverAll()
    await owner.follow(world.space)
    expect(owner.view?.range.size).toBe(4)
    const view = await visitor.follow(world.space)
    expect(view.range.size).toBe(3)
    expect(view.head?.size).toBe(4)
    expect(visitor.verified.at(-1)?.hash).toEqual(join.hash)
    expect(visitor.syncs.at(-1)?.ref).toBe(joined)
    expect(new Map(visitor.rejects.map(reject => [reject.ref, reject.code]))).toEqual(
      new Map([
        [0, 'ERR_REMOVED'],
        [pulled, 'ERR_REMOVED'],
      ]),
    )
    expect(visitor.isClosed).toBe(false)
    // The same connection goes on as the device that took its place.
    visitor.open(world.space, own, 3)
    await world.relay.deliverAll()
    expect((await visitor.follow(world.space)).range.size).toBe(4)
    // The old one does not come back, but for the log up to there.
    const again = await world.connect()
    const opened = again.open(world.space, guest)
    await world.relay.deliverAll()
    expect((await again.follow(world.space)).range.size).toBe(3)
    expect(again.rejects.map(reject => [reject.ref, reject.code])).toEqual([[opened, 'ERR_REMOVED']])
  })

  test('may open as its successor in the same breath as the join', async () => {
    const world = await openWorld()
    const { random } = world.environment
    const owner = await world.reader()
    const guest = makeDevice(random, 1)
    await push(world, owner, authorInvite(random, world.owner, world.genesis.hash, guest, { seen: owner.seen }))
    const visitor = await world.reader(guest)
    const own = makeDevice(random, 2)
    visitor.push(world.space, authorJoin(random, guest, world.genesis.hash, own, visitor.seen))
    const opened = visitor.open(world.space, own, 2)
    await world.relay.deliverAll()
    expect(visitor.syncs.at(-1)).toMatchObject({ ref: opened, batch: { from: 2 } })
  })
})

describe('large bodies', () => {
  const LENGTH = 2 * INLINE_BODY_LENGTH + 1000

  function parts(world: World, body: Uint8Array): Omit<PutBody, 'ref'>[] {
    const made: Omit<PutBody, 'ref'>[] = []
    for (let offset = 0; offset < body.length; offset += INLINE_BODY_LENGTH) {
      const bytes = body.subarray(offset, offset + INLINE_BODY_LENGTH)
      made.push({ type: 'put-body', space: world.space, hash: sha256(body), length: body.length, offset, bytes })
    }
    return made
  }

  function put(replica: TestReplica, part: Omit<PutBody, 'ref'>): number {
    const ref = replica.ref()
    replica.send({ ...part, ref })
    return ref
  }

  function pushWithout(world: World, replica: TestReplica, body: Uint8Array): number {
    const { header, signature } = world.entry(replica, world.owner, { body })
    const ref = replica.ref()
    replica.send({ type: 'push', ref, space: world.space, entries: [{ header, signature, body: undefined }] })
    return ref
  }

  test('travel in parts, there and back', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const body = filler(LENGTH)
    const refs = parts(world, body).map(part => put(replica, part))
    pushWithout(world, replica, body)
    await world.relay.deliverAll()
    expect(replica.messages.flatMap(message => (message.type === 'received' ? [message.ref] : []))).toEqual(refs)
    const view = await replica.follow(world.space)
    expect(view.range.size).toBe(2)
    expect(replica.verified[1]?.body).toBeUndefined()
    const reader = await world.reader()
    for (let offset = 0; offset < LENGTH; offset += INLINE_BODY_LENGTH) {
      reader.send({ type: 'get-body', ref: reader.ref(), space: world.space, index: 1, offset })
    }
    await world.relay.deliverAll()
    const got = reader.messages.filter(message => message.type === 'body-part')
    expect(got.map(part => part.offset)).toEqual([0, INLINE_BODY_LENGTH, 2 * INLINE_BODY_LENGTH])
    expect(sha256(...got.map(part => part.bytes))).toEqual(sha256(body))
  })

  test('that are missing parts, are out of order, too long, or of another hash are refused', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const body = filler(LENGTH)
    const [first, second, third] = parts(world, body) as [PutBody, PutBody, PutBody]
    const cases: [string, () => number][] = [
      ['ERR_UNEXPECTED', () => put(replica, second)],
      ['', () => put(replica, first)],
      ['ERR_UNEXPECTED', () => put(replica, third)],
      ['ERR_BODY', () => pushWithout(world, replica, body)],
      ['', () => put(replica, second)],
      ['ERR_BODY', () => put(replica, { ...third, bytes: second.bytes })],
      ['ERR_UNEXPECTED', () => put(replica, third)],
      ['', () => put(replica, first)],
      ['', () => put(replica, second)],
      ['ERR_BODY', () => put(replica, { ...third, bytes: third.bytes.map(byte => byte ^ 1) })],
      ['ERR_UNEXPECTED', () => put(replica, { ...first, offset: 0, bytes: new Uint8Array(0) })],
      ['ERR_LIMIT', () => put(replica, { ...first, length: 64 * 1024 * 1024 + 1 })],
    ]
    for (const [code, send] of cases.slice(0, -1)) {
      world.owner.chains.clear()
      const ref = send()
      await world.relay.deliverAll()
      expect(replica.rejects.find(reject => reject.ref === ref)?.code ?? '').toBe(code)
    }
    expect((await replica.follow(world.space)).range.size).toBe(1)
  })

  test('are asked for where there are some, after opening', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const length = world.genesis.body.length
    for (const [index, offset] of [
      [1, 0],
      [0, length + 1],
      [0, length],
    ] as const) {
      replica.send({ type: 'get-body', ref: 10 * index + offset, space: world.space, index, offset })
    }
    await world.relay.deliverAll()
    expect(replica.rejects.map(reject => reject.code)).toEqual(['ERR_UNEXPECTED', 'ERR_UNEXPECTED', 'ERR_UNEXPECTED'])
  })

  test('under upload take no more memory than allowed, per socket and in total, and none when the socket is gone', async () => {
    const world = await openWorld({ limits: { stagedBytesPerSocket: 1_000_000, stagedBytes: 1_500_000 } })
    const [a, b] = [await world.reader(), await world.reader()]
    const bodies = [1, 2, 3].map(() => filler(400_000))
    const putAll = async (replica: TestReplica, body: Uint8Array) => {
      const refs = parts(world, body).map(part => put(replica, part))
      await world.relay.deliverAll()
      return replica.rejects.filter(reject => refs.includes(reject.ref)).map(reject => reject.code)[0]
    }
    for (const body of bodies) expect(await putAll(a, body)).toBeUndefined()
    // The first had to make room for the third.
    const refs = bodies.map(body => {
      world.owner.chains.clear()
      return pushWithout(world, a, body)
    })
    await world.relay.deliverAll()
    expect(a.rejects.map(reject => [reject.ref, reject.code])).toEqual([[refs[0], 'ERR_BODY']])
    expect(await putAll(a, filler(1_000_001))).toBe('ERR_LIMIT')

    for (const body of bodies.slice(0, 2)) expect(await putAll(a, body)).toBeUndefined()
    expect(await putAll(b, bodies[0] as Uint8Array)).toBeUndefined()
    expect(await putAll(b, bodies[1] as Uint8Array)).toBe('ERR_RATE_LIMITED')
    expect(b.rejects.at(-1)?.retryAfter).toBeGreaterThan(0)
    a.close()
    await world.relay.deliverAll()
    expect(await putAll(b, bodies[1] as Uint8Array)).toBeUndefined()
  })
})

test('a socket with too many requests under way is not read from until they are served', async () => {
  const world = await openWorld({ delivery: 'manual', limits: { requestsPerSocket: 4 } })
  const replica = await world.reader()
  const connection = world.relay.connections.at(-1)
  for (let i = 0; i < 20; i++) replica.pull(world.space)
  let taken = 0
  while (connection?.deliverNext('toRelay')) taken++
  expect(taken).toBe(4)
  await world.relay.deliverAll()
  expect(replica.syncs.length).toBe(21)
})

test('a relay that stops in good order answers what it has taken, and closes with 1001', async () => {
  const world = await openWorld({ delivery: 'manual' })
  const replica = await world.reader()
  const connection = world.relay.connections.at(-1)
  replica.push(world.space, world.entry(replica))
  while (connection?.deliverNext('toRelay')) {}
  const closing = world.relay.close()
  replica.push(world.space, world.entry(replica))
  await closing
  while (connection?.deliverNext('toReplica')) {}
  expect((await replica.follow(world.space)).range.size).toBe(2)
  expect(replica.closed?.message).toContain('1001')
  const late = await new Promise<TestReplica>((resolve, reject) => {
    world.connect().then(resolve, reject)
  })
  expect(late.isClosed).toBe(true)
})

test('a frame is at most a mebibyte', async () => {
  const world = await openWorld()
  const replica = await world.reader()
  const entries = [1, 2, 3, 4].map(() => world.entry(replica, world.owner, { body: filler(INLINE_BODY_LENGTH) }))
  const push = { type: 'push', ref: 2, space: world.space, entries } as const
  expect(encodeMessage(push).length).toBeGreaterThan(MAX_FRAME_LENGTH)
  replica.send(push)
  await world.relay.deliverAll()
  expect(replica.closed?.message).toContain('1007')
  expect((await world.reader()).view?.range.size).toBe(1)
})
