import {
  type ActorId,
  type Anchor,
  actorOf,
  advance,
  appendLeaf,
  applyHeader,
  assertChecks,
  CONTROL_DOCUMENT,
  type DocumentId,
  decodeDocumentHead,
  decodeHeader,
  decodeSkipHead,
  defaultVerifier,
  emptyView,
  encodeMessage,
  entryHash,
  equalBytes,
  findDocument,
  INLINE_BODY_LENGTH,
  type LogRecord,
  type LogView,
  MAX_FRAME_LENGTH,
  nobleVerifier,
  parseNote,
  rootOf,
  stateRoot,
} from 'sealog/protocol'
import { describe, expect, test } from 'vitest'
import { prependChain, verifyDocument } from '../../src/verify/document-proof.ts'
import { skipTo } from '../../src/verify/fast-forward.ts'
import type { LogStore } from '../src/log-store.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { recordFrames } from '../src/record-frames.ts'
import { answerTo, cosigned, repeating } from './helpers/answers.ts'
import { type Authored, authorControl, filler, type TestDevice } from './helpers/authoring.ts'
import type { TestReplica } from './helpers/replica.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

const NOTES = 'd1'.repeat(16) as DocumentId
const PLANS = 'd2'.repeat(16) as DocumentId
const UNKNOWN = 'd3'.repeat(16) as DocumentId

async function push(world: World, replica: TestReplica, ...entries: readonly Authored[]): Promise<LogView> {
  replica.push(world.space, ...entries)
  await world.relay.deliverAll()
  expect(replica.rejects).toEqual([])
  return replica.follow(world.space)
}

function noteOf(replica: TestReplica): Uint8Array {
  const note = replica.syncs.at(-1)?.batch.note
  if (note === undefined) throw new Error('no note yet')
  return note
}

interface Asked {
  readonly at?: number
  readonly from?: number
  readonly attestations?: number
  readonly prove?: readonly number[]
}

async function skip(world: World, replica: TestReplica, asked: Asked) {
  const ref = replica.ref()
  const { at = 0, from = 0, attestations = 1, prove = [] } = asked
  replica.send({ type: 'skip', ref, space: world.space, at, from, attestations, prove })
  await world.relay.deliverAll()
  return answerTo(replica, ref)
}

async function getDocument(world: World, replica: TestReplica, document: DocumentId, snapshot = 0) {
  const ref = replica.ref()
  replica.send({ type: 'get-document', ref, space: world.space, document, snapshot })
  await world.relay.deliverAll()
  return answerTo(replica, ref)
}

async function refusalOf(world: World, replica: TestReplica, ref: number): Promise<string | undefined> {
  await world.relay.deliverAll()
  return replica.rejects.find(reject => reject.ref === ref)?.code
}

/** A log of several members, documents, an import, a retired actor, and snapshots by two members. */
async function richWorld(store: LogStore = memoryLogStore()) {
  const world = await openWorld({ store, limits: { noteAge: 1 } })
  const { owner, relay, space } = world
  const reader = await world.reader()
  const views: LogView[] = [reader.view as LogView]
  const add = async (...entries: readonly Authored[]): Promise<void> => {
    views.push(await push(world, reader, ...entries))
  }
  const write = (document: DocumentId, device: TestDevice, options = {}): Authored =>
    world.entry(reader, device, { document, ...options })
  const imported = write(NOTES, owner, { kind: 'import', body: filler(5000) })
  await add(imported)
  await add(...Array.from({ length: 40 }, () => write(NOTES, owner)))
  const anna = await admit(world, reader)
  const annas: TestReplica = await world.reader(anna)
  const annasWrite = async (...entries: readonly Authored[]): Promise<void> => {
    annas.push(space, ...entries)
    await relay.deliverAll()
    expect(annas.rejects).toEqual([])
    await annas.follow(space)
    views.push(await reader.follow(space))
  }
  const old = write(NOTES, anna)
  await annasWrite(old, write(PLANS, anna))
  await annasWrite(repeating(world, reader, anna, old, { document: NOTES, kind: 'retire', body: new Uint8Array(0) }))
  anna.chains.delete(NOTES)
  const fresh = write(NOTES, anna)
  await annasWrite(fresh)
  await annasWrite(
    repeating(world, reader, anna, fresh, { document: NOTES, kind: 'snapshot', body: filler(INLINE_BODY_LENGTH) }),
  )
  const changes = Array.from({ length: 60 }, () => write(NOTES, owner, { body: filler(30_000) }))
  await add(...changes.slice(0, 30))
  await add(...changes.slice(30), write(PLANS, owner))
  const last = changes.at(-1) as Authored
  await add(repeating(world, reader, owner, last, { document: NOTES, kind: 'snapshot', body: filler(7000) }))
  await add(write(NOTES, owner), write(PLANS, owner))
  const ben = await admit(world, reader)
  await add(write(PLANS, owner))
  const full = reader.view as LogView
  return { world, reader, anna, ben, full, views, annas }
}

