import { deflateRawSync } from 'node:zlib'
import * as Automerge from '@automerge/automerge'
import { beforeAll, describe, expect, it } from 'vitest'
import { concat, toUtf8 } from '../../src/bytes.ts'
import { readBundleChunk } from '../../src/crdt/guard/bundle-chunk.ts'
import { ByteReader } from '../../src/crdt/guard/byte-reader.ts'
import { CHUNK_TYPE, readChunk, writeChunk } from '../../src/crdt/guard/chunk.ts'
import { encodeNumbers, pushUint } from '../../src/crdt/guard/column-writer.ts'
import { OP_COLUMN } from '../../src/crdt/guard/op-table.ts'
import { DEFAULT_LIMITS, MAX_COUNTER } from '../../src/crdt/guard/rules.ts'
import { type GuardRules, inspectChunks } from '../../src/crdt/guard.ts'
import {
  ACTOR_A,
  ACTOR_B,
  ACTOR_C,
  type ChangeParts,
  chunkOf,
  type Doc,
  hashOf,
  partsOf,
  pastOf,
  richDocument,
  verdict,
} from './guard-support.ts'

type Op = Record<string, unknown> & { readonly action: string }

const { doc, changes } = richDocument()
const past = pastOf(changes)
const rules: GuardRules = { actor: ACTOR_C, nextSeq: 1, past: () => past }
const heads = Automerge.getHeads(doc)
const START = past.maxOp + 1
const TEXT = `1@${ACTOR_A}`

/** One change of actor C on the document, encoded by Automerge itself. */
function changeOf(ops: readonly Op[], fields: Record<string, unknown> = {}): Uint8Array {
  const change = { actor: ACTOR_C, seq: 1, startOp: START, time: 0, message: null, deps: heads, ops, ...fields }
  return Automerge.encodeChange(change as never)
}

function put(fields: Record<string, unknown> = {}): Op {
  return { action: 'set', obj: '_root', key: 'x', value: 'v', pred: [], ...fields }
}

function judge(bytes: Uint8Array, other: Partial<GuardRules> = {}): string {
  return verdict(() => inspectChunks(bytes, { ...rules, ...other }))
}

/** A change with these columns instead of its own. */
function withColumns(bytes: Uint8Array, replaced: Record<number, Uint8Array | undefined>): Uint8Array {
  const parts = partsOf(bytes)
  const columns = new Map(parts.columns)
  for (const [specification, column] of Object.entries(replaced)) {
    if (column === undefined) columns.delete(Number(specification))
    else columns.set(Number(specification), column)
  }
  return chunkOf({ ...parts, columns: [...columns].sort(([a], [b]) => a - b) })
}

function withParts(bytes: Uint8Array, replaced: Partial<ChangeParts>): Uint8Array {
  return chunkOf({ ...partsOf(bytes), ...replaced })
}

function leb(...values: readonly number[]): Uint8Array {
  const out: number[] = []
  for (const value of values) pushUint(out, value)
  return Uint8Array.from(out)
}

const good = changeOf([put()])

it('the harmless change that the attacks start from is accepted', () => {
  expect(judge(good)).toBe('accepted')
  expect(judge(chunkOf(partsOf(good)))).toBe('accepted')
})

