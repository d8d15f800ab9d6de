import {
  advance,
  CONTROL_DOCUMENT,
  type DocumentId,
  decodeHeader,
  MAX_WANTS,
  parseNote,
  type Sync,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import type { EntryOptions, TestDevice } from './helpers/authoring.ts'
import type { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

const WANTED = 'd1'.repeat(16) as DocumentId
const OTHER = 'd2'.repeat(16) as DocumentId
const THIRD = 'd3'.repeat(16) as DocumentId

async function sparseReader(world: World, from = 0, before?: TestReplica): Promise<TestReplica> {
  const replica = await world.connect()
  replica.view = before?.view
  replica.open(world.space, world.owner, from, [WANTED])
  await world.relay.deliverAll()
  await replica.follow(world.space)
  return replica
}

async function write(
  world: World,
  replica: TestReplica,
  documents: readonly DocumentId[],
  device: TestDevice = world.owner,
  options: EntryOptions = {},
): Promise<void> {
  const entries = documents.map(document => world.entry(replica, device, { ...options, document }))
  replica.push(world.space, ...entries)
  await world.relay.deliverAll()
  await replica.follow(world.space)
}

/** Of which documents bodies came. */
function bodiesIn(syncs: readonly Sync[]): ReadonlySet<DocumentId> {
  const documents = new Set<DocumentId>()
  for (const { batch } of syncs) {
    for (const { header, body } of batch.entries) if (body !== undefined) documents.add(decodeHeader(header).document)
  }
  return documents
}

function entriesIn(syncs: readonly Sync[]): number {
  return syncs.reduce((sum, { batch }) => sum + batch.entries.length, 0)
}

describe('a sparse reader', () => {
  test('gets all headers, bodies of control entries and of what it wants, and can verify each transition (R-SPARSE-2, R-TRACER-6)', async () => {
    const world = await openWorld()
    const writer = await world.reader()
    await write(world, writer, [WANTED, OTHER, WANTED])
    const sparse = await sparseReader(world)
    expect(sparse.syncs[0]?.batch.tracer).toBeUndefined()
    const guest = await admit(world, writer)
    // Live: known and new documents, known and new actors, one by one and in groups.
    await write(world, writer, [OTHER])
    await write(world, writer, [THIRD, WANTED, OTHER, OTHER])
    await write(world, writer, [OTHER, WANTED], guest)
    await sparse.follow(world.space)
    expect(sparse.view?.range).toEqual(writer.view?.range)
    expect(sparse.view?.head).toEqual(writer.view?.head)
    expect(entriesIn(sparse.syncs)).toBe(writer.view?.range.size)
    expect(bodiesIn(sparse.syncs)).toEqual(new Set([CONTROL_DOCUMENT, WANTED]))
    expect(sparse.syncs.slice(1).every(sync => sync.batch.tracer !== undefined)).toBe(true)
    expect(writer.syncs.every(sync => sync.batch.tracer === undefined)).toBe(true)
    expect(bodiesIn(writer.syncs)).toEqual(new Set([CONTROL_DOCUMENT, WANTED, OTHER, THIRD]))
  })

  test('cannot do without the tracer, nor with that of another part', async () => {
    const world = await openWorld()
    const writer = await world.reader()
    await write(world, writer, [WANTED, OTHER])
    const sparse = await sparseReader(world)
    await write(world, writer, [OTHER])
    await write(world, writer, [THIRD])
    const [first, second] = sparse.syncs.slice(1).map(sync => sync.batch)
    const view = sparse.view
    if (view === undefined || first === undefined || second === undefined) throw new Error('expected two parts')
    for (const tracer of [undefined, second.tracer]) {
      expect(() => advance(view, { ...first, tracer })).toThrow(expect.objectContaining({ code: 'ERR_PROOF' }))
    }
    await sparse.follow(world.space)
    expect(sparse.view?.range.size).toBe(5)
  })

  test('gets its own entry as the answer to its push, and the current note as that to a pull', async () => {
    const world = await openWorld()
    const sparse = await sparseReader(world)
    const pushed = sparse.push(world.space, world.entry(sparse, world.owner, { document: OTHER }))
    await world.relay.deliverAll()
    const pulled = sparse.pull(world.space)
    await world.relay.deliverAll()
    await sparse.follow(world.space)
    expect(sparse.syncs.map(sync => [sync.ref, sync.batch.from, sync.batch.entries.length])).toEqual([
      [1, 0, 1],
      [pushed, 1, 1],
      [pulled, 2, 0],
    ])
  })

  test('comes back after long and goes on from where it was', async () => {
    const world = await openWorld()
    const writer = await world.reader()
    await write(world, writer, [WANTED, OTHER])
    const before = await sparseReader(world)
    before.close()
    const guest = await admit(world, writer)
    for (let i = 0; i < 4; i++) {
      await write(world, writer, [OTHER, WANTED, THIRD])
      await write(world, writer, [THIRD, OTHER], guest)
    }
    const after = await sparseReader(world, before.view?.range.size, before)
    expect(after.view?.range).toEqual(writer.view?.range)
    expect(after.view?.head?.stateRoot).toEqual(writer.view?.head?.stateRoot)
    expect(bodiesIn(after.syncs)).toEqual(new Set([CONTROL_DOCUMENT, WANTED]))
  })

  test('names no more documents than a message may', async () => {
    const world = await openWorld()
    const replica = await world.connect()
    const wants = Array.from({ length: MAX_WANTS + 1 }, (_, i) => i.toString(16).padStart(32, '1') as DocumentId)
    replica.open(world.space, world.owner, 0, wants)
    await world.relay.deliverAll()
    expect(replica.syncs).toEqual([])
    expect([replica.rejects.map(reject => reject.code), replica.closed?.message]).toEqual([['ERR_LIMIT'], undefined])
  })
})

describe('a stretch for an audit', () => {
  test('has headers, tracer and control bodies, and does not move the reader (R-AUDIT-2)', async () => {
    const world = await openWorld()
    const writer = await world.reader()
    await write(world, writer, [WANTED, OTHER, WANTED])
    const guest = await admit(world, writer)
    await write(world, writer, [OTHER, THIRD], guest)
    const auditor = await world.connect()
    auditor.open(world.space, world.owner, 0, [])
    await world.relay.deliverAll()
    const size = writer.view?.range.size as number
    const count = auditor.syncs.length
    auditor.send({ type: 'read', ref: 90, space: world.space, from: 0, to: 4 })
    auditor.send({ type: 'read', ref: 91, space: world.space, from: 4, to: 2 ** 40 })
    await world.relay.deliverAll()
    const answers = auditor.syncs.slice(count)
    expect(answers.map(sync => [sync.ref, sync.batch.from, sync.batch.entries.length])).toEqual([
      [90, 0, 4],
      [91, 4, size - 4],
    ])
    expect(bodiesIn(answers)).toEqual(new Set([CONTROL_DOCUMENT]))
    // Without the tracer of the second, one that keeps no document could not follow.
    const replay = await world.connect()
    replay.open(world.space, world.owner, size, [])
    replay.messages.push(...answers)
    await replay.follow(world.space)
    expect(replay.view?.range).toEqual(writer.view?.range)
    // The log goes on as if nothing had been read.
    await write(world, writer, [THIRD])
    expect(auditor.syncs.at(-1)).toMatchObject({ ref: 0, batch: { from: size } })
  })

  test('is refused where the log has nothing there, and where the space is not open (R-RECORDS-3)', async () => {
    const world = await openWorld()
    const replica = await world.reader()
    const stranger = await world.connect()
    const { space } = world
    replica.send({ type: 'read', ref: 90, space, from: 2, to: 3 })
    replica.send({ type: 'read', ref: 91, space, from: 1, to: 0 })
    replica.send({ type: 'read', ref: 92, space, from: 1, to: 1 })
    stranger.send({ type: 'read', ref: 93, space, from: 0, to: 1 })
    await world.relay.deliverAll()
    expect(replica.rejects.map(reject => [reject.ref, reject.code])).toEqual([
      [90, 'ERR_UNEXPECTED'],
      [91, 'ERR_UNEXPECTED'],
    ])
    expect(replica.syncs.at(-1)).toMatchObject({ ref: 92, batch: { from: 1, entries: [] } })
    expect(stranger.rejects.map(reject => [reject.ref, reject.code])).toEqual([[93, 'ERR_UNAUTHORIZED']])
  })
})

describe('snapshots', () => {
  /** The tag of a device's chain is repeated by its snapshots. */
  async function snapshot(world: World, replica: TestReplica, device: TestDevice): Promise<number> {
    const chain = device.chains.get(WANTED)
    const last = replica.verified.findLast(
      ({ hash }) => chain !== undefined && hash.every((byte, i) => byte === chain.prev[i]),
    )
    const header = last === undefined ? {} : { tag: last.header.tag }
    const index = replica.view?.range.size as number
    await write(world, replica, [WANTED], device, { kind: 'snapshot', header })
    expect(replica.view?.range.size).toBe(index + 1)
    return index
  }

  test('do not travel in syncs, and are kept of two members only (R-SYNC-3)', async () => {
    const world = await openWorld()
    const writer = await world.reader()
    const devices = [world.owner, await admit(world, writer), await admit(world, writer)]
    const sparse = await sparseReader(world)
    const indices: number[] = []
    for (const device of devices) {
      await write(world, writer, [WANTED], device)
      indices.push(await snapshot(world, writer, device))
    }
    await sparse.follow(world.space)
    const late = await world.reader()
    for (const reader of [writer, sparse, late]) {
      const entries = reader.syncs.flatMap(({ batch }) =>
        batch.entries.map((entry, i) => ({ ...entry, i: batch.from + i })),
      )
      const ofSnapshots = entries.filter(entry => indices.includes(entry.i))
      expect(ofSnapshots.map(entry => entry.body)).toEqual([undefined, undefined, undefined])
    }
    for (const [ref, index] of indices.entries()) {
      late.send({ type: 'get-body', ref: 50 + ref, space: world.space, index, offset: 0 })
    }
    await world.relay.deliverAll()
    expect(late.rejects).toMatchObject([{ ref: 50, code: 'ERR_BODY' }])
    expect(late.messages.filter(message => message.type === 'body-part').map(part => part.ref)).toEqual([51, 52])
  })
})

test('a reader that has more than the relay learns how much that has', async () => {
  const world = await openWorld()
  const replica = await world.connect()
  const ref = replica.open(world.space, world.owner, 7)
  await world.relay.deliverAll()
  expect(replica.rejects).toMatchObject([{ ref, code: 'ERR_RELAY_BEHIND', position: 1 }])
})

test('a relay that restarts counts the closed actors of a device as before', async () => {
  const world = await openWorld()
  const writer = await world.reader()
  await write(world, writer, [WANTED])
  const [last] = writer.verified.slice(-1)
  const header = { tag: (last as NonNullable<typeof last>).header.tag }
  await write(world, writer, [WANTED], world.owner, { kind: 'retire', body: new Uint8Array(0), header })
  expect(writer.view?.range.size).toBe(3)
  world.relay.restart()
  const after = await world.reader()
  expect(after.rejects).toEqual([])
  const note = after.syncs[0]?.batch.note
  expect(note && parseNote(note).checkpoint.stateRoot).toEqual(writer.view?.head?.stateRoot)
})
