import {
  actorOf,
  appendLeaf,
  asArray,
  decodeCbor,
  decodeHeader,
  type ErrorCode,
  encodeCbor,
  encodeHeader,
  entryHash,
  entrySigningInput,
  idBytes,
  type LogView,
  parseNote,
  rootOf,
  sha256,
  signSync,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import {
  type Authored,
  author,
  authorGenesis,
  authorInvite,
  authorJoin,
  makeDevice,
  spaceOf,
} from './helpers/authoring.ts'
import type { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

/** The kind is the eleventh field. */
function withKind(entry: Authored, kind: number): Authored {
  const fields = asArray(decodeCbor(entry.header, 1024), 14, 'header')
  return { ...entry, header: encodeCbor(fields.with(10, kind)) }
}

/** Pushes, waits, and verifies what came. @returns what the relay refused */
async function pushed(world: World, replica: TestReplica, ...entries: readonly Authored[]) {
  const before = replica.rejects.length
  const ref = replica.push(world.space, ...entries)
  await world.relay.deliverAll()
  await replica.follow(world.space)
  // A device that was just removed is told so as well.
  const refused = replica.rejects.slice(before).filter(reject => reject.ref !== 0)
  for (const reject of refused) expect(reject.ref).toBe(ref)
  return refused[0]
}

/** A push of a good entry, this one, and another good one: the first lands, the rest does not. */
async function refusedInTheMiddle(world: World, replica: TestReplica, bad: Authored): Promise<string | undefined> {
  const size = replica.view?.range.size ?? 0
  const document = (digit: string) => digit.repeat(32) as never
  const good = world.entry(replica, world.owner, { document: document('1') })
  const behind = world.entry(replica, world.owner, { document: document('2') })
  const refused = await pushed(world, replica, good, bad, behind)
  expect(refused?.position).toBe(1)
  expect(replica.view?.range.size).toBe(size + 1)
  expect(replica.verified.at(-1)?.hash).toEqual(good.hash)
  return refused?.code
}

describe('a push lands up to its first bad entry, and the rest does not', () => {
  test('entries that are all good land in order, under one note', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const entries = [world.entry(replica), world.entry(replica), world.entry(replica)]
    expect(await pushed(world, replica, ...entries)).toBeUndefined()
    expect(replica.verified.slice(1).map(entry => entry.hash)).toEqual(entries.map(entry => entry.hash))
    expect(replica.syncs.length).toBe(2)
  })

  test.each<[ErrorCode, string, (world: World, replica: TestReplica) => Authored]>([
    ['ERR_STALE_EPOCH', 'of another epoch', (w, r) => w.entry(r, w.owner, { header: { epoch: 1 } })],
    ['ERR_STALE_CHAIN', 'that skips its chain', (w, r) => w.entry(r, w.owner, { header: { seq: 7 } })],
    [
      'ERR_STALE_CHAIN',
      'with another predecessor',
      (w, r) => w.entry(r, w.owner, { header: { seq: 0, prev: sha256() } }),
    ],
    ['ERR_UNAUTHORIZED', 'of a device that is not there', (w, r) => w.entry(r, w.owner, { header: { device: 9 } })],
    ['ERR_INVALID_ENTRY', 'for another space', (w, r) => w.entry(r, w.owner, { header: { space: sha256() } })],
    ['ERR_INVALID_ENTRY', 'that saw the future', (w, r) => w.entry(r, w.owner, { header: { seenSize: 99 } })],
    ['ERR_INVALID_ENTRY', 'that saw another log', (w, r) => w.entry(r, w.owner, { header: { seenRoot: sha256() } })],
    [
      'ERR_INVALID_ENTRY',
      'longer than the policy allows',
      (w, r) => w.entry(r, w.owner, { kind: 'retire', body: Uint8Array.of(1) }),
    ],
    ['ERR_UPGRADE', 'of a kind to come', (w, r) => withKind(w.entry(r), 23)],
    ['ERR_INVALID_ENTRY', 'that is a snapshot of nothing', (w, r) => w.entry(r, w.owner, { kind: 'snapshot' })],
    [
      'ERR_SIGNATURE',
      'signed by somebody else',
      (w, r) => {
        const entry = w.entry(r)
        return { ...entry, signature: signSync(w.environment.random(32), entrySigningInput(entry.hash)) }
      },
    ],
    ['ERR_BODY', 'with another body', (w, r) => ({ ...w.entry(r), body: w.environment.random(60) })],
    ['ERR_BODY', 'with a body cut short', (w, r) => ({ ...w.entry(r), body: new Uint8Array(0) })],
    ['ERR_MALFORMED', 'that is none', (w, r) => ({ ...w.entry(r), header: Uint8Array.of(0x80) })],
    [
      'ERR_MALFORMED',
      'with something behind it',
      (w, r) => ({ ...w.entry(r), header: Uint8Array.of(...w.entry(r).header, 0) }),
    ],
    ['ERR_UPGRADE', 'of a version to come', (w, r) => ({ ...w.entry(r), header: encodeCbor([2, 3]) })],
  ])('%s: an entry %s', async (code, _what, make) => {
    const world = await openWorld()
    const replica = await world.reader()
    expect(await refusedInTheMiddle(world, replica, make(world, replica))).toBe(code)
  })

  test('what stands behind an entry with a wrong signature is judged without it', async () => {
    const world = await openWorld({ delivery: 'manual' })
    const [a, b] = [await world.reader(), await world.reader()]
    const forged = { ...world.entry(a), signature: new Uint8Array(64) }
    const size = a.view?.range.size ?? 0
    a.push(world.space, forged)
    // By the same chain: valid only if the forged one were not in the log.
    world.owner.chains.clear()
    const honest = world.entry(b)
    b.push(world.space, honest)
    while (world.relay.deliverNext('toRelay')) {}
    await world.relay.deliverAll()
    await b.follow(world.space)
    expect(a.rejects.map(reject => reject.code)).toEqual(['ERR_SIGNATURE'])
    expect(b.rejects).toEqual([])
    expect(b.view?.range.size).toBe(size + 1)
    expect(b.verified.at(-1)?.hash).toEqual(honest.hash)
  })

  test('a device that proves no possession of its key is not admitted', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const { random } = world.environment
    const guest = makeDevice(random, 1)
    const thief = { ...guest, seed: random(32) }
    const invite = authorInvite(random, world.owner, world.genesis.hash, thief, { seen: replica.seen })
    expect((await pushed(world, replica, invite))?.code).toBe('ERR_SIGNATURE')
    expect(replica.view?.state?.control.invites.size).toBe(0)
  })

  test('roles: readers and guests do not write', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const { random } = world.environment
    const guest = makeDevice(random, 1)
    const seen = replica.seen
    await pushed(world, replica, authorInvite(random, world.owner, world.genesis.hash, guest, { seen, role: 'reader' }))
    const visitor = await world.reader(guest)
    expect((await pushed(world, visitor, world.entry(visitor, guest)))?.code).toBe('ERR_UNAUTHORIZED')
    const own = makeDevice(random, 2)
    await pushed(world, visitor, authorJoin(random, guest, world.genesis.hash, own, visitor.seen))
    const reader = await world.reader(own)
    expect((await pushed(world, reader, world.entry(reader, own)))?.code).toBe('ERR_UNAUTHORIZED')
  })

  test('a push without entries is refused', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    expect((await pushed(world, replica))?.code).toBe('ERR_MALFORMED')
  })
})

