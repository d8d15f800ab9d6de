import { beforeAll, describe, expect, it } from 'vitest'
import { nobleVerifier } from '../../src/crypto/sign.ts'
import { CONTROL_DOCUMENT, type DocumentId, documentIdOf } from '../../src/ids.ts'
import { assertChecks } from '../../src/verify/check.ts'
import { emptyRange, encodeRange } from '../../src/verify/compact-range.ts'
import { encodeControlBody } from '../../src/verify/control-codec.ts'
import { type Skipped, skipTo } from '../../src/verify/fast-forward.ts'
import type { LogView } from '../../src/verify/log.ts'
import type { LogRecord, SkipHead } from '../../src/verify/records.ts'
import {
  type ActorRecord,
  type DocumentRecord,
  findActor,
  knownDocument,
  type SpaceState,
  stateKey,
  stateRoot,
} from '../../src/verify/state.ts'
import { deleteAt, getAt, setAt } from '../../src/verify/state-map.ts'
import { encodeDocuments } from '../../src/verify/tracer.ts'
import { actorOfDevice, proofsTo, rangeAt, type SkipAnswer, skipAnswer } from '../helpers/log-answers.ts'
import {
  type BuiltEntry,
  bytesOf,
  DOCUMENT,
  LogBuilder,
  RELAY_SEED,
  signed,
  type TestDevice,
  testDevice,
  verdictOf,
} from '../helpers/log-builder.ts'

const OTHER: DocumentId = documentIdOf(bytesOf('other').slice(0, 16))

/** Control entries with entries of documents between them, written by people who had not seen quite everything. */
function longLog(options?: { relaySeed: Uint8Array }): { log: LogBuilder; writer: TestDevice } {
  const log = new LogBuilder(options)
  log.append(log.genesis())
  const writer = log.admit('writer')
  for (const name of ['anna', 'ben']) {
    for (let i = 0; i < 4; i++) log.append(log.changes(writer, { seenSize: log.size - 1 }))
    log.append(log.changes(log.owner, { document: OTHER }))
    log.admit(name)
  }
  log.append(log.control(log.owner, log.inviteBody(testDevice('guest', 7)), { seenSize: log.size - 1 }))
  for (let i = 0; i < 5; i++) log.append(log.changes(log.owner))
  return { log, writer }
}

const { log } = longLog()
const SIZE = log.size
/** In the middle of the log: its beginning, the first member and some entries are known. */
const START = 5
const ANCHOR = { size: 9, root: log.rootAt(9) }
const HONEST = skipAnswer(log, START, SIZE, [ANCHOR.size])
const FROM_NOTHING = skipAnswer(log, 0)
/** More than is due, so that what is refused is not refused for a proof that is missing. */
const ALL_PROOFS = proofsTo(log, SIZE, [...Array(SIZE).keys()])

let view: LogView

beforeAll(async () => {
  view = { ...(await log.viewAt(START)), anchors: [ANCHOR] }
})

async function accepted(from: LogView, { head, records }: SkipAnswer): Promise<Skipped> {
  const skipped = skipTo(from, head, records)
  await assertChecks(nobleVerifier, skipped.checks)
  return skipped
}

/** What becomes of an answer; the view must be as it was, whatever it is. */
async function answer(change: Partial<SkipAnswer>, from: LogView = view, honest: SkipAnswer = HONEST): Promise<string> {
  const before = structuredClone(fieldsOf(from))
  const verdict = await verdictOf(() => accepted(from, { ...honest, ...change }))
  expect(fieldsOf(from)).toEqual(before)
  return verdict
}

function fieldsOf({ state, ...rest }: LogView): object {
  return { ...rest, stateRoot: state && stateRoot(state) }
}

const head = (change: Partial<SkipHead>): Promise<string> => answer({ head: { ...HONEST.head, ...change } })

