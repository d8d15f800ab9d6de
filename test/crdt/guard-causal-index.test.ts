import * as Automerge from '@automerge/automerge'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromHex, toHex } from '../../src/bytes.ts'
import { CausalIndex } from '../../src/crdt/guard/causal-index.ts'
import type { CausalPast, KeyReference, ObjectReference, OpReference } from '../../src/crdt/guard/rules.ts'
import { inspect } from '../../src/crdt/guard.ts'
import { ACTOR_A, ACTOR_B, ACTOR_C, ancestors, type Doc, hashOf, pastOf, richDocument } from './guard-support.ts'

/** The index of changes as they arrive one by one, each judged by what the index says. */
function indexOf(changes: readonly Uint8Array[], index: CausalIndex = new CausalIndex()): CausalIndex {
  const hashes = new Map<string, Uint8Array>()
  for (const bytes of changes) {
    const { actor, seq, hash } = Automerge.decodeChange(bytes)
    hashes.set(`${actor} ${seq}`, fromHex(hash))
    const previousHash = hashes.get(`${actor} ${seq - 1}`)
    if (seq <= index.seqOf(actor)) continue
    const inspected = inspect(bytes, { actor, nextSeq: seq, previousHash, past: deps => index.past(deps) })
    index.add(inspected, hash)
  }
  return index
}

/** Two answers about the same past agree on everything that one could ask of this document, and on some nonsense. */
function expectSame(actual: CausalPast | undefined, expected: CausalPast, changes: readonly Uint8Array[]): void {
  expect(actual?.maxOp).toBe(expected.maxOp)
  const ids: OpReference[] = changes.flatMap(bytes => {
    const { actor, startOp, ops } = Automerge.decodeChange(bytes)
    return ops.map((_, i) => ({ actor, counter: startOp + i }))
  })
  ids.push({ actor: ACTOR_A, counter: 5_000 }, { actor: 'ee'.repeat(16), counter: 1 })
  const objects: ObjectReference[] = [undefined, ...ids.filter(id => expected.object(id) !== undefined), ids[1]]
  const keys: KeyReference[] = ['title', 'number', 'k1', ...ids.filter((_, i) => i % 5 === 0)]
  const wrong: unknown[] = []
  const compare = (got: unknown, wanted: unknown, ...question: unknown[]): void => {
    if (JSON.stringify(got) !== JSON.stringify(wanted)) wrong.push([...question, got, wanted])
  }
  for (const id of ids) {
    compare(actual?.object(id), expected.object(id), 'object', id)
    for (const object of objects) {
      compare(actual?.element(object, id), expected.element(object, id), 'element', object, id)
      for (const key of [...keys, id]) {
        const got = actual?.predecessor(object, key, id)
        compare(got, expected.predecessor(object, key, id), 'predecessor', object, key, id)
      }
    }
  }
  expect(wrong).toEqual([])
}

