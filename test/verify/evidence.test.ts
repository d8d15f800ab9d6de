import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeCbor, encodeCbor } from '../../src/codec.ts'
import { CONTROL_DOCUMENT, documentIdOf } from '../../src/ids.ts'
import { checkpointsEvidence, inconsistencyEvidence, transitionEvidence } from '../../src/verify/build-evidence.ts'
import { encodeNote, type NoteSignature, parseNote } from '../../src/verify/checkpoint.ts'
import { convict } from '../../src/verify/convict.ts'
import { decodeEvidence, encodeEvidence } from '../../src/verify/evidence.ts'
import { judgeEvidence } from '../../src/verify/judge.ts'
import type { Batch, LogView } from '../../src/verify/log.ts'
import { keepDocuments } from '../../src/verify/tracer.ts'
import type { Outcome } from '../../src/verify/verdict.ts'
import { accept, bytesOf, LogBuilder, type TestDevice, verdictOf } from '../helpers/log-builder.ts'

const OTHER = documentIdOf(bytesOf('other document').slice(0, 16))

/** Genesis, invite, join, then `changes` entries by writer and owner in turns. The relay's key is always the same. */
function branch(changes: number, label = ''): { log: LogBuilder; writer: TestDevice } {
  const { log, writer } = LogBuilder.withWriter()
  for (let i = 0; i < changes; i++) {
    const author = i % 2 === 0 ? writer : log.owner
    // What differs between branches comes with the third change, so that they have a beginning in common.
    log.append(log.changes(author, i < 2 ? {} : { tag: bytesOf(`${label} ${i}`) }))
  }
  return { log, writer }
}

function verdict(bytes: Uint8Array | undefined): Outcome | 'nothing' {
  return bytes === undefined ? 'nothing' : judgeEvidence(bytes).verdict
}

/** The batch is refused with this code, and what becomes of it. */
async function refusedBatch(code: string, view: LogView, batch: Batch, notes: readonly Uint8Array[]) {
  expect(await verdictOf(() => accept(view, batch))).toBe(code)
  return convict({ view, notes, batches: [batch] })
}

const { log } = branch(9)
const SIZE = log.size
const START = 7
const VIEW = await log.viewAt(START)
const NOTE = log.note(log.checkpoint(START))
const ACCUSED = { relay: log.relay, space: log.space }

describe('two checkpoints (R-EVIDENCE-1)', () => {
  const judged = (a: Uint8Array, b: Uint8Array) => verdict(checkpointsEvidence(ACCUSED, [a, b]))
  const noteOf = (size: number, fields: object = {}) => log.note({ ...log.checkpoint(size), ...fields })

  it('of one size with two roots, or two states, cannot be one log', () => {
    expect(judged(noteOf(5), noteOf(5, { root: bytesOf('root') }))).toBe('holds')
    expect(judged(noteOf(5, { stateRoot: bytesOf('state') }), noteOf(5))).toBe('holds')
  })

  it('of two sizes with one root cannot be one log', () => {
    expect(judged(noteOf(5), noteOf(6, { root: log.rootAt(5) }))).toBe('holds')
  })

  it('of which the smaller is later convict nobody: a relay that was restored from a backup says that (R-NOTE-7)', () => {
    expect(judged(noteOf(6), noteOf(5, { time: log.time + 1 }))).toBe('refuted')
    expect(judged(noteOf(5, { time: log.time + 1 }), noteOf(6))).toBe('refuted')
  })

  it('that an honest relay signs convict nobody', () => {
    expect(judged(noteOf(5), noteOf(5))).toBe('refuted')
    expect(judged(noteOf(5), noteOf(5, { time: log.time + 1000 }))).toBe('refuted')
    expect(judged(noteOf(5), noteOf(9))).toBe('refuted')
    expect(judged(noteOf(5), noteOf(9, { time: log.time + 1 }))).toBe('refuted')
  })

  it('convict nobody else: another key, another space, another relay', () => {
    const wrong = { root: bytesOf('root') }
    const forged = log.note({ ...log.checkpoint(5), ...wrong }, bytesOf('not the relay'))
    expect(judged(noteOf(5), forged)).toBe('refuted')
    const elsewhere = new LogBuilder({ relayName: 'other.test' })
    elsewhere.append(elsewhere.genesis())
    expect(judged(noteOf(5), elsewhere.note())).toBe('unusable')
    const notes = [noteOf(5), noteOf(5, wrong)] as const
    const key = elsewhere.relay.key.slice().reverse()
    expect(verdict(checkpointsEvidence({ ...ACCUSED, relay: { ...log.relay, key } }, notes))).not.toBe('holds')
    expect(verdict(checkpointsEvidence({ ...ACCUSED, space: elsewhere.space }, notes))).toBe('unusable')
    expect(verdict(checkpointsEvidence({ ...ACCUSED, relay: elsewhere.relay }, notes))).toBe('unusable')
  })

  it('about no entries show nothing', () => {
    expect(judged(noteOf(0), noteOf(0, { stateRoot: bytesOf('state') }))).toBe('unusable')
  })
})

