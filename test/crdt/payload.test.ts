import * as Automerge from '@automerge/automerge'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, toHex } from '../../src/bytes.ts'
import { type Cbor, encodeCbor } from '../../src/codec.ts'
import { ByteReader } from '../../src/crdt/guard/byte-reader.ts'
import { CHUNK_TYPE, readChunk, writeChunk } from '../../src/crdt/guard/chunk.ts'
import { inspectChunks } from '../../src/crdt/guard.ts'
import {
  type BuiltPayload,
  type BundleSource,
  buildChangesPayloads,
  decodeChangesPayload,
  encodeChangesPayload,
  MAX_CHANGES_PAYLOAD,
  type UnsentChange,
} from '../../src/crdt/payload.ts'
import { ACTOR_A, ACTOR_C, type Doc, hashOf, richDocument } from './guard-support.ts'

const { doc, changes: base } = richDocument()

/** Actor C types on the document; what is unsent, and where a bundle of it comes from. */
function typed(count: number, text: (i: number) => string = () => 'x'): { next: Doc; unsent: UnsentChange[] } {
  let next = Automerge.clone(doc, { actor: ACTOR_C })
  for (let i = 0; i < count; i++) {
    next = Automerge.change(next, { time: i, ...(i % 3 === 0 ? { message: `m${i}` } : {}) }, d => {
      Automerge.splice(d as never, ['title'], i % 5, i % 4 === 3 ? 1 : 0, text(i))
      if (i % 7 === 0) (d.notes as Record<string, unknown>).number = i
    })
  }
  const unsent = Automerge.getChanges(doc, next).map((bytes, i) => ({ seq: i + 1, hash: hashOf(bytes), bytes }))
  return { next, unsent }
}

function sourceOf(next: Doc): BundleSource {
  return Automerge.getBackend(next)
}

/** What the payloads bring to a replica that has the document without them. */
function applied(payloads: readonly BuiltPayload[]): Doc {
  let replica: Doc = Automerge.load(Automerge.save(doc))
  let seq = 0
  let previousHash: Uint8Array | undefined
  for (const { bytes, latestHash, latestSeq, count } of payloads) {
    const payload = decodeChangesPayload(bytes)
    expect(payload).toMatchObject({ latestHash, latestSeq, count })
    const { encoding, chunks } = payload
    const inspected = inspectChunks(chunks, { actor: ACTOR_C, nextSeq: seq + 1, previousHash, encoding })
    expect(inspected.changes.length).toBe(count)
    expect(inspected.changes.at(-1)?.seq).toBe(latestSeq)
    replica = Automerge.loadIncremental(replica, chunks)
    expect(Automerge.getHeads(replica)).toEqual([toHex(latestHash)])
    seq = latestSeq
    previousHash = latestHash
  }
  return replica
}