describe('what lies in the causal past', () => {
  it('every change of a rich document is accepted on the index’s word, and every past is as Automerge tells it', () => {
    const { doc, changes } = richDocument()
    const index = indexOf(changes)
    const loaded = CausalIndex.ofDocument(Automerge.save(doc))
    for (const bytes of changes) {
      const { hash } = Automerge.decodeChange(bytes)
      expectSame(index.past([hash]), pastOf(ancestors(changes, [hash])), changes)
    }
    const heads = Automerge.getHeads(doc)
    expectSame(index.past(heads), pastOf(changes), changes)
    expectSame(loaded.past(heads), pastOf(changes), changes)
    expect(index.past([])?.maxOp).toBe(0)
    expect(index.past([...heads, '00'.repeat(32)])).toBeUndefined()
    expect([ACTOR_A, ACTOR_B, ACTOR_C].map(actor => [index.seqOf(actor), loaded.seqOf(actor)])).toEqual([
      [4, 4],
      [1, 1],
      [0, 0],
    ])
  })

  it('an op that is there, but not in the past of what is asked about, is not seen', () => {
    const { changes } = richDocument()
    const index = indexOf(changes)
    const decoded = changes.map(bytes => Automerge.decodeChange(bytes))
    const ofB = decoded.find(change => change.actor === ACTOR_B) as Automerge.DecodedChange
    const beside = decoded.find(change => change.actor === ACTOR_A && change.seq === 3) as Automerge.DecodedChange
    const insertedByB: OpReference = { actor: ACTOR_B, counter: ofB.startOp }
    const text: OpReference = { actor: ACTOR_A, counter: 1 }
    expect(index.past([ofB.hash])?.element(text, insertedByB)).toBe(true)
    expect(index.past([beside.hash])?.element(text, insertedByB)).toBe(false)
    expect(index.past([beside.hash, ofB.hash])?.element(text, insertedByB)).toBe(true)
  })

  it('at any moment of random sessions, change by change, in bundles, and from the saved document on', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(2), fc.nat(7), fc.nat(500)), { maxLength: 14 }), steps => {
        const docs = session(steps)
        const merged = docs.reduce((a, b) => Automerge.merge(Automerge.clone(a), b))
        const changes = Automerge.getAllChanges(merged)
        const byHash = new Map(changes.map(bytes => [Automerge.decodeChange(bytes).hash as string, bytes]))
        const locate = (hash: string): { actor: string; seq: number } | undefined => {
          const bytes = byHash.get(hash)
          return bytes && Automerge.decodeChange(bytes)
        }
        const oneByOne = indexOf(changes)
        const whole = CausalIndex.ofDocument(Automerge.save(merged), locate)
        const half = Math.ceil(changes.length / 2)
        const early = Automerge.applyChanges<Record<string, unknown>>(Automerge.init(), changes.slice(0, half))[0]
        const continued = indexOf(changes, CausalIndex.ofDocument(Automerge.save(early), locate))
        for (const hash of byHash.keys()) {
          const expected = pastOf(ancestors(changes, [hash]))
          for (const index of [oneByOne, whole, continued]) expectSame(index.past([hash]), expected, changes.slice(-4))
        }
      }),
      { numRuns: 25 },
    )
  })

  it('a bundle is taken in as its changes are', () => {
    const { doc, changes } = richDocument()
    let next = Automerge.clone(doc, { actor: ACTOR_C })
    for (let i = 0; i < 8; i++) next = edit(next, i, i * 7)
    const own = Automerge.getChanges(doc, next)
    const hashes = own.map(bytes => Automerge.decodeChange(bytes).hash as string)
    const index = indexOf(changes)
    const rules = { actor: ACTOR_C, nextSeq: 1, past: (deps: readonly string[]) => index.past(deps) }
    const payload = Automerge.saveBundle(next, hashes)
    index.add(inspect(payload, rules), hashes.at(-1) as string)
    const all = [...changes, ...own]
    expectSame(index.past([hashes.at(-1) as string]), pastOf(all), own)
    // The hash of a change in the middle is nowhere in a bundle.
    expect(index.past([hashes[3] as string])).toBeUndefined()
    const raw = indexOf(changes)
    raw.add(inspect(concat(...own), { ...rules, past: deps => raw.past(deps) }), hashes.at(-1) as string)
    expectSame(raw.past([hashes[3] as string]), pastOf(ancestors(all, [hashes[3] as string])), own)
    const more = Automerge.change(next, d => {
      d.more = 1
    })
    const bytes = Automerge.getLastLocalChange(more) as Uint8Array
    const previousHash = hashOf(own.at(-1) as Uint8Array)
    index.add(inspect(bytes, { ...rules, nextSeq: 9, previousHash }), toHex(hashOf(bytes)))
    expect(index.seqOf(ACTOR_C)).toBe(9)
  })

  it('changes out of order, or on what is not known, leave the index as it was', () => {
    const { changes } = richDocument()
    const [first, second] = changes as [Uint8Array, Uint8Array]
    const rules = { actor: ACTOR_A, nextSeq: 2, previousHash: hashOf(first) }
    const index = new CausalIndex()
    expect(() => index.add(inspect(second, rules), toHex(hashOf(second)))).toThrow(TypeError)
    indexOf([first], index)
    expect(() => index.add(inspect(first, { actor: ACTOR_A, nextSeq: 1 }), toHex(hashOf(first)))).toThrow(TypeError)
    const other = Automerge.change(Automerge.from<Record<string, unknown>>({ a: 1 }, { actor: ACTOR_B }), d => {
      d.b = 1
    })
    const [, foreign] = Automerge.getAllChanges(other) as [Uint8Array, Uint8Array]
    const alone = inspect(Automerge.getAllChanges(other)[0] as Uint8Array, { actor: ACTOR_B, nextSeq: 1 })
    index.add(alone, 'ff'.repeat(32))
    const previousHash = hashOf(Automerge.getAllChanges(other)[0] as Uint8Array)
    const unknown = inspect(foreign, { actor: ACTOR_B, nextSeq: 2, previousHash })
    expect(() => index.add(unknown, toHex(hashOf(foreign)))).toThrow(TypeError)
    expect(index.seqOf(ACTOR_B)).toBe(1)
    indexOf(changes.slice(0, 2), index)
    expect(index.seqOf(ACTOR_A)).toBe(2)
  })
})

function session(steps: readonly (readonly [number, number, number])[]): Doc[] {
  const start = Automerge.from<Record<string, unknown>>({ title: 'start', list: [1], notes: {} }, { actor: ACTOR_A })
  const docs: Doc[] = [ACTOR_A, ACTOR_B, ACTOR_C].map((actor, i) =>
    i === 0 ? start : Automerge.clone(start, { actor }),
  )
  for (const [who, what, n] of steps) {
    const doc = docs[who] as Doc
    docs[who] = what === 0 ? Automerge.merge(doc, docs[(who + 1 + (n % 2)) % 3] as Doc) : edit(doc, what, n)
  }
  return docs
}

function edit(doc: Doc, what: number, n: number): Doc {
  if (what === 6 && n % 3 === 0) return Automerge.emptyChange(doc)
  return Automerge.change(doc, { time: 0 }, d => {
    const draft = d as never
    const title = d.title as string
    const list = d.list as unknown[]
    const notes = d.notes as Record<string, unknown>
    if (what <= 2) Automerge.splice(draft, ['title'], n % (title.length + 1), 0, `t${n}`)
    else if (what === 3) Automerge.splice(draft, ['title'], n % title.length, title.length > 2 ? 1 : 0)
    else if (what === 4) list.splice(n % (list.length + 1), 0, { n }, [n])
    else if (what === 5 && list.length > 0) list[n % list.length] = n
    else if (what === 6) delete notes[`k${n % 3}`]
    else notes[`k${n % 3}`] = n % 2 === 0 ? { deep: [n] } : n
  })
}