describe('a log that is not how another begins', () => {
  const fork = branch(9, 'fork').log
  /** The fork is the relay's, too: same space, same key. */
  const evidence = (size: number, fields: object = {}) =>
    inconsistencyEvidence(ACCUSED, {
      smaller: log.note(log.checkpoint(size)),
      larger: fork.note(),
      root: fork.rootAt(size),
      proof: fork.consistency(size, fork.size),
      ...fields,
    })

  it('is shown by the root that the larger one had, at any size', () => {
    expect(fork.space).toBe(log.space)
    for (const size of [6, 7, 8, 9, 11]) expect(verdict(evidence(size)), `${size}`).toBe('holds')
  })

  it('is not shown where they begin alike', () => {
    expect(verdict(evidence(4))).toBe('refuted')
    expect(verdict(evidence(3))).toBe('refuted')
  })

  it('is not shown by a proof that is cut short, drawn out, or of another log', () => {
    const proof = fork.consistency(7, fork.size)
    expect(verdict(evidence(7, { proof: proof.slice(1) }))).toBe('refuted')
    expect(verdict(evidence(7, { proof: [...proof, bytesOf('node')] }))).toBe('refuted')
    expect(verdict(evidence(7, { root: bytesOf('root') }))).toBe('refuted')
    expect(verdict(evidence(7, { larger: log.note() }))).toBe('refuted')
    expect(verdict(evidence(7, { larger: log.note(log.checkpoint(7)) }))).toBe('unusable')
  })

  it('convicts a relay that goes over to another log with a proof that is sound there', async () => {
    const batch = { ...fork.batch(7, 7), consistency: fork.consistency(7, fork.size) }
    const found = await refusedBatch('ERR_PROOF', VIEW, batch, [NOTE])
    expect(verdict(found)).toBe('holds')
    expect(judgeEvidence(found as Uint8Array).kind).toBe('inconsistency')
  })
})

