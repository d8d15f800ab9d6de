import * as Automerge from '@automerge/automerge'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, toHex } from '../../src/bytes.ts'
import { type CarriedChange, carryOver } from '../../src/crdt/carry-over.ts'
import { inspectChunks } from '../../src/crdt/guard.ts'
import { ACTOR_A, ACTOR_B, ACTOR_C, ancestors, type Doc, pastOf, richDocument } from './guard-support.ts'

/** The fresh actor: one that sorts before the old one and one that sorts after, because order decides ties. */
const FRESH = ['01'.repeat(16), 'f0'.repeat(16)]

/** A document whose last change by `ACTOR_C` was sent, and what C did after that. */
function scenario(sent: readonly number[], unsent: readonly number[]): { base: Doc; next: Doc; unsent: Uint8Array[] } {
  let base: Doc = Automerge.clone(richDocument().doc, { actor: ACTOR_C })
  for (const n of sent) base = edit(base, n)
  // Apart from `base`: a document that was changed shares its backend with what came out of the change.
  let next: Doc = Automerge.clone(base, { actor: ACTOR_C })
  for (const n of unsent) next = edit(next, n)
  return { base, next, unsent: Automerge.getChanges(base, next) }
}

function carried(changes: readonly Uint8Array[], to: string): Uint8Array {
  return concat(...carryOver({ changes, from: ACTOR_C, to }).map(change => change.bytes))
}

/** Without regard to who wrote what. */
function content(doc: Doc): unknown {
  return [Automerge.toJS(doc), Automerge.spans(doc, ['title'])]
}

describe('carrying unsent changes over to a fresh actor', () => {
  it('gives the same document, whatever was edited', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 12 }), (sent, later) => {
        const { base, next, unsent } = scenario(sent, later)
        for (const to of FRESH) {
          const replica = Automerge.loadIncremental(Automerge.clone(base), carried(unsent, to))
          expect(content(replica)).toEqual(content(next))
          expect(Automerge.getMissingDeps(replica, [])).toEqual([])
          const again: Doc = Automerge.load(Automerge.save(replica))
          expect(Automerge.getHeads(again)).toEqual(Automerge.getHeads(replica))
        }
      }),
      { numRuns: 60 },
    )
  })

  it('beside other changes that a clone wrote under the old actor, nothing is lost', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(), { maxLength: 4 }),
        fc.array(fc.nat(), { minLength: 1, maxLength: 6 }),
        (sent, later) => {
          const { base, next, unsent } = scenario(sent, later)
          let clone: Doc = Automerge.load(Automerge.save(base), { actor: ACTOR_C })
          for (let i = 0; i <= later.length; i++) clone = edit(clone, i * 3 + 2)
          clone = Automerge.change(clone, d => {
            d.clone = 'was here'
          })
          for (const to of FRESH) {
            const merged = Automerge.loadIncremental(Automerge.clone(clone, { actor: ACTOR_A }), carried(unsent, to))
            expect(merged.clone).toBe('was here')
            const apart = Automerge.loadIncremental(Automerge.clone(base, { actor: ACTOR_B }), carried(unsent, to))
            // Every op of both is there: nothing was taken for the clone's change of the same number.
            for (const what of ['numChanges', 'numOps'] as const) {
              const count = (doc: Doc): number => Automerge.stats(doc)[what]
              expect(count(merged)).toBe(count(clone) + count(apart) - count(base))
            }
            expect(content(apart)).toEqual(content(next))
            expect(Automerge.load(Automerge.save(merged))).toEqual(merged)
          }
        },
      ),
      { numRuns: 40 },
    )
  })

  it('changes that merged others’ work keep what they depended on', () => {
    const start = richDocument().doc
    let other = Automerge.clone(start, { actor: ACTOR_B })
    let base = Automerge.clone(start, { actor: ACTOR_C })
    base = edit(base, 1)
    let next: Doc = Automerge.clone(base, { actor: ACTOR_C })
    for (let i = 0; i < 6; i++) {
      other = edit(other, i)
      next = i % 2 === 0 ? Automerge.merge(next, other) : edit(next, i)
      next = edit(next, i + 3)
    }
    const unsent = Automerge.getChanges(base, next).filter(bytes => Automerge.decodeChange(bytes).actor === ACTOR_C)
    for (const to of FRESH) {
      const moved = carryOver({ changes: unsent, from: ACTOR_C, to })
      const replica = Automerge.loadIncremental(
        Automerge.merge(Automerge.clone(base), Automerge.clone(other)),
        concat(...moved.map(change => change.bytes)),
      )
      const all = Automerge.getAllChanges(replica)
      const expected = Automerge.merge(Automerge.clone(next), other)
      expect(Automerge.stats(replica).numChanges).toBe(Automerge.stats(expected).numChanges)
      expect(Automerge.toJS(replica)).toEqual(Automerge.toJS(expected))
      expectChain(moved, unsent, to)
      for (const [i, { bytes }] of moved.entries()) {
        const past = (dependencies: readonly string[]): ReturnType<typeof pastOf> =>
          pastOf(ancestors(all, dependencies))
        const previousHash = moved[i - 1]?.hash
        expect(inspectChunks(bytes, { actor: to, nextSeq: i + 1, previousHash, past }).changes.length).toBe(1)
      }
    }
  })

  it('keeps counters, time, message and values, among them those that JavaScript values would lose', () => {
    let next: Doc = Automerge.clone(richDocument().doc, { actor: ACTOR_C })
    const before = next
    next = Automerge.change(next, { time: 77, message: 'ü' }, d => {
      d.nan = Number.NaN
      d.infinity = Number.POSITIVE_INFINITY
      d.zero = -0
      d.when = new Date(-5)
      d.bytes = new Uint8Array([0, 255])
      d.unsigned = new Automerge.Uint(7)
      d.count = new Automerge.Counter(1)
    })
    next = Automerge.emptyChange(next, { time: 78 })
    const unsent = Automerge.getChanges(before, next)
    const moved = carryOver({ changes: unsent, from: ACTOR_C, to: ACTOR_A.replaceAll('a', 'd') })
    const replica = Automerge.loadIncremental(Automerge.clone(before), concat(...moved.map(change => change.bytes)))
    expect(Automerge.toJS(replica)).toEqual(Automerge.toJS(next))
    expect(replica.nan).toBeNaN()
    const decoded = moved.map(({ bytes }) => Automerge.decodeChange(bytes))
    expect(decoded.map(change => [change.time, change.message])).toEqual([
      [77, 'ü'],
      [78, null],
    ])
    expectChain(moved, unsent, ACTOR_A.replaceAll('a', 'd'))
  })

  it('what refers to sent changes of the old actor still does', () => {
    const { base, unsent } = scenario([1, 2], [])
    expect(unsent).toEqual([])
    const lastSent = Automerge.getHeads(base)
    const next = Automerge.change(base, d => {
      ;(d.object as Record<string, unknown>).more = 1
    })
    const [moved] = carryOver({ changes: Automerge.getChanges(base, next), from: ACTOR_C, to: FRESH[0] as string })
    const decoded = Automerge.decodeChange((moved as CarriedChange).bytes)
    expect(decoded.deps).toEqual(lastSent)
    expect(decoded.ops.map(op => op.obj.split('@')[1])).toEqual([ACTOR_C])
  })

  it('a paste of many ops in little time', () => {
    const base = Automerge.clone(richDocument().doc, { actor: ACTOR_C })
    const next = Automerge.change(base, d => Automerge.splice(d as never, ['title'], 0, 0, 'some words '.repeat(5_000)))
    const unsent = Automerge.getChanges(base, next)
    const replica = Automerge.loadIncremental(Automerge.clone(base), carried(unsent, FRESH[1] as string))
    expect(replica.title).toBe(next.title)
  })

  it('refuses another actor’s changes, gaps and the same actor again', () => {
    const { unsent } = scenario([], [1, 2, 3])
    const [one, two, three] = unsent as [Uint8Array, Uint8Array, Uint8Array]
    const to = FRESH[0] as string
    const code = (fn: () => unknown): unknown => {
      try {
        return fn()
      } catch (error) {
        return (error as { code?: string }).code ?? (error as Error).name
      }
    }
    expect(code(() => carryOver({ changes: [one], from: ACTOR_A, to }))).toBe('ERR_CONTENT')
    expect(code(() => carryOver({ changes: [one, three], from: ACTOR_C, to }))).toBe('ERR_CONTENT')
    expect(code(() => carryOver({ changes: [concat(one, two)], from: ACTOR_C, to }))).toBe('ERR_CONTENT')
    expect(code(() => carryOver({ changes: [one.subarray(1)], from: ACTOR_C, to }))).toBe('ERR_GUARD')
    expect(code(() => carryOver({ changes: [one], from: ACTOR_C, to: ACTOR_C }))).toBe('TypeError')
    expect(carryOver({ changes: [], from: ACTOR_C, to })).toEqual([])
  })
})

