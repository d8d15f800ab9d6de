import { deflateRawSync } from 'node:zlib'
import * as Automerge from '@automerge/automerge/slim'
import { beforeAll, describe, expect, it } from 'vitest'
import { concat, fromHex, toHex } from '../../src/bytes.ts'
import { type Cbor, decodeCbor, encodeCbor } from '../../src/codec.ts'
import { type AnyDoc, changeCount, emptyDoc } from '../../src/crdt/content.ts'
import { pushInt, pushUint } from '../../src/crdt/guard/column-writer.ts'
import { type ActorToCover, buildSnapshot, type ProvenActor, verifySnapshot } from '../../src/crdt/snapshot.ts'
import {
  type CoveredActor,
  decodeSnapshotPayload,
  encodeSnapshotPayload,
  type SnapshotPayload,
} from '../../src/crdt/snapshot-payload.ts'
import { changeTag } from '../../src/crypto/keyring.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { bytesOf } from '../helpers/log-builder.ts'
import { chunkOf, partsOf } from './guard-support.ts'
import {
  ALICE,
  BOB,
  CAROL,
  coverage,
  edit,
  faultOf,
  flipped,
  forged,
  headOf,
  MALLORY,
  provenBy,
  set,
  tagOf,
  tipIn,
  withOpColumn,
  writtenByTwo,
} from './snapshot-support.ts'

/** Columns of a document: actions, and the bytes of values. */
const ACTIONS = 0x42
const VALUES = 0x57

let doc: AnyDoc
/** Carol wrote entries, but no change. */
let covered: readonly ActorToCover[]
let proven: readonly ProvenActor[]
let built: Uint8Array
let payload: SnapshotPayload

beforeAll(async () => {
  await initializeAutomerge()
  doc = writtenByTwo()
  covered = [CAROL, BOB, ALICE].map(actor => coverage(doc, actor))
  proven = covered.map(actor => provenBy(actor))
  built = buildSnapshot(doc, covered) as Uint8Array
  payload = decodeSnapshotPayload(built)
})

function verify(differing: Partial<SnapshotPayload> = {}, entries: readonly ProvenActor[] = proven): AnyDoc {
  return verifySnapshot({ payload: { ...payload, ...differing }, proven: entries, tagOf: (_, hash) => tagOf(hash) }).doc
}

/** What becomes of a snapshot that holds another document, under the listing of this one. */
const faultOfDoc = (other: AnyDoc): string => faultOf(() => verify({ saved: Automerge.save(other) }))

function relisted(actor: string, differing: Partial<CoveredActor>): readonly CoveredActor[] {
  return payload.covered.map(each => (each.actor === actor ? { ...each, ...differing } : each))
}

describe('a snapshot', () => {
  it('is the document of the covered entries, whoever made it', () => {
    const {
      doc: again,
      count,
      tips,
      importActors,
    } = verifySnapshot({
      payload,
      proven: [...proven].reverse(),
      tagOf: (_, hash) => tagOf(hash),
      actor: CAROL,
    })
    expect(Automerge.getHeads(again)).toEqual(Automerge.getHeads(doc))
    expect(Automerge.toJS(again)).toEqual(Automerge.toJS(doc))
    expect(Automerge.getActorId(again)).toBe(CAROL)
    expect(count).toBe(5)
    expect(tips).toEqual(
      new Map([
        [ALICE, tipIn(doc, ALICE)],
        [BOB, tipIn(doc, BOB)],
      ]),
    )
    expect(importActors.size).toBe(0)
  })

  it('of an empty document, covering nobody or somebody without changes', () => {
    for (const listed of [[], [coverage(emptyDoc(ALICE), CAROL)]]) {
      const empty = decodeSnapshotPayload(buildSnapshot(emptyDoc(ALICE), listed) as Uint8Array)
      expect(
        changeCount(
          verify(
            empty,
            listed.map(actor => provenBy(actor)),
          ),
        ),
      ).toBe(0)
    }
  })

  it('is little larger than the saved document', () => {
    expect(built.length - payload.saved.length).toBeLessThan(16 + 96 * covered.length)
  })

  it('is written in one way', () => {
    expect(encodeSnapshotPayload(payload)).toEqual(built)
    expect(buildSnapshot(doc, [...covered].reverse())).toEqual(built)
    expect(payload.covered.map(({ actor }) => actor)).toEqual([ALICE, BOB, CAROL])
  })

  it('asks for each tag under the keys of its own actor', () => {
    const keyed = covered.map(({ actor, seq, hash, tip }) => {
      return { actor, seq, hash, tag: changeTag(bytesOf(actor), tip?.hash ?? new Uint8Array(32)) }
    })
    const options = {
      payload,
      proven: keyed,
      tagOf: (actor: string, hash: Uint8Array) => changeTag(bytesOf(actor), hash),
    }
    expect(faultOf(() => verifySnapshot(options))).toBe('accepted')
    expect(faultOf(() => verifySnapshot({ ...options, tagOf: (_, hash) => tagOf(hash) }))).toBe('ERR_TAG tag')
  })
})

