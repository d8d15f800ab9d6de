import { beforeAll, describe, expect, it } from 'vitest'
import { ZERO_32 } from '../../src/crypto/hash.ts'
import { nobleVerifier } from '../../src/crypto/sign.ts'
import { type ActorId, CONTROL_DOCUMENT, type DocumentId, documentIdOf } from '../../src/ids.ts'
import { assertChecks } from '../../src/verify/check.ts'
import { decodeRange } from '../../src/verify/compact-range.ts'
import type { DeviceRecord } from '../../src/verify/control-state.ts'
import { type Chain, type ProvenDocument, prependChain, verifyDocument } from '../../src/verify/document-proof.ts'
import { actorOf } from '../../src/verify/entry.ts'
import type { LogView } from '../../src/verify/log.ts'
import type { DocumentHead, LogRecord } from '../../src/verify/records.ts'
import { withEntry } from '../../src/verify/reducer.ts'
import {
  actorsOf,
  type DocumentRecord,
  findDocument,
  knownDocument,
  type SpaceState,
  stateKey,
  stateRoot,
} from '../../src/verify/state.ts'
import { deleteAt, getAt, setAt } from '../../src/verify/state-map.ts'
import { encodeDocuments, encodeTracer, keepDocuments } from '../../src/verify/tracer.ts'
import { actorAt, actorOfDevice, type DocumentAnswer, documentAnswer, rangeAt } from '../helpers/log-answers.ts'
import {
  type BuiltEntry,
  bytesOf,
  DOCUMENT,
  type EntryOptions,
  LogBuilder,
  type TestDevice,
  verdictOf,
} from '../helpers/log-builder.ts'

const OTHER: DocumentId = documentIdOf(bytesOf('other').slice(0, 16))
const UNKNOWN: DocumentId = documentIdOf(bytesOf('unknown').slice(0, 16))

/** A document of three actors, with a snapshot in the middle, and entries of another one in between. */
function sharedLog(): { log: LogBuilder; writer: TestDevice; third: TestDevice } {
  const { log, writer } = LogBuilder.withWriter()
  const third = log.admit('third')
  const write = (device: TestDevice, options: EntryOptions = {}): BuiltEntry => log.append(log.changes(device, options))
  write(log.owner)
  write(third)
  for (let i = 0; i < 4; i++) {
    write(writer, { seenSize: log.size - 1 })
    write(log.owner, { document: OTHER })
  }
  log.append(log.snapshot(log.owner))
  for (let i = 0; i < 3; i++) {
    write(writer, { seenSize: log.size - 1 })
    write(writer, { document: OTHER })
    write(log.owner)
  }
  log.append(log.retire(writer))
  write(log.owner, { document: OTHER })
  return { log, writer, third }
}

const { log, writer, third } = sharedLog()
const SIZE = log.size
const WRITER = actorOfDevice(log, writer, DOCUMENT)
const THIRD = actorOfDevice(log, third, DOCUMENT)
const HONEST = documentAnswer(log, DOCUMENT)
const WHOLE = documentAnswer(log, DOCUMENT, true)
const DOCUMENTS = log.stateAt().documents

/** Has the log, and of its documents nothing but their root. */
let view: LogView

beforeAll(async () => {
  const full = await log.viewAt(SIZE)
  view = { ...full, state: keepDocuments(full.state as SpaceState, [CONTROL_DOCUMENT]) }
})

async function accepted({ head, records }: DocumentAnswer, document = DOCUMENT): Promise<ProvenDocument> {
  const proven = verifyDocument(view, document, head, records)
  await assertChecks(nobleVerifier, proven.checks)
  return proven
}

/** What becomes of an answer; the view knows as much and as little as before, whatever it is. */
async function answer(change: Partial<DocumentAnswer>, document = DOCUMENT, honest = HONEST): Promise<string> {
  const verdict = await verdictOf(() => accepted({ ...honest, ...change }, document))
  expect(knownDocument(view.state, DOCUMENT)).toBeUndefined()
  expect(stateRoot(view.state as SpaceState)).toEqual(stateRoot(log.stateAt()))
  return verdict
}

const head = (change: Partial<DocumentHead>): Promise<string> => answer({ head: { ...HONEST.head, ...change } })

/** Positions of an actor's records in an answer. */
function positionsOf({ records }: DocumentAnswer, actor: ActorId): readonly number[] {
  return [...records.keys()].filter(at => actorAt(log, (records[at] as LogRecord).index) === actor)
}

function recordsWith(at: number, change: Partial<LogRecord>, { records } = HONEST): readonly LogRecord[] {
  return records.map((record, i) => (i === at ? { ...record, ...change } : record))
}