describe('resources', () => {
  it('2³⁰ operations in 69 bytes are refused without being expanded', () => {
    const run = Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x04)
    const key = concat(run, Uint8Array.of(1), toUtf8('x'))
    const column = concat(run, Uint8Array.of(1))
    const bomb = withColumns(good, { [OP_COLUMN.keyText]: key, [OP_COLUMN.insert]: run, [OP_COLUMN.action]: column })
    const start = performance.now()
    expect(judge(bomb)).toBe('too-many-ops')
    expect(performance.now() - start).toBeLessThan(100)
  })

  it('a run of nulls of 2⁵³−1 rows is refused by its count', () => {
    const nulls = concat(Uint8Array.of(0), leb(Number.MAX_SAFE_INTEGER))
    expect(judge(withColumns(good, { [OP_COLUMN.action]: nulls }))).toBe('too-many-ops')
    expect(judge(withColumns(good, { [OP_COLUMN.keyText]: nulls }))).toBe('rows')
    expect(judge(withColumns(good, { [OP_COLUMN.objectActor]: nulls }))).toBe('rows')
    expect(judge(withColumns(good, { [OP_COLUMN.insert]: leb(Number.MAX_SAFE_INTEGER) }))).toBe('rows')
  })

  it('an op with 2³⁰ predecessors is refused by its count', () => {
    const count = concat(Uint8Array.of(0x7f), leb(2 ** 30))
    expect(judge(withColumns(good, { [OP_COLUMN.predecessorCount]: count }))).toBe('integer')
    const many = encodeNumbers([DEFAULT_LIMITS.maxPredecessors, 1], false)
    const two = changeOf([put(), put({ key: 'y' })])
    expect(judge(withColumns(two, { [OP_COLUMN.predecessorCount]: many }))).toBe('too-many-predecessors')
  })

  it('counts and lengths that point past the end are refused before anything is read', () => {
    const body = (bytes: Uint8Array): Uint8Array => writeChunk(CHUNK_TYPE.change, bytes)
    expect(judge(body(leb(2 ** 40)))).toBe('too-many-dependencies')
    expect(judge(body(leb(2)))).toBe('truncated')
    expect(judge(concat(good.subarray(0, 8), Uint8Array.of(1), leb(2 ** 50)))).toBe('truncated')
    expect(judge(new Uint8Array(0))).toBe('truncated')
  })

  it('a bundle column that inflates to more than the limit is refused while it inflates', () => {
    const bundle = Automerge.saveBundle(...bundled('y'.repeat(4_000)))
    expect(judge(bundle)).toBe('accepted')
    expect(judge(bundle, { limits: { maxInflated: 100 } })).toBe('too-large')
    const bomb = deflateRawSync(new Uint8Array(200 * 1024 * 1024))
    expect(bomb.length).toBeLessThan(250_000)
    const start = performance.now()
    expect(judge(rebuiltBundle(bundle, OP_COLUMN.value, bomb, true))).toBe('too-large')
    expect(performance.now() - start).toBeLessThan(5_000)
  })

  it('limits are limits: bytes, changes, actors, messages, keys, depth', () => {
    expect(judge(good, { limits: { maxBytes: good.length - 1 } })).toBe('too-large')
    expect(judge(good, { limits: { maxBytes: good.length } })).toBe('accepted')
    const second = changeOf([put()], { seq: 2, startOp: START + 1, deps: [Automerge.decodeChange(good).hash] })
    expect(judge(concat(good, second), { limits: { maxChanges: 1 } })).toBe('too-many-changes')
    expect(judge(concat(good, second), { limits: { maxOps: 1 } })).toBe('too-many-ops')
    const message = changeOf([put()], { message: 'm'.repeat(DEFAULT_LIMITS.maxMessageBytes + 1) })
    expect(judge(message)).toBe('message-length')
    expect(judge(changeOf([put({ key: 'k'.repeat(DEFAULT_LIMITS.maxKeyBytes + 1) })]))).toBe('key-length')
    expect(judge(changeOf([put({ key: 'k'.repeat(DEFAULT_LIMITS.maxKeyBytes) })]))).toBe('accepted')
    expect(judge(changeOf(nested(DEFAULT_LIMITS.maxDepth)))).toBe('accepted')
    expect(judge(changeOf(nested(DEFAULT_LIMITS.maxDepth + 1)))).toBe('too-deep')
    const others = Array.from({ length: DEFAULT_LIMITS.maxActors + 1 }, (_, i) => i.toString(16).padStart(32, '0'))
    expect(judge(withParts(good, { others }))).toBe('too-many-actors')
  })

  it('depth counts on from where the document already is', () => {
    const deep: GuardRules = { ...rules, past: () => ({ ...past, object: () => ({ kind: 'map', depth: 127 }) }) }
    const ops = [{ action: 'makeMap', obj: `20@${ACTOR_A}`, key: 'a', pred: [] }]
    expect(verdict(() => inspectChunks(changeOf(ops), deep))).toBe('accepted')
    const more = [...ops, { action: 'makeMap', obj: `${START}@${ACTOR_C}`, key: 'b', pred: [] }]
    expect(verdict(() => inspectChunks(changeOf(more), deep))).toBe('too-deep')
  })
})

