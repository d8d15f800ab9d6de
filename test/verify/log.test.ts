import { describe, expect, it } from 'vitest'
import { toHex } from '../../src/bytes.ts'
import { sha256, ZERO_32 } from '../../src/crypto/hash.ts'
import { CONTROL_DOCUMENT, documentIdOf, memberIdOf } from '../../src/ids.ts'
import { advance } from '../../src/verify/advance.ts'
import { type Checkpoint, encodeNote, type NoteSignature, parseNote } from '../../src/verify/checkpoint.ts'
import { rootOf } from '../../src/verify/compact-range.ts'
import { encodeControlBody } from '../../src/verify/control-codec.ts'
import { decodeHeader, entryHash } from '../../src/verify/entry.ts'
import { type Batch, type BatchEntry, isCurrent, type LogView, MAX_ANCHORS } from '../../src/verify/log.ts'
import { stateRoot } from '../../src/verify/state.ts'
import {
  accept,
  acceptWhole,
  type BuiltEntry,
  bytesOf,
  DOCUMENT,
  LogBuilder,
  memberNamed,
  RELAY_SEED,
  signed,
  type TestDevice,
  testDevice,
  verdictOf,
} from '../helpers/log-builder.ts'
import { naiveRoot } from './naive-merkle.ts'

/** Genesis, invite, join (0–2), then changes by writer and owner in turns (3–12). Immutable from here on. */
function honestLog(options?: { relaySeed: Uint8Array }): { log: LogBuilder; writer: TestDevice } {
  const log = new LogBuilder(options)
  log.append(log.genesis())
  const writer = log.admit('writer')
  for (let i = 0; i < 5; i++) {
    // Each has seen what was there two entries before, as authors who write at the same time do.
    log.append(log.changes(writer, { seenSize: log.size - 1 }))
    log.append(log.changes(log.owner, { seenSize: log.size - 2 }))
  }
  return { log, writer }
}

const { log } = honestLog()
const SIZE = log.size
const START = 7
const VIEW = await log.viewAt(START)
const GOOD = log.batch(START)

/** What a replica answers to a batch; its view must be as it was, whatever it answers. */
async function answer(batch: Batch, view: LogView = VIEW): Promise<string> {
  const before = structuredClone(fieldsOf(view))
  const verdict = await verdictOf(() => accept(view, batch))
  expect(fieldsOf(view)).toEqual(before)
  return verdict
}

function fieldsOf({ state, ...rest }: LogView): object {
  return { ...rest, stateRoot: state && stateRoot(state) }
}

function replaceEntry(batch: Batch, at: number, change: (entry: BatchEntry) => Partial<BatchEntry>): Batch {
  const entries = batch.entries.map((entry, i) => (i === at ? { ...entry, ...change(entry) } : entry))
  return { ...batch, entries }
}

/** The good batch under a checkpoint that is signed, but says something else. */
function noteSaying(change: Partial<Checkpoint>, seed?: Uint8Array): Batch {
  return { ...GOOD, note: log.note({ ...log.checkpoint(), ...change }, seed) }
}

describe('an honest relay is believed', () => {
  it('from nothing, from any size, in parts of any length: always the same view', async () => {
    const whole = await accept(log.emptyView(), log.batch(0))
    expect(isCurrent(whole)).toBe(true)
    for (const part of [1, 2, 3, 5, SIZE]) {
      let view = log.emptyView()
      const indices: number[] = []
      for (let from = 0; from < SIZE; from += part) {
        const advanced = await acceptWhole(view, log.batch(from, Math.min(SIZE, from + part)))
        view = advanced.view
        indices.push(...advanced.entries.map(entry => entry.index))
        expect(isCurrent(view)).toBe(from + part >= SIZE)
      }
      expect(fieldsOf(view), `parts of ${part} (R-BATCH-7)`).toEqual(fieldsOf(whole))
      expect(indices).toEqual(log.entries.map((_, index) => index))
    }
  })

  it('root and state root are those of the definitions (R-TREE-1)', async () => {
    const view = await accept(VIEW, GOOD)
    expect(toHex(rootOf(view.range))).toBe(toHex(naiveRoot(log.entries.map(entry => entry.header))))
    expect(fieldsOf(view)).toMatchObject({ stateRoot: log.checkpoint().stateRoot })
  })

  it('entries come with index, actor, body and what control entries say', async () => {
    const { entries } = await acceptWhole(log.emptyView(), log.batch(0))
    expect(entries.map(entry => entry.control?.type)).toEqual([
      'genesis',
      'invite',
      'join',
      ...Array(10).fill(undefined),
    ])
    for (const [index, built] of log.entries.entries()) {
      expect(entries[index]).toMatchObject({ index, header: built.decoded, hash: built.hash, body: built.body })
    }
  })

  it('with a message without entries, and one with a newer time', async () => {
    const current = await accept(VIEW, GOOD)
    expect(await answer(log.batch(SIZE), current)).toBe('accepted')
    const later = log.batch(SIZE, SIZE, { checkpoint: { time: log.time + 1000 } })
    expect((await accept(current, later)).head?.time).toBe(log.time + 1000)
  })
})