describe('entries of a signed log', () => {
  it('that fold to another state than was signed convict the relay', async () => {
    const lie = { checkpoint: { stateRoot: bytesOf('state') } }
    for (const [view, batch, notes] of [
      [VIEW, log.batch(START, SIZE, lie), [NOTE]],
      [log.emptyView(), log.batch(0, SIZE, lie), []],
    ] as const) {
      const found = await refusedBatch('ERR_STATE_ROOT', view, batch, notes)
      expect(verdict(found)).toBe('holds')
      expect(judgeEvidence(found as Uint8Array)).toMatchObject({ kind: 'transition', ...ACCUSED })
    }
  })

  it('that the reducer refuses convict the relay (R-BATCH-8)', async () => {
    const forced: readonly (readonly [string, (forged: LogBuilder, by: TestDevice) => void])[] = [
      ['seen', (forged, by) => forged.force(forged.changes(by, { seenSize: forged.size, seenRoot: bytesOf('root') }))],
      ['chain', (forged, by) => forged.force(forged.changes(by, { seq: 0, prev: new Uint8Array(32) }))],
      ['epoch', (forged, by) => forged.force(forged.changes(by, { epoch: 1 }))],
      ['device', forged => forged.force(forged.changes({ ...forged.owner, number: 77 }))],
      ['kind', (forged, by) => forged.force(forged.changes(by, { document: CONTROL_DOCUMENT }))],
      ['control-body', forged => forged.force(forged.entry(forged.owner, control(bytesOf('garbage'))))],
      ['space', (forged, by) => forged.force(forged.changes(by, { space: bytesOf('space') }))],
    ]
    for (const [reason, force] of forced) {
      const forged = branch(4)
      const view = await forged.log.viewAt(5)
      const base = forged.log.note(forged.log.checkpoint(5))
      force(forged.log, forged.writer)
      const code = `ERR_INVALID_ENTRY ${reason}`
      expect(verdict(await refusedBatch(code, view, forged.log.batch(5), [base])), reason).toBe('holds')
      const whole = forged.log.batch(0)
      expect(verdict(await refusedBatch(code, forged.log.emptyView(), whole, [])), reason).toBe('holds')
    }
  })

  it('of another genesis than the space is named after convict the relay (R-GENESIS-2)', () => {
    const other = new LogBuilder()
    other.append(other.genesis({ ...other.genesisBody(), spaceName: bytesOf('another name') }))
    const batch = { ...other.batch(0), note: log.note({ ...log.checkpoint(1), root: other.rootAt(1) }) }
    expect(verdict(convict({ view: log.emptyView(), notes: [], batches: [batch] }))).toBe('holds')
  })

  it('whose genesis names another relay convict nobody: a relay may change its key one day (R-GENESIS-3)', async () => {
    const moved = new LogBuilder({ relaySeed: bytesOf('new key') })
    for (const entry of log.entries) moved.force(entry)
    const batch = moved.batch(0, SIZE, { checkpoint: { stateRoot: log.checkpoint().stateRoot } })
    expect(await refusedBatch('ERR_RELAY_IDENTITY', moved.emptyView(), batch, [])).toBeUndefined()
    expect(verdict(transitionEvidence(moved.emptyView(), undefined, [batch], [], []))).toBe('unusable')
  })

  it('that lead elsewhere than a note that was signed before convict the relay', async () => {
    const fork = branch(9, 'fork').log
    const signed = fork.note(fork.checkpoint(10))
    const view: LogView = { ...VIEW, anchors: [{ size: 10, root: fork.rootAt(10) }] }
    // Of the two logs the heads have different sizes, so that only the entries show it.
    const shared = await branch(2).log.viewAt(5)
    for (const from of [
      { ...shared, anchors: view.anchors },
      { ...log.emptyView(), anchors: view.anchors },
    ]) {
      const batch = log.batch(from.range.size)
      const base = log.note(log.checkpoint(5))
      const found = await refusedBatch('ERR_ROOT_MISMATCH', from, batch, [base, signed])
      expect(judgeEvidence(found as Uint8Array)).toMatchObject({ verdict: 'holds', kind: 'transition' })
    }
  })

  it('that come in parts are judged together, from the last view with a note', async () => {
    const [first, second] = [log.batch(START, 9), log.batch(9, SIZE, { checkpoint: { stateRoot: bytesOf('state') } })]
    const between = await accept(VIEW, first)
    expect(await verdictOf(() => accept(between, second))).toBe('ERR_STATE_ROOT')
    expect(verdict(convict({ view: VIEW, notes: [NOTE], batches: [first, second] }))).toBe('holds')
    expect(convict({ view: VIEW, notes: [NOTE], batches: [second] })).toBeUndefined()
    expect(convict({ view: between, notes: [NOTE], batches: [second] })).toBeUndefined()
  })

  it('that come one by one, dozens of them, are judged together still', async () => {
    const lie = { stateRoot: bytesOf('state') }
    const long = branch(80).log
    const batches: Batch[] = []
    for (let from = 0; from < long.size; from++) batches.push(long.batch(from, from + 1, { checkpoint: lie }))
    expect(verdict(convict({ view: long.emptyView(), notes: [], batches }))).toBe('holds')
  })

  it('convict in the hands of a replica that knows only part of the state, by the tracer that came', async () => {
    const lie = log.batch(START, SIZE, { checkpoint: { stateRoot: bytesOf('state') } })
    const found = convict({ view: VIEW, notes: [NOTE], batches: [lie] }) as Uint8Array
    const { claim } = decodeEvidence(found)
    const tracer = claim.kind === 'transition' ? claim.base?.tracer : undefined
    const sparse = { ...VIEW, state: VIEW.state && keepDocuments(VIEW.state, [CONTROL_DOCUMENT]) }
    expect(verdict(await refusedBatch('ERR_STATE_ROOT', sparse, { ...lie, tracer }, [NOTE]))).toBe('holds')
    expect(await refusedBatch('ERR_PROOF stub', sparse, lie, [NOTE])).toBeUndefined()
  })

  it('by devices that the same entries admit convict, too', async () => {
    const { log: own } = branch(9)
    const view = await own.viewAt(own.size)
    const base = own.note()
    const guest = own.admit('guest')
    own.append(own.changes(guest))
    const lie = own.batch(view.range.size, own.size, { checkpoint: { stateRoot: bytesOf('state') } })
    expect(verdict(await refusedBatch('ERR_STATE_ROOT', view, lie, [base]))).toBe('holds')
  })

  it('take along no more of the state than they touch', async () => {
    const large = branch(2)
    for (let i = 0; i < 40; i++) {
      large.log.append(large.log.changes(large.writer, { document: documentIdOf(bytesOf(`${i}`).slice(0, 16)) }))
    }
    const { size } = large.log
    const view = await large.log.viewAt(size)
    const base = large.log.note()
    large.log.append(large.log.changes(large.writer, { document: OTHER }))
    const batch = large.log.batch(size, size + 1, { checkpoint: { stateRoot: bytesOf('state') } })
    const found = convict({ view, notes: [base], batches: [batch] }) as Uint8Array
    const { claim } = decodeEvidence(found)
    expect(claim.kind === 'transition' && claim.base?.tracer?.length).toBeLessThan(500)
    expect(claim.kind === 'transition' && claim.batches[0]?.entries[0]?.body).toBeUndefined()
  })
})

