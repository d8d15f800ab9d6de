import * as Automerge from '@automerge/automerge'
import * as Slim from '@automerge/automerge/slim'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromHex } from '../../src/bytes.ts'
import type { CausalPast } from '../../src/crdt/guard/rules.ts'
import { inspectChunks } from '../../src/crdt/guard.ts'
import { ACTOR_A, ACTOR_B, ACTOR_C, ancestors, type Doc, hashOf, pastOf, richDocument } from './guard-support.ts'

/** Inspects every change of a document as an entry of its own, on exactly the past that it names. */
function inspectEach(changes: readonly Uint8Array[]): void {
  for (const bytes of changes) {
    const decoded = Automerge.decodeChange(bytes)
    const previous = changes.find(other => {
      const { actor, seq } = Automerge.decodeChange(other)
      return actor === decoded.actor && seq === decoded.seq - 1
    })
    const inspected = inspectChunks(bytes, {
      actor: decoded.actor,
      nextSeq: decoded.seq,
      previousHash: previous && hashOf(previous),
      past: dependencies => pastOf(ancestors(changes, dependencies)),
    })
    expect(inspected.changes).toEqual([
      {
        actor: decoded.actor,
        seq: decoded.seq,
        startOp: decoded.startOp,
        opCount: decoded.ops.length,
        time: decoded.time,
        deps: decoded.deps,
        hash: decoded.hash,
      },
    ])
    expect(inspected.maxOp).toBe(decoded.startOp + decoded.ops.length - 1)
  }
}

describe('what Automerge writes passes the guard', () => {
  it('the slim build and the full one share their module, so that tests may use either', () => {
    expect(Slim.change).toBe(Automerge.change)
  })

  it('a document with something of every kind', () => {
    const { doc, changes } = richDocument()
    let all = Automerge.clone(doc, { actor: ACTOR_C })
    all = Automerge.change(all, { time: 0, message: 'ein Wörtchen' }, d => {
      d['ключ 🗝'] = 'ü😀'
      d.nan = Number.NaN
      d.infinity = Number.NEGATIVE_INFINITY
      d.zero = -0
      d.large = Number.MAX_SAFE_INTEGER
      d.small = Number.MIN_SAFE_INTEGER
      d.unsigned = new Automerge.Uint(2 ** 53 - 1)
      d.before1970 = new Date(-1)
      d.immutable = new Automerge.ImmutableString('x')
      d.empty = ''
      d.emptyBytes = new Uint8Array(0)
      d.rows = Array.from({ length: 30 }, (_, i) => ({ i, on: i % 2 === 0, text: `row ${i}` }))
      d['constructor' as string] = 'own property'
    })
    all = Automerge.emptyChange(all)
    all = Automerge.change(all, { time: 0 }, d => {
      delete d.rows
    })
    expect(Automerge.getAllChanges(all).length).toBe(changes.length + 3)
    inspectEach(Automerge.getAllChanges(all))
  })

  it('a million characters pasted at once', { timeout: 60_000 }, () => {
    let doc = Automerge.init<{ text?: string }>({ actor: ACTOR_A })
    doc = Automerge.change(doc, d => {
      d.text = 'lorem ipsum dolor sit amet '.repeat(38_000)
    })
    const pasted = Automerge.getLastLocalChange(doc) as Uint8Array
    expect(inspectChunks(pasted, { actor: ACTOR_A, nextSeq: 1 }).opCount).toBe(1_026_001)
    const bundle = Automerge.saveBundle(doc, Automerge.getHeads(doc))
    expect(bundle.length).toBeLessThan(20_000)
    expect(inspectChunks(bundle, { actor: ACTOR_A, nextSeq: 1 }).opCount).toBe(1_026_001)
  })

  it('sessions of three actors that edit and merge at random, change by change and in bundles', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2), fc.nat(15), fc.nat(1000)), { minLength: 1, maxLength: 30 }), steps => {
        const docs = session(steps)
        const merged = docs.reduce((a, b) => Automerge.merge(Automerge.clone(a), b))
        const changes = Automerge.getAllChanges(merged)
        inspectEach(changes)
        for (const actor of [ACTOR_A, ACTOR_B, ACTOR_C]) {
          const own = changes.filter(bytes => Automerge.decodeChange(bytes).actor === actor)
          if (own.length < 2) continue
          const hashes = own.map(bytes => Automerge.decodeChange(bytes).hash)
          const rules = {
            actor,
            nextSeq: 1,
            past: (dependencies: readonly string[]) => pastOf(ancestors(changes, dependencies)),
          }
          const bundle = inspectChunks(Automerge.saveBundle(merged, hashes), { ...rules, encoding: 'bundle' })
          const raw = inspectChunks(concat(...own), { ...rules, encoding: 'raw' })
          expect(bundle.changes.map(change => [change.seq, change.startOp, change.opCount, change.time])).toEqual(
            raw.changes.map(change => [change.seq, change.startOp, change.opCount, change.time]),
          )
          expect(new Set(bundle.externalDeps)).toEqual(new Set(raw.externalDeps))
          expect(raw.changes.map(change => change.hash)).toEqual(hashes)
        }
      }),
      { numRuns: 40 },
    )
  })
})

