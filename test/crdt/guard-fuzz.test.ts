import * as Automerge from '@automerge/automerge'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat } from '../../src/bytes.ts'
import { ByteReader } from '../../src/crdt/guard/byte-reader.ts'
import { CausalIndex } from '../../src/crdt/guard/causal-index.ts'
import { readChangeChunk } from '../../src/crdt/guard/change-chunk.ts'
import { readChunk, writeChunk } from '../../src/crdt/guard/chunk.ts'
import { encodeNumbers } from '../../src/crdt/guard/column-writer.ts'
import { inspectDocument } from '../../src/crdt/guard/document-chunk.ts'
import { OP_COLUMN } from '../../src/crdt/guard/op-table.ts'
import { DEFAULT_LIMITS } from '../../src/crdt/guard/rules.ts'
import { type GuardRules, type InspectedChunks, inspectChunks } from '../../src/crdt/guard.ts'
import { ACTOR_B, ACTOR_C, chunkOf, type Doc, partsOf, pastOf, richDocument, verdict } from './guard-support.ts'

/** Actor C edits a document of A and B twice; the two changes, raw and as a bundle, are what the fuzzer breaks. */
const { doc, changes } = richDocument()
const saved = Automerge.save(doc)
const past = pastOf(changes)
const rules: GuardRules = { actor: ACTOR_C, nextSeq: 1, past: () => past }
const index = CausalIndex.ofDocument(saved)
const known = new Set(changes.map(bytes => Automerge.decodeChange(bytes).hash as string))
const edited = edit()
const own = Automerge.getChanges(doc, edited)
const bundle = Automerge.saveBundle(
  edited,
  own.map(bytes => Automerge.decodeChange(bytes).hash),
)
const first = own[0] as Uint8Array

function edit(): Doc {
  let next = Automerge.load<Record<string, unknown>>(saved, { actor: ACTOR_C })
  next = Automerge.change(next, { time: 5 }, d => {
    const list = d.list as unknown[]
    list.push('q')
    list[0] = 'r'
    delete d.float
    ;(d.count as Automerge.Counter).increment(2)
    d.object = { a: [1] }
    Automerge.splice(d as never, ['title'], 3, 2, 'XYZ')
  })
  return Automerge.change(next, { time: 6 }, d => {
    const object = d.object as { a: unknown[] }
    Automerge.mark(d as never, ['title'], { start: 1, end: 5, expand: 'after' }, 'em', 'x')
    ;(d.notes as Record<string, unknown>).number = 9
    ;(d.list as unknown[]).splice(0, 1)
    object.a[0] = 7
    d.immutable = new Automerge.ImmutableString('str')
  })
}

function inspected(bytes: Uint8Array): InspectedChunks | undefined {
  let result: InspectedChunks | undefined
  // Whatever comes in, only ERR_GUARD may come out: `verdict` throws anything else on.
  const reason = verdict(() => {
    result = inspectChunks(bytes, rules)
  })
  // Where all dependencies are there, the index says the same as Automerge's own account of the changes.
  const indexed = verdict(() => inspectChunks(bytes, { ...rules, past: deps => index.past(deps) ?? past }))
  expect(indexed).toBe(reason)
  return result
}

/** What the guard accepts must apply as announced, and the document must save, load and go on being edited. */
function expectHarmless(bytes: Uint8Array, accepted: InspectedChunks): void {
  let next: Doc = Automerge.load(saved, { actor: ACTOR_B })
  // A panic inside Automerge surfaces here as an error, and fails the test.
  next = Automerge.loadIncremental(next, bytes)
  expect(Automerge.stats(next).numChanges).toBe(changes.length + accepted.changes.length)
  const hash = accepted.changes.at(-1)?.hash
  if (hash !== undefined) expect(Automerge.getHeads(next)).toContain(hash)
  for (const change of Automerge.getAllChanges(next)) Automerge.decodeChange(change)
  const again = reload(next, accepted.hasMarks)
  if (again === undefined) return
  expect(Automerge.getHeads(again)).toEqual(Automerge.getHeads(next))
  expect(Automerge.toJS(again)).toEqual(Automerge.toJS(next))
  Automerge.change(next, d => {
    d.another = 'edit'
  })
}

/** Saved and loaded; undefined for the one thing that the guard says it does not check, a mark that ends before it begins. */
function reload(next: Doc, hasMarks: boolean): Doc | undefined {
  try {
    return Automerge.load(Automerge.save(next))
  } catch (error) {
    if (hasMarks && /mark operation order/.test(String(error))) return undefined
    throw error
  }
}