async function verified(
  view: LogView,
  document: DocumentId,
  answer: { head: Uint8Array; records: readonly LogRecord[] },
) {
  const proven = verifyDocument(view, document, decodeDocumentHead(answer.head), answer.records)
  await assertChecks(nobleVerifier, proven.checks)
  return proven
}

describe('get-document', () => {
  test.each([
    ['memory', memoryLogStore],
    ['SQLite', () => sqliteLogStore(':memory:')],
  ])(
    'what is answered from %s is what a replica verifies: with either snapshot, and with none (R-RECORDS-2)',
    async (_name, store) => {
      const { world, reader, full } = await richWorld(store())
      const record = findDocument(full.state as never, NOTES)
      expect(record?.snapshots.length).toBe(2)
      const [older, latest] = record?.snapshots ?? []
      for (const [choice, chosen] of [latest, older, undefined].entries()) {
        const answer = await getDocument(world, reader, NOTES, choice)
        const { chains } = await verified(full, NOTES, answer)
        // The importer, and both actors of the other member.
        expect(chains.size).toBe(3)
        expect(answer.records.filter(item => item.signature !== undefined).length).toBe(3)
        const indices = answer.records.map(item => item.index)
        expect(indices).toEqual([...new Set(indices)].sort((a, b) => a - b))
        const all = reader.verified.filter(entry => entry.header.document === NOTES)
        const seenSize = chosen?.seenSize ?? 0
        const tail = all.filter(entry => entry.index >= seenSize).map(entry => entry.index)
        expect(indices.filter(index => index >= seenSize)).toEqual(tail)
        const heads = answer.records.filter(item => item.index < seenSize)
        expect(heads.every(item => item.body === undefined)).toBe(true)
        expect(heads.length).toBe(
          chosen === undefined ? 0 : new Set(all.filter(e => e.index < seenSize).map(e => e.actor)).size,
        )
        for (const item of answer.records.filter(({ index }) => index >= seenSize)) {
          const { kind } = decodeHeader(item.header)
          expect(item.body === undefined).toBe(kind === 'snapshot' && item.index !== chosen?.index)
        }
        expect(answer.records.length).toBe(heads.length + tail.length)
      }
      // 60 bodies of 30 kB: several frames, each within its limit.
      const whole = await getDocument(world, reader, NOTES, 2)
      expect(whole.parts.length).toBeGreaterThan(1)
      expect(whole.records[0]?.body?.length).toBe(5000)
    },
  )

  test('what a snapshot covers is completed by the chain before it', async () => {
    const { world, reader, full } = await richWorld()
    const answer = await getDocument(world, reader, NOTES, 0)
    const { chains, state } = await verified(full, NOTES, answer)
    for (const [actor, chain] of chains) {
      const to = (chain[0]?.header.seq ?? 0) - 1
      if (to < 0) continue
      const ref = reader.ref()
      reader.send({ type: 'get-chain', ref, space: world.space, document: NOTES, actor, from: 0, to })
      await world.relay.deliverAll()
      const earlier = answerTo(reader, ref)
      const whole = prependChain(state, chain, earlier.records)
      const all = reader.verified.filter(entry => entry.actor === actor)
      expect(whole.map(entry => entry.index)).toEqual(all.map(entry => entry.index))
      expect(whole.slice(0, to + 1).every(({ body, header }) => header.kind === 'snapshot' || body !== undefined)).toBe(
        true,
      )
    }
  })

  test('a document that the log does not have is proven not to exist; control entries are no document', async () => {
    const { world, reader, full } = await richWorld()
    const answer = await getDocument(world, reader, UNKNOWN)
    expect(answer.records).toEqual([])
    expect((await verified(full, UNKNOWN, answer)).record).toBeUndefined()
    const ref = reader.ref()
    reader.send({ type: 'get-document', ref, space: world.space, document: CONTROL_DOCUMENT, snapshot: 2 })
    expect(await refusalOf(world, reader, ref)).toBe('ERR_UNEXPECTED')
  })

  test('in the middle of what others write, it is as of what the reader has, and its bodies follow', async () => {
    const { world, reader, annas, anna } = await richWorld()
    const { space, relay } = world
    const sparse = await world.connect()
    sparse.open(space, world.owner, 0, [])
    await relay.deliverAll()
    await sparse.follow(space)
    const ref = sparse.ref()
    for (let i = 0; i < 5; i++) {
      annas.push(space, world.entry(annas, anna, { document: PLANS }), world.entry(annas, anna, { document: NOTES }))
      if (i === 2) sparse.send({ type: 'get-document', ref, space, document: PLANS, snapshot: 0 })
    }
    await relay.deliverAll()
    expect([...annas.rejects, ...sparse.rejects]).toEqual([])
    const answer = answerTo(sparse, ref)
    const position = decodeDocumentHead(answer.head).size
    const later = sparse.messages.slice(sparse.messages.indexOf(answer.parts.at(-1) as never) + 1)
    expect(later.filter(message => message.type === 'sync')[0]?.batch.from ?? position).toBe(position)
    await annas.follow(space)
    annas.push(space, world.entry(annas, anna, { document: PLANS }), world.entry(annas, anna, { document: NOTES }))
    await relay.deliverAll()
    const [plans, notes] = sparse.syncs.at(-1)?.batch.entries ?? []
    expect([plans?.body === undefined, notes?.body === undefined]).toEqual([false, true])
    const other = await world.reader()
    const view = viewAt(other, position)
    await verified(view, PLANS, answer)
    reader.close()
  })
})