describe('the note', () => {
  it.each<readonly [string, Batch]>([
    ['is no note', { ...GOOD, note: bytesOf('note') }],
    ['has another byte behind it', { ...GOOD, note: Uint8Array.of(...GOOD.note, 10) }],
    ['is about another space', noteSaying({ origin: `relay.test/${'ab'.repeat(32)}` })],
    ['is of another relay', noteSaying({ origin: `other.test/${log.space}` })],
  ])('that %s is refused (R-NOTE-1, R-NOTE-2)', async (_, batch) => {
    expect(await answer(batch)).toBe('ERR_CHECKPOINT')
  })

  it('is signed by the pinned key: not by another, not over another text, not twice (R-NOTE-3)', async () => {
    expect(await answer(noteSaying({}, bytesOf('another key')))).toBe('ERR_CHECKPOINT_SIGNATURE')
    const checkpoint = log.checkpoint()
    const [signature] = parseNote(GOOD.note).signatures as [NoteSignature]
    const moved = encodeNote({ ...checkpoint, time: checkpoint.time + 1 }, [signature])
    expect(await answer({ ...GOOD, note: moved })).toBe('ERR_CHECKPOINT_SIGNATURE')
    const twice = encodeNote(checkpoint, [signature, signature])
    expect(await answer({ ...GOOD, note: twice })).toBe('ERR_CHECKPOINT_SIGNATURE')
    const renamed = encodeNote(checkpoint, [{ ...signature, name: 'witness' }])
    expect(await answer({ ...GOOD, note: renamed })).toBe('ERR_CHECKPOINT_SIGNATURE')
  })

  it('is not about a smaller log than was seen: a rollback (R-NOTE-4)', async () => {
    const current = await accept(VIEW, GOOD)
    const old = log.batch(SIZE, SIZE, { signedSize: SIZE })
    expect(await answer({ ...old, note: log.note(log.checkpoint(SIZE - 1)) }, current)).toBe('ERR_ROLLBACK')
    // Seen as a head alone, in the middle of a catch-up.
    const halfway = await accept(VIEW, log.batch(START, START + 2))
    const rest = log.batch(START + 2, SIZE - 1, { signedSize: SIZE - 1 })
    expect(await answer(rest, halfway)).toBe('ERR_ROLLBACK')
    // Seen by whoever sent an invite.
    const invited = { ...log.emptyView(), anchors: [{ size: SIZE, root: log.rootAt(SIZE) }] }
    expect(await answer(log.batch(0, 4, { signedSize: SIZE - 1 }), invited)).toBe('ERR_ROLLBACK')
  })

  it('is not older than the last one (R-NOTE-5)', async () => {
    expect(await answer(noteSaying({ time: log.time - 1 }))).toBe('ERR_TIME_BACKWARDS')
    expect(await answer(noteSaying({ time: log.time }))).toBe('accepted')
  })

  it('does not say two things of one size (R-NOTE-6)', async () => {
    const current = await accept(VIEW, GOOD)
    const same = log.batch(SIZE)
    const saying = (change: Partial<Checkpoint>): Batch => ({
      ...same,
      note: log.note({ ...log.checkpoint(), ...change }),
    })
    expect(await answer(saying({ root: bytesOf('x') }), current)).toBe('ERR_ROOT_MISMATCH')
    expect(await answer(saying({ stateRoot: bytesOf('x') }), current)).toBe('ERR_STATE_ROOT')
    // Nor while the entries in between are still on their way.
    const halfway = await accept(VIEW, log.batch(START, START + 2))
    const lie = { checkpoint: { stateRoot: bytesOf('x') } }
    expect(await answer(log.batch(START + 2, START + 4, lie), halfway)).toBe('ERR_STATE_ROOT')
  })
})