function judgeAll(arbitrary: fc.Arbitrary<Uint8Array>, numRuns: number): number {
  let count = 0
  fc.assert(
    fc.property(arbitrary, bytes => {
      const accepted = inspected(bytes)
      // A dependency that is not there keeps an entry waiting, and nothing of it reaches Automerge.
      if (accepted === undefined || accepted.externalDeps.some(hash => !known.has(hash))) return
      count++
      expectHarmless(bytes, accepted)
    }),
    { numRuns },
  )
  return count
}

const damage = fc.array(fc.tuple(fc.nat(), fc.nat(3), fc.nat(255)), { minLength: 1, maxLength: 3 })

/** The chunk with some bytes of its body changed and a checksum that fits again. */
function damaged(chunk: Uint8Array): fc.Arbitrary<Uint8Array> {
  const { type, body } = readChunk(new ByteReader(chunk))
  return damage.map(places => {
    const bytes = body.slice()
    for (const [at, how, value] of places) {
      const i = at % bytes.length
      const byte = bytes[i] as number
      bytes[i] = how === 0 ? value : how === 1 ? byte ^ (1 << (value % 8)) : how === 2 ? byte + 1 : byte - 1
    }
    return writeChunk(type, bytes)
  })
}

/** The change with some numbers in its columns changed, and everything encoded as it must be. */
const altered: fc.Arbitrary<Uint8Array> = fc
  .array(fc.tuple(fc.nat(7), fc.nat(), fc.nat(3), fc.nat(80)), { minLength: 1, maxLength: 2 })
  .map(edits => {
    const parts = partsOf(first)
    const { ops } = readChangeChunk(readChunk(new ByteReader(first)).body, DEFAULT_LIMITS)
    const numbers: [number, boolean, number[]][] = [
      [OP_COLUMN.objectActor, false, [...ops.objectActor]],
      [OP_COLUMN.objectCounter, false, [...ops.objectCounter]],
      [OP_COLUMN.keyActor, false, [...ops.keyActor]],
      [OP_COLUMN.keyCounter, true, [...ops.keyCounter]],
      [OP_COLUMN.action, false, [...ops.action]],
      [OP_COLUMN.predecessorActor, false, [...ops.relatedActor]],
      [OP_COLUMN.predecessorCounter, true, [...ops.relatedCounter]],
      [OP_COLUMN.predecessorCount, false, countsOf(ops.relatedStart)],
    ]
    for (const [which, at, how, value] of edits) {
      const column = (numbers[which] as [number, boolean, number[]])[2]
      const i = at % column.length
      const now = column[i] as number
      const other = column[value % column.length] as number
      column[i] = how === 0 ? value : how === 1 ? now + 1 : how === 2 ? Math.max(-1, now - 1) : other
    }
    const columns = new Map(parts.columns)
    for (const [specification, delta, values] of numbers) columns.set(specification, encodeNumbers(values, delta))
    const present = [...columns].filter(([, bytes]) => bytes.length > 0).sort(([a], [b]) => a - b)
    return chunkOf({ ...parts, columns: present })
  })

function countsOf(starts: Int32Array): number[] {
  return Array.from(starts.subarray(1), (end, i) => end - (starts[i] as number))
}

describe('fuzzing: what is refused is refused with ERR_GUARD, and what is accepted does no harm', () => {
  it('the originals are accepted and harmless', () => {
    for (const bytes of [concat(...own), bundle, first]) {
      expectHarmless(bytes, inspected(bytes) as InspectedChunks)
    }
  })

  it('random bytes, and truncations', () => {
    judgeAll(fc.uint8Array({ maxLength: 300 }), 500)
    for (const chunk of [first, bundle]) {
      for (let end = 0; end < chunk.length; end++) expect(inspected(chunk.subarray(0, end))).toBeUndefined()
      const { type, body } = readChunk(new ByteReader(chunk))
      for (let end = 0; end < body.length; end++) {
        expect(inspected(writeChunk(type, body.subarray(0, end)))).toBeUndefined()
      }
    }
  })

  it('every flipped bit of a chunk', () => {
    for (const chunk of [first, bundle]) {
      for (let bit = 0; bit < chunk.length * 8; bit++) {
        const bytes = chunk.slice()
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
        expect(inspected(bytes)).toBeUndefined()
      }
    }
  })

  it('damaged bodies under a checksum that fits', { timeout: 60_000 }, () => {
    judgeAll(damaged(first), 1_500)
    judgeAll(damaged(bundle), 1_500)
  })

  it('columns with other numbers in them', { timeout: 60_000 }, () => {
    expect(judgeAll(altered, 3_000)).toBeGreaterThan(50)
  })

  it('changes that a hostile member could sit down and write', { timeout: 60_000 }, () => {
    expect(judgeAll(written(), 1_000)).toBeGreaterThan(100)
  })

  it('damaged documents', () => {
    const plain = Automerge.getBackend(doc).saveNoCompress()
    for (const chunk of [saved, plain]) {
      expect(inspectDocument(chunk).changeCount).toBe(changes.length)
      for (let end = 0; end < chunk.length; end++) {
        expect(verdict(() => inspectDocument(chunk.subarray(0, end)))).not.toBe('accepted')
      }
      fc.assert(
        fc.property(damaged(chunk), bytes => {
          verdict(() => inspectDocument(bytes))
        }),
        { numRuns: 1_000 },
      )
    }
  })
})