describe('building a snapshot', () => {
  it('gives nothing out where the document is not what it covers', () => {
    expect(buildSnapshot(set(doc, BOB, 'unsent', 1), covered)).toBeUndefined()
    expect(buildSnapshot(set(doc, MALLORY, 'more', 1), covered)).toBeUndefined()
    expect(buildSnapshot(doc, covered.slice(1).reverse())).toBeDefined()
    expect(buildSnapshot(doc, covered.slice(0, 2))).toBeUndefined()
  })

  it('gives nothing out of a document with a queued change', () => {
    const later = set(set(doc, BOB, 'one', 1), BOB, 'two', 2)
    const queued = Automerge.loadIncremental(Automerge.clone(doc), Automerge.getLastLocalChange(later) as Uint8Array)
    expect(changeCount(queued)).toBe(5)
    expect(buildSnapshot(queued, covered)).toBeUndefined()
  })

  it('does not take an actor twice', () => {
    expect(() => buildSnapshot(doc, [...covered, covered[0] as ActorToCover])).toThrow(TypeError)
  })
})

describe('a snapshot is refused', () => {
  it('with an extra change by somebody else (R-SNAPSHOT-7)', () => {
    const more = set(doc, MALLORY, 'smuggled', 1)
    expect(faultOfDoc(more)).toBe('ERR_CONTENT change-of-nobody')
    const listed = [...payload.covered, { ...(payload.covered[0] as CoveredActor), actor: MALLORY }]
    expect(faultOf(() => verify({ saved: Automerge.save(more), covered: listed }))).toBe('ERR_CONTENT covered-actors')
    expect(faultOfDoc(set(doc, BOB, 'smuggled', 1))).toBe('ERR_CONTENT change-count')
    expect(faultOfDoc(set(doc, CAROL, 'smuggled', 1))).toBe('ERR_CONTENT change-of-nobody')
  })

  it('with an extra change by a covered actor that it lists as the latest', () => {
    const more = set(doc, BOB, 'smuggled', 1)
    const tip = tipIn(more, BOB) as { seq: number; hash: Uint8Array }
    const listed = relisted(BOB, { latestSeq: tip.seq, latestHash: tip.hash })
    expect(faultOf(() => verify({ saved: Automerge.save(more), covered: listed }))).toBe('ERR_TAG tag')
  })

  it('with an extra change in the place of one that is missing', () => {
    const [first, second] = Automerge.getAllChanges(doc)
    const start = Automerge.loadIncremental(emptyDoc(ALICE), concat(first as Uint8Array, second as Uint8Array))
    for (const actor of [ALICE, BOB, MALLORY]) {
      let other = start
      while (changeCount(other) < 5) other = set(other, actor, `key ${changeCount(other)}`, 1)
      expect(faultOfDoc(other)).toMatch(/^ERR_CONTENT (change-count|change-of-nobody)$/)
    }
  })

  it('with a queued change (R-SNAPSHOT-5)', () => {
    const later = set(set(doc, BOB, 'one', 1), BOB, 'two', 2)
    const change = Automerge.getLastLocalChange(later) as Uint8Array
    const queued = Automerge.loadIncremental(Automerge.clone(doc), change)
    expect(Automerge.save(queued).length).toBeGreaterThan(payload.saved.length)
    expect(faultOfDoc(queued)).toBe('ERR_GUARD trailing-bytes')
  })

  it('with a second chunk, before or behind (R-SNAPSHOT-5)', () => {
    const more = Automerge.getLastLocalChange(set(doc, BOB, 'more', 1)) as Uint8Array
    const { saved } = payload
    expect(faultOf(() => verify({ saved: concat(saved, more) }))).toBe('ERR_GUARD trailing-bytes')
    expect(faultOf(() => verify({ saved: concat(saved, saved) }))).toBe('ERR_GUARD trailing-bytes')
    expect(faultOf(() => verify({ saved: concat(more, saved) }))).toBe('ERR_GUARD chunk-type')
    expect(faultOf(() => verify({ saved: concat(saved, Uint8Array.of(0)) }))).toBe('ERR_GUARD trailing-bytes')
    expect(faultOf(() => verify({ saved: new Uint8Array(0) }))).toBe('ERR_GUARD truncated')
  })

  it('as change chunks or a bundle instead of a document', () => {
    const changes = Automerge.getAllChanges(doc)
    expect(faultOf(() => verify({ saved: concat(...changes) }))).toBe('ERR_GUARD chunk-type')
    const bundle = Automerge.saveBundle(doc, Automerge.topoHistoryTraversal(doc))
    expect(faultOf(() => verify({ saved: bundle }))).toBe('ERR_GUARD chunk-type')
  })

  it('with a change missing', () => {
    const changes = Automerge.getAllChanges(doc)
    for (let length = 0; length < changes.length; length++) {
      const part = Automerge.loadIncremental(emptyDoc(ALICE), concat(...changes.slice(0, length)))
      expect(faultOfDoc(part)).toBe('ERR_CONTENT change-count')
    }
  })

  it('of another document', () => {
    const elsewhere = proven.map(entry => ({
      ...entry,
      tag: changeTag(bytesOf('tag key of another document'), entry.tag),
    }))
    expect(faultOf(() => verify({}, elsewhere))).toBe('ERR_TAG tag')
    // As many changes of the same actors, with other content.
    const other = set(writtenByTwo(), ALICE, 'x', 1)
    const tips = Automerge.getBackend(other).getChangesMeta([])
    const same = Automerge.loadIncremental(
      emptyDoc(ALICE),
      concat(...tips.slice(0, -2).map(meta => Automerge.getBackend(other).getChangeByHash(meta.hash) as Uint8Array)),
    )
    const sibling = set(same, ALICE, 'merged', 'otherwise')
    expect(faultOfDoc(sibling)).toBe('ERR_CONTENT latest-change')
  })

  it('covering more or less than the log proves (R-SNAPSHOT-4)', () => {
    const { covered: listed } = payload
    expect(faultOf(() => verify({ covered: listed.slice(1) }))).toBe('ERR_CONTENT covered-actors')
    expect(faultOf(() => verify({}, proven.slice(1)))).toBe('ERR_CONTENT covered-actors')
    expect(faultOf(() => verify({}, [...proven, { ...(proven[0] as ProvenActor), actor: MALLORY }]))).toBe(
      'ERR_CONTENT covered-actors',
    )
    const exchanged = proven.map(entry => (entry.actor === CAROL ? { ...entry, actor: MALLORY } : entry))
    expect(faultOf(() => verify({}, exchanged))).toBe('ERR_CONTENT covered-actors')
    for (const seq of [3, 5]) {
      expect(faultOf(() => verify({ covered: relisted(BOB, { seq }) }))).toBe('ERR_CONTENT covered-entry')
    }
    const hash = bytesOf('another entry')
    expect(faultOf(() => verify({ covered: relisted(BOB, { hash }) }))).toBe('ERR_CONTENT covered-entry')
  })

  it('with other numbers of changes than the document has (R-SNAPSHOT-6)', () => {
    for (const latestSeq of [1, 3, 2 ** 24]) {
      expect(faultOf(() => verify({ covered: relisted(BOB, { latestSeq }) }))).toBe('ERR_CONTENT change-count')
    }
  })

  it('with an earlier change listed as the latest one, even where its author signs that', () => {
    const [first] = Automerge.getAllChanges(doc).filter(bytes => Automerge.decodeChange(bytes).actor === BOB)
    const hash = fromHex(Automerge.decodeChange(first as Uint8Array).hash as string)
    const listed = relisted(BOB, { latestHash: hash })
    expect(faultOf(() => verify({ covered: listed }))).toBe('ERR_TAG tag')
    const signed = proven.map(entry => (entry.actor === BOB ? { ...entry, tag: tagOf(hash) } : entry))
    expect(faultOf(() => verify({ covered: listed }, signed))).toBe('ERR_CONTENT latest-change')
  })

  it("with somebody else's change listed as the latest one, even where its author signs that", () => {
    const other = set(set(doc, BOB, 'third', 1), ALICE, 'fourth', 1)
    const listed = relisted(BOB, { latestSeq: 3, latestHash: headOf(other) })
    const both = listed.map(each => {
      const tip = each.actor === ALICE ? tipIn(other, ALICE) : undefined
      return tip === undefined ? each : { ...each, latestSeq: tip.seq, latestHash: tip.hash }
    })
    const signed = proven.map(entry => (entry.actor === CAROL ? entry : { ...entry, tag: tagOf(headOf(other)) }))
    const saved = Automerge.save(other)
    expect(faultOf(() => verify({ covered: both, saved }, signed))).toBe('ERR_CONTENT latest-change')
  })

  it('with changes of an author that do not build on each other, which a tag would not commit to', () => {
    const first = set(emptyDoc(ALICE), ALICE, 'start', 1)
    const one = set(first, BOB, 'one', 1)
    const two = set(one, BOB, 'two', 2)
    const parts = partsOf(Automerge.getLastLocalChange(two) as Uint8Array)
    const loose = chunkOf({ ...parts, deps: [toHex(headOf(first))] })
    const both = Automerge.loadIncremental(Automerge.clone(one), loose)
    expect(changeCount(both)).toBe(3)
    const listed = [ALICE, BOB].map(actor => coverage(both, actor))
    expect(buildSnapshot(both, listed)).toBeUndefined()
    const rows = listed.map(({ actor, seq, hash, tip }): CoveredActor => {
      return { actor, seq, hash, latestSeq: tip?.seq ?? 0, latestHash: tip?.hash ?? new Uint8Array(32) }
    })
    const entries = listed.map(actor => provenBy(actor))
    expect(faultOf(() => verify({ covered: rows, saved: Automerge.save(both) }, entries))).toBe(
      'ERR_CONTENT previous-change',
    )
  })

  it('with a change that the guard refuses in an entry, though its author signed it (R-GUARD-7, R-SNAPSHOT-8)', () => {
    const parts = partsOf(Automerge.getLastLocalChange(set(doc, BOB, 'more', 1)) as Uint8Array)
    for (const [ahead, verdict] of [[0, 'accepted'] as const, [7, 'ERR_GUARD counter'] as const]) {
      const change = chunkOf({ ...parts, startOp: parts.startOp + ahead })
      const both = Automerge.loadIncremental(Automerge.clone(doc), change)
      expect(changeCount(both)).toBe(6)
      const tip = tipIn(both, BOB) as { seq: number; hash: Uint8Array }
      const listed = relisted(BOB, { latestSeq: tip.seq, latestHash: tip.hash })
      const signed = proven.map(entry => (entry.actor === BOB ? { ...entry, tag: tagOf(tip.hash) } : entry))
      expect(faultOf(() => verify({ covered: listed, saved: Automerge.save(both) }, signed))).toBe(verdict)
    }
  })

  it('with an import where the document began empty', () => {
    const imported = { heads: [headOf(doc)], count: 1 }
    expect(faultOf(() => verify({ imported }))).toBe('ERR_CONTENT import')
  })
})

