import * as Automerge from '@automerge/automerge/slim'
import { beforeAll, describe, expect, it } from 'vitest'
import { compareBytes, concat, fromHex, toHex } from '../../src/bytes.ts'
import { encodeCbor } from '../../src/codec.ts'
import { type AnyDoc, changeCount, emptyDoc } from '../../src/crdt/content.ts'
import { type BuiltImport, buildImport, importCommitment, verifyImport } from '../../src/crdt/import-payload.ts'
import { buildSnapshot, type VerifySnapshotOptions, verifySnapshot } from '../../src/crdt/snapshot.ts'
import { type CoveredActor, decodeSnapshotPayload, type SnapshotPayload } from '../../src/crdt/snapshot-payload.ts'
import { sha256, ZERO_32 } from '../../src/crypto/hash.ts'
import type { ActorId } from '../../src/ids.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
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
} from './snapshot-support.ts'

/** Foreign actors may have ids of any length. */
const SHORT = 'f00d' as ActorId
const LONG = '77'.repeat(40) as ActorId

/** Two foreign authors, whose changes have two heads; 4 changes. */
let foreign: AnyDoc
let built: BuiltImport

beforeAll(async () => {
  await initializeAutomerge()
  const first = set(set(emptyDoc(SHORT), SHORT, 'imported', 'text'), SHORT, 'number', 2)
  foreign = Automerge.merge(set(first, SHORT, 'hers', 3), set(first, LONG, 'his', [4]))
  built = buildImport(Automerge.save(foreign))
})

const importerOptions = (payload: Uint8Array) => {
  return { payload, tag: tagOf(built.commitment), tagOf }
}
const faultOfImport = (payload: Uint8Array): string => faultOf(() => verifyImport(importerOptions(payload)))