interface PlainOp {
  readonly id: string
  readonly action: string
  readonly obj: string
  readonly key?: string
  readonly elemId?: string
  readonly insert?: boolean
}

/** Operations on what is there, mostly right: which objects, elements and predecessors is left to chance. */
function written(): fc.Arbitrary<Uint8Array> {
  const heads = Automerge.getHeads(doc)
  const start = past.maxOp + 1
  const before: PlainOp[] = changes.flatMap(bytes => {
    const change = Automerge.decodeChange(bytes)
    return (change.ops as unknown as PlainOp[]).map((op, i) => ({ ...op, id: `${change.startOp + i}@${change.actor}` }))
  })
  return fc
    .array(fc.array(fc.nat(10_000), { minLength: 8, maxLength: 8 }), { minLength: 1, maxLength: 5 })
    .map(rolls => {
      const all = [...before]
      const ops = rolls.map((roll, i) => {
        const op = writeOp(all, roll)
        all.push({ ...op, id: `${start + i}@${ACTOR_C}` } as PlainOp)
        return op
      })
      return Automerge.encodeChange({
        actor: ACTOR_C,
        seq: 1,
        startOp: start,
        time: 0,
        message: null,
        deps: heads,
        ops,
      } as never)
    })
}

function writeOp(
  all: readonly PlainOp[],
  roll: readonly number[],
): Record<string, unknown> & { action: string; obj: string } {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = roll
  const pick = <T>(from: readonly T[], n: number): T | undefined => from[n % Math.max(1, from.length)]
  const root = { id: '_root', action: 'makeMap' }
  const object = pick([root, ...all.filter(op => op.action.startsWith('make'))], a) ?? root
  const inMap = h % 12 === 0 ? h % 24 === 0 : object.action === 'makeMap'
  const inside = all.filter(op => op.obj === object.id)
  const element =
    pick(
      inside.filter(op => op.insert === true),
      b,
    )?.id ?? '_head'
  const key = inMap ? { key: pick(inside, b)?.key ?? `k${b % 4}` } : { elemId: b % 6 === 0 ? '_head' : element }
  const insert = !inMap && (c % 2 === 0 || key.elemId === '_head')
  const sameKey = (op: PlainOp): boolean =>
    op.insert === true ? op.id === key.elemId : inMap ? op.key === key.key : op.elemId === key.elemId
  const replaceable = inside.filter(op => !['del', 'inc'].includes(op.action) && sameKey(op))
  const pred = insert || replaceable.length === 0 || d % 8 === 0 ? [] : [(pick(replaceable, d) as PlainOp).id]
  if (d % 31 === 0 && all.length > 0) pred.push((pick(all, e) as PlainOp).id)
  const action = pick(['set', 'set', 'set', 'makeMap', 'makeList', 'makeText', 'del', 'inc'], e) as string
  const values: Record<string, unknown>[] = [
    { value: 'a' },
    { value: 5 },
    { value: null },
    { value: 3, datatype: 'counter' },
  ]
  const value = action === 'set' ? pick(object.action === 'makeText' ? values.slice(0, 1) : values, f) : undefined
  const amount = action === 'inc' ? { value: pick([1, -3, Number.MAX_SAFE_INTEGER], g) } : undefined
  return {
    action,
    obj: object.id,
    ...key,
    ...(insert && action !== 'del' ? { insert } : {}),
    pred,
    ...value,
    ...amount,
  }
}