describe('payload of changes', () => {
  const payload = {
    encoding: 'raw',
    latestHash: new Uint8Array(32).fill(7),
    latestSeq: 9,
    count: 3,
    chunks: new Uint8Array(5),
  } as const

  it('is read back as it was written', () => {
    for (const encoding of ['raw', 'bundle'] as const) {
      expect(decodeChangesPayload(encodeChangesPayload({ ...payload, encoding }))).toEqual({ ...payload, encoding })
    }
    expect(encodeChangesPayload(payload)).toEqual(encodeCbor([0, 0, payload.latestHash, 9, 3, payload.chunks]))
  })

  it('of a later version or encoding, whatever else it holds, asks for an upgrade', () => {
    const code = (value: Cbor): unknown => {
      try {
        return decodeChangesPayload(encodeCbor(value))
      } catch (error) {
        return (error as { code?: unknown }).code
      }
    }
    expect(code([1])).toBe('ERR_UPGRADE')
    expect(code([7, 'anything', []])).toBe('ERR_UPGRADE')
    expect(code([0, 2, payload.latestHash, 9, 3, payload.chunks])).toBe('ERR_UPGRADE')
    expect(code([0, 0, payload.latestHash, 9, 3])).toBe('ERR_MALFORMED')
    expect(code([0, 0, payload.latestHash, 9, 3, payload.chunks, 0])).toBe('ERR_MALFORMED')
    expect(code([0, 0, payload.latestHash.subarray(1), 9, 3, payload.chunks])).toBe('ERR_MALFORMED')
    expect(code([0, 0, payload.latestHash, 9, 0, payload.chunks])).toBe('ERR_MALFORMED')
    expect(code([0, 0, payload.latestHash, 2, 3, payload.chunks])).toBe('ERR_MALFORMED')
    expect(code([0, 0, payload.latestHash, 2 ** 40, 2 ** 40, payload.chunks])).toBe('ERR_MALFORMED')
    for (const version of ['0', new Uint8Array(0), []]) {
      expect(code([version, 0, payload.latestHash, 9, 3, payload.chunks])).toBe('ERR_MALFORMED')
    }
    expect(code([])).toBe('ERR_MALFORMED')
    expect(code('text')).toBe('ERR_MALFORMED')
  })

  it('larger than the limit is refused before it is decoded', () => {
    const huge = new Uint8Array(MAX_CHANGES_PAYLOAD + 1)
    expect(() => decodeChangesPayload(huge)).toThrow(expect.objectContaining({ code: 'ERR_LIMIT' }))
  })

  it('never decodes to something else than it says', () => {
    const bytes = encodeChangesPayload(payload)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
        const other = bytes.slice()
        other[at] = byte
        try {
          expect(encodeChangesPayload(decodeChangesPayload(other))).toEqual(other)
        } catch (error) {
          expect(['ERR_MALFORMED', 'ERR_UPGRADE', 'ERR_LIMIT']).toContain((error as { code: string }).code)
        }
      }),
    )
  })
})