function recordsWith(at: number, change: Partial<LogRecord>, honest: SkipAnswer = HONEST): readonly LogRecord[] {
  return honest.records.map((record, i) => (i === at ? { ...record, ...change } : record))
}

const fresh = (): LogView => log.emptyView()

describe('a fast-forward (R-SKIP-1)', () => {
  it('leads to the state of a replay, from nothing and from what is known', async () => {
    const replayed = await log.viewAt(SIZE)
    for (const [from, honest] of [
      [fresh(), FROM_NOTHING],
      [view, HONEST],
    ] as const) {
      const skipped = await accepted(from, honest)
      expect(skipped.view.range).toEqual(replayed.range)
      expect(skipped.view.state?.control).toEqual(replayed.state?.control)
      expect(stateRoot(skipped.view.state as SpaceState)).toEqual(stateRoot(replayed.state as SpaceState))
      expect(skipped.view.controlRoot).toEqual(replayed.controlRoot)
      expect(skipped.view.head).toEqual(replayed.head)
      expect(skipped.view.anchors).toEqual([])
      expect(knownDocument(skipped.view.state, CONTROL_DOCUMENT)).toBeDefined()
      expect(knownDocument(skipped.view.state, DOCUMENT)).toBeUndefined()
    }
  })

  it('to where there is no control entry on the way keeps the latest one', async () => {
    const from = await log.viewAt(SIZE - 2)
    const skipped = await accepted(from, skipAnswer(log, SIZE - 2))
    expect(skipped.entries).toEqual([])
    expect(skipped.view.controlRoot).toEqual(from.controlRoot)
    const claimed = { ...skipAnswer(log, SIZE - 2).head, controlRoot: log.rootAt(3) }
    expect(await answer({ head: claimed, records: [] }, from)).toBe('ERR_PROOF')
  })

  it('keeps the anchors beyond, which later entries must pass', async () => {
    const to = 12
    const beyond = { size: SIZE, root: log.rootAt(SIZE) }
    // The relay signed less than what is known to be: it cannot skip there at all.
    expect(await answer(skipAnswer(log, START, to), { ...view, anchors: [beyond] })).toBe('ERR_ROLLBACK')
  })
})

describe('the note (R-SKIP-2)', () => {
  it('by another key, or for another log, is refused', async () => {
    expect(await head({ note: log.note(log.checkpoint(), bytesOf('another key')) })).toBe('ERR_CHECKPOINT_SIGNATURE')
    const origin = `relay.test/${'00'.repeat(32)}`
    expect(await head({ note: log.note({ ...log.checkpoint(), origin }) })).toBe('ERR_CHECKPOINT')
  })

  it('of less than is known, of an earlier time, or short of an anchor, is refused', async () => {
    const earlier = { ...log.checkpoint(), time: log.time - 1 }
    expect(await head({ note: log.note(earlier) })).toBe('ERR_TIME_BACKWARDS')
    expect(await answer(skipAnswer(log, 3, 4))).toBe('ERR_ROLLBACK')
    expect(await answer(skipAnswer(log, START, 8))).toBe('ERR_ROLLBACK')
  })

  it('with another root or state root than the log has is refused', async () => {
    const root = bytesOf('another root')
    expect(await head({ note: log.note({ ...log.checkpoint(), root }) })).toBe('ERR_ROOT_MISMATCH')
    const stateRoot = bytesOf('another state')
    expect(await head({ note: log.note({ ...log.checkpoint(), stateRoot }) })).toBe('ERR_STATE_ROOT')
  })
})