describe('framing', () => {
  it('only change chunks and bundles, and only those that the payload announces', () => {
    expect(judge(Automerge.save(doc))).toBe('chunk-type')
    const chunk = readChunk(new ByteReader(good))
    for (const type of [0, 2, 4, 255]) expect(judge(writeChunk(type, chunk.body))).toBe('chunk-type')
    const bundle = Automerge.saveBundle(...bundled('abc'))
    expect(judge(bundle, { encoding: 'raw' })).toBe('chunk-type')
    expect(judge(good, { encoding: 'bundle' })).toBe('chunk-type')
    expect(judge(concat(good, bundle))).toBe('chunk-type')
    expect(judge(concat(bundle, good))).toBe('trailing-bytes')
    expect(judge(concat(bundle, bundle))).toBe('trailing-bytes')
  })

  it('a bad tail, which Automerge would silently drop', () => {
    expect(judge(concat(good, Uint8Array.of(0)))).toBe('truncated')
    expect(judge(concat(good, good.subarray(0, 12)))).toBe('truncated')
    expect(judge(concat(good, new Uint8Array(12)))).toBe('magic')
  })

  it('a wrong checksum, and a length with a longer spelling', () => {
    const flipped = good.slice()
    flipped[4] = (flipped[4] as number) ^ 1
    expect(judge(flipped)).toBe('checksum')
    const long = concat(good.subarray(0, 9), Uint8Array.of((good[9] as number) | 0x80, 0), good.subarray(10))
    expect(judge(long)).toBe('integer')
  })

  it('bytes behind the columns', () => {
    expect(judge(withParts(good, { extra: Uint8Array.of(1) }))).toBe('extra')
  })
})