describe('hostile bytes in a snapshot', () => {
  const everyBit = (bits: number, step: number): number[] =>
    Array.from({ length: Math.floor(bits / step) }, (_, i) => i * step)

  it('a flipped bit anywhere is refused', () => {
    for (const bit of everyBit(built.length * 8, 13)) {
      const verdict = faultOf(() => verify(decodeSnapshotPayload(flipped(built, bit))))
      expect(verdict, `bit ${bit}`).not.toBe('accepted')
    }
  })

  it('a flipped bit in the document under a good checksum is refused, or changes nothing', () => {
    for (const saved of [payload.saved, Automerge.getBackend(doc).saveNoCompress()]) {
      for (const bit of everyBit((saved.length - 12) * 8, 5)) {
        const attempt = forged(saved, body => flipped(body, bit % (body.length * 8)))
        let heads: readonly string[] | undefined
        const verdict = faultOf(() => {
          heads = Automerge.getHeads(verify({ saved: attempt }))
        })
        if (verdict === 'accepted') expect(heads, `bit ${bit}`).toEqual(Automerge.getHeads(doc))
      }
    }
    // Automerge has not come to harm meanwhile.
    expect(faultOf(() => verify())).toBe('accepted')
  })

  it('truncated anywhere', () => {
    for (let length = 0; length < built.length; length += 7) {
      expect(faultOf(() => decodeSnapshotPayload(built.subarray(0, length)))).toBe('ERR_MALFORMED')
    }
    const { saved } = payload
    for (let length = 0; length < saved.length; length += 7) {
      expect(faultOf(() => verify({ saved: saved.subarray(0, length) }))).toMatch(/^ERR_GUARD (truncated|checksum)$/)
    }
    const size = forged(saved, body => body).length
    for (let cut = 1; cut < size - 12; cut += 7) {
      const short = forged(saved, body => body.subarray(0, -cut))
      expect(
        faultOf(() => verify({ saved: short })),
        `less ${cut}`,
      ).toMatch(/^ERR_GUARD /)
    }
  })

  it('a column that says that it has more rows than there can be', () => {
    const plain = Automerge.getBackend(doc).saveNoCompress()
    for (const rows of [2 ** 23 + 1, 2 ** 26, 2 ** 31, 2 ** 53 - 1]) {
      const run: number[] = []
      pushInt(run, rows)
      pushUint(run, 1)
      const bomb = withOpColumn(plain, ACTIONS, Uint8Array.from(run), false)
      expect(faultOf(() => verify({ saved: bomb }))).toBe('ERR_GUARD too-many-ops')
    }
  })

  it('a column that inflates a thousandfold', () => {
    const plain = Automerge.getBackend(doc).saveNoCompress()
    expect(faultOf(() => verify({ saved: plain }))).toBe('accepted')
    const deflated = new Uint8Array(deflateRawSync(new Uint8Array(8_000_000)))
    expect(deflated.length).toBeLessThan(10_000)
    for (const specification of [ACTIONS, VALUES]) {
      expect(faultOf(() => verify({ saved: withOpColumn(plain, specification, deflated, true) }))).toMatch(
        /^ERR_GUARD /,
      )
    }
  })
})