describe('the entries', () => {
  it('begin where the replica is: no gap, no overlap (R-BATCH-1)', async () => {
    expect(await answer(log.batch(START + 1))).toBe('ERR_UNEXPECTED')
    expect(await answer(log.batch(START - 1))).toBe('ERR_UNEXPECTED')
    expect(await answer({ ...GOOD, from: START + 1 })).toBe('ERR_UNEXPECTED')
  })

  it.each<readonly [string, readonly BatchEntry[]]>([
    ['swapped', GOOD.entries.with(0, GOOD.entries[1] as BatchEntry).with(1, GOOD.entries[0] as BatchEntry)],
    ['dropped at the front', GOOD.entries.slice(1)],
    ['dropped in the middle', GOOD.entries.toSpliced(2, 1)],
    ['sent twice', GOOD.entries.toSpliced(2, 0, GOOD.entries[2] as BatchEntry)],
  ])('%s do not lead to the signed root (R-BATCH-2)', async (_, entries) => {
    const verdict = await answer({ ...GOOD, entries })
    // Fewer of them would be a part, which is due a proof.
    expect(verdict).toBe(entries.length < GOOD.entries.length ? 'ERR_PROOF' : 'ERR_ROOT_MISMATCH')
  })

  it('more than are signed, or a root that they do not lead to, are refused (R-BATCH-2)', async () => {
    expect(await answer({ ...GOOD, note: log.note(log.checkpoint(SIZE - 1)) })).toBe('ERR_ROOT_MISMATCH')
    expect(await answer(noteSaying({ root: bytesOf('x') }))).toBe('ERR_ROOT_MISMATCH')
  })

  it('with any one bit of a header changed are refused', async () => {
    const header = (GOOD.entries[3] as BatchEntry).header
    for (let bit = 0; bit < header.length * 8; bit += 11) {
      const flipped = header.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
      const verdict = await answer(replaceEntry(GOOD, 3, () => ({ header: flipped })))
      expect(['ERR_ROOT_MISMATCH', 'ERR_MALFORMED'], `bit ${bit}`).toContain(verdict)
    }
  })

  it('fold to the signed state, or are refused (R-BATCH-3)', async () => {
    expect(await answer(noteSaying({ stateRoot: bytesOf('x') }))).toBe('ERR_STATE_ROOT')
    expect(await answer(noteSaying({ stateRoot: ZERO_32 }))).toBe('ERR_STATE_ROOT')
    // A part is not at the signed size; the last one is.
    const lie = { checkpoint: { stateRoot: bytesOf('x') } }
    const halfway = await accept(VIEW, log.batch(START, START + 2, lie))
    expect(await answer(log.batch(START + 2, SIZE, lie), halfway)).toBe('ERR_STATE_ROOT')
  })
})

describe('a part of a catch-up', () => {
  const PART = log.batch(START, START + 3)

  it('is proven to lead to the signed root (R-BATCH-4)', async () => {
    expect(await answer(PART)).toBe('accepted')
    expect(await answer({ ...PART, consistency: [] })).toBe('ERR_PROOF')
    expect(await answer({ ...PART, consistency: PART.consistency.slice(1) })).toBe('ERR_PROOF')
    const forged = PART.consistency.with(0, bytesOf('x'))
    expect(await answer({ ...PART, consistency: forged })).toBe('ERR_PROOF')
    expect(await answer({ ...PART, consistency: [...PART.consistency, bytesOf('x')] })).toBe('ERR_PROOF')
    expect(await answer({ ...PART, note: log.note({ ...log.checkpoint(), root: bytesOf('x') }) })).toBe('ERR_PROOF')
  })

  it('comes with no proof where none is due (R-BATCH-4)', async () => {
    expect(await answer({ ...GOOD, consistency: log.consistency(3, SIZE) })).toBe('ERR_PROOF')
  })

  it('cannot be empty of a log of which nothing is known: there is nothing to compare', async () => {
    const nothing = { ...log.batch(0, 0, { signedSize: SIZE }), consistency: [] }
    expect(await answer(nothing, log.emptyView())).toBe('ERR_PROOF')
  })
})