function recordAt(index: number): LogRecord {
  const { header, signature, body } = log.entries[index] as BuiltEntry
  return { index, header, signature, body, inclusion: [] }
}

describe('a document by fast-forward (R-DOC-1)', () => {
  it('is all that the log has of it: every actor, each with the end of its chain', async () => {
    const { record, chains, state } = await accepted(HONEST)
    const full = findDocument(log.stateAt(), DOCUMENT) as DocumentRecord
    expect(record).toMatchObject({ document: DOCUMENT, contentEnd: full.contentEnd, snapshots: full.snapshots })
    expect(stateRoot(state)).toEqual(stateRoot(log.stateAt()))
    expect(new Set(chains.keys())).toEqual(new Set([...actorsOf(full)].map(({ actor }) => actor)))
    for (const { actor, seq, hash } of actorsOf(full)) {
      const last = chains.get(actor)?.at(-1)
      expect(last?.header.seq).toBe(seq)
      expect(last?.hash).toEqual(hash)
    }
  })

  it('with all its entries is the replay of them', async () => {
    const { chains } = await accepted(WHOLE)
    const indices = [...chains.values()].flatMap(chain => chain.map(({ index }) => index)).sort((a, b) => a - b)
    const expected = [...log.entries.keys()].filter(index => log.entries[index]?.decoded.document === DOCUMENT)
    expect(indices).toEqual(expected)
  })

  it('that the log does not have is proven not to be there', async () => {
    const none = documentAnswer(log, UNKNOWN)
    expect((await accepted(none, UNKNOWN)).record).toBeUndefined()
    expect(await answer({ records: [recordAt(6)] }, UNKNOWN, none)).toBe('ERR_PROOF')
  })
})

describe('what the state has of the document is shown as a whole (R-DOC-2)', () => {
  const full = getAt(DOCUMENTS, stateKey(DOCUMENT)) as DocumentRecord
  const documents = (record: DocumentRecord | undefined) =>
    record === undefined
      ? encodeDocuments(deleteAt(DOCUMENTS, stateKey(DOCUMENT)), [DOCUMENT])
      : encodeDocuments(setAt(DOCUMENTS, stateKey(DOCUMENT), record), [DOCUMENT])

  it('and not with an actor hidden behind a hash', async () => {
    const touched = { actors: new Set([WRITER, actorOfDevice(log, log.owner, DOCUMENT)]), devices: new Set<number>() }
    const records = HONEST.records.filter((_, at) => !positionsOf(HONEST, THIRD).includes(at))
    expect(
      await answer({
        head: { ...HONEST.head, documents: encodeTracer(DOCUMENTS, new Map([[DOCUMENT, touched]])) },
        records,
      }),
    ).toMatch(/^ERR_PROOF/)
  })

  it('nor with the count of open actors hidden, which later entries are judged by', async () => {
    const touched = { actors: new Set([...actorsOf(full)].map(({ actor }) => actor)), devices: new Set<number>() }
    expect(await head({ documents: encodeTracer(DOCUMENTS, new Map([[DOCUMENT, touched]])) })).toBe('ERR_PROOF stub')
  })

  it('nor with an actor left out, cut back, or made up', async () => {
    const without = { ...full, actors: deleteAt(full.actors, stateKey(THIRD)) }
    const records = HONEST.records.filter((_, at) => !positionsOf(HONEST, THIRD).includes(at))
    expect(await answer({ head: { ...HONEST.head, documents: documents(without) }, records })).toBe('ERR_PROOF root')
    const actor = getAt(full.actors, stateKey(WRITER)) as never as { seq: number }
    const cut = { ...full, actors: setAt(full.actors, stateKey(WRITER), { ...actor, seq: actor.seq - 1 } as never) }
    expect(await head({ documents: documents(cut) })).toBe('ERR_PROOF root')
    const made = '22'.repeat(16) as ActorId
    const more = { ...full, actors: setAt(full.actors, stateKey(made), { ...actor, actor: made } as never) }
    expect(await head({ documents: documents(more) })).toBe('ERR_PROOF root')
  })

  it('nor said not to be there, or of another size', async () => {
    expect(await answer({ head: { ...HONEST.head, documents: documents(undefined) }, records: [] })).toBe(
      'ERR_PROOF root',
    )
    expect(await head({ documents: encodeDocuments(log.stateAt(SIZE - 2).documents, [DOCUMENT]) })).toBe(
      'ERR_PROOF root',
    )
    expect(await head({ documents: encodeDocuments(DOCUMENTS, [OTHER]) })).toBe('ERR_PROOF stub')
    for (const size of [0, SIZE - 1, SIZE + 1, 2 ** 53 - 1]) expect(await head({ size })).toBe('ERR_UNEXPECTED')
  })

  it('nor with a snapshot hidden or another import', async () => {
    expect(await head({ documents: documents({ ...full, snapshots: [] }) })).toBe('ERR_PROOF root')
    expect(await head({ documents: documents({ ...full, importTag: bytesOf('import') }) })).toBe('ERR_PROOF root')
  })
})