describe('an import', () => {
  it('is the foreign document, under a commitment to its heads and number of changes (R-IMPORT-2)', () => {
    const { doc, saved, summary, actors } = verifyImport({ ...importerOptions(built.payload), actor: BOB })
    expect(Automerge.getHeads(doc)).toEqual(Automerge.getHeads(foreign))
    expect(Automerge.getActorId(doc)).toBe(BOB)
    expect(saved).toEqual(Automerge.save(foreign))
    expect(actors).toEqual(new Set([SHORT, LONG]))
    expect(summary).toEqual(built.summary)
    expect(summary.count).toBe(4)
    expect(summary.heads.map(toHex)).toEqual([...Automerge.getHeads(foreign)].sort())
  })

  it('has a commitment with a label, heads in order, and the count in 8 bytes', () => {
    const heads = Automerge.getHeads(foreign).map(fromHex).sort(compareBytes)
    const count = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 4)
    expect(built.commitment).toEqual(sha256(new TextEncoder().encode('sealog/v1/import\0'), ...heads, count))
  })

  it('is sealed as Automerge saves it now, whatever form the foreign bytes have', () => {
    expect(buildImport(Automerge.getBackend(foreign).saveNoCompress()).payload).toEqual(built.payload)
  })

  it('is refused in building where no replica would take it', () => {
    const faultOfBytes = (bytes: Uint8Array): string => faultOf(() => buildImport(bytes))
    const saved = Automerge.save(foreign)
    expect(faultOfBytes(Automerge.save(emptyDoc(SHORT)))).toBe('ERR_CONTENT import')
    expect(faultOfBytes(concat(saved, saved))).toBe('ERR_GUARD trailing-bytes')
    expect(faultOfBytes(saved.subarray(0, -1))).toBe('ERR_GUARD truncated')
    expect(faultOfBytes(new Uint8Array(0))).toBe('ERR_GUARD truncated')
    expect(faultOfBytes(Automerge.getLastLocalChange(set(foreign, SHORT, 'x', 1)) as Uint8Array)).toBe(
      'ERR_GUARD chunk-type',
    )
    expect(faultOfBytes(new TextEncoder().encode('{"not": "automerge"}'))).toBe('ERR_GUARD magic')
    for (let bit = 0; bit < saved.length * 8; bit += 11)
      expect(faultOfBytes(flipped(saved, bit))).toMatch(/^ERR_GUARD /)
  })

  it('is refused where its tag is of something else (R-IMPORT-3)', () => {
    const other = buildImport(Automerge.save(set(foreign, SHORT, 'more', 1)))
    expect(faultOfImport(other.payload)).toBe('ERR_TAG import-tag')
    const miscounted = importCommitment({ ...built.summary, count: 5 })
    expect(faultOf(() => verifyImport({ ...importerOptions(built.payload), tag: tagOf(miscounted) }))).toBe(
      'ERR_TAG import-tag',
    )
  })

  it('is refused with a change that the guard refuses, though its importer signed it', () => {
    let value: Record<string, unknown> = {}
    for (let level = 1; level < 129; level++) value = { value }
    const deep = set(emptyDoc(SHORT), SHORT, 'value', value)
    const tag = tagOf(importCommitment({ heads: [headOf(deep)], count: 1 }))
    const payload = encodeCbor([0, Automerge.save(deep)])
    expect(faultOf(() => verifyImport({ payload, tag, tagOf }))).toBe('ERR_GUARD too-deep')
    expect(faultOf(() => buildImport(Automerge.save(deep)))).toBe('ERR_GUARD too-deep')
  })

  it('is refused with a flipped bit, under a good checksum too', () => {
    const { payload } = built
    for (let bit = 0; bit < payload.length * 8; bit += 7)
      expect(faultOfImport(flipped(payload, bit)), `bit ${bit} of ${payload.length}`).toMatch(/^ERR_/)
    const saved = Automerge.getBackend(foreign).saveNoCompress()
    for (let bit = 0; bit < (saved.length - 12) * 8; bit += 5) {
      const attempt = forged(saved, body => flipped(body, bit % (body.length * 8)))
      let heads: readonly string[] | undefined
      const verdict = faultOf(() => {
        heads = Automerge.getHeads(verifyImport(importerOptions(encodeCbor([0, attempt]))).doc)
      })
      if (verdict === 'accepted') expect(heads, `bit ${bit}`).toEqual(Automerge.getHeads(foreign))
    }
  })

  it('of another version is for a later build (R-UPGRADE-1)', () => {
    expect(faultOfImport(encodeCbor([1, 2, 3]))).toBe('ERR_UPGRADE')
  })

  it('is exactly what the CDDL says (R-CBOR-2)', () => {
    expect(faultOfImport(encodeCbor([0]))).toBe('ERR_MALFORMED')
    expect(faultOfImport(encodeCbor([0, 'text']))).toBe('ERR_MALFORMED')
    expect(faultOfImport(concat(built.payload, Uint8Array.of(0)))).toBe('ERR_MALFORMED')
    expect(faultOfImport(built.payload.subarray(0, -1))).toBe('ERR_MALFORMED')
  })
})