describe('heads that were signed or vouched for before (R-BATCH-5)', () => {
  /** The same first entries, then others: what a relay shows to somebody else. */
  function fork(at: number): LogBuilder {
    const other = new LogBuilder()
    for (const entry of log.entries.slice(0, at)) other.append(entry)
    while (other.size < SIZE) other.append(other.changes(other.owner, { tag: bytesOf(`fork ${other.size}`) }))
    return other
  }

  it('bind every later batch: a relay that signed a head in the middle of a catch-up cannot take it back', async () => {
    const other = fork(START + 2)
    const halfway = await accept(VIEW, log.batch(START, START + 2))
    expect(halfway.anchors).toMatchObject([{ size: SIZE, root: log.rootAt(SIZE) }])
    expect(await answer(other.batch(START + 2), halfway)).toBe('ERR_ROOT_MISMATCH')
    other.append(other.changes(other.owner))
    expect(await answer(other.batch(START + 2), halfway)).toBe('ERR_ROOT_MISMATCH')
    // Nor while the entries are still on their way.
    const before = other.batch(START + 2, START + 3, { signedSize: SIZE })
    expect(await answer(before, halfway)).toBe('ERR_ROOT_MISMATCH')
  })

  it('bind whoever was invited: the log leads to the checkpoint of the invite', async () => {
    const invited = { ...log.emptyView(), anchors: [{ size: 9, root: log.rootAt(9) }] }
    expect(await answer(log.batch(0), invited)).toBe('accepted')
    expect((await accept(invited, log.batch(0))).anchors).toEqual([])
    expect(await answer(fork(5).batch(0), invited)).toBe('ERR_ROOT_MISMATCH')
    expect(await answer(fork(9).batch(0), invited)).toBe('accepted')
    expect(await answer(fork(5).batch(0, 2, { signedSize: 9 }), invited)).toBe('ERR_ROOT_MISMATCH')
  })

  it('never are so many that they fill the replica (R-BATCH-6)', async () => {
    const long = new LogBuilder()
    long.append(long.genesis())
    const early = await accept(long.emptyView(), long.batch(0))
    long.append(long.changes(long.owner))
    let view = early
    for (let i = 0; i < MAX_ANCHORS + 20; i++) {
      long.append(long.changes(long.owner))
      view = advance(view, long.batch(1, 1)).view
    }
    expect(view.anchors).toHaveLength(MAX_ANCHORS)
    expect(view.anchors[0]?.size).toBe(3)
    expect(view.anchors.at(-1)?.size).toBe(long.size)
    expect(await answer(long.batch(1), view)).toBe('accepted')
    const root = bytesOf('x')
    expect(await answer(long.batch(1), { ...view, anchors: view.anchors.with(5, { size: 8, root }) })).toBe(
      'ERR_ROOT_MISMATCH',
    )
  })
})

describe('what authors had seen', () => {
  it('before the batch is proven, once for each size (R-SEEN-3)', async () => {
    expect(GOOD.seenProofs.map(({ size }) => size).sort()).toEqual([6])
    expect(await answer({ ...GOOD, seenProofs: [] })).toBe('ERR_PROOF')
    const [proof] = GOOD.seenProofs
    const forged = proof?.proof.with(0, bytesOf('x')) as Uint8Array[]
    expect(await answer({ ...GOOD, seenProofs: [{ size: 6, proof: forged }] })).toBe('ERR_PROOF')
    expect(await answer({ ...GOOD, seenProofs: [{ size: 5, proof: log.consistency(5, START) }] })).toBe('ERR_PROOF')
  })

  it('needs no more proofs than that, and none twice (R-SEEN-4)', async () => {
    const { seenProofs } = GOOD
    const extra = { size: 3, proof: log.consistency(3, START) }
    expect(await answer({ ...GOOD, seenProofs: [...seenProofs, extra] })).toBe('ERR_PROOF')
    expect(await answer({ ...GOOD, seenProofs: [...seenProofs, ...seenProofs] })).toBe('ERR_PROOF')
  })

  it('is this very log, whatever the relay signs (R-SEEN-2)', async () => {
    const { log, writer } = honestLog()
    log.force(log.changes(writer, { seenSize: 9, seenRoot: bytesOf('another log') }))
    // Where the root at that size is computed on the way, it is another; where it lies behind, no proof leads to it.
    expect(await answer(log.batch(START), await log.viewAt(START))).toBe('ERR_INVALID_ENTRY seen')
    expect(await answer(log.batch(SIZE), await log.viewAt(SIZE))).toBe('ERR_PROOF')
  })

  it('is one thing for one size: two authors with two roots cannot both be right', async () => {
    const { log, writer } = honestLog()
    const incarnation = bytesOf('fresh').slice(0, 8)
    log.append(log.changes(writer, { incarnation, seenSize: 9 }))
    log.force(log.changes(log.owner, { incarnation, seenSize: 9, seenRoot: bytesOf('another log') }))
    expect(await answer(log.batch(SIZE), await log.viewAt(SIZE))).toBe('ERR_INVALID_ENTRY seen')
  })
})