describe('an author who is said to have seen another log', () => {
  const fork = branch(9, 'fork').log
  /** An entry of the other branch, put into this one at its end. */
  async function strayed(seenSize: number, start: number) {
    const { log: own, writer: by } = branch(9)
    const view = await own.viewAt(start)
    const base = own.note(own.checkpoint(start))
    own.force(own.changes(by, { seenSize, seenRoot: fork.rootAt(seenSize) }))
    return { own, view, base, batch: own.batch(start) }
  }

  it('convicts the relay where the root before the batch shows it', async () => {
    // 11 = 8 + 2 + 1: at 8 and 10 a compact range of 11 entries has the roots at hand.
    for (const seenSize of [8, 10]) {
      const { view, base, batch } = await strayed(seenSize, 11)
      const found = await refusedBatch('ERR_PROOF', view, { ...batch, seenProofs: [] }, [base])
      expect(verdict(found), `${seenSize}`).toBe('holds')
    }
  })

  it('convicts the relay by the proof that it sent itself', async () => {
    const { own, view, base, batch } = await strayed(9, 11)
    const proof = own.consistency(9, 11)
    expect(verdict(await refusedBatch('ERR_PROOF', view, { ...batch, seenProofs: [{ size: 9, proof }] }, [base]))).toBe(
      'holds',
    )
  })

  it('convicts nobody where nothing shows what the log was then: a member may invent heads', async () => {
    const { view, base, batch } = await strayed(9, 11)
    const withoutProof = { ...batch, seenProofs: [] }
    expect(await refusedBatch('ERR_PROOF', view, withoutProof, [base])).toBeUndefined()
    const unsound = { ...batch, seenProofs: [{ size: 9, proof: [bytesOf('node')] }] }
    expect(await refusedBatch('ERR_PROOF', view, unsound, [base])).toBeUndefined()
    expect(verdict(transitionEvidence(view, base, [withoutProof], [], []))).toBe('unusable')
  })

  it('convicts nobody by a prefix that nothing binds', async () => {
    const { own, view, base, batch } = await strayed(9, 11)
    const proof = own.consistency(9, 11)
    const prefix = { size: 9, root: bytesOf('root'), end: 11, proof }
    expect(verdict(transitionEvidence(view, base, [batch], [], [prefix]))).toBe('unusable')
    const nowhere = { size: 9, root: own.rootAt(9), end: 500, proof }
    expect(verdict(transitionEvidence(view, base, [batch], [], [nowhere]))).toBe('unusable')
  })
})