/** The view of a full replica at a size where one of its messages ends. */
function viewAt(replica: TestReplica, size: number): LogView {
  let view = emptyView(replica.view?.space as never, replica.view?.relay as never, [])
  for (const { batch } of replica.syncs) {
    const end = Math.min(batch.entries.length, size - batch.from)
    if (end <= 0) break
    if (end < batch.entries.length) {
      // Cut where the answer stands: the note is of a larger log, which a full replica reads through.
      let { range, state } = view
      for (const entry of batch.entries.slice(0, end)) {
        const header = decodeHeader(entry.header)
        const hash = entryHash(entry.header)
        const controlBody = header.kind === 'control' ? entry.body : undefined
        state = applyHeader(state, { header, hash, index: range.size, seenRoot: header.seenRoot, controlBody }).state
        range = appendLeaf(range, hash)
      }
      return { ...view, range, state }
    }
    view = advance(view, batch).view
  }
  return view
}

describe('get-chain', () => {
  test('asks for what there is, in bounds', async () => {
    const { world, reader, anna } = await richWorld()
    const ask = async (fields: { actor: ActorId; from: number; to: number; document?: DocumentId }) => {
      const ref = reader.ref()
      reader.send({ type: 'get-chain', ref, space: world.space, document: NOTES, ...fields })
      return { code: await refusalOf(world, reader, ref), ref }
    }
    const chain = reader.verified.filter(entry => entry.header.document === NOTES && entry.header.device === 0)
    const actor = chain[0]?.actor as ActorId
    const { ref } = await ask({ actor, from: 3, to: 5 })
    expect(answerTo(reader, ref).records.map(item => decodeHeader(item.header).seq)).toEqual([3, 4, 5])
    expect((await ask({ actor, from: 5, to: 3 })).code).toBe('ERR_UNEXPECTED')
    expect((await ask({ actor, from: 0, to: chain.length })).code).toBe('ERR_UNEXPECTED')
    expect((await ask({ actor, from: 0, to: 2 ** 53 - 1 })).code).toBe('ERR_UNEXPECTED')
    expect((await ask({ actor, from: 0, to: 0, document: PLANS })).code).toBe('ERR_UNEXPECTED')
    const stranger = actorOf(world.genesis.hash, NOTES, anna.signing, new Uint8Array(8))
    expect((await ask({ actor: stranger, from: 0, to: 0 })).code).toBe('ERR_UNEXPECTED')
  })
})