describe('a lost acknowledgement loses nothing: what is in the log already is stale, whatever it did', () => {
  test('changes', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const entries = [world.entry(replica), world.entry(replica), world.entry(replica)]
    await pushed(world, replica, ...entries)
    for (const again of [entries, entries.slice(1), entries.slice(2)]) {
      expect(await pushed(world, replica, ...again)).toMatchObject({ code: 'ERR_STALE_CHAIN', position: 0 })
    }
    expect(replica.view?.range.size).toBe(4)
  })

  test('an entry that ended its own chain', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const first = world.entry(replica)
    const { tag } = decodeHeader(first.header)
    const retire = world.entry(replica, world.owner, { kind: 'retire', body: new Uint8Array(0), header: { tag } })
    expect(await pushed(world, replica, first, retire)).toBeUndefined()
    expect((await pushed(world, replica, retire))?.code).toBe('ERR_STALE_CHAIN')
    // What would go on behind the end is not stale but wrong.
    expect((await pushed(world, replica, world.entry(replica)))?.code).toBe('ERR_INVALID_ENTRY')
  })

  test('a join, whose author it removed', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const { random } = world.environment
    const guest = makeDevice(random, 1)
    await pushed(world, replica, authorInvite(random, world.owner, world.genesis.hash, guest, { seen: replica.seen }))
    const join = authorJoin(random, guest, world.genesis.hash, makeDevice(random, 2), replica.seen)
    expect(await pushed(world, replica, join)).toBeUndefined()
    expect((await pushed(world, replica, join))?.code).toBe('ERR_STALE_CHAIN')
    // Another use of the same invite is no lost acknowledgement.
    guest.chains.clear()
    const second = authorJoin(random, guest, world.genesis.hash, makeDevice(random, 3), replica.seen)
    expect((await pushed(world, replica, second))?.code).toBe('ERR_UNAUTHORIZED')
  })

  test('a genesis', async () => {
    const world = await openWorld()
    const creator = await world.connect()
    creator.push(world.space, world.genesis)
    await world.relay.deliverAll()
    expect(creator.rejects).toMatchObject([{ code: 'ERR_SPACE_EXISTS', position: 0 }])
  })
})