/** The entry with some fields otherwise, signed anew by its author. */
function resigned(author: TestDevice, entry: BuiltEntry, change: object): BuiltEntry {
  return signed(author, { ...entry.decoded, ...change }, entry.body)
}

describe('an entry that the reducer refuses is a fault of the relay that signed it (R-BATCH-8)', () => {
  const cases: Readonly<Record<string, (log: LogBuilder, writer: TestDevice) => BuiltEntry>> = {
    chain: (log, writer) => log.changes(writer, { seq: 40 }),
    epoch: (log, writer) => log.changes(writer, { epoch: 1 }),
    device: (log, writer) => log.changes(writer, { device: 1 }),
    role: log => log.control(testDevice('writer', 2), log.inviteBody(testDevice('guest', 3))),
    retired: (log, writer) => log.retire(writer, { incarnation: bytesOf('fresh').slice(0, 8) }),
    seen: (log, writer) => log.changes(writer, { seenSize: log.size + 4 }),
    space: (log, writer) => log.changes(writer, { space: bytesOf('other') }),
    kind: (log, writer) => log.changes(writer, { document: CONTROL_DOCUMENT }),
    tainted: (log, writer) => {
      log.act(writer, log.bodies.leave())
      return log.changes(log.owner)
    },
    key: (log, writer) => log.control(writer, log.bodies.addDevice(writer, { ...writer, number: log.nextNumber })),
    invite: (log, writer) => log.control(writer, log.bodies.join(testDevice('own', log.nextNumber), writer.number)),
    member: log => log.control(log.owner, log.bodies.removeMember(memberNamed('nobody'))),
    'last-owner': log => log.control(log.owner, log.bodies.leave()),
    base: log => log.control(log.owner, log.bodies.rotate({}, { base: bytesOf('another base') })),
    delivery: log => log.control(log.owner, log.bodies.rotate({ delivery: { wrapsCount: 1 } })),
    rate: log => {
      log.act(log.owner, log.bodies.rotate())
      return log.control(log.owner, log.bodies.rotate())
    },
  }

  it.each(Object.entries(cases))('%s', async (reason, make) => {
    const { log, writer } = honestLog()
    log.force(make(log, writer))
    expect(await answer(log.batch(START), await log.viewAt(START))).toBe(`ERR_INVALID_ENTRY ${reason}`)
  })
})

