import * as Automerge from '@automerge/automerge'
import { describe, expect, it } from 'vitest'
import { concat, toUtf8 } from '../../src/bytes.ts'
import { ByteReader } from '../../src/crdt/guard/byte-reader.ts'
import { CHUNK_TYPE, readChunk, writeChunk } from '../../src/crdt/guard/chunk.ts'
import { inspectDocument } from '../../src/crdt/guard/document-chunk.ts'
import { DOCUMENT_LIMITS } from '../../src/crdt/guard/rules.ts'
import { ACTOR_A, ACTOR_B, pastOf, richDocument, verdict } from './guard-support.ts'

const { doc, changes } = richDocument()

describe('saved documents', () => {
  it('tells actors, heads and counts, deflated or not', () => {
    for (const bytes of [Automerge.save(doc), Automerge.getBackend(doc).saveNoCompress()]) {
      const inspected = inspectDocument(bytes)
      expect(inspected.actors).toEqual([ACTOR_A, ACTOR_B])
      expect(inspected.heads).toEqual([...Automerge.getHeads(doc)].sort())
      expect(inspected.changeCount).toBe(changes.length)
      expect(inspected.opCount).toBe(Automerge.stats(doc).numOps)
      expect(inspected.maxOp).toBe(pastOf(changes).maxOp)
      expect(inspected.seqs).toEqual(
        new Map([
          [ACTOR_A, 4],
          [ACTOR_B, 1],
        ]),
      )
    }
  })

  it('an empty document and a large one', { timeout: 60_000 }, () => {
    expect(inspectDocument(Automerge.save(Automerge.init())).changeCount).toBe(0)
    const large = Automerge.from({ text: 'some text '.repeat(20_000) })
    expect(inspectDocument(Automerge.save(large)).opCount).toBe(200_001)
  })

  it('is exactly one document chunk', () => {
    const saved = Automerge.save(doc)
    const more = Automerge.change(doc, d => {
      d.more = 1
    })
    const change = Automerge.getLastLocalChange(more) as Uint8Array
    expect(verdict(() => inspectDocument(concat(saved, change)))).toBe('trailing-bytes')
    expect(verdict(() => inspectDocument(change))).toBe('chunk-type')
    expect(verdict(() => inspectDocument(new Uint8Array(0)))).toBe('truncated')
    const { body } = readChunk(new ByteReader(saved))
    expect(verdict(() => inspectDocument(writeChunk(CHUNK_TYPE.document, concat(body, Uint8Array.of(0)))))).toBe(
      'trailing-bytes',
    )
  })

  it('within limits, while it inflates and before it expands', () => {
    const saved = Automerge.save(Automerge.from({ text: 'x'.repeat(5_000) }))
    const limited = (limits: Partial<typeof DOCUMENT_LIMITS>): string =>
      verdict(() => inspectDocument(saved, { ...DOCUMENT_LIMITS, ...limits }))
    expect(limited({})).toBe('accepted')
    expect(limited({ maxBytes: saved.length - 1 })).toBe('too-large')
    expect(limited({ maxInflated: 1_000 })).toBe('too-large')
    expect(limited({ maxOps: 5_000 })).toBe('too-many-ops')
    expect(limited({ maxChanges: 0 })).toBe('too-many-changes')
    expect(limited({ maxActors: 0 })).toBe('too-many-actors')
  })

  it('without a denied key', () => {
    const plain = Automerge.getBackend(Automerge.from({ aaaaaaaaa: 1 })).saveNoCompress()
    const { body } = readChunk(new ByteReader(plain))
    const text = toUtf8('aaaaaaaaa')
    const at = body.findIndex((_, i) => text.every((byte, j) => body[i + j] === byte))
    const forged = body.slice()
    forged.set(toUtf8('__proto__'), at)
    expect(verdict(() => inspectDocument(writeChunk(CHUNK_TYPE.document, forged)))).toBe('denied-key')
  })
})