describe('a genesis', () => {
  test('with entries behind it creates a space that has them all', async () => {
    const world = await openWorld()
    const { random } = world.environment
    const device = makeDevice(random)
    const genesis = authorGenesis(random, device, world.relay)
    const creator = await world.connect()
    const ref = creator.push(spaceOf(genesis), genesis, author(random, device, genesis.hash))
    await world.relay.deliverAll()
    expect(creator.syncs.map(sync => sync.ref)).toEqual([ref])
    const view = await creator.follow(spaceOf(genesis))
    expect(view.range.size).toBe(2)
  })

  test.each([
    ['name', (world: World) => ({ name: 'relay.elsewhere', key: world.relay.key })],
    ['key', (world: World) => ({ name: world.relay.name, key: world.owner.signing })],
  ])('that names another relay, by its %s, is refused', async (_what, relayOf) => {
    const world = await openWorld()
    const { random } = world.environment
    const device = makeDevice(random)
    const genesis = authorGenesis(random, device, relayOf(world))
    const creator = await world.connect()
    creator.push(spaceOf(genesis), genesis)
    creator.open(spaceOf(genesis), device)
    await world.relay.deliverAll()
    expect(creator.rejects.map(reject => reject.code)).toEqual(['ERR_RELAY_IDENTITY', 'ERR_UNKNOWN_SPACE'])
  })

  test('does not create a space of another id', async () => {
    const world = await openWorld()
    const { random } = world.environment
    const device = makeDevice(random)
    const genesis = authorGenesis(random, device, world.relay)
    const other = spaceOf(authorGenesis(random, device, world.relay))
    const creator = await world.connect()
    creator.push(other, genesis)
    creator.open(other, device)
    creator.open(spaceOf(genesis), device)
    await world.relay.deliverAll()
    const codes = creator.rejects.map(reject => reject.code).sort()
    expect(codes).toEqual(['ERR_INVALID_ENTRY', 'ERR_UNKNOWN_SPACE', 'ERR_UNKNOWN_SPACE'])
  })

  test('pushed and opened in one go is shown once, by the answer to the opening', async () => {
    const world = await openWorld()
    const { random } = world.environment
    const device = makeDevice(random)
    const genesis = authorGenesis(random, device, world.relay)
    const creator = await world.connect()
    creator.push(spaceOf(genesis), genesis)
    const ref = creator.open(spaceOf(genesis), device)
    await world.relay.deliverAll()
    expect(creator.syncs.map(sync => sync.ref)).toEqual([ref])
    expect((await creator.follow(spaceOf(genesis))).range.size).toBe(1)
  })
})

test('an invite is good until the relay’s clock says that it has expired', async () => {
  const world = await openWorld()
  const replica = await world.reader()
  const { random, now, advance } = world.environment
  const guests = [makeDevice(random, 1), makeDevice(random, 2)]
  for (const guest of guests) {
    const options = { seen: replica.seen, expires: now() + 60_000 }
    await pushed(world, replica, authorInvite(random, world.owner, world.genesis.hash, guest, options))
  }
  const [inTime, late] = guests.map((guest, i) => () => {
    const own = makeDevice(random, 3 + i)
    return authorJoin(random, guest, world.genesis.hash, own, replica.seen)
  })
  advance(60_000)
  expect(await pushed(world, replica, inTime?.() as Authored)).toBeUndefined()
  advance(1)
  expect((await pushed(world, replica, late?.() as Authored))?.code).toBe('ERR_INVITE')
})