describe('each chain is whole, from where it begins to its latest entry (R-DOC-3)', () => {
  it('an actor without its entries is refused', async () => {
    for (const actor of [WRITER, THIRD]) {
      const left = positionsOf(HONEST, actor)
      expect(await answer({ records: HONEST.records.filter((_, at) => !left.includes(at)) })).toBe('ERR_PROOF')
    }
  })

  it('an entry dropped in the middle or at the end is refused', async () => {
    const own = positionsOf(HONEST, WRITER)
    expect(own.length).toBeGreaterThan(3)
    for (const left of own.slice(1)) {
      expect(await answer({ records: HONEST.records.filter((_, at) => at !== left) }), `${left}`).toMatch(
        /^ERR_(PROOF|UNCOVERED)/,
      )
    }
  })

  it('an entry dropped at its beginning makes it a shorter end, which the snapshot must cover', async () => {
    const [first] = positionsOf(HONEST, WRITER)
    const { chains } = await accepted({ ...HONEST, records: HONEST.records.filter((_, at) => at !== first) })
    const chain = chains.get(WRITER) as Chain
    expect(chain[0]?.header.seq).toBeGreaterThan(0)
    expect(chain[0]?.header.prev).not.toEqual(ZERO_32)
  })

  it('a seq that is left out, or a beginning that names something before it, is refused, though relay and author sign it', async () => {
    expect(await forgedAnswer([{}, {}])).toBe('accepted')
    expect(await forgedAnswer([{}, { seq: 3 }])).toBe('ERR_PROOF')
    const incarnation = bytesOf('fresh').slice(0, 8)
    expect(await forgedAnswer([{ incarnation }])).toBe('accepted')
    expect(await forgedAnswer([{ incarnation, prev: bytesOf('something') }])).toBe('ERR_PROOF')
  })

  it('an entry that comes twice is refused', async () => {
    for (const at of HONEST.records.keys()) {
      const record = HONEST.records[at] as LogRecord
      expect(await answer({ records: [...HONEST.records, record] })).toBe('ERR_PROOF')
    }
  })

  it('entries may come in any order, but never stand in that of another chain', async () => {
    expect(await answer({ records: HONEST.records.toReversed() })).toBe('accepted')
    const [a, b] = positionsOf(HONEST, WRITER) as [number, number]
    const [first, second] = [HONEST.records[a] as LogRecord, HONEST.records[b] as LogRecord]
    const swapped = HONEST.records.map(record =>
      record === first
        ? { ...first, index: second.index }
        : record === second
          ? { ...second, index: first.index }
          : record,
    )
    expect(await answer({ records: swapped })).toBe('ERR_PROOF')
  })
})

describe('places in the log, as far as they can be told (R-DOC-8)', () => {
  it('two entries at one place are refused', async () => {
    const [at] = positionsOf(HONEST, THIRD) as [number]
    const [first] = positionsOf(HONEST, WRITER) as [number]
    const { index } = HONEST.records[first] as LogRecord
    expect(await answer({ records: recordsWith(at, { index }) })).toBe('ERR_PROOF')
    expect(await answer({ records: recordsWith(at, { index: SIZE - 1 }) })).toBe('accepted')
  })

  it('an entry before what its author had seen is refused', async () => {
    const at = positionsOf(HONEST, actorOfDevice(log, log.owner, DOCUMENT)).at(-1) as number
    const { index } = HONEST.records[at] as LogRecord
    // The place before it is that of an entry of another document, so nothing else is wrong with it.
    expect(log.entries[index - 1]?.decoded.document).toBe(OTHER)
    expect(log.entries[index]?.decoded.seenSize).toBe(index)
    expect(await answer({ records: recordsWith(at, { index: index - 1 }) })).toBe('ERR_PROOF')
  })

  it('nothing comes before the import that its document begins with', async () => {
    const { log: other, writer: author } = LogBuilder.withWriter()
    other.append(other.changes(author, { kind: 'import' }))
    const start = other.size
    other.append(other.changes(other.owner, { seenSize: 1 }))
    const { head: shown, records } = documentAnswer(other, DOCUMENT)
    const full = await other.viewAt(other.size)
    const verify = (index: number) => {
      const moved = records.map(record => (record.index === start ? { ...record, index } : record))
      return verdictOf(() => verifyDocument(full, DOCUMENT, shown, moved))
    }
    expect(await verify(start)).toBe('accepted')
    expect(await verify(start - 2)).toBe('ERR_PROOF')
  })
})