describe('the log that is skipped to goes on from the one that is known (R-SKIP-3)', () => {
  it('by a compact range of its own root', async () => {
    expect(await head({ range: rangeAt(log, SIZE - 1) })).toBe('ERR_ROOT_MISMATCH')
    expect(await head({ range: encodeRange(emptyRange) })).toBe('ERR_ROOT_MISMATCH')
    const other = longLog({ relaySeed: bytesOf('another relay') }).log
    expect(await head({ range: rangeAt(other, SIZE) })).toBe('ERR_ROOT_MISMATCH')
  })

  it('by proofs, none of which may be missing or wrong', async () => {
    const { proofs } = HONEST.head
    for (const [i, { size, proof }] of proofs.entries()) {
      const without = proofs.filter((_, at) => at !== i)
      expect(await head({ proofs: without }), `${size}`).toBe('ERR_PROOF')
      const cut = proof.slice(0, -1)
      expect(await head({ proofs: [...without, { size, proof: cut }] }), `${size}`).toBe('ERR_PROOF')
      const flipped = proof.map(hash => hash.map((byte, at) => (at === 7 ? byte ^ 1 : byte)))
      expect(await head({ proofs: [...without, { size, proof: flipped }] }), `${size}`).toBe('ERR_PROOF')
      expect(await head({ proofs: [...proofs, { size, proof }] }), `${size}`).toBe('ERR_PROOF')
    }
  })

  it('and not where another log was known, or an anchor is of another one', async () => {
    const other = longLog().log
    const forked = new LogBuilder()
    forked.append(forked.genesis())
    forked.admit('writer')
    forked.append(forked.changes(forked.owner))
    forked.append(forked.changes(forked.owner))
    // One relay, one genesis, and two logs from there on.
    expect(forked.space).toBe(other.space)
    expect(await answer({}, { ...(await forked.viewAt(START)), anchors: [ANCHOR] })).toBe('ERR_PROOF')
    expect(await answer({}, { ...view, anchors: [{ size: ANCHOR.size, root: bytesOf('elsewhere') }] })).toBe(
      'ERR_PROOF',
    )
    const there = { size: SIZE, root: bytesOf('elsewhere') }
    expect(await answer({}, { ...view, anchors: [there] })).toBe('ERR_PROOF')
  })
})