describe('who writes, and what comes next', () => {
  it('another actor than the entry', () => {
    expect(judge(good, { actor: ACTOR_B })).toBe('actor')
    expect(judge(withParts(good, { actor: 'c3'.repeat(15) }))).toBe('actor')
    const [, hashes] = bundled('abc')
    expect(judge(Automerge.saveBundle(bundled('abc')[0], hashes), { actor: ACTOR_B })).toBe('actor')
  })

  it('a bundle with changes of two actors', () => {
    const [next, hashes] = bundled('abc')
    const foreign = Automerge.decodeChange(changes[0] as Uint8Array).hash
    expect(judge(Automerge.saveBundle(next, [foreign, ...hashes]))).toBe('actor')
  })

  it('a gap, a repetition and a restart of seq', () => {
    const hash = hashOf(good)
    const second = changeOf([put()], { seq: 2, startOp: START + 1, deps: [Automerge.decodeChange(good).hash] })
    expect(judge(concat(good, second))).toBe('accepted')
    expect(judge(second, { nextSeq: 2, previousHash: hash, nextOp: START + 1, past: () => undefined })).toBe('accepted')
    expect(judge(concat(good, good))).toBe('seq')
    expect(judge(second)).toBe('seq')
    expect(judge(good, { nextSeq: 2, previousHash: hash })).toBe('seq')
    expect(judge(changeOf([put()], { seq: 0 }))).toBe('seq')
    expect(
      judge(changeOf([put()], { seq: 3, deps: [Automerge.decodeChange(good).hash] }), {
        nextSeq: 2,
        previousHash: hash,
      }),
    ).toBe('seq')
  })

  it('a change that does not depend on the actor’s previous one', () => {
    const hash = hashOf(good)
    const second = changeOf([put()], { seq: 2, startOp: START + 1 })
    expect(judge(second, { nextSeq: 2, previousHash: hash, nextOp: START + 1 })).toBe('previous')
    expect(judge(concat(good, second))).toBe('previous')
    const [next, hashes] = bundled('abc')
    expect(judge(Automerge.saveBundle(next, [hashes[0] as string, hashes[2] as string]))).toBe('previous')
    const rest = Automerge.saveBundle(next, hashes.slice(1))
    expect(judge(rest, { nextSeq: 2, previousHash: hash })).toBe('previous')
  })

  it('an op counter that is behind, ahead, used or out of range', () => {
    expect(judge(changeOf([put()], { startOp: START - 1 }))).toBe('counter')
    expect(judge(changeOf([put()], { startOp: START + 1 }))).toBe('counter')
    expect(judge(good, { nextOp: START + 1, past: () => undefined })).toBe('counter')
    const at = (startOp: number): string => judge(withParts(good, { startOp }), { past: () => undefined })
    expect(at(MAX_COUNTER)).toBe('accepted')
    for (const startOp of [0, MAX_COUNTER + 1, 2 ** 32, 2 ** 53 - 1]) expect(at(startOp)).toBe('counter')
    const two = changeOf([put(), put({ key: 'y' })])
    expect(judge(withParts(two, { startOp: MAX_COUNTER }), { past: () => undefined })).toBe('counter')
  })

  it('a start beyond 2⁵³ and a time beyond it', () => {
    const chunk = readChunk(new ByteReader(good))
    const seqAt = chunk.body.length - (chunk.body.length - 1 - 32 * heads.length - 17)
    const huge = Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10)
    const body = concat(chunk.body.subarray(0, seqAt + 1), huge, chunk.body.subarray(seqAt + 3))
    expect(judge(writeChunk(CHUNK_TYPE.change, body))).toBe('integer')
  })

  it('dependencies out of order or listed twice', () => {
    const two = ['11'.repeat(32), '22'.repeat(32)]
    expect(judge(withParts(good, { deps: two }))).toBe('accepted')
    expect(judge(withParts(good, { deps: [...two].reverse() }))).toBe('dependencies')
    expect(judge(withParts(good, { deps: [two[0] as string, two[0] as string] }))).toBe('dependencies')
  })

  it('actors that no op refers to, out of order, or the author again', () => {
    expect(judge(withParts(good, { others: [ACTOR_A] }))).toBe('actor-table')
    expect(judge(withParts(good, { others: [ACTOR_C] }))).toBe('actor-table')
    const two = changeOf([
      put({ key: 'title', pred: [TEXT] }),
      put({ obj: `20@${ACTOR_A}`, key: 'number', pred: [`54@${ACTOR_B}`] }),
    ])
    const parts = partsOf(two)
    expect(parts.others).toEqual([ACTOR_A, ACTOR_B])
    expect(judge(withParts(two, { others: [...parts.others].reverse() }))).toBe('actor-table')
  })
})