describe('a snapshot of a document that began with an import', () => {
  /** Alice, who imported, made no change; Bob made two. */
  let doc: AnyDoc
  let payload: SnapshotPayload
  let options: VerifySnapshotOptions

  beforeAll(() => {
    doc = set(set(foreign, BOB, 'bob', 1), BOB, 'bob', 2)
    const covered = [ALICE, BOB].map(actor => coverage(doc, actor))
    payload = decodeSnapshotPayload(buildSnapshot(doc, covered, built.summary) as Uint8Array)
    options = {
      payload,
      proven: covered.map(actor => provenBy(actor, actor.tip?.hash ?? built.commitment)),
      tagOf: (_, hash) => tagOf(hash),
      imported: { tag: tagOf(built.commitment), tagOf },
    }
  })

  const verdictOf = (differing: Partial<SnapshotPayload>, more: Partial<VerifySnapshotOptions> = {}): string =>
    faultOf(() => verifySnapshot({ ...options, ...more, payload: { ...payload, ...differing } }))
  const relisted = (actor: ActorId, differing: Partial<CoveredActor>): readonly CoveredActor[] =>
    payload.covered.map(each => (each.actor === actor ? { ...each, ...differing } : each))

  it('is the import and the changes of the covered actors', () => {
    const { doc: again, count, tips, importActors } = verifySnapshot(options)
    expect(Automerge.getHeads(again)).toEqual(Automerge.getHeads(doc))
    expect(count).toBe(6)
    expect(tips).toEqual(new Map([[BOB, tipIn(doc, BOB)]]))
    expect(importActors).toEqual(new Set([SHORT, LONG]))
  })

  it('may cover the importer by the tag of the import or of no change, and nothing else', () => {
    const tagged = (committed: Uint8Array): string =>
      verdictOf(
        {},
        { proven: options.proven.map(each => (each.actor === ALICE ? { ...each, tag: tagOf(committed) } : each)) },
      )
    expect(tagged(built.commitment)).toBe('accepted')
    expect(tagged(ZERO_32)).toBe('accepted')
    expect(tagged(importCommitment({ ...built.summary, count: 5 }))).toBe('ERR_TAG tag')
    expect(tagged(headOf(doc))).toBe('ERR_TAG tag')
  })

  it('does not take the tag of the import for a change', () => {
    const proven = options.proven.map(each => (each.actor === BOB ? { ...each, tag: tagOf(built.commitment) } : each))
    expect(verdictOf({}, { proven })).toBe('ERR_TAG tag')
    expect(verdictOf({ covered: relisted(BOB, { latestHash: built.commitment }) }, { proven })).toBe(
      'ERR_CONTENT latest-change',
    )
  })

  it('is refused where it hides the import, or names another', () => {
    expect(verdictOf({ imported: undefined })).toBe('ERR_CONTENT import')
    expect(verdictOf({}, { imported: undefined })).toBe('ERR_CONTENT import')
    expect(verdictOf({ imported: { ...built.summary, count: 5 } })).toBe('ERR_TAG import-tag')
    expect(verdictOf({ imported: { heads: [headOf(doc)], count: 6 } })).toBe('ERR_TAG import-tag')
    const without = set(set(emptyDoc(BOB), BOB, 'bob', 1), BOB, 'bob', 2)
    const covered = relisted(BOB, { latestHash: headOf(without) })
    const proven = options.proven.map(each => (each.actor === BOB ? provenBy(coverage(without, BOB)) : each))
    expect(verdictOf({ saved: Automerge.save(without), covered }, { proven })).toBe('ERR_CONTENT import-count')
  })

  it('is refused where a change by nobody passes for an imported one', () => {
    for (const actor of [SHORT, LONG, MALLORY]) {
      expect(verdictOf({ saved: Automerge.save(set(doc, actor, 'smuggled', 1)) })).toBe('ERR_CONTENT import-count')
    }
  })

  it('is refused with a change by nobody in the place of an imported one', () => {
    // The same number of changes by unlisted actors, but not the past of the listed heads.
    const [first, second, third] = Automerge.getAllChanges(foreign)
    const start = Automerge.loadIncremental(emptyDoc(ALICE), concat(first as never, second as never, third as never))
    const other = set(set(set(start, MALLORY, 'instead', 1), BOB, 'bob', 1), BOB, 'bob', 2)
    const covered = relisted(BOB, { latestHash: headOf(other) })
    const proven = options.proven.map(each => (each.actor === BOB ? provenBy(coverage(other, BOB)) : each))
    expect(verdictOf({ saved: Automerge.save(other), covered }, { proven })).toBe('ERR_CONTENT import-heads')
  })

  /** What becomes of a snapshot whose import is signed to be this, as a hostile importer can. */
  function signedAs(
    summary: { heads: readonly Uint8Array[]; count: number },
    differing: Partial<SnapshotPayload>,
  ): string {
    const imported = { tag: tagOf(importCommitment(summary)), tagOf }
    const proven = options.proven.map(each => (each.actor === ALICE ? { ...each, tag: tagOf(ZERO_32) } : each))
    return verdictOf({ ...differing, imported: summary }, { imported, proven })
  }

  it('is refused with an import that is said to be more or less than the past of its heads', () => {
    const [first = new Uint8Array(32)] = built.summary.heads
    expect(signedAs({ heads: [first], count: 4 }, {})).toBe('ERR_CONTENT import-count')
    expect(signedAs({ heads: [first], count: 3 }, {})).toBe('ERR_CONTENT import-count')
    expect(signedAs({ heads: [ZERO_32], count: 4 }, {})).toBe('ERR_CONTENT import-heads')
  })

  it('is refused with a head of the import that is in the past of another, as that is no import', () => {
    const early = fromHex(Automerge.decodeChange(Automerge.getAllChanges(foreign)[0] as Uint8Array).hash as string)
    const heads = [...built.summary.heads, early].sort(compareBytes)
    expect(signedAs({ heads, count: 4 }, {})).toBe('ERR_CONTENT import-heads')
  })

  it('is refused with an import that holds changes of a covered actor', () => {
    // Mallory writes changes under her own actor into what she imports, and goes on under it.
    const hers = set(set(emptyDoc(SHORT), SHORT, 'one', 1), MALLORY, 'two', 2)
    const summary = buildImport(Automerge.save(hers)).summary
    const later = set(hers, MALLORY, 'three', 3)
    for (const latest of [hers, later]) {
      const covered = [coverage(latest, MALLORY)]
      expect(buildSnapshot(latest, covered, summary)).toBeUndefined()
      const listed = covered.map(({ actor, seq, hash, tip }): CoveredActor => {
        return { actor, seq, hash, latestSeq: tip?.seq ?? 0, latestHash: tip?.hash ?? ZERO_32 }
      })
      const verdict = faultOf(() =>
        verifySnapshot({
          payload: { imported: summary, covered: listed, saved: Automerge.save(latest) },
          proven: covered.map(actor => provenBy(actor)),
          tagOf: (_, hash) => tagOf(hash),
          imported: { tag: tagOf(importCommitment(summary)), tagOf },
        }),
      )
      expect(verdict).toBe('ERR_CONTENT import-count')
    }
  })

  it('covers a chain whose actor occurs in the import up to where it has no change of its own', () => {
    // Mallory imports what she wrote under the actor that she imports as: her later changes end her chain.
    const hers = set(set(emptyDoc(SHORT), SHORT, 'one', 1), MALLORY, 'two', 2)
    const { summary, commitment } = buildImport(Automerge.save(hers))
    const verdictOfDoc = (latest: AnyDoc): string => {
      const bytes = buildSnapshot(hers, [{ ...coverage(hers, MALLORY), tip: undefined }], summary) as Uint8Array
      return faultOf(() =>
        verifySnapshot({
          payload: { ...decodeSnapshotPayload(bytes), saved: Automerge.save(latest) },
          proven: [provenBy(coverage(hers, MALLORY), commitment)],
          tagOf: (_, hash) => tagOf(hash),
          imported: { tag: tagOf(commitment), tagOf },
        }),
      )
    }
    expect(verdictOfDoc(hers)).toBe('accepted')
    expect(verdictOfDoc(set(hers, MALLORY, 'three', 3))).toBe('ERR_CONTENT import-count')
  })

  it('is refused where unlisted changes make up for those of a covered actor in the import', () => {
    // The import: one change by a stranger, one by Mallory. In its place, in number: a stranger's change after it.
    const hers = set(set(emptyDoc(SHORT), SHORT, 'one', 1), MALLORY, 'two', 2)
    const summary = buildImport(Automerge.save(hers)).summary
    const later = set(hers, LONG, 'smuggled', 3)
    const listed = { ...coverage(later, MALLORY), latestSeq: 1, latestHash: headOf(hers) }
    const verdict = faultOf(() =>
      verifySnapshot({
        payload: { imported: summary, covered: [listed], saved: Automerge.save(later) },
        proven: [provenBy(listed)],
        tagOf: (_, hash) => tagOf(hash),
        imported: { tag: tagOf(importCommitment(summary)), tagOf },
      }),
    )
    expect(verdict).toBe('ERR_CONTENT import-actor')
  })

  it('is refused with an import that builds on an entry', () => {
    const parts = partsOf(Automerge.getLastLocalChange(set(foreign, CAROL, 'carol', 1)) as Uint8Array)
    expect(parts.deps).toHaveLength(2)
    const onTop = edit(set(emptyDoc(CAROL), CAROL, 'carol', 1), SHORT, draft => {
      draft.imported = 'later'
    })
    const loose = chunkOf({ ...partsOf(Automerge.getLastLocalChange(onTop) as Uint8Array) })
    const both = Automerge.loadIncremental(set(emptyDoc(CAROL), CAROL, 'carol', 1), loose)
    expect(changeCount(both)).toBe(2)
    expect(buildSnapshot(both, [coverage(both, CAROL)], { heads: [headOf(both)], count: 1 })).toBeUndefined()
  })
})