describe('every control entry is there, at its place, by its author (R-SKIP-4)', () => {
  it('and none may be left out', async () => {
    for (const i of HONEST.records.keys()) {
      const records = HONEST.records.filter((_, at) => at !== i)
      const verdict = await answer({ records })
      expect(verdict, `record ${i}`).toMatch(/^ERR_(INVALID_ENTRY|STATE_ROOT|PROOF)/)
    }
    // The last one: the reducer misses nothing, but the signed state has it.
    const records = HONEST.records.slice(0, -1)
    const end = (records.at(-1)?.index as number) + 1
    const cut = { ...HONEST.head, controlRoot: log.rootAt(end), proofs: ALL_PROOFS }
    expect(await answer({ head: cut, records })).toBe('ERR_STATE_ROOT')
  })

  it('nor the genesis', async () => {
    expect(await answer({ records: [] }, fresh(), FROM_NOTHING)).toBe('ERR_PROOF')
    expect(await answer({ records: FROM_NOTHING.records.slice(1) }, fresh(), FROM_NOTHING)).toMatch(
      /^ERR_INVALID_ENTRY/,
    )
  })

  it('nor come twice, out of order, or from below what is known', async () => {
    const [first, second, ...rest] = HONEST.records as [LogRecord, LogRecord, ...LogRecord[]]
    // A join before its invite: the reducer knows nothing of its device yet.
    expect(await answer({ records: [second, first, ...rest] })).toBe('ERR_INVALID_ENTRY device')
    expect(await answer({ records: [first, second, ...rest.slice(1), ...rest.slice(0, 1)] })).toMatch(/^ERR_/)
    expect(await answer({ records: [first, first, second, ...rest] })).toBe('ERR_PROOF')
    const known = FROM_NOTHING.records[1] as LogRecord
    expect(known.index).toBeLessThan(START)
    expect(await answer({ head: { ...HONEST.head, proofs: ALL_PROOFS }, records: [known, ...HONEST.records] })).toBe(
      'ERR_PROOF',
    )
  })

  it('nor stand elsewhere than its inclusion proof says', async () => {
    const { index, inclusion } = HONEST.records[1] as LogRecord
    for (const change of [
      { index: index + 1 },
      { index: SIZE },
      { index: 2 ** 53 - 1 },
      { inclusion: [] },
      { inclusion: inclusion.slice(1) },
      { inclusion: [...inclusion, bytesOf('more')] },
      { inclusion: log.inclusion(index + 1) },
      { inclusion: log.inclusion(index, SIZE - 1) },
    ]) {
      expect(await answer({ records: recordsWith(1, change) })).toBe('ERR_PROOF')
    }
  })

  it('nor be of no signed log', async () => {
    const made = log.control(log.owner, log.inviteBody(testDevice('made up', 8)))
    const { header, signature, body } = made
    expect(
      await answer({ records: [...HONEST.records.slice(0, -1), { ...lastOf(HONEST), header, signature, body }] }),
    ).toBe('ERR_PROOF')
  })

  it('nor be unsigned, or signed by somebody else', async () => {
    expect(await answer({ records: recordsWith(1, { signature: undefined }) })).toBe('ERR_UNCOVERED')
    const signature = (HONEST.records[0] as LogRecord).signature
    expect(await answer({ records: recordsWith(1, { signature }) })).toBe('ERR_SIGNATURE')
  })

  it('nor come without its body, or with another', async () => {
    expect(await answer({ records: recordsWith(1, { body: undefined }) })).toBe('ERR_BODY')
    const body = (HONEST.records[0] as LogRecord).body
    expect(await answer({ records: recordsWith(1, { body }) })).toBe('ERR_BODY')
  })

  it('nor be an entry of a document', async () => {
    const index = 3
    const { header, signature, body, decoded } = log.entries[index] as BuiltEntry
    expect(decoded).toMatchObject({ kind: 'changes', seq: 0 })
    const record = { index, header, signature, body, inclusion: log.inclusion(index) }
    const [genesis, invite, join, ...rest] = FROM_NOTHING.records as [LogRecord, LogRecord, LogRecord]
    const head = { ...FROM_NOTHING.head, proofs: ALL_PROOFS }
    const records = [genesis, invite, join, record, ...rest]
    expect(await answer({ head, records }, fresh(), FROM_NOTHING)).toBe('ERR_PROOF')
    expect(await answer({ head }, fresh(), FROM_NOTHING)).toBe('accepted')
  })

  it('nor say that its author had seen another log, even where the relay signs that', async () => {
    const { log: other } = longLog()
    other.force(
      other.control(other.owner, other.inviteBody(testDevice('x', 8)), { seenSize: 4, seenRoot: bytesOf('x') }),
    )
    const forged = skipAnswer(other, START, other.size, [ANCHOR.size])
    expect(await answer(forged)).toBe('ERR_PROOF')
  })

  it('nor be refused by the reducer, even where the relay signs it (R-BATCH-8)', async () => {
    const { log: other, writer } = longLog()
    other.force(other.control(writer, other.inviteBody(testDevice('x', 8), 'owner')))
    expect(await answer(skipAnswer(other, START, other.size, [ANCHOR.size]))).toBe('ERR_INVALID_ENTRY role')
  })

  it('nor admit a key without proof of possession (R-KEY-4)', async () => {
    const { log: other } = longLog()
    const body = other.inviteBody(testDevice('x', 8))
    other.append(other.control(other.owner, { ...body, device: { ...body.device, possession: new Uint8Array(64) } }))
    expect(await answer(skipAnswer(other, START, other.size, [ANCHOR.size]))).toBe('ERR_SIGNATURE')
  })
})