describe('columns', () => {
  const list = changeOf([
    put({ key: 'a' }),
    put({ key: 'b' }),
    put({ key: 'b', value: 'w', pred: [`${START + 1}@${ACTOR_C}`] }),
  ])

  it('unknown, repeated, out of order, empty, deflated or missing', () => {
    const parts = partsOf(list)
    const columns = parts.columns as [number, Uint8Array][]
    expect(judge(list)).toBe('accepted')
    expect(judge(withParts(list, { columns: [...columns, [0xf5, Uint8Array.of(1)]] }))).toBe('columns')
    expect(judge(withParts(list, { columns: columns.flatMap(column => [column, column]) }))).toBe('columns')
    expect(judge(withParts(list, { columns: [...columns].reverse() }))).toBe('columns')
    expect(judge(withColumns(list, { [OP_COLUMN.markName]: new Uint8Array(0) }))).toBe('columns')
    const value = columns.find(([specification]) => specification === OP_COLUMN.value) as [number, Uint8Array]
    const deflated = columns.map(column => (column === value ? [value[0] | 8, deflateRawSync(value[1])] : column))
    expect(judge(withParts(list, { columns: deflated as [number, Uint8Array][] }))).toBe('columns')
    for (const [specification] of columns) {
      const without = withColumns(list, { [specification]: undefined })
      expect(judge(without), `without ${specification.toString(16)}`).not.toBe('accepted')
    }
  })

  it('one row more or less than the others', () => {
    expect(judge(withColumns(list, { [OP_COLUMN.insert]: leb(2) }))).toBe('rows')
    expect(judge(withColumns(list, { [OP_COLUMN.insert]: leb(4) }))).toBe('rows')
    expect(judge(withColumns(list, { [OP_COLUMN.action]: encodeNumbers([1, 1], false) }))).toBe('rows')
    expect(judge(withColumns(list, { [OP_COLUMN.predecessorCounter]: encodeNumbers([1, 2], true) }))).toBe('rows')
  })

  it('runs that the one canonical encoding would have written otherwise', () => {
    const action = (...bytes: number[]): string =>
      judge(withColumns(list, { [OP_COLUMN.action]: Uint8Array.from(bytes) }))
    expect(action(3, 1)).toBe('accepted')
    expect(action(2, 1, 0x7f, 1)).toBe('encoding')
    expect(action(1, 1, 2, 1)).toBe('encoding')
    expect(action(0x7d, 1, 1, 1)).toBe('encoding')
    expect(action(0x7f, 1, 2, 1)).toBe('encoding')
    expect(action(0x83, 0, 1)).toBe('integer')
    expect(action(3, 0x81, 0)).toBe('integer')
    expect(action(2, 1)).toBe('rows')
    expect(judge(withColumns(list, { [OP_COLUMN.insert]: leb(1, 0, 2) }))).toBe('encoding')
    expect(judge(withColumns(list, { [OP_COLUMN.insert]: leb(3, 0) }))).toBe('encoding')
    expect(judge(withColumns(list, { [OP_COLUMN.expand]: leb(3) }))).toBe('encoding')
    expect(judge(withColumns(list, { [OP_COLUMN.keyActor]: Uint8Array.of(0, 3) }))).toBe('encoding')
  })

  it('actors beyond the table', () => {
    expect(judge(withColumns(list, { [OP_COLUMN.predecessorActor]: encodeNumbers([1], false) }))).toBe('integer')
  })
})