describe('what a relay did not sign never convicts it (R-EVIDENCE-2)', () => {
  const honest = log.batch(START)
  const judged = (batch: Batch, base: Uint8Array = NOTE) => verdict(transitionEvidence(VIEW, base, [batch], [], []))
  const change = (at: number, fields: object): Batch => ({
    ...honest,
    entries: honest.entries.map((entry, i) => (i === at ? { ...entry, ...fields } : entry)),
  })

  it('an honest log is found honest', () => {
    expect(judged(honest)).toBe('refuted')
    expect(verdict(transitionEvidence(log.emptyView(), undefined, [log.batch(0)], [NOTE], []))).toBe('refuted')
    expect(convict({ view: VIEW, notes: [NOTE], batches: [honest] })).toBeUndefined()
  })

  it('an entry whose signature is missing or false (R-COVER-1)', async () => {
    const last = honest.entries.length - 1
    expect(judged(change(last, { signature: undefined }))).toBe('unusable')
    expect(judged(change(last, { signature: new Uint8Array(64) }))).toBe('refuted')
    expect(await refusedBatch('ERR_UNCOVERED', VIEW, change(last, { signature: undefined }), [NOTE])).toBeUndefined()
  })

  it('a control entry without its body, or with another (R-BODY-1, R-BODY-2)', async () => {
    const whole = log.batch(0)
    for (const body of [undefined, bytesOf('another body')]) {
      const entries = whole.entries.map((entry, i) => (i === 1 ? { ...entry, body } : entry))
      const batch = { ...whole, entries }
      expect(verdict(transitionEvidence(log.emptyView(), undefined, [batch], [], []))).toBe('unusable')
      expect(await refusedBatch('ERR_BODY', log.emptyView(), batch, [])).toBeUndefined()
    }
  })

  it('an entry that a member made up, in no signed log', () => {
    const { log: own, writer: by } = branch(9)
    own.force(own.changes(by, { epoch: 5 }))
    expect(judged({ ...own.batch(START), note: log.note() })).toBe('refuted')
    expect(judged({ ...own.batch(START), note: own.note(own.checkpoint(), bytesOf('not the relay')) })).toBe('refuted')
  })

  it('a head that a member made up', () => {
    const invented = log.note({ ...log.checkpoint(START), root: bytesOf('root') }, bytesOf('a member'))
    expect(convict({ view: VIEW, notes: [NOTE, invented], batches: [honest] })).toBeUndefined()
    expect(convict({ view: VIEW, notes: [NOTE, invented], batches: [] })).toBeUndefined()
  })

  it('an old note that the network plays again (R-NOTE-4)', async () => {
    const current = await log.viewAt(SIZE)
    const old = log.batch(SIZE, SIZE, { signedSize: START })
    expect(await refusedBatch('ERR_ROLLBACK', current, { ...old, consistency: [] }, [log.note()])).toBeUndefined()
  })

  it('entries that a stranger made up, which a true note contradicts', async () => {
    const made = branch(9, 'made up').log
    const view = await log.viewAt(5)
    const base = log.note(log.checkpoint(5))
    const anchors = [log.note(log.checkpoint(10))]
    for (const to of [10, SIZE]) {
      const batch = { ...made.batch(5, to), note: log.note() }
      expect(verdict(transitionEvidence(view, base, [batch], anchors, []))).toBe('refuted')
    }
  })

  it('a log before the entries that is not the one that was signed', async () => {
    const other = branch(9, 'other').log
    const { range } = await other.viewAt(START)
    const found = transitionEvidence({ ...VIEW, range }, NOTE, [other.batch(START)], [], [])
    expect(judgeEvidence(found)).toMatchObject({
      verdict: 'unusable',
      reasons: [expect.stringContaining('not the log that the relay signed')],
    })
  })

  it('a base that is not the one that was signed', () => {
    expect(judged(honest, log.note(log.checkpoint(START + 1)))).not.toBe('holds')
    const other = { ...VIEW, state: log.state }
    expect(verdict(transitionEvidence(other, NOTE, [honest], [], []))).toBe('unusable')
  })

  it('a version or kind that this build does not know (R-UPGRADE-1)', async () => {
    const { log: own } = branch(4)
    const view = await own.viewAt(5)
    const base = own.note(own.checkpoint(5))
    own.force(own.entry(own.owner, control(encodeCbor([99]))))
    expect(await refusedBatch('ERR_UPGRADE', view, own.batch(5), [base])).toBeUndefined()
    expect(verdict(transitionEvidence(view, base, [own.batch(5)], [], []))).toBe('unusable')
  })

  it('batches that do not follow each other, or none', () => {
    expect(verdict(transitionEvidence(VIEW, NOTE, [], [], []))).toBe('unusable')
    expect(judged(log.batch(START + 1))).toBe('unusable')
    expect(judged({ ...log.batch(START, 9), consistency: [] })).toBe('refuted')
  })
})