describe('skip', () => {
  test('to the checkpoint that the replica has: from nothing, and from what it knows', async () => {
    const { world, reader, full, views } = await richWorld()
    const { size } = full.range
    const anchor: Anchor = { size: views[2]?.range.size as number, root: rootOf(views[2]?.range as never) }
    const nothing = emptyView(world.space, world.relay, [anchor])
    const starts = [nothing, ...views.filter(view => view.range.size <= size)]
    for (const start of starts) {
      const prove = [start.range.size, ...start.anchors.map(item => item.size), size]
      const answer = await skip(world, reader, { at: size, from: start.range.size, prove })
      const head = { ...decodeSkipHead(answer.head), note: noteOf(reader) }
      const skipped = skipTo(start, head, answer.records)
      await assertChecks(nobleVerifier, skipped.checks)
      expect(skipped.view.range).toEqual(full.range)
      expect(skipped.view.state?.control).toEqual(full.state?.control)
      expect(skipped.view.controlRoot).toEqual(full.controlRoot)
      expect(stateRoot(skipped.view.state as never)).toEqual(stateRoot(full.state as never))
    }
  })

  test('to an older checkpoint, from where a document and the rest are read on', async () => {
    const { world, reader, full } = await richWorld()
    const notes = reader.syncs.map(sync => sync.batch.note)
    for (const note of notes) {
      const { size } = parseNote(note).checkpoint
      const answer = await skip(world, reader, { at: size })
      const head = { ...decodeSkipHead(answer.head), note }
      const skipped = skipTo(emptyView(world.space, world.relay, []), head, answer.records)
      await assertChecks(nobleVerifier, skipped.checks)
      expect(skipped.view.range.size).toBe(size)
    }
    expect(full.range.size).toBeGreaterThan(100)
  })

  test('the answer to many control entries comes in parts', async () => {
    const world = await openWorld({ verifier: await defaultVerifier() })
    const { random } = world.environment
    const reader = await world.reader()
    const { policy } = reader.control
    const url = `ws://${'relay.'.repeat(300)}test`
    for (let count = 1; count < 501; count += 100) {
      const entries = Array.from({ length: 100 }, () =>
        authorControl(
          random,
          world.owner,
          world.genesis.hash,
          { type: 'policy', time: count, policy, url },
          { seen: reader.seen },
        ),
      )
      reader.push(world.space, ...entries)
      await world.relay.deliverAll()
    }
    expect(reader.rejects).toEqual([])
    const answer = await skip(world, reader, { at: 501 })
    expect(answer.parts.length).toBeGreaterThan(1)
    expect(answer.records.length).toBe(501)
    const head = { ...decodeSkipHead(answer.head), note: noteOf(reader) }
    const skipped = skipTo(emptyView(world.space, world.relay, []), head, answer.records)
    await assertChecks(await defaultVerifier(), skipped.checks)
    expect(skipped.view.state?.control.count).toBe(501)
  })

  test('beyond the log or back is refused, and without a cosigned checkpoint there is none to choose (R-RECORDS-3)', async () => {
    const { world, reader, full } = await richWorld()
    const { size } = full.range
    const ask = (at: number, from: number) => {
      const ref = reader.ref()
      reader.send({ type: 'skip', ref, space: world.space, at, from, attestations: 1, prove: [] })
      return refusalOf(world, reader, ref)
    }
    expect(await ask(size + 1, 0)).toBe('ERR_RELAY_BEHIND')
    expect(reader.rejects.at(-1)?.position).toBe(size)
    expect(await ask(3, 4)).toBe('ERR_UNEXPECTED')
    expect(await ask(0, 0)).toBe('ERR_UNEXPECTED')
    const stranger = await world.connect()
    stranger.send({ type: 'skip', ref: 1, space: world.space, at: 1, from: 0, attestations: 0, prove: [] })
    expect(await refusalOf(world, stranger, 1)).toBe('ERR_UNAUTHORIZED')
  })
})