describe('keys and values', () => {
  it('a key that would set the prototype of an application’s object', () => {
    expect(judge(changeOf([put({ key: '__proto__' })]))).toBe('denied-key')
    expect(judge(changeOf([{ action: 'makeMap', obj: '_root', key: '__proto__', pred: [] }]))).toBe('denied-key')
    for (const key of ['constructor', 'prototype', 'toString', '', '\u{feff}__proto__']) {
      expect(judge(changeOf([put({ key })])), key).toBe('accepted')
    }
    const mark = { obj: TEXT, elemId: `2@${ACTOR_A}`, insert: true, pred: [], expand: false }
    const ops = [
      { ...mark, action: 'markBegin', name: '__proto__', value: true },
      { ...mark, action: 'markEnd', elemId: `${START}@${ACTOR_C}` },
    ]
    expect(judge(changeOf(ops))).toBe('denied-key')
    const [next, hashes] = bundled('abc')
    expect(judge(bundleWithKey(next, hashes))).toBe('denied-key')
  })

  it('values that are not of their type', () => {
    const value = (meta: number, ...bytes: number[]): string =>
      judge(
        withColumns(good, {
          [OP_COLUMN.valueMeta]: encodeNumbers([meta], false),
          [OP_COLUMN.value]: bytes.length === 0 ? undefined : Uint8Array.from(bytes),
        }),
      )
    const typed = (type: number, ...bytes: number[]): string => value((bytes.length << 4) | type, ...bytes)
    expect(typed(6, 0x61)).toBe('accepted')
    expect(typed(6, 0xff)).toBe('value')
    expect(typed(6, 0xed, 0xa0, 0x80)).toBe('value')
    expect(typed(6, 0xc0, 0x80)).toBe('value')
    for (const type of [0, 1, 2]) {
      expect(typed(type)).toBe('accepted')
      expect(typed(type, 0)).toBe('value')
    }
    for (const type of [3, 4, 8, 9]) {
      expect(typed(type, 5)).toBe('accepted')
      expect(typed(type, 0x85, 0)).toBe('value')
      expect(typed(type)).toBe('value')
      expect(typed(type, 5, 5)).toBe('value')
      expect(typed(type, 0x80)).toBe('value')
    }
    expect(typed(3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)).toBe('accepted')
    expect(typed(3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02)).toBe('value')
    expect(typed(5, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f)).toBe('accepted')
    expect(typed(5, 1, 0, 0, 0, 0, 0, 0xf0, 0x7f)).toBe('value')
    expect(typed(5, 0, 0, 0, 0)).toBe('value')
    for (const type of [10, 11, 12, 13, 14, 15]) expect(typed(type, 1)).toBe('value')
    expect(value((2 << 4) | 6, 0x61)).toBe('value')
    expect(value((1 << 4) | 6, 0x61, 0x61)).toBe('value')
  })

  it('actions that no version of ours writes', () => {
    for (const action of [8, 255]) {
      expect(judge(withColumns(good, { [OP_COLUMN.action]: encodeNumbers([action], false) }))).toBe('integer')
    }
    expect(judge(withColumns(good, { [OP_COLUMN.action]: encodeNumbers([6], false) }))).toBe('action')
    expect(judge(withColumns(good, { [OP_COLUMN.action]: encodeNumbers([0], false) }))).toBe('value')
  })
})