describe('what a later build wrote stops a replica for good (R-UPGRADE-2)', () => {
  /** The second byte of a header is its version. */
  const later = (entry: BatchEntry): Partial<BatchEntry> => ({ header: entry.header.with(1, 2) })

  it('where the relay signed a log that holds it', async () => {
    const { log, writer } = honestLog()
    const entry = log.changes(writer)
    const header = entry.header.with(1, 2)
    log.force({ ...entry, header, hash: entryHash(header) })
    const view = await log.viewAt(START)
    expect(await answer(log.batch(START), view)).toBe('ERR_UPGRADE')
    // Also as a part of a catch-up, which is proven to lead to what is signed.
    log.force(log.changes(writer))
    expect(await answer(log.batch(START, log.size - 1), view)).toBe('ERR_UPGRADE')
  })

  it('but not where anybody on the way could have made it up', async () => {
    expect(await answer(replaceEntry(GOOD, 2, later))).toBe('ERR_ROOT_MISMATCH')
    const part = replaceEntry(log.batch(START, START + 3), 1, later)
    expect(await answer(part)).toBe('ERR_PROOF')
    expect(await answer({ ...replaceEntry(GOOD, 2, later), note: bytesOf('note') })).toBe('ERR_CHECKPOINT')
    const { log: signedLog, writer } = honestLog()
    const entry = signedLog.changes(writer)
    const header = entry.header.with(1, 2)
    signedLog.force({ ...entry, header, hash: entryHash(header) })
    const note = signedLog.note(signedLog.checkpoint(), bytesOf('another key'))
    const forged = { ...signedLog.batch(START), note }
    expect(await answer(forged, await signedLog.viewAt(START))).toBe('ERR_CHECKPOINT_SIGNATURE')
  })
})

describe('the genesis', () => {
  it('is the one that the space is named after (R-GENESIS-2)', async () => {
    const { log: other } = honestLog({ relaySeed: RELAY_SEED })
    const foreign = new LogBuilder()
    foreign.append(foreign.genesis({ ...foreign.genesisBody(), member: memberIdOf(bytesOf('somebody').slice(0, 16)) }))
    const view = { ...foreign.emptyView(), space: other.space }
    const note = foreign.note({ ...foreign.checkpoint(), origin: `relay.test/${other.space}` })
    expect(await answer({ ...foreign.batch(0), note }, view)).toBe('ERR_INVALID_ENTRY')
  })

  it('names the pinned relay: a copy of the log at another relay is not that space (R-GENESIS-3)', async () => {
    const copy = new LogBuilder({ relaySeed: bytesOf('another relay') })
    for (const entry of log.entries) copy.append(entry)
    expect(await answer(copy.batch(0), copy.emptyView())).toBe('ERR_RELAY_IDENTITY')
    const renamed = new LogBuilder({ relaySeed: RELAY_SEED, relayName: 'other.test' })
    for (const entry of log.entries) renamed.append(entry)
    expect(await answer(renamed.batch(0), renamed.emptyView())).toBe('ERR_RELAY_IDENTITY')
  })
})

describe('coverage', () => {
  /** The batch with signatures on these entries only. */
  function signedAt(batch: Batch, ...places: readonly number[]): Batch {
    const entries = batch.entries.map((entry, i) => (places.includes(i) ? entry : { ...entry, signature: undefined }))
    return { ...batch, entries }
  }
  const last = GOOD.entries.length - 1

  it('takes one signature of each actor, on its last entry (R-COVER-1)', async () => {
    expect(await answer(signedAt(GOOD, last - 1, last))).toBe('accepted')
    const { checks } = advance(VIEW, signedAt(GOOD, last - 1, last))
    expect(checks.map(check => check.what)).toEqual(['checkpoint', `entry ${SIZE - 1}`, `entry ${SIZE - 2}`])
    // Signatures elsewhere are not even looked at.
    expect(advance(VIEW, GOOD).checks).toHaveLength(3)
  })

  it('leaves no header out (R-COVER-1)', async () => {
    expect(await answer(signedAt(GOOD))).toBe('ERR_UNCOVERED')
    expect(await answer(signedAt(GOOD, last))).toBe('ERR_UNCOVERED')
    expect(await answer(signedAt(GOOD, last - 1))).toBe('ERR_UNCOVERED')
    expect(await answer(signedAt(GOOD, last - 3, last - 2))).toBe('ERR_UNCOVERED')
  })

  it('is by the author’s key, over this very header (R-COVER-1)', async () => {
    const swap = replaceEntry(GOOD, last, () => ({ signature: GOOD.entries[last - 1]?.signature }))
    expect(await answer(swap)).toBe('ERR_SIGNATURE')
    expect(await answer(replaceEntry(GOOD, last, () => ({ signature: new Uint8Array(64) })))).toBe('ERR_SIGNATURE')
    const earlier = replaceEntry(GOOD, last, () => ({ signature: GOOD.entries[last - 2]?.signature }))
    expect(await answer(earlier)).toBe('ERR_SIGNATURE')
  })

  it('does not reach what a relay adds in an author’s name, at the end of a chain or within it (R-COVER-1)', async () => {
    const { log, writer } = honestLog()
    const mallory = testDevice('mallory', 9)
    const next = log.changes(writer)
    log.append(resigned(mallory, next, { tag: bytesOf('forged') }))
    expect(await answer(log.batch(START), await log.viewAt(START))).toBe('ERR_SIGNATURE')
    // What the author really signed follows another entry.
    log.force(next)
    expect(await answer(log.batch(START), await log.viewAt(START))).toBe('ERR_INVALID_ENTRY chain')
  })

  it('of control entries is by their own signature, each (R-COVER-2)', async () => {
    const whole = log.batch(0)
    const { length } = whole.entries
    const needed = [0, 1, 2, length - 2, length - 1]
    const empty = log.emptyView()
    expect(await answer(signedAt(whole, ...needed), empty)).toBe('accepted')
    for (const missing of needed) {
      const places = needed.filter(place => place !== missing)
      expect(await answer(signedAt(whole, ...places), empty)).toBe('ERR_UNCOVERED')
    }
    const forged = replaceEntry(whole, 1, () => ({ signature: new Uint8Array(64) }))
    expect(await answer(forged, empty)).toBe('ERR_SIGNATURE')
  })

  it('goes with the proofs of possession that the entries bring (R-KEY-4)', async () => {
    const { log } = honestLog()
    const body = log.inviteBody(testDevice('guest', 3))
    const stolen = { ...body, device: { ...body.device, possession: new Uint8Array(64) } }
    log.append(log.control(log.owner, stolen))
    expect(await answer(log.batch(START), await log.viewAt(START))).toBe('ERR_SIGNATURE')
  })
})