describe('skip to a cosigned checkpoint', () => {
  test('the largest that enough other members stand for, with their cosignatures', async () => {
    const { world, reader, annas, anna, ben } = await richWorld()
    const { space, owner } = world
    const cosign = async (replica: TestReplica, device: TestDevice, note: Uint8Array) => {
      const ref = replica.ref()
      replica.send({ type: 'cosign', ref, space, note: await cosigned(note, space, device) })
      await world.relay.deliverAll()
      expect(replica.rejects).toEqual([])
      expect(replica.messages.some(message => message.type === 'received' && message.ref === ref)).toBe(true)
    }
    const bens = await world.reader(ben)
    const note = noteOf(reader)
    const { size } = parseNote(note).checkpoint
    await cosign(reader, owner, note)
    // The owner itself finds nothing: its own word adds nothing to what it knows.
    const ref = reader.ref()
    reader.send({ type: 'skip', ref, space, at: 0, from: 0, attestations: 1, prove: [] })
    expect(await refusalOf(world, reader, ref)).toBe('ERR_UNEXPECTED')
    reader.messages.splice(0, reader.messages.length, ...reader.messages.filter(message => message.type !== 'reject'))

    await annas.follow(space)
    await push(world, annas, world.entry(annas, anna))
    const later = noteOf(annas)
    world.environment.advance(20_000)
    await cosign(annas, anna, later)
    // An administrator is needed as well: the later one, by a writer alone, is not enough for anybody.
    const first = await skip(world, bens, { attestations: 1 })
    const head = decodeSkipHead(first.head)
    expect(parseNote(head.note).checkpoint.size).toBe(size)
    expect(parseNote(head.note).signatures.length).toBe(2)
    const skipped = skipTo(emptyView(space, world.relay, []), head, first.records)
    await assertChecks(nobleVerifier, skipped.checks)
    world.environment.advance(20_000)
    await cosign(reader, owner, later)
    const second = decodeSkipHead((await skip(world, bens, { attestations: 2 })).head)
    expect(equalBytes(parseNote(second.note).text, parseNote(later).text)).toBe(true)
    expect(parseNote(second.note).signatures.length).toBe(3)
    world.relay.restart()
    const again = await world.reader(ben)
    expect(decodeSkipHead((await skip(world, again, { attestations: 2 })).head).note).toEqual(second.note)
  })
})

test('a head beyond one frame travels in several, and a record that does not fit begins the next', async () => {
  const head = filler(2 * MAX_FRAME_LENGTH + 17)
  const record = {
    index: 1,
    header: filler(200),
    signature: filler(64),
    body: filler(INLINE_BODY_LENGTH),
    inclusion: [],
  }
  async function* records() {
    for (let i = 0; i < 9; i++) yield { ...record, index: i }
  }
  const frames: Uint8Array[] = []
  for await (const frame of recordFrames({ ref: 1, space: 'ab'.repeat(32) as never }, head, records()))
    frames.push(frame)
  expect(frames.length).toBe(5)
  for (const frame of frames) expect(frame.length).toBeLessThanOrEqual(MAX_FRAME_LENGTH)
  const empty = encodeMessage({
    type: 'records',
    ref: 1,
    space: 'ab'.repeat(32) as never,
    head,
    records: [],
    more: false,
  })
  expect(empty.length).toBeGreaterThan(MAX_FRAME_LENGTH)
})