describe('references', () => {
  const element = { obj: TEXT, insert: true, pred: [] }
  const cases: Record<string, readonly [string, ...Op[]]> = {
    'an object that is not there': ['object', put({ obj: `99@${ACTOR_A}` })],
    'an object that comes later': [
      'object',
      put({ obj: `${START}@${ACTOR_C}` }),
      { action: 'makeMap', obj: '_root', key: 'm', pred: [] },
    ],
    'a scalar as an object': ['object', put({ obj: `2@${ACTOR_A}` })],
    'an own scalar as an object': ['object', put(), put({ obj: `${START}@${ACTOR_C}` })],
    'an element that is not there': ['element', { ...element, action: 'set', elemId: `99@${ACTOR_A}`, value: 'x' }],
    'an element of another object': ['element', { ...element, action: 'set', elemId: `32@${ACTOR_A}`, value: 'x' }],
    'an own op that is no element': [
      'element',
      put(),
      { ...element, action: 'set', elemId: `${START}@${ACTOR_C}`, value: 'x' },
    ],
    'the head, updated': ['element', { action: 'set', obj: TEXT, elemId: '_head', value: 'x', pred: [] }],
    'a text key in a text': ['key', put({ obj: TEXT })],
    'an element in a map': ['key', { action: 'set', obj: '_root', elemId: '_head', insert: true, value: 1, pred: [] }],
    'a number in a text': ['value', { ...element, action: 'set', elemId: `2@${ACTOR_A}`, value: 1 }],
    'a list in a text': ['action', { ...element, action: 'makeList', elemId: `2@${ACTOR_A}` }],
    'a predecessor that is not there': ['predecessor', put({ pred: [`99@${ACTOR_A}`] })],
    'a predecessor on another key': ['predecessor', put({ pred: [TEXT] })],
    'an own predecessor on another key': ['predecessor', put(), put({ key: 'y', pred: [`${START}@${ACTOR_C}`] })],
    'a deletion as predecessor': [
      'predecessor',
      { action: 'del', obj: '_root', key: 'title', pred: [TEXT] },
      put({ key: 'title', pred: [`${START}@${ACTOR_C}`] }),
    ],
    'a deletion of nothing': ['predecessor', { action: 'del', obj: '_root', key: 'title', pred: [] }],
    'an increment of nothing': ['predecessor', { action: 'inc', obj: '_root', key: 'count', value: 1, pred: [] }],
    'an insertion with a predecessor': [
      'predecessor',
      { ...element, action: 'set', elemId: `2@${ACTOR_A}`, value: 'x', pred: [`2@${ACTOR_A}`] },
    ],
    'the end of a mark alone': ['mark', { ...element, action: 'markEnd', elemId: `2@${ACTOR_A}`, expand: false }],
    'the beginning of a mark alone': [
      'mark',
      { ...element, action: 'markBegin', elemId: `2@${ACTOR_A}`, expand: false, name: 'b', value: 1 },
    ],
    'a mark that ends where it begins': [
      'mark',
      { ...element, action: 'markBegin', elemId: `2@${ACTOR_A}`, expand: false, name: 'b', value: 1 },
      { ...element, action: 'markEnd', elemId: `2@${ACTOR_A}`, expand: false },
    ],
    'a mark in a list': [
      'mark',
      {
        action: 'markBegin',
        obj: `31@${ACTOR_A}`,
        elemId: '_head',
        insert: true,
        expand: false,
        name: 'b',
        value: 1,
        pred: [],
      },
      { action: 'markEnd', obj: `31@${ACTOR_A}`, elemId: `${START}@${ACTOR_C}`, insert: true, expand: false, pred: [] },
    ],
  }

  it.each(Object.entries(cases))('%s', (_, [reason, ...ops]) => {
    expect(judge(changeOf(ops))).toBe(reason)
  })

  it('counters in the future of the op, even where nothing tells about the past', () => {
    const blind: Partial<GuardRules> = { past: () => undefined }
    expect(judge(changeOf([put({ obj: `${START}@${ACTOR_A}` })]), blind)).toBe('object')
    expect(judge(changeOf([put({ pred: [`${START}@${ACTOR_A}`] })]), blind)).toBe('predecessor')
    expect(judge(changeOf([{ ...element, action: 'set', elemId: `${START + 5}@${ACTOR_A}`, value: 'x' }]), blind)).toBe(
      'element',
    )
    expect(judge(changeOf([put({ obj: `${START - 1}@${ACTOR_A}` })]), blind)).toBe('accepted')
  })

  it('predecessors out of order or listed twice', () => {
    const both = changeOf([put({ key: 'title', pred: [TEXT, `48@${ACTOR_B}`] })])
    const blind: Partial<GuardRules> = { past: () => undefined }
    const counters = (...values: number[]): string =>
      judge(withColumns(both, { [OP_COLUMN.predecessorCounter]: encodeNumbers(values, true) }), blind)
    expect(counters(1, 48)).toBe('accepted')
    expect(counters(48, 1)).toBe('predecessor')
    const same = withColumns(both, {
      [OP_COLUMN.predecessorCounter]: encodeNumbers([1, 1], true),
      [OP_COLUMN.predecessorActor]: encodeNumbers([2, 1], false),
    })
    expect(judge(same, blind)).toBe('predecessor')
  })
})