describe('the genesis (R-SKIP-5)', () => {
  it('of another space is refused, even where the relay signs a log that begins with it', async () => {
    const other = new LogBuilder()
    other.append(other.genesis({ ...other.genesisBody(), spaceName: bytesOf('another space') }))
    other.append(other.changes(other.owner))
    const from = { ...fresh() }
    const forged = skipAnswer(other, 0)
    const checkpoint = { ...other.checkpoint(), origin: log.checkpoint().origin }
    const note = log.note(checkpoint, RELAY_SEED)
    expect(await answer({ head: { ...forged.head, note }, records: forged.records }, from)).toBe('ERR_INVALID_ENTRY')
  })

  it('that names another relay is refused', async () => {
    const other = new LogBuilder()
    const body = other.genesisBody()
    other.append(other.genesis({ ...body, relay: { ...body.relay, name: 'copy.test' } }))
    expect(await answer(skipAnswer(other, 0), other.emptyView())).toBe('ERR_RELAY_IDENTITY')
  })

  it('without its signature is refused', async () => {
    const records = recordsWith(0, { signature: undefined }, FROM_NOTHING)
    expect(await answer({ records }, fresh(), FROM_NOTHING)).toBe('ERR_UNCOVERED')
  })
})

describe('the control entries lead to the signed state (R-SKIP-6)', () => {
  const documents = log.stateAt().documents
  const control = getAt(documents, stateKey(CONTROL_DOCUMENT)) as DocumentRecord

  it('with the documents of another size, or made up, or without the control document', async () => {
    expect(await head({ documents: encodeDocuments(log.stateAt(SIZE - 1).documents, [CONTROL_DOCUMENT]) })).toBe(
      'ERR_STATE_ROOT',
    )
    const made = setAt(documents, stateKey(OTHER), { ...control, document: OTHER })
    expect(await head({ documents: encodeDocuments(made, [CONTROL_DOCUMENT]) })).toBe('ERR_STATE_ROOT')
    const without = deleteAt(documents, stateKey(CONTROL_DOCUMENT))
    expect(await head({ documents: encodeDocuments(without, [CONTROL_DOCUMENT]) })).toBe('ERR_STATE_ROOT')
    // Sound, but about another document.
    expect(await head({ documents: encodeDocuments(documents, [DOCUMENT]) })).toMatch(/^ERR_PROOF/)
  })

  it('with a chain of control entries cut back, in a state that the relay signs so', async () => {
    const owner = findActor(control, actorOfDevice(log, log.owner, CONTROL_DOCUMENT)) as ActorRecord
    expect(owner.seq).toBeGreaterThan(0)
    const actors = setAt(control.actors, stateKey(owner.actor), { ...owner, seq: owner.seq - 1 })
    const cut = { ...control, actors }
    const lying = setAt(documents, stateKey(CONTROL_DOCUMENT), cut)
    const signedState = stateRoot({ control: log.stateAt().control, documents: lying })
    const note = log.note({ ...log.checkpoint(), stateRoot: signedState })
    expect(await head({ note, documents: encodeDocuments(lying, [CONTROL_DOCUMENT]) })).toBe('ERR_STATE_ROOT')
  })

  it('and the root right after the latest one is that of this log, as the fingerprint rests on it', async () => {
    expect(await head({ controlRoot: bytesOf('another log') })).toBe('ERR_PROOF')
    expect(await head({ controlRoot: log.rootAt(3) })).toBe('ERR_PROOF')
    expect(await head({ controlRoot: new Uint8Array(32) })).toBe('ERR_PROOF')
  })
})

describe('an entry of a later version on the way', () => {
  it('stops nobody whom no relay told so (R-UPGRADE-1)', async () => {
    const last = lastOf(HONEST)
    const { decoded } = log.entries[last.index] as BuiltEntry
    const later = signed(
      log.owner,
      { ...decoded, seq: decoded.seq },
      encodeControlBody(log.inviteBody(testDevice('y', 9))),
    )
    const header = later.header.slice()
    header[1] = 2
    expect(await answer({ records: [...HONEST.records.slice(0, -1), { ...last, header }] })).not.toBe('accepted')
  })
})

function lastOf({ records }: SkipAnswer): LogRecord {
  return records.at(-1) as LogRecord
}