describe('bodies', () => {
  it('are those that the headers commit to (R-BODY-1)', async () => {
    for (const body of [bytesOf('x'), new Uint8Array(0), GOOD.entries[0]?.body]) {
      expect(await answer(replaceEntry(GOOD, 2, () => ({ body })))).toBe('ERR_BODY')
    }
    const longer = replaceEntry(GOOD, 2, entry => ({ body: Uint8Array.of(...(entry.body as Uint8Array), 0) }))
    expect(await answer(longer)).toBe('ERR_BODY')
  })

  it('of documents may be missing, those of control entries not (R-BODY-2)', async () => {
    expect(await answer(replaceEntry(GOOD, 2, () => ({ body: undefined })))).toBe('accepted')
    for (const at of [0, 1, 2]) {
      const batch = replaceEntry(log.batch(0), at, () => ({ body: undefined }))
      expect(await answer(batch, log.emptyView())).toBe('ERR_BODY')
    }
  })

  it('of the announced length, with another hash, are others (R-BODY-1)', async () => {
    const { log, writer } = honestLog()
    const entry = log.changes(writer)
    const short = signed(writer, { ...entry.decoded, bodyLength: entry.body.length - 1 }, entry.body)
    log.append(short)
    expect(decodeHeader(short.header).bodyHash).toEqual(sha256(entry.body))
    expect(await answer(log.batch(START), await log.viewAt(START))).toBe('ERR_BODY')
  })
})

describe('a hostile relay with a log of its own', () => {
  it('cannot slip a device in: control entries are judged by the same reducer', async () => {
    const { log, writer } = honestLog()
    const mallory = testDevice('mallory', 3)
    const body = encodeControlBody(log.inviteBody(mallory, 'owner'))
    log.force(log.entry(writer, { document: CONTROL_DOCUMENT, kind: 'control', body }))
    expect(await answer(log.batch(START), await log.viewAt(START))).toBe('ERR_INVALID_ENTRY role')
  })

  it('cannot show an entry of one document in another', async () => {
    const { log, writer } = honestLog()
    const elsewhere = documentIdOf(bytesOf('elsewhere').slice(0, 16))
    const entry = log.changes(writer)
    log.force(signed(testDevice('mallory', 9), { ...entry.decoded, document: elsewhere }, entry.body))
    expect(await answer(log.batch(START), await log.viewAt(START))).toBe('ERR_INVALID_ENTRY chain')
    expect(entry.decoded.document).toBe(DOCUMENT)
  })
})