describe('an entry that does not belong there (R-DOC-4)', () => {
  it('of another document', async () => {
    const index = log.entries.findIndex(({ decoded }) => decoded.document === OTHER)
    expect(await answer({ records: [...HONEST.records, recordAt(index)] })).toBe('ERR_PROOF')
    expect(await answer({}, OTHER)).toMatch(/^ERR_PROOF/)
  })

  it('of another space', async () => {
    const elsewhere = new LogBuilder({ relaySeed: bytesOf('another relay') })
    elsewhere.append(elsewhere.genesis())
    const { header, signature, body } = elsewhere.changes(elsewhere.owner)
    expect(await answer({ records: [...HONEST.records, { index: 6, header, signature, body, inclusion: [] }] })).toBe(
      'ERR_PROOF',
    )
  })

  it('of a device that nobody admitted, or of an actor that the state does not have', async () => {
    const unknown = log.changes({ ...third, number: 99 })
    const fresh = log.changes(third, { incarnation: bytesOf('fresh').slice(0, 8) })
    for (const { header, signature, body } of [unknown, fresh]) {
      expect(await answer({ records: [...HONEST.records, { index: 6, header, signature, body, inclusion: [] }] })).toBe(
        'ERR_PROOF',
      )
    }
  })

  it('behind the end of the log', async () => {
    const last = HONEST.records.length - 1
    for (const index of [SIZE, SIZE + 1, 2 ** 53 - 1]) {
      expect(await answer({ records: recordsWith(last, { index }) })).toBe('ERR_PROOF')
    }
  })

  it('that its author wrote, but which the log does not have', async () => {
    const { header, signature, body } = log.changes(log.owner)
    expect(
      await answer({ records: [...HONEST.records, { index: SIZE - 1, header, signature, body, inclusion: [] }] }),
    ).toBe('ERR_PROOF')
  })
})

describe('the latest entry of each actor is signed by its author (R-DOC-5)', () => {
  it('and is refused without a signature, or with another', async () => {
    for (const actor of [WRITER, THIRD]) {
      const at = positionsOf(HONEST, actor).at(-1) as number
      expect(await answer({ records: recordsWith(at, { signature: undefined }) })).toBe('ERR_UNCOVERED')
      const { signature } = recordAt((HONEST.records[at] as LogRecord).index - 1)
      expect(await answer({ records: recordsWith(at, { signature }) })).toBe('ERR_SIGNATURE')
    }
  })

  it('while the entries before it need none', async () => {
    const [first] = positionsOf(HONEST, WRITER) as [number]
    expect(HONEST.records[first]?.signature).toBeUndefined()
    expect(await answer({ records: recordsWith(first, { signature: new Uint8Array(64) }) })).toBe('accepted')
  })
})

describe('what the authors of the latest entries had seen is how this log begins (R-DOC-6)', () => {
  it('and is refused without its proof, or with another', async () => {
    const { proofs } = HONEST.head
    expect(proofs.length).toBeGreaterThan(1)
    for (const [i, { size, proof }] of proofs.entries()) {
      const others = proofs.filter((_, at) => at !== i)
      expect(await head({ proofs: others })).toBe('ERR_PROOF')
      expect(await head({ proofs: [...others, { size, proof: proof.slice(1) }] })).toBe('ERR_PROOF')
      expect(await head({ proofs: [...proofs, { size, proof }] })).toBe('ERR_PROOF')
    }
  })

  it('and is refused where it is another log, though relay and author sign it', async () => {
    const seen = (seenRoot: Uint8Array) => forgedAnswer([{ seenSize: 4, seenRoot }])
    expect(await seen(log.rootAt(4))).toBe('accepted')
    expect(await seen(bytesOf('another log'))).toBe('ERR_PROOF')
  })
})