describe('building payloads', () => {
  it('one keystroke goes raw, many in a bundle, and both arrive as they were', () => {
    for (const count of [1, 2, 3, 4, 30]) {
      const { next, unsent } = typed(count)
      const payloads = buildChangesPayloads(sourceOf(next), unsent, { actor: ACTOR_C })
      expect(payloads.length).toBe(1)
      expect(decodeChangesPayload((payloads[0] as BuiltPayload).bytes).encoding).toBe(count < 4 ? 'raw' : 'bundle')
      const replica = applied(payloads)
      expect(Automerge.toJS(replica)).toEqual(Automerge.toJS(next))
      expect(Automerge.getAllChanges(replica).length).toBe(base.length + count)
    }
  })

  it('a hundred keystrokes are a few hundred bytes', () => {
    let next = Automerge.clone(doc, { actor: ACTOR_C })
    for (let i = 0; i < 100; i++) {
      next = Automerge.change(next, { time: 0 }, d => Automerge.splice(d as never, ['title'], i, 0, 'abcde'[i % 5]))
    }
    const unsent = Automerge.getChanges(doc, next).map((bytes, i) => ({ seq: i + 1, hash: hashOf(bytes), bytes }))
    const raw = unsent.reduce((sum, { bytes }) => sum + bytes.length, 0)
    const [payload] = buildChangesPayloads(sourceOf(next), unsent, { actor: ACTOR_C })
    expect(raw).toBeGreaterThan(9_000)
    expect(payload?.bytes.length).toBeLessThan(600)
  })

  it('a single large paste goes as a bundle, which deflates it', () => {
    const { next, unsent } = typed(1, () => 'the same words again and again. '.repeat(500))
    const payloads = buildChangesPayloads(sourceOf(next), unsent, { actor: ACTOR_C })
    expect(payloads[0]?.bytes.length).toBeLessThan((unsent[0] as UnsentChange).bytes.length / 10)
    expect(Automerge.toJS(applied(payloads))).toEqual(Automerge.toJS(next))
  })

  it('splits by number and by size, and goes on where the last entry ended', () => {
    const { next, unsent } = typed(23)
    const byCount = buildChangesPayloads(sourceOf(next), unsent, { actor: ACTOR_C, maxChanges: 5 })
    expect(byCount.map(payload => payload.count)).toEqual([5, 5, 5, 5, 3])
    expect(Automerge.toJS(applied(byCount))).toEqual(Automerge.toJS(next))
    const noise = typed(8, i => toHex(new Uint8Array(300).map((_, j) => (i * 97 + j * j * 31) % 256)))
    const bySize = buildChangesPayloads(sourceOf(noise.next), noise.unsent, { actor: ACTOR_C, splitAbove: 700 })
    expect(bySize.length).toBeGreaterThan(2)
    expect(Automerge.toJS(applied(bySize))).toEqual(Automerge.toJS(noise.next))
    const rest = buildChangesPayloads(sourceOf(next), unsent.slice(10), {
      actor: ACTOR_C,
      previousHash: (unsent[9] as UnsentChange).hash,
    })
    expect(rest.map(payload => [payload.count, payload.latestSeq])).toEqual([[13, 23]])
    expect(buildChangesPayloads(sourceOf(next), [], { actor: ACTOR_C })).toEqual([])
  })

  it('changes that merge the work of others in between', () => {
    let other = Automerge.clone(doc, { actor: ACTOR_A })
    let next = Automerge.clone(doc, { actor: ACTOR_C })
    for (let i = 0; i < 12; i++) {
      other = Automerge.change(other, { time: 0 }, d => Automerge.splice(d as never, ['title'], 0, 0, 'o'))
      if (i % 3 === 0) next = Automerge.merge(next, other)
      next = Automerge.change(next, { time: 0 }, d => Automerge.splice(d as never, ['title'], 1, 1, 'nn'))
    }
    const own = Automerge.getAllChanges(next).filter(bytes => Automerge.decodeChange(bytes).actor === ACTOR_C)
    const unsent = own.map((bytes, i) => ({ seq: i + 1, hash: hashOf(bytes), bytes }))
    const [payload] = buildChangesPayloads(sourceOf(next), unsent, { actor: ACTOR_C })
    const { encoding, chunks } = decodeChangesPayload((payload as BuiltPayload).bytes)
    expect(encoding).toBe('bundle')
    const replica = Automerge.loadIncremental(Automerge.clone(other), chunks)
    expect(Automerge.getHeads(Automerge.merge(Automerge.clone(next), other))).toEqual(Automerge.getHeads(replica))
  })

  it('never asks for a hash twice, nor for changes out of order', () => {
    const { next, unsent } = typed(6)
    const [one, two] = unsent as [UnsentChange, UnsentChange]
    const build = (changes: readonly UnsentChange[]): unknown =>
      buildChangesPayloads(sourceOf(next), changes, { actor: ACTOR_C })
    expect(() => build([two, one])).toThrow(TypeError)
    expect(() => build([one, { ...two, hash: one.hash }])).toThrow(TypeError)
  })

  it('a bundle of anything but exactly these changes is not sent: the raw changes are', () => {
    const { next, unsent } = typed(8)
    const other = typed(8, () => 'y')
    const { body } = readChunk(new ByteReader(sourceOf(next).saveBundle(unsent.map(({ hash }) => toHex(hash)))))
    const sources: BundleSource[] = [
      sourceOf(other.next),
      { saveBundle: () => sourceOf(other.next).saveBundle(other.unsent.map(({ hash }) => toHex(hash))) },
      { saveBundle: hashes => sourceOf(next).saveBundle(hashes.slice(1)) },
      { saveBundle: hashes => concat(sourceOf(next).saveBundle(hashes), Uint8Array.of(0)) },
      { saveBundle: () => new Uint8Array(3) },
      {
        saveBundle: () => {
          throw new Error('no bundle today')
        },
      },
    ]
    // Every single byte of the bundle changed: none of them may pass for the original.
    for (let at = 0; at < body.length; at++) {
      const forged = body.slice()
      forged[at] = (forged[at] as number) ^ 1
      sources.push({ saveBundle: () => writeChunk(CHUNK_TYPE.bundle, forged) })
    }
    for (const source of sources) {
      const [payload] = buildChangesPayloads(source, unsent, { actor: ACTOR_C })
      const { encoding, chunks } = decodeChangesPayload((payload as BuiltPayload).bytes)
      expect(encoding).toBe('raw')
      expect(chunks).toEqual(concat(...unsent.map(change => change.bytes)))
    }
  })

  it('changes that no replica would take are not packed', () => {
    const { next, unsent } = typed(3)
    expect(() => buildChangesPayloads(sourceOf(next), unsent, { actor: ACTOR_A })).toThrow(
      expect.objectContaining({ code: 'ERR_GUARD' }),
    )
  })
})