test('pushes that arrive together share one transaction and one note', async () => {
  const world = await openWorld({ delivery: 'manual' })
  const readers = [await world.reader(), await world.reader(), await world.reader()]
  for (const [i, reader] of readers.entries()) {
    reader.push(world.space, world.entry(reader, world.owner, { document: `${i + 1}`.repeat(32) as never }))
  }
  while (world.relay.deliverNext('toRelay')) {}
  await world.relay.deliverAll()
  for (const reader of readers) {
    const view = await reader.follow(world.space)
    expect(view.range.size).toBe(4)
    expect(view.head?.size).toBe(4)
    expect(reader.syncs.length).toBe(2)
  }
  const notes = new Set(readers.map(reader => new TextDecoder().decode(reader.syncs[1]?.batch.note)))
  expect(notes.size).toBe(1)
  // The answer to the first push of each socket is the very same stretch.
  expect(readers.map(reader => reader.syncs[1]?.ref)).toEqual([2, 2, 2])
})

test('each push that lands is answered, also where several of one socket share a group', async () => {
  const world = await openWorld({ delivery: 'manual' })
  const replica = await world.reader()
  const refs = [0, 1, 2, 3].map(i => {
    const entry = world.entry(replica)
    return replica.push(world.space, i === 2 ? { ...entry, signature: new Uint8Array(64) } : entry)
  })
  while (world.relay.deliverNext('toRelay')) {}
  await world.relay.deliverAll()
  await replica.follow(world.space)
  expect(replica.view?.range.size).toBe(3)
  const answers = replica.messages.slice(2).map(message => ('ref' in message ? [message.type, message.ref] : []))
  expect(answers).toEqual([
    ['sync', refs[0]],
    ['sync', refs[1]],
    ['reject', refs[2]],
    ['reject', refs[3]],
  ])
})

test('the clock of the notes never goes back, whatever the clock of the relay does', async () => {
  const world = await openWorld()
  const replica = await world.reader()
  await pushed(world, replica, world.entry(replica))
  world.environment.advance(-3_600_000)
  await pushed(world, replica, world.entry(replica))
  const times = replica.syncs.map(sync => parseNote(sync.batch.note).checkpoint.time)
  expect(times[2]).toBe(times[1])
  expect(replica.view?.range.size).toBe(3)
})

test('authors who lag behind each other are proven to have seen the same log', async () => {
  const world = await openWorld()
  const a = await world.reader()
  const own = await admit(world, a)
  const b = await world.reader(own)
  const late = await world.reader()
  for (let i = 0; i < 6; i++) {
    // b has not looked at the log since it joined: its entries name an old size.
    await pushed(world, a, world.entry(a))
    b.push(world.space, world.entry(b, own))
    await world.relay.deliverAll()
    await a.follow(world.space)
  }
  await late.follow(world.space)
  expect(late.view).toEqual(a.view)
  expect(late.syncs.some(sync => sync.batch.seenProofs.length > 0)).toBe(true)
  for (let from = 1; from < (a.view?.range.size ?? 0); from++) {
    const resumed = await world.connect()
    resumed.view = undefined
    resumed.open(world.space, world.owner, from)
    await world.relay.deliverAll()
    expect(resumed.syncs[0]?.batch.from).toBe(from)
  }
})

test('what an author has seen may end within the very group that is judged, if the root is right', async () => {
  const world = await openWorld()
  const replica = await world.reader()
  const first = world.entry(replica)
  const range = appendLeaf((replica.view as LogView).range, first.hash)
  const seen = { size: 2, root: rootOf(range) }
  expect(await pushed(world, replica, first, world.entry(replica, world.owner, { seen }))).toBeUndefined()
  expect(replica.view?.range.size).toBe(3)
  const wrong = { size: 4, root: seen.root }
  const bad = world.entry(replica, world.owner, { seen: wrong })
  world.owner.chains.clear()
  const good = world.entry(replica, world.owner, { document: '5a'.repeat(16) as never })
  expect(await pushed(world, replica, good, bad)).toMatchObject({ code: 'ERR_INVALID_ENTRY', position: 1 })
})

test('a signature over another entry’s hash, and a device’s number in another chain, do not help', async () => {
  const world = await openWorld()
  const a = await world.reader()
  const own = await admit(world, a)
  const b = await world.reader(own)
  // b writes in the owner's name: the actor is the owner's, the signature is not.
  const forged = author(world.environment.random, { ...own, number: 0, chains: new Map() }, world.genesis.hash, {
    seen: b.seen,
  })
  expect((await pushed(world, b, forged))?.code).toBe('ERR_SIGNATURE')
  const header = decodeHeader(forged.header)
  const owners = actorOf(idBytes(world.space), header.document, world.owner.signing, header.incarnation)
  expect(b.verified.some(entry => entry.actor === owners)).toBe(false)
  const encoded = encodeHeader(header)
  expect(entryHash(encoded)).toEqual(forged.hash)
})