describe('bundles', () => {
  let next: Doc
  let hashes: string[]
  let bundle: Uint8Array

  beforeAll(() => {
    ;[next, hashes] = bundled('abcdef')
    bundle = Automerge.saveBundle(next, hashes)
  })

  it('rows that are not a permutation, or name an op that no change has', () => {
    expect(judge(bundle)).toBe('accepted')
    const { rowByCounter } = readBundleChunk(readChunk(new ByteReader(bundle)).body, DEFAULT_LIMITS, { remaining: 0 })
    const swapped = Array.from(rowByCounter)
    swapped[1] = swapped[0] as number
    expect(judge(rebuiltBundle(bundle, OP_COLUMN.rowByCounter, encodeNumbers(swapped, true)))).toBe('permutation')
    const beyond = [...rowByCounter.slice(0, -1), rowByCounter.length]
    expect(judge(rebuiltBundle(bundle, OP_COLUMN.rowByCounter, encodeNumbers(beyond, true)))).toBe('integer')
  })

  it('ops of another actor than the changes', () => {
    const count = readBundleChunk(readChunk(new ByteReader(bundle)).body, DEFAULT_LIMITS, { remaining: 0 }).ops.rows
    const foreign = encodeNumbers(new Int32Array(count), false)
    expect(judge(rebuiltBundle(bundle, OP_COLUMN.idActor, foreign))).toBe('actor')
  })

  it('references are checked in the order of counters, not of rows', () => {
    // The third character moved to stand after the last one, which comes later.
    const { ops, rowByCounter } = readBundleChunk(readChunk(new ByteReader(bundle)).body, DEFAULT_LIMITS, {
      remaining: 0,
    })
    const keys = Array.from(ops.keyCounter)
    const third = rowByCounter[2] as number
    keys[third] = START + rowByCounter.length - 1
    expect(judge(rebuiltBundle(bundle, OP_COLUMN.keyCounter, encodeNumbers(keys, true)))).toBe('element')
  })
})

/** The document with one change by actor C for each character, and the hashes of these. */
function bundled(text: string): [Doc, string[]] {
  let next = Automerge.clone(doc, { actor: ACTOR_C })
  const step = text.length > 100 ? text.length : 1
  for (let i = 0; i < text.length; i += step) {
    next = Automerge.change(next, { time: 0 }, d =>
      Automerge.splice(d as never, ['title'], i, 0, text.slice(i, i + step)),
    )
  }
  return [next, Automerge.getChanges(doc, next).map(bytes => Automerge.decodeChange(bytes).hash as string)]
}

function nested(depth: number): Op[] {
  return Array.from({ length: depth }, (_, i) => ({
    action: 'makeMap',
    obj: i === 0 ? '_root' : `${START + i - 1}@${ACTOR_C}`,
    key: 'k',
    pred: [],
  }))
}

function bundleWithKey(next: Doc, hashes: readonly string[]): Uint8Array {
  const more = Automerge.change(next, d => {
    d.aaaaaaaaa = 1
  })
  const bundle = Automerge.saveBundle(more, [...hashes, ...Automerge.getHeads(more)])
  const text = toUtf8('aaaaaaaaa')
  const chunk = readChunk(new ByteReader(bundle))
  const at = chunk.body.findIndex((_, i) => text.every((byte, j) => chunk.body[i + j] === byte))
  const body = chunk.body.slice()
  body.set(toUtf8('__proto__'), at)
  return writeChunk(CHUNK_TYPE.bundle, body)
}

/** The bundle with other bytes for one of its op columns. */
function rebuiltBundle(bundle: Uint8Array, specification: number, column: Uint8Array, deflated = false): Uint8Array {
  const { body } = readChunk(new ByteReader(bundle))
  const reader = new ByteReader(body)
  const skipTable = (): [number, number][] =>
    Array.from({ length: reader.uint() }, () => [reader.uint(), reader.uint()] as [number, number])
  reader.take(32 * reader.uint())
  for (let actors = reader.uint(); actors > 0; actors--) reader.take(reader.uint())
  for (const [, length] of skipTable()) reader.take(length)
  const head = body.subarray(0, reader.position)
  const columns = skipTable().map(([raw, length]) => [raw, reader.take(length)] as [number, Uint8Array])
  const replaced = columns.map(([raw, bytes]): [number, Uint8Array] =>
    (raw & ~8) === specification ? [deflated ? specification | 8 : specification, column] : [raw, bytes],
  )
  const table = leb(replaced.length, ...replaced.flatMap(([raw, bytes]) => [raw, bytes.length]))
  return writeChunk(CHUNK_TYPE.bundle, concat(head, table, ...replaced.map(([, bytes]) => bytes)))
}