/** seq 1, 2, 3 …, each on the one before, at the same counters as the originals. */
function expectChain(moved: readonly CarriedChange[], originals: readonly Uint8Array[], to: string): void {
  const before = originals.map(bytes => Automerge.decodeChange(bytes))
  const after = moved.map(({ bytes }) => Automerge.decodeChange(bytes))
  expect(after.map(change => [change.actor, change.seq])).toEqual(before.map((_, i) => [to, i + 1]))
  expect(after.map(change => [change.startOp, change.ops.length])).toEqual(
    before.map(change => [change.startOp, change.ops.length]),
  )
  expect(after.map(change => change.hash)).toEqual(moved.map(({ hash }) => toHex(hash)))
  for (let i = 1; i < after.length; i++) expect(after[i]?.deps).toContain(after[i - 1]?.hash)
  const gone = new Set(before.map(change => change.hash))
  for (const change of after) for (const hash of change.deps) expect(gone.has(hash)).toBe(false)
}

function edit(doc: Doc, n: number): Doc {
  return Automerge.change(doc, { time: n % 1000 }, d => {
    const draft = d as never
    const title = d.title as string
    const list = d.list as unknown[]
    const at = n % title.length
    if (typeof d.object !== 'object') d.object = { created: n, inner: [n] }
    const object = d.object as Record<string, unknown>
    switch (n % 9) {
      case 0:
        Automerge.splice(draft, ['title'], at, 0, `<${n % 100}>`)
        break
      case 1:
        Automerge.splice(draft, ['title'], at, Math.min(2, title.length - at - 1))
        break
      case 2:
        list.push({ n, words: `w${n}` })
        break
      case 3:
        if (list.length > 0) list.splice(n % list.length, 1)
        break
      case 4:
        if (list.length > 0) list[n % list.length] = n
        break
      case 5:
        ;(d.count as Automerge.Counter).increment(n % 50)
        break
      case 6:
        Automerge.mark(draft, ['title'], { start: at, end: title.length, expand: 'both' }, `m${n % 2}`, n % 5)
        break
      case 7:
        object[`k${n % 3}`] = n % 2 === 0 ? { deep: [n] } : n
        break
      default:
        delete object[`k${n % 3}`]
        object.counter = new Automerge.Counter(n % 10)
        ;(object.counter as Automerge.Counter).increment(1)
    }
  })
}