// -- Files from strangers -----------------------------------------------------------------------------------------

const fork = branch(9, 'fork').log
const SAMPLES = {
  checkpoints: checkpointsEvidence(ACCUSED, [log.note(), fork.note()]),
  inconsistency: inconsistencyEvidence(ACCUSED, {
    smaller: log.note(log.checkpoint(7)),
    larger: fork.note(),
    root: fork.rootAt(7),
    proof: fork.consistency(7, fork.size),
  }),
  transition: convict({
    view: VIEW,
    notes: [NOTE],
    batches: [log.batch(START, SIZE, { checkpoint: { stateRoot: bytesOf('state') } })],
  }) as Uint8Array,
}

describe('a file from a stranger (R-EVIDENCE-3)', () => {
  it.each(Object.entries(SAMPLES))('%s: reads and writes to the same bytes', (kind, bytes) => {
    const evidence = decodeEvidence(bytes)
    expect(encodeEvidence(evidence)).toEqual(bytes)
    expect(judgeEvidence(bytes)).toMatchObject({ verdict: 'holds', kind, ...ACCUSED })
  })

  it.each(Object.entries(SAMPLES))(
    '%s: a flipped bit never turns it into evidence of something else',
    (kind, bytes) => {
      const step = Math.ceil(bytes.length / 150)
      let held = 0
      for (let at = 0; at < bytes.length; at += step) {
        const flipped = bytes.slice()
        flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
        const judged = judgeEvidence(flipped)
        if (judged.verdict !== 'holds') continue
        held++
        expect(judged).toMatchObject({ kind, ...ACCUSED })
      }
      // What may differ without consequence: signatures of entries, which the relay did not sign.
      expect(held).toBeLessThan(kind === 'transition' ? 60 : 1)
    },
  )

  it.each(Object.entries(SAMPLES))('%s: cut short it is unusable', (_, bytes) => {
    for (const length of [0, 1, 17, bytes.length >> 1, bytes.length - 1]) {
      expect(verdict(bytes.slice(0, length))).toBe('unusable')
    }
  })

  it('a line by somebody else in a note changes nothing', () => {
    const { checkpoint, signatures } = parseNote(log.note())
    const line: NoteSignature = { name: 'witness', keyHash: new Uint8Array(4), signature: new Uint8Array(64) }
    const note = encodeNote(checkpoint, [...signatures, line])
    expect(verdict(checkpointsEvidence(ACCUSED, [note, fork.note()]))).toBe('holds')
  })

  it('of a later version or kind is unusable, and says so (R-UPGRADE-1)', () => {
    const items = decodeCbor(SAMPLES.checkpoints, 1 << 20) as readonly never[]
    for (const [at, value] of [
      [1, 2],
      [4, 3],
    ] as const) {
      const later = encodeCbor(items.map((item, i) => (i === at ? value : item)))
      expect(judgeEvidence(later)).toMatchObject({
        verdict: 'unusable',
        reasons: [expect.stringContaining('ERR_UPGRADE')],
      })
    }
  })

  it('is never an exception, whatever it holds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        expect(verdict(bytes)).toBe('unusable')
      }),
      { numRuns: 200 },
    )
    const parts = fc.letrec(tie => ({
      item: fc.oneof(fc.nat(), fc.string(), fc.uint8Array(), fc.array(tie('item'), { maxLength: 4 })),
    })).item
    const head = [...(decodeCbor(SAMPLES.checkpoints, 1 << 20) as readonly never[]).slice(0, 4)]
    fc.assert(
      fc.property(fc.nat({ max: 3 }), parts, (kind, item) => {
        expect(verdict(encodeCbor([...head, kind, item as never]))).toBe('unusable')
      }),
      { numRuns: 200 },
    )
  })

  it('takes no memory for items that nobody needs', () => {
    const bomb = new Uint8Array(8 * 1024 * 1024).fill(0x80)
    bomb.set([0x9a, 0, 0x7f, 0xff, 0xfb])
    // Well-formed, so that it is given up in the middle and not looked at as a whole.
    expect(judgeEvidence(bomb).reasons).toEqual(['ERR_MALFORMED: not deterministic CBOR'])
    expect(verdict(new Uint8Array(33 * 1024 * 1024))).toBe('unusable')
  })
})

function control(body: Uint8Array) {
  return { document: CONTROL_DOCUMENT, kind: 'control', body } as const
}