describe('what an entry may refer to', () => {
  const { doc, changes } = richDocument()
  const heads = Automerge.getHeads(doc)

  it('the answer about the past decides', () => {
    const next = Automerge.change(Automerge.clone(doc, { actor: ACTOR_C }), d => {
      ;(d.notes as Record<string, unknown>).number = 5
    })
    const bytes = Automerge.getLastLocalChange(next) as Uint8Array
    const rules = { actor: ACTOR_C, nextSeq: 1 }
    const past = pastOf(changes)
    const asked: (readonly string[])[] = []
    const ask = (deps: readonly string[]): CausalPast => {
      asked.push(deps)
      return past
    }
    inspectChunks(bytes, { ...rules, past: ask })
    expect(asked).toEqual([heads])
    const without = (method: 'object' | 'predecessor') => (): unknown =>
      inspectChunks(bytes, { ...rules, past: () => ({ ...past, [method]: () => undefined }) })
    expect(without('object')).toThrow(expect.objectContaining({ details: { reason: 'object' } }))
    expect(without('predecessor')).toThrow(expect.objectContaining({ details: { reason: 'predecessor' } }))
    expect(() => inspectChunks(bytes, { ...rules, past: () => ({ ...past, maxOp: past.maxOp + 1 }) })).toThrow(
      expect.objectContaining({ details: { reason: 'counter' } }),
    )
  })

  it('rules without the previous hash are a mistake of the caller', () => {
    expect(() => inspectChunks(new Uint8Array(0), { actor: ACTOR_A, nextSeq: 2 })).toThrow(TypeError)
  })

  it('names the changes outside that must be there first', () => {
    let next = Automerge.clone(doc, { actor: ACTOR_C })
    for (let i = 0; i < 5; i++) next = Automerge.change(next, d => Automerge.splice(d as never, ['title'], i, 0, 'x'))
    const own = Automerge.getChanges(doc, next)
    const hashes = own.map(bytes => Automerge.decodeChange(bytes).hash)
    for (const payload of [concat(...own), Automerge.saveBundle(next, hashes)]) {
      const inspected = inspectChunks(payload, { actor: ACTOR_C, nextSeq: 1 })
      expect(inspected.externalDeps).toEqual(heads)
      expect(inspected.hasMarks).toBe(false)
    }
    const later = Automerge.saveBundle(next, hashes.slice(2))
    const inspected = inspectChunks(later, { actor: ACTOR_C, nextSeq: 3, previousHash: fromHex(hashes[1] as string) })
    expect(inspected.externalDeps).toEqual([hashes[1]])
  })
})

function session(steps: readonly (readonly [number, number, number])[]): Doc[] {
  const actors = [ACTOR_A, ACTOR_B, ACTOR_C]
  const start = Automerge.from<Record<string, unknown>>({ text: 'start', list: [1, 2], map: {} }, { actor: ACTOR_A })
  const docs: Doc[] = actors.map((actor, i) => (i === 0 ? start : Automerge.clone(start, { actor })))
  steps.forEach(([who, what, n], i) => {
    const doc = docs[who] as Doc
    if (what === 0) {
      docs[who] = Automerge.merge(doc, docs[(who + 1 + (n % 2)) % 3] as Doc)
      return
    }
    docs[who] = Automerge.change(doc, { time: n }, d => edit(d, what, n, i))
  })
  return docs
}

function edit(d: Record<string, unknown>, what: number, n: number, i: number): void {
  const text = d.text as string
  const list = d.list as unknown[]
  const map = d.map as Record<string, unknown>
  const draft = d as never
  const at = text.length === 0 ? 0 : n % text.length
  if (what <= 4) Automerge.splice(draft, ['text'], at, 0, `w${i}`)
  else if (what === 5) Automerge.splice(draft, ['text'], at, Math.min(3, text.length - at), 'ü')
  else if (what === 6 && text.length > 1)
    Automerge.mark(draft, ['text'], { start: at, end: text.length, expand: 'after' }, 'bold', n)
  else if (what === 7) list.push(n, [n])
  else if (what === 8) list.splice(n % (list.length + 1), 1)
  else if (what === 9 && list.length > 0) list[n % list.length] = { n }
  else if (what === 10) map[`k${n % 3}`] = n
  else if (what === 11) delete map[`k${n % 3}`]
  else if (what === 12) map.count = new Automerge.Counter(n)
  else if (what === 13 && map.count instanceof Automerge.Counter) map.count.increment(n - 500)
  else if (what === 14) map[`k${n % 3}`] = { deep: { deeper: [n] } }
  else map.flag = n % 2 === 0
}