describe('a snapshot payload', () => {
  const spelled = (change: (fields: Cbor[]) => void): string => {
    const fields = [...(decodeCbor(built, 1e9) as readonly Cbor[])]
    change(fields)
    return faultOf(() => decodeSnapshotPayload(encodeCbor(fields)))
  }
  const withActor = (change: (row: Cbor[]) => void): string =>
    spelled(fields => {
      const [first = [], ...rest] = fields[2] as readonly (readonly Cbor[])[]
      const row = [...first]
      change(row)
      fields[2] = [row, ...rest]
    })

  it('of another version is for a later build (R-UPGRADE-1)', () => {
    expect(spelled(fields => (fields[0] = 1))).toBe('ERR_UPGRADE')
    expect(faultOf(() => decodeSnapshotPayload(encodeCbor([7, 'something else'])))).toBe('ERR_UPGRADE')
  })

  it('is exactly what the CDDL says (R-CBOR-2)', () => {
    expect(spelled(() => undefined)).toBe('accepted')
    expect(spelled(fields => fields.push(0))).toBe('ERR_MALFORMED')
    expect(spelled(fields => fields.pop())).toBe('ERR_MALFORMED')
    expect(spelled(fields => (fields[0] = new Uint8Array(0)))).toBe('ERR_MALFORMED')
    expect(spelled(fields => (fields[1] = 0))).toBe('ERR_MALFORMED')
    expect(spelled(fields => (fields[3] = 'text'))).toBe('ERR_MALFORMED')
    expect(faultOf(() => decodeSnapshotPayload(encodeCbor('snapshot')))).toBe('ERR_MALFORMED')
    expect(faultOf(() => decodeSnapshotPayload(concat(built, Uint8Array.of(0))))).toBe('ERR_MALFORMED')
    expect(withActor(row => (row[0] = new Uint8Array(15)))).toBe('ERR_MALFORMED')
    expect(withActor(row => (row[2] = new Uint8Array(31)))).toBe('ERR_MALFORMED')
    expect(withActor(row => (row[3] = 2 ** 31))).toBe('ERR_MALFORMED')
    expect(withActor(row => row.push(0))).toBe('ERR_MALFORMED')
  })

  it('names a latest change exactly where it says that there is one', () => {
    expect(withActor(row => (row[3] = 0))).toBe('ERR_MALFORMED')
    expect(withActor(row => (row[4] = new Uint8Array(32)))).toBe('ERR_MALFORMED')
  })

  it('lists its actors in order, each once (R-SNAPSHOT-3)', () => {
    expect(spelled(fields => (fields[2] = [...(fields[2] as Cbor[])].reverse()))).toBe('ERR_MALFORMED')
    expect(spelled(fields => (fields[2] = [(fields[2] as Cbor[])[0] as Cbor, ...(fields[2] as Cbor[])]))).toBe(
      'ERR_MALFORMED',
    )
  })

  it('lists the heads of an import in order, each once, and no fewer changes', () => {
    const [low, high] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
    const withImport = (heads: Cbor, count: Cbor): string => spelled(fields => (fields[1] = [[heads, count]]))
    expect(withImport([low, high], 2)).toBe('accepted')
    expect(withImport([high, low], 2)).toBe('ERR_MALFORMED')
    expect(withImport([low, low], 2)).toBe('ERR_MALFORMED')
    expect(withImport([low, high], 1)).toBe('ERR_MALFORMED')
    expect(withImport([], 1)).toBe('ERR_MALFORMED')
    expect(withImport([low], 2 ** 31)).toBe('ERR_MALFORMED')
  })
})

describe('what a snapshot is made of', () => {
  it('edits of a loaded snapshot go on where the chain ended', () => {
    const { doc: again } = verifySnapshot({ payload, proven, tagOf: (_, hash) => tagOf(hash), actor: BOB })
    const next = edit(again, BOB, draft => {
      draft.more = 1
    })
    expect(tipIn(next, BOB)?.seq).toBe(3)
  })
})