describe('every body is the one that its header commits to (R-BODY-1)', () => {
  it('and is refused with a bit changed, cut short, or of another entry', async () => {
    for (const at of positionsOf(HONEST, WRITER).slice(1)) {
      const { body } = HONEST.records[at] as LogRecord
      if (body === undefined || body.length === 0) continue
      const flipped = body.map((byte, i) => (i === 3 ? byte ^ 1 : byte))
      for (const other of [flipped, body.slice(1), new Uint8Array(0), bytesOf('another body')]) {
        expect(await answer({ records: recordsWith(at, { body: other }) })).toBe('ERR_BODY')
      }
    }
  })

  it('while one that does not come is for the content to miss', async () => {
    expect(await answer({ records: HONEST.records.map(record => ({ ...record, body: undefined })) })).toBe('accepted')
  })
})

describe('a chain that is asked for further back (R-DOC-7)', () => {
  let chain: Chain
  let state: SpaceState
  const earlier = (from: number, to: number): readonly LogRecord[] =>
    positionsOf(WHOLE, WRITER)
      .map(at => ({ ...(WHOLE.records[at] as LogRecord), signature: undefined }))
      .slice(from, to)
  const prepend = (records: readonly LogRecord[]) => verdictOf(() => prependChain(state, chain, records))

  beforeAll(async () => {
    const proven = await accepted(HONEST)
    state = proven.state
    chain = proven.chains.get(WRITER) as Chain
  })

  it('is what the known entries commit to', () => {
    const first = chain[0]?.header.seq as number
    expect(first).toBeGreaterThan(1)
    for (let from = 0; from <= first; from++) {
      const whole = prependChain(state, chain, earlier(from, first))
      expect(whole.map(({ header }) => header.seq)).toEqual(Array.from({ length: whole.length }, (_, i) => from + i))
      expect(whole.slice(first - from)).toEqual(chain)
    }
  })

  it('is refused with a gap, out of order, twice, or with what comes behind', async () => {
    const first = chain[0]?.header.seq as number
    const records = earlier(0, first)
    expect(await prepend(records.slice(0, -1))).toBe('ERR_PROOF')
    expect(await prepend(records.toReversed())).toBe('ERR_PROOF')
    expect(await prepend([...records.slice(0, 1), ...records])).toBe('ERR_PROOF')
    expect(await prepend(earlier(0, first + 1))).toBe('ERR_PROOF')
    expect(await prepend([records[0] as LogRecord, ...records.slice(2)])).toBe('ERR_PROOF')
  })

  it('is refused with an entry of another actor, document or space, or another body', async () => {
    const first = chain[0]?.header.seq as number
    const last = earlier(first - 1, first)[0] as LogRecord
    const index = log.entries.findIndex(({ decoded }) => decoded.document === OTHER)
    expect(await prepend([recordAt(index)])).toBe('ERR_PROOF')
    expect(await prepend([{ ...recordAt((WHOLE.records[0] as LogRecord).index), signature: undefined }])).toBe(
      'ERR_PROOF',
    )
    expect(await prepend([{ ...last, body: bytesOf('another body') }])).toBe('ERR_BODY')
    const made = log.changes(writer, { seq: first - 1, prev: last.header.slice(0, 32) })
    expect(await prepend([{ ...last, header: made.header, body: made.body }])).toBe('ERR_PROOF')
  })

  it('is refused where it says that an entry stands behind the one after it', async () => {
    const first = chain[0]?.header.seq as number
    const last = earlier(first - 1, first)[0] as LogRecord
    expect(await prepend([{ ...last, index: chain[0]?.index as number }])).toBe('ERR_PROOF')
    expect(await prepend([{ ...last, index: SIZE + 5 }])).toBe('ERR_PROOF')
  })

  it('needs a chain to begin with', () => {
    expect(() => prependChain(state, [], [])).toThrow(TypeError)
  })
})

/** What becomes of a document whose last entries no reducer has judged: what a relay has that signs whatever there is. */
async function forgedAnswer(entries: readonly EntryOptions[]): Promise<string> {
  const { log: other } = sharedLog()
  for (const options of entries) {
    const entry = other.changes(third, options)
    const { decoded: header, hash } = entry
    const { control, documents } = other.stateAt()
    const { member, signing } = control.devices.get(third.number) as DeviceRecord
    const actor = actorOf(other.spaceBytes, DOCUMENT, signing, header.incarnation)
    const record = withEntry(findDocument(other.stateAt(), DOCUMENT), actor, member, {
      header,
      hash,
      index: other.size,
    })
    other.state = { control, documents: setAt(documents, stateKey(DOCUMENT), record) }
    other.force(entry)
  }
  const range = decodeRange(rangeAt(other, other.size))
  const { head: shown, records } = documentAnswer(other, DOCUMENT, true)
  const lied: LogView = { ...view, range, state: other.stateAt() }
  return verdictOf(() => verifyDocument(lied, DOCUMENT, shown, records))
}
