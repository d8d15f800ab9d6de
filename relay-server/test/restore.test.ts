import {
  type Anchor,
  advance,
  assertChecks,
  type DocumentId,
  decodeHeader,
  emptyView,
  encodeNote,
  encodeNoteText,
  generateSeed,
  INLINE_BODY_LENGTH,
  nobleSigningKey,
  nobleVerifier,
  noteKeyHash,
  type PushEntry,
  parseNote,
  type SpaceId,
  sha256,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import type { Limits } from '../src/limits.ts'
import type { LogRecord } from '../src/log-record.ts'
import type { LogStore } from '../src/log-store.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { placeFor, type Restorer } from '../src/restoration-places.ts'
import { cosigned } from './helpers/answers.ts'
import { filler, pushEntryOf, type TestDevice } from './helpers/authoring.ts'
import { TestReplica } from './helpers/replica.ts'
import { setBackStore } from './helpers/set-back.ts'
import { admit, openWorld } from './helpers/world.ts'

const NOTES = 'd1'.repeat(16) as DocumentId
/** Entries that are left, and all that there were: a member joined in between. */
const LEFT = 4
const ALL = 14

const STORES: Readonly<Record<string, () => LogStore>> = {
  memory: memoryLogStore,
  SQLite: () => sqliteLogStore(':memory:'),
}

interface LossOptions {
  readonly fresh?: () => LogStore
  readonly limits?: Partial<Limits>
  /** The relay still knows what it signed. */
  readonly keepHead?: boolean
  readonly left?: number
  readonly addressOf?: (url: string) => string | undefined
  readonly body?: (i: number) => Uint8Array
}

/** A relay that has lost the end of a log, which a replica has. */
async function loss(options: LossOptions = {}) {
  const { fresh = memoryLogStore, limits = {}, keepHead = false, left = LEFT, addressOf, body } = options
  const records: LogRecord[] = []
  const store = setBackStore(fresh)
  const log = (record: LogRecord): void => void records.push(record)
  const world = await openWorld({ store, limits, log, ...(addressOf === undefined ? {} : { addressOf }) })
  const { space, owner, relay, environment } = world
  const replica = await world.reader()
  let written = 0
  const put = (writer: TestReplica, whole: Uint8Array): void => {
    for (let offset = 0; offset < whole.length; offset += INLINE_BODY_LENGTH) {
      const bytes = whole.subarray(offset, offset + INLINE_BODY_LENGTH)
      const part = { space, hash: sha256(whole), length: whole.length, offset, bytes }
      writer.send({ type: 'put-body', ref: writer.ref(), ...part })
    }
  }
  const write = async (device: TestDevice, count: number): Promise<void> => {
    const writer = device === owner ? replica : await world.reader(device)
    const entries = Array.from({ length: count }, () =>
      world.entry(writer, device, { document: NOTES, ...(body === undefined ? {} : { body: body(written++) }) }),
    )
    const inline = entries.map(pushEntryOf).map(entry => {
      if ((entry.body?.length ?? 0) <= INLINE_BODY_LENGTH) return entry
      put(writer, entry.body as Uint8Array)
      return { ...entry, body: undefined }
    })
    writer.send({ type: 'push', ref: writer.ref(), space, entries: inline })
    await relay.deliverAll()
    expect(writer.rejects).toEqual([])
    if (writer !== replica) writer.close()
    await replica.follow(space)
  }
  await write(owner, 3)
  await write(owner, 2)
  const joined = await admit(world, replica)
  await write(owner, 2)
  await write(joined, 3)
  await write(owner, 1)
  expect(replica.view?.range.size).toBe(ALL)
  const note = replica.syncs.at(-1)?.batch.note as Uint8Array
  const lost = entriesOf(replica)
  relay.stop()
  await store.setBack(space, left, keepHead)
  relay.restart()
  const signed = replica.syncs.map(sync => parseNote(sync.batch.note).checkpoint)
  environment.advance(60_000)
  return { world, store, records, note, lost: lost.slice(left), joined, signed, replica }
}

/** The log as a replica has it that took it in by the messages it got: signatures only where they were due. */
function entriesOf(replica: TestReplica): readonly PushEntry[] {
  return replica.syncs.flatMap(({ batch }) =>
    batch.entries.map(({ header, signature, body }) => ({ header, signature: signature ?? new Uint8Array(64), body })),
  )
}

interface Part {
  readonly note: Uint8Array
  readonly from?: number
  readonly entries: readonly PushEntry[]
  readonly more?: boolean
}

type Loss = Awaited<ReturnType<typeof loss>>

/** @returns the code of the refusal, undefined where the part was taken */
async function give({ world }: Loss, replica: TestReplica, part: Part): Promise<string | undefined> {
  const ref = replica.ref()
  replica.send({ type: 'restore', ref, space: world.space, from: LEFT, more: false, ...part })
  await world.relay.deliverAll()
  const refused = replica.rejects.find(reject => reject.ref === ref)
  const taken = replica.messages.some(message => message.type === 'received' && message.ref === ref)
  expect(taken).toBe(refused === undefined)
  return refused?.code
}

async function opened({ world }: Loss, from: number, device = world.owner) {
  const replica = await world.connect()
  replica.open(world.space, device, from)
  await world.relay.deliverAll()
  return replica
}

/** The whole log, against every note that was ever shown. */
async function readAll({ world, signed }: Loss) {
  const anchors = new Map<number, Anchor>(signed.map(({ size, root }) => [size, { size, root }]))
  const reader = await opened({ world } as Loss, 0)
  expect(reader.rejects).toEqual([])
  let view = emptyView(world.space, world.relay, [...anchors.values()])
  for (const { batch } of reader.syncs) {
    const advanced = advance(view, batch)
    await assertChecks(nobleVerifier, advanced.checks)
    view = advanced.view
  }
  return view
}

describe.each(Object.entries(STORES))('a relay over %s that was set back to an older copy', (_name, fresh) => {
  test('says that it is behind, takes back what it lost in parts, and goes on', async () => {
    const lossy = await loss({ fresh })
    const { world, lost, note } = lossy
    const member = await opened(lossy, ALL)
    expect(member.rejects).toMatchObject([{ code: 'ERR_RELAY_BEHIND', position: LEFT }])
    expect(member.syncs).toEqual([])
    expect(await give(lossy, member, { note, entries: lost.slice(0, 6), more: true })).toBeUndefined()
    expect(await give(lossy, member, { note, from: LEFT + 6, entries: lost.slice(6) })).toBeUndefined()
    const view = await readAll(lossy)
    expect(view.range).toEqual(lossy.replica.view?.range)
    expect(view.state?.control).toEqual(lossy.replica.view?.state?.control)
    // The note that was there before, not another one.
    expect((await lossy.store.readHead(world.space))?.size).toBe(ALL)
    const writer = await world.reader()
    writer.push(world.space, world.entry(writer, world.owner, { document: NOTES }))
    await world.relay.deliverAll()
    expect((await writer.follow(world.space)).range.size).toBe(ALL + 1)
    world.relay.restart()
    expect((await readAll(lossy)).range.size).toBe(ALL + 1)
    const events = lossy.records.map(record => record.event)
    expect(events).toEqual(['relay-behind', 'restore-begun', 'restored'])
  })

  test('and still knows what it signed: it serves, takes and signs nothing before it has all of it again (R-RESTORE-3)', async () => {
    const lossy = await loss({ fresh, keepHead: true })
    const { world, lost, note, store, joined } = lossy
    for (const from of [0, LEFT, ALL]) {
      const reader = await opened(lossy, from)
      expect(reader.rejects).toMatchObject([{ code: 'ERR_RELAY_BEHIND', position: LEFT }])
      expect(reader.syncs).toEqual([])
    }
    // Admitted in what is lost, and told so rather than turned away.
    const member = await opened(lossy, ALL, joined)
    expect(member.rejects.map(reject => reject.code)).toEqual(['ERR_RELAY_BEHIND'])
    member.push(world.space, world.genesis)
    await world.relay.deliverAll()
    expect(member.rejects.at(-1)?.code).toBe('ERR_RELAY_BEHIND')
    expect((await store.readHead(world.space))?.size).toBe(ALL)
    expect((await store.readSpace(world.space))?.size).toBe(LEFT)
    world.relay.restart()
    const again = await opened(lossy, ALL, joined)
    expect(again.rejects.map(reject => reject.code)).toEqual(['ERR_RELAY_BEHIND'])
    expect(await give(lossy, again, { note, entries: lost })).toBeUndefined()
    expect((await readAll(lossy)).range.size).toBe(ALL)
    expect(lossy.records.filter(record => record.event === 'relay-behind').length).toBe(2)
  })
})

describe('what is given back is the very log that was signed, or nothing changes (R-RESTORE-1, R-RESTORE-2)', () => {
  const strangerKey = nobleSigningKey(generateSeed(length => new Uint8Array(length).fill(7)))

  async function noteBy(note: Uint8Array, space: SpaceId, relayName: string): Promise<Uint8Array> {
    const { checkpoint } = parseNote(note)
    const other = { ...checkpoint, origin: `${relayName}/${space}` }
    const signature = await strangerKey.sign(encodeNoteText(other))
    const keyHash = noteKeyHash(other.origin, strangerKey.publicKey)
    return encodeNote(other, [{ name: other.origin, keyHash, signature }])
  }

  function flipped(bytes: Uint8Array, at = bytes.length - 40): Uint8Array {
    return bytes.with(at, (bytes[at] as number) ^ 1)
  }

  function replaced(entries: readonly PushEntry[], at: number, change: Partial<PushEntry>): readonly PushEntry[] {
    return entries.map((entry, i) => (i === at ? { ...entry, ...change } : entry))
  }

  const controlAt = (lost: readonly PushEntry[]): number =>
    lost.findIndex(({ header }) => decodeHeader(header).kind === 'control')

  const LIES: Readonly<Record<string, readonly [code: string, part: (lossy: Loss) => Part | Promise<Part>]>> = {
    'a note by another key': [
      'ERR_SIGNATURE',
      async ({ note, lost, world }) => ({ note: await noteBy(note, world.space, world.relay.name), entries: lost }),
    ],
    'a note about another space': [
      'ERR_SIGNATURE',
      async ({ note, lost, world }) => ({
        note: await noteBy(note, 'ab'.repeat(32) as SpaceId, world.relay.name),
        entries: lost,
      }),
    ],
    'a note with a changed size': [
      'ERR_SIGNATURE',
      ({ note, lost }) => ({
        note: new TextEncoder().encode(new TextDecoder().decode(note).replace(`\n${ALL}\n`, `\n${ALL - 1}\n`)),
        entries: lost.slice(0, -1),
      }),
    ],
    'no note at all': ['ERR_SIGNATURE', ({ lost }) => ({ note: new Uint8Array(0), entries: lost })],
    'a changed header': [
      'ERR_INVALID_ENTRY',
      ({ note, lost }) => ({
        note,
        entries: replaced(lost, 1, { header: flipped(lost[1]?.header as Uint8Array, 30) }),
      }),
    ],
    'two entries swapped': [
      'ERR_INVALID_ENTRY',
      ({ note, lost }) => ({ note, entries: [lost[1], lost[0], ...lost.slice(2)] as PushEntry[] }),
    ],
    'a control entry without its body': [
      'ERR_BODY',
      ({ note, lost }) => ({ note, entries: replaced(lost, controlAt(lost), { body: undefined }) }),
    ],
    'another body': [
      'ERR_BODY',
      ({ note, lost }) => ({ note, entries: replaced(lost, 0, { body: flipped(lost[0]?.body as Uint8Array) }) }),
    ],
    'a control entry without its signature': [
      'ERR_SIGNATURE',
      ({ note, lost }) => ({ note, entries: replaced(lost, controlAt(lost), { signature: new Uint8Array(64) }) }),
    ],
    'a chain that no signature covers': [
      'ERR_SIGNATURE',
      ({ note, lost }) => ({ note, entries: replaced(lost, lost.length - 1, { signature: new Uint8Array(64) }) }),
    ],
    'a wrong signature where none is due': [
      'ERR_SIGNATURE',
      ({ note, lost }) => {
        const at = lost.findIndex(({ signature }) => signature.every(byte => byte === 0))
        expect(at).toBeGreaterThanOrEqual(0)
        return { note, entries: replaced(lost, at, { signature: filler(64) }) }
      },
    ],
    'an entry too few': ['ERR_UNEXPECTED', ({ note, lost }) => ({ note, entries: lost.slice(0, -1) })],
    'an entry too many': ['ERR_UNEXPECTED', ({ note, lost }) => ({ note, entries: [...lost, ...lost.slice(-1)] })],
    'a part from another place': ['ERR_RELAY_BEHIND', ({ note, lost }) => ({ note, from: LEFT + 1, entries: lost })],
    'what is no entry': [
      'ERR_MALFORMED',
      ({ note }) => ({ note, entries: [{ header: filler(9), signature: filler(64), body: undefined }] }),
    ],
  }

  test.each(Object.entries(LIES))('%s', async (_name, [code, part]) => {
    const lossy = await loss({ keepHead: true })
    const { world, store, lost, note } = lossy
    const before = await store.readSpace(world.space)
    const liar = await world.connect()
    expect(await give(lossy, liar, await part(lossy))).toBe(code)
    // A note of a larger log, that much is sure, was signed: nothing is appended below it.
    expect(await store.readSpace(world.space)).toMatchObject({ ...before, floor: expect.any(Number) })
    expect((await opened(lossy, 0)).rejects.map(reject => reject.code)).toEqual(['ERR_RELAY_BEHIND'])
    // And it still takes the truth.
    expect(await give(lossy, liar, { note, entries: lost })).toBeUndefined()
    expect((await readAll(lossy)).range.size).toBe(ALL)
  })

  test('a note of a smaller log than the relay knows it has signed', async () => {
    const lossy = await loss({ keepHead: true })
    const notes = lossy.replica.syncs.map(sync => sync.batch.note)
    const smaller = notes.find(note => parseNote(note).checkpoint.size === 8) as Uint8Array
    const member = await lossy.world.connect()
    const entries = lossy.lost.slice(0, 8 - LEFT)
    expect(await give(lossy, member, { note: smaller, entries })).toBe('ERR_RELAY_BEHIND')
    expect(member.rejects.at(-1)?.position).toBe(LEFT)
    // A relay that knows of no larger one takes it; then the rest is restored on top of that.
    const other = await loss()
    const giver = await other.world.connect()
    expect(await give(other, giver, { note: smaller, entries: other.lost.slice(0, 8 - LEFT) })).toBeUndefined()
    expect(await give(other, giver, { note: other.note, entries: other.lost })).toBe('ERR_RELAY_BEHIND')
    expect(giver.rejects.at(-1)?.position).toBe(8)
    const rest = other.lost.slice(8 - LEFT)
    expect(await give(other, giver, { note: other.note, from: 8, entries: rest })).toBeUndefined()
    expect((await readAll(other)).range.size).toBe(ALL)
  })

  test('more than the limit, with a gap between parts, or after the connection was lost', async () => {
    const lossy = await loss({ limits: { stagedBytesPerSocket: 8000 }, body: () => filler(300) })
    const { note, lost, world } = lossy
    const member = await world.connect()
    expect(await give(lossy, member, { note, entries: lost })).toBe('ERR_LIMIT')
    const roomy = await loss()
    const giver = await roomy.world.connect()
    const part = { note: roomy.note, entries: roomy.lost.slice(0, 3), more: true }
    expect(await give(roomy, giver, part)).toBeUndefined()
    const gap = { note: roomy.note, from: LEFT + 4, entries: roomy.lost.slice(4) }
    expect(await give(roomy, giver, gap)).toBe('ERR_RELAY_BEHIND')
    expect(giver.rejects.at(-1)?.position).toBe(LEFT)
    expect(await give(roomy, giver, part)).toBeUndefined()
    giver.close()
    await roomy.world.relay.deliverAll()
    const next = await roomy.world.connect()
    const rest = { note: roomy.note, from: LEFT + 3, entries: roomy.lost.slice(3) }
    expect(await give(roomy, next, rest)).toBe('ERR_RELAY_BEHIND')
    expect(await give(roomy, next, { note: roomy.note, entries: roomy.lost })).toBeUndefined()
  })

  test('nothing is given to a relay that has lost nothing', async () => {
    const lossy = await loss({ left: ALL })
    const member = await lossy.world.connect()
    const entries = entriesOf(lossy.replica).slice(LEFT)
    expect(await give(lossy, member, { note: lossy.note, entries })).toBe('ERR_UNEXPECTED')
    expect((await opened(lossy, 0)).rejects).toEqual([])
  })
})

test('of two who give back at the same time, the second waits, and then finds nothing missing (R-RESTORE-5)', async () => {
  const lossy = await loss()
  const { world, lost, note } = lossy
  const first = await world.connect()
  const second = await world.connect()
  expect(await give(lossy, first, { note, entries: lost.slice(0, 2), more: true })).toBeUndefined()
  expect(await give(lossy, second, { note, entries: lost })).toBe('ERR_RATE_LIMITED')
  expect(second.rejects.at(-1)?.retryAfter).toBeGreaterThan(0)
  expect(await give(lossy, first, { note, from: LEFT + 2, entries: lost.slice(2) })).toBeUndefined()
  expect(await give(lossy, second, { note, entries: lost })).toBe('ERR_UNEXPECTED')
  expect((await readAll(lossy)).range.size).toBe(ALL)
})

test('one who begins and does not go on makes way after a while (R-RESTORE-5)', async () => {
  const lossy = await loss()
  const { world, lost, note } = lossy
  const first = await world.connect()
  expect(await give(lossy, first, { note, entries: lost.slice(0, 2), more: true })).toBeUndefined()
  world.environment.advance(61_000)
  const second = await world.connect()
  expect(await give(lossy, second, { note, entries: lost })).toBeUndefined()
  expect((await readAll(lossy)).range.size).toBe(ALL)
})

describe('whoever holds a place and brings nothing keeps nobody from restoring (R-RESTORE-5)', () => {
  const HOLDER = 'ws://203.0.113.66'
  const MEMBER = 'ws://198.51.100.4'

  /** Its address is the host of the URL. */
  async function from({ world }: Loss, url: string): Promise<TestReplica> {
    const replica = new TestReplica(world.relay, url)
    await world.relay.deliverAll()
    return replica
  }

  test('with one connection: another has a place of its own after ten seconds', async () => {
    const lossy = await loss()
    const { world, lost, note } = lossy
    const holder = await world.connect()
    const member = await world.connect()
    const begin = { note, entries: lost.slice(0, 2), more: true }
    expect(await give(lossy, holder, { note, entries: [], more: true })).toBeUndefined()
    expect(await give(lossy, member, begin)).toBe('ERR_RATE_LIMITED')
    const { retryAfter } = member.rejects.at(-1) ?? {}
    expect(retryAfter).toBe(5000)
    world.environment.advance(5000)
    expect(await give(lossy, member, begin)).toBe('ERR_RATE_LIMITED')
    world.environment.advance(5000)
    expect(await give(lossy, member, begin)).toBeUndefined()
    // Neither is in the way of the other.
    expect(await give(lossy, holder, { note, entries: lost.slice(0, 1), more: true })).toBeUndefined()
    expect(await give(lossy, member, { note, from: LEFT + 2, entries: lost.slice(2) })).toBeUndefined()
    expect((await readAll(lossy)).range.size).toBe(ALL)
    expect(await give(lossy, holder, { note, from: LEFT + 1, entries: lost.slice(1) })).toBe('ERR_UNEXPECTED')
  })

  test('with any number of connections from one address, and as much noise as it likes', async () => {
    const limits = { failuresPerAddress: 0 }
    const addressOf = (url: string): string => new URL(url).hostname
    const lossy = await loss({ limits, addressOf })
    const { world, lost, note } = lossy
    const noise = lost.map(entry => ({ ...entry, body: undefined }))
    for (let i = 0; i < 8; i++) {
      const holder = await from(lossy, HOLDER)
      // It is itself that it drives out, if anybody.
      const taken = await give(lossy, holder, { note, entries: noise.slice(0, 1), more: true })
      expect(taken).toBe(i % 2 === 0 ? undefined : 'ERR_RATE_LIMITED')
      world.environment.advance(i % 2 === 0 ? 5000 : 6000)
    }
    expect(await give(lossy, await from(lossy, MEMBER), { note, entries: lost })).toBeUndefined()
    expect((await readAll(lossy)).range.size).toBe(ALL)
  })

  test('with connections from everywhere: the slowest of them makes way, time and again', async () => {
    const lossy = await loss()
    const { world, lost, note } = lossy
    const holders: TestReplica[] = []
    for (let i = 0; i < 4; i++) {
      const holder = await world.connect()
      expect(await give(lossy, holder, { note, entries: lost.slice(0, i), more: true })).toBeUndefined()
      holders.push(holder)
      world.environment.advance(10_000)
    }
    const member = await world.connect()
    expect(await give(lossy, member, { note, entries: lost.slice(0, 5), more: true })).toBeUndefined()
    // Who made way has to begin anew, and takes the place of the next slowest for that, not of the one who is at it.
    expect(
      await give(lossy, holders[3] as TestReplica, { note, from: LEFT + 3, entries: [], more: true }),
    ).toBeUndefined()
    expect(await give(lossy, holders[0] as TestReplica, { note, entries: [], more: true })).toBeUndefined()
    expect(await give(lossy, holders[1] as TestReplica, { note, from: LEFT + 1, entries: [], more: true })).toBe(
      'ERR_RELAY_BEHIND',
    )
    expect(await give(lossy, member, { note, from: LEFT + 5, entries: lost.slice(5) })).toBeUndefined()
    expect((await readAll(lossy)).range.size).toBe(ALL)
  })

  test('who brings enough is not displaced by those who bring less, but not for ever', () => {
    const place = (by: Restorer, begun: number, time: number, length: number) => ({ by, begun, time, length })
    const minutes = (count: number): number => count * 60_000
    const one = (): Restorer => ({ address: undefined })
    const enough = 40_000 * 60 * 20
    const four = (time: number) => Array.from({ length: 4 }, () => place(one(), 0, time, enough))
    expect(() => placeFor(four(minutes(10)), one(), minutes(10))).toThrow('ERR_RATE_LIMITED')
    expect(placeFor(four(minutes(15)), one(), minutes(15))).toBeDefined()
    expect(placeFor(four(minutes(8)), one(), minutes(9))).toBeDefined()
    const slow = place(one(), 0, minutes(10), 1000)
    expect(placeFor([...four(minutes(10)).slice(1), slow], one(), minutes(10))).toBe(slow)
    // Of its own address, one that brings enough stays as well.
    const own = place({ address: 'a' }, 0, minutes(1), enough)
    expect(() => placeFor([own], { address: 'a' }, minutes(1))).toThrow('ERR_RATE_LIMITED')
    expect(placeFor([own], { address: 'b' }, minutes(1))).toBeUndefined()
  })
})

test('of two whose last parts come together, one restores and the other finds nothing missing', async () => {
  const lossy = await loss()
  const { world, lost, note, records } = lossy
  const first = await world.connect()
  const second = await world.connect()
  expect(await give(lossy, first, { note, entries: [], more: true })).toBeUndefined()
  world.environment.advance(10_000)
  expect(await give(lossy, second, { note, entries: [], more: true })).toBeUndefined()
  for (const each of [first, second]) {
    each.send({ type: 'restore', ref: each.ref(), space: world.space, note, from: LEFT, entries: lost, more: false })
  }
  await world.relay.deliverAll()
  expect([...first.rejects, ...second.rejects].map(({ code }) => code)).toEqual(['ERR_UNEXPECTED'])
  expect((await readAll(lossy)).range.size).toBe(ALL)
  expect(records.map(({ event }) => event)).not.toContain('restore-refused')
})

test('parts that are given back one by one stay together, though nobody else holds the space', async () => {
  // A space that nobody holds is forgotten at once.
  const lossy = await loss({ limits: { idleSpaces: 0 } })
  const { world, lost, note } = lossy
  const member = await world.connect()
  for (let i = 0; i < lost.length; i++) {
    const part = { note, from: LEFT + i, entries: lost.slice(i, i + 1), more: i < lost.length - 1 }
    expect(await give(lossy, member, part)).toBeUndefined()
  }
  expect((await readAll(lossy)).range.size).toBe(ALL)
})

test('what was begun over and over takes no room from those who come next (R-RESTORE-5)', async () => {
  const lossy = await loss({ limits: { idleSpaces: 0, stagedBytes: 20_000 } })
  const { world, lost, note } = lossy
  const member = await world.connect()
  for (let i = 0; i < 16; i++) {
    expect(await give(lossy, member, { note, entries: lost.slice(0, 3), more: true })).toBeUndefined()
  }
  world.environment.advance(10_000)
  const next = await world.connect()
  expect(await give(lossy, next, { note, entries: lost })).toBeUndefined()
  expect((await readAll(lossy)).range.size).toBe(ALL)
})

test('bodies that nobody has any more are not stored, and whoever asks for one learns that (R-RESTORE-6)', async () => {
  const lossy = await loss()
  const { world, lost, note } = lossy
  const entries = lost.map(entry =>
    decodeHeader(entry.header).kind === 'control' ? entry : { ...entry, body: undefined },
  )
  expect(await give(lossy, await world.connect(), { note, entries })).toBeUndefined()
  expect((await readAll(lossy)).range.size).toBe(ALL)
  const reader = await opened(lossy, 0)
  const sent = reader.syncs.flatMap(({ batch }) => batch.entries)
  expect(sent.map(({ body }) => body !== undefined).slice(0, LEFT)).toEqual([true, true, true, true])
  expect(sent.slice(LEFT).filter(({ body }) => body !== undefined).length).toBe(2)
  const ref = reader.ref()
  reader.send({ type: 'get-body', ref, space: world.space, index: LEFT, offset: 0 })
  await world.relay.deliverAll()
  expect(reader.rejects).toMatchObject([{ ref, code: 'ERR_BODY' }])
})

test('a signature that no replica kept is made up for by the next of its chain, wherever the log is cut', async () => {
  // Of each push the last entry came with a signature; four bodies fill a message, so one would end before it.
  const lossy = await loss({ body: () => filler(240_000) })
  const { world, lost, note } = lossy
  expect(lost[0]?.signature.every(byte => byte === 0)).toBe(true)
  const member = await world.connect()
  for (let i = 0; i < lost.length; i += 3) {
    const part = { note, from: LEFT + i, entries: lost.slice(i, i + 3), more: i + 3 < lost.length }
    expect(await give(lossy, member, part)).toBeUndefined()
  }
  expect((await readAll(lossy)).range.size).toBe(ALL)
})

test('a body too long for the message is uploaded between the parts', async () => {
  const large = filler(INLINE_BODY_LENGTH + 5)
  const lossy = await loss({ body: i => (i === LEFT - 1 ? large : filler(20)) })
  const { world, lost, note } = lossy
  const member = await world.connect()
  const { bodyHash: hash } = decodeHeader(lost[0]?.header as Uint8Array)
  const put = (offset: number) => {
    const bytes = large.subarray(offset, offset + INLINE_BODY_LENGTH)
    member.send({ type: 'put-body', ref: member.ref(), space: world.space, hash, length: large.length, offset, bytes })
  }
  put(0)
  await world.relay.deliverAll()
  expect(member.rejects.map(reject => reject.code)).toEqual(['ERR_UNAUTHORIZED'])
  expect(await give(lossy, member, { note, entries: [], more: true })).toBeUndefined()
  put(0)
  put(INLINE_BODY_LENGTH)
  expect(await give(lossy, member, { note, entries: lost })).toBeUndefined()
  const stored = await lossy.store.readBody(world.space, LEFT, 0, large.length)
  expect(stored).toEqual(large)
})

describe('a relay that learns from a member what it has lost', () => {
  test('stops at once; who read it already gets the rest when it is back', async () => {
    const lossy = await loss()
    const { world, lost, note, signed } = lossy
    const reader = await world.reader()
    expect(reader.view?.range.size).toBe(LEFT)
    const ref = reader.ref()
    const shown = await cosigned(note, world.space, world.owner)
    reader.send({ type: 'cosign', ref, space: world.space, note: shown })
    await world.relay.deliverAll()
    expect(reader.rejects).toMatchObject([{ ref, code: 'ERR_RELAY_BEHIND', position: LEFT }])
    reader.pull(world.space)
    reader.push(world.space, world.entry(reader))
    await world.relay.deliverAll()
    expect(reader.rejects.slice(1).map(reject => reject.code)).toEqual(['ERR_RELAY_BEHIND', 'ERR_RELAY_BEHIND'])
    expect(await give(lossy, await world.connect(), { note, entries: lost })).toBeUndefined()
    expect((await reader.follow(world.space)).range.size).toBe(ALL)
    expect(signed.at(-1)?.root).toEqual(reader.view?.head?.root)
  })

  test('never signs an earlier time than it has since: the restored log gets a note of its own', async () => {
    const lossy = await loss()
    const { world, lost, note } = lossy
    const reader = await world.reader()
    const { time } = reader.view?.head ?? { time: 0 }
    expect(time).toBeGreaterThan(parseNote(note).checkpoint.time)
    expect(await give(lossy, await world.connect(), { note, entries: lost })).toBeUndefined()
    const view = await reader.follow(world.space)
    expect(view.range.size).toBe(ALL)
    expect(view.head?.time).toBeGreaterThanOrEqual(time)
  })

  test('a head that somebody merely claims stops nothing (R-RESTORE-4)', async () => {
    const lossy = await loss()
    const { world } = lossy
    const member = await opened(lossy, 2 ** 53 - 1)
    expect(member.rejects.map(reject => reject.code)).toEqual(['ERR_RELAY_BEHIND'])
    const writer = await world.reader()
    writer.push(world.space, world.entry(writer, world.owner, { document: 'd9'.repeat(16) as DocumentId }))
    await world.relay.deliverAll()
    expect((await writer.follow(world.space)).range.size).toBe(LEFT + 1)
  })

  test('and has already signed another log in its place, takes nothing that does not fit', async () => {
    const lossy = await loss()
    const { world, lost, note, records, replica } = lossy
    const other = 'd9'.repeat(16) as DocumentId
    const writer = await world.reader()
    writer.push(world.space, world.entry(writer, world.owner, { document: other }))
    await world.relay.deliverAll()
    const member = await world.connect()
    const rest = { note, from: LEFT + 1, entries: lost.slice(1) }
    expect(await give(lossy, member, rest)).toBe('ERR_INVALID_ENTRY')
    expect(records.at(-1)?.reason).toContain(`not the log that was signed for size ${ALL}`)
    expect((await opened(lossy, 0)).rejects.map(reject => reject.code)).toEqual(['ERR_RELAY_BEHIND'])
    // A note of the lost log that is not larger than the one in its place.
    const twin = await loss()
    const reader = await twin.world.reader()
    const entries = [1, 2].map(() => twin.world.entry(reader, twin.world.owner, { document: other }))
    reader.push(twin.world.space, ...entries)
    await twin.world.relay.deliverAll()
    const notes = replica.syncs.map(sync => sync.batch.note)
    const older = notes.find(bytes => parseNote(bytes).checkpoint.size === LEFT + 2) as Uint8Array
    const ref = reader.ref()
    const shown = await cosigned(older, world.space, world.owner)
    reader.send({ type: 'cosign', ref, space: world.space, note: shown })
    await twin.world.relay.deliverAll()
    expect(reader.rejects).toMatchObject([{ ref, code: 'ERR_UNEXPECTED' }])
    expect(twin.records.at(-1)?.event).toBe('signed-another-log')
  })
})
