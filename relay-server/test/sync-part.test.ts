import {
  type ActorId,
  appendLeaf,
  appendNodes,
  type DocumentId,
  emptyRange,
  encodeMessage,
  INLINE_BODY_LENGTH,
  MAX_BATCH_ENTRIES,
  MAX_FRAME_LENGTH,
  MAX_TRACER_LENGTH,
  rootAt,
  rootOf,
  type SpaceId,
  sha256,
  verifyConsistency,
} from 'sealog/protocol'
import { expect, test } from 'vitest'
import type { LogStore, StoredEntry } from '../src/log-store.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import type { SignedHead } from '../src/signed-head.ts'
import { readPart } from '../src/sync-part.ts'

const SPACE = 'ab'.repeat(32) as SpaceId

interface Tree {
  readonly store: LogStore
  readonly head: SignedHead
  readonly rootAt: (size: number) => Uint8Array
}

/** A stored log of made-up entries: what a part holds does not depend on what they say. */
async function storedLog(count: number, shape: (index: number) => Partial<StoredEntry> = () => ({})): Promise<Tree> {
  const store = memoryLogStore()
  await store.open()
  let range = emptyRange
  const nodes = new Map<string, Uint8Array>()
  const nodeAt = (level: number, index: number) => nodes.get(`${level}/${index}`) as Uint8Array
  const entries: StoredEntry[] = []
  for (let index = 0; index < count; index++) {
    const hash = sha256(Uint8Array.of(index & 255, index >> 8))
    for (const [level, place, node] of appendNodes(index, hash, nodeAt)) nodes.set(`${level}/${place}`, node)
    range = appendLeaf(range, hash)
    entries.push({
      header: new Uint8Array(200),
      hash,
      signature: new Uint8Array(64).fill(index & 255),
      document: 'd0'.repeat(16) as DocumentId,
      actor: `${index % 3}`.repeat(32) as ActorId,
      seq: Math.floor(index / 3),
      isControl: false,
      isSnapshot: false,
      seenSize: 0,
      bodyLength: 0,
      body: new Uint8Array(0),
      replaced: new Uint8Array(0),
      ...shape(index),
    })
  }
  const inner = {
    ...store,
    readNodes: async (_space: SpaceId, places: readonly (readonly [number, number])[]) =>
      places.map(([level, index]) => nodeAt(level, index)),
  }
  const checkpoint = { origin: '', size: count, root: rootOf(range), stateRoot: new Uint8Array(32), time: 0 }
  const read = async (_space: SpaceId, { from, to }: { from: number; to: number }) => entries.slice(from, to)
  return {
    store: { ...inner, readEntries: read },
    head: { checkpoint, note: new Uint8Array(400) },
    rootAt: size => rootAt(size, nodeAt),
  }
}

test('a part has at most as many entries as a message may hold', async () => {
  const { store, head, rootAt } = await storedLog(MAX_BATCH_ENTRIES + 10, () => ({ header: new Uint8Array(20) }))
  const { batch, end } = await readPart(store, SPACE, 0, head.checkpoint.size, head)
  expect(end).toBe(MAX_BATCH_ENTRIES)
  const { size, root } = head.checkpoint
  verifyConsistency({ size1: end, root1: rootAt(end), size2: size, root2: root, proof: batch.consistency })
  const rest = await readPart(store, SPACE, end, size, head)
  expect(rest.end).toBe(size)
  expect(rest.batch.consistency).toEqual([])
})

test('a part with the largest entries, each with a proof of what its author had seen, fits a frame', async () => {
  const largest = {
    header: new Uint8Array(320),
    bodyLength: INLINE_BODY_LENGTH,
    body: new Uint8Array(INLINE_BODY_LENGTH),
  }
  const cases = [
    { count: 30, shape: (index: number) => ({ ...largest, seenSize: index }) },
    {
      count: 3000,
      shape: (index: number) => ({ header: new Uint8Array(320), seenSize: Math.max(0, index - 1500) }),
    },
  ]
  for (const { count, shape } of cases) {
    const { store, head, rootAt } = await storedLog(count, shape)
    for (let from = 0; from < count; ) {
      const { batch, end } = await readPart(store, SPACE, from, count, head)
      const frame = encodeMessage({ type: 'sync', ref: 2 ** 53 - 1, space: SPACE, batch })
      expect(frame.length).toBeLessThanOrEqual(MAX_FRAME_LENGTH)
      // And is not wasteful either.
      if (end < count) expect(frame.length).toBeGreaterThan(MAX_FRAME_LENGTH / 2)
      for (const { size, proof } of batch.seenProofs) {
        verifyConsistency({ size1: size, root1: rootAt(size), size2: from, root2: rootAt(from), proof })
      }
      const due = new Set(batch.entries.map((_, i) => shape(from + i).seenSize).filter(size => size > 0 && size < from))
      expect(new Set(batch.seenProofs.map(item => item.size))).toEqual(due)
      from = end
    }
  }
})

test('the last entry of each actor is signed, and each control entry; bodies that are too long stay out', async () => {
  const { store, head } = await storedLog(10, index => ({
    isControl: index === 4,
    bodyLength: index === 5 ? INLINE_BODY_LENGTH + 1 : 0,
    body: index === 5 ? new Uint8Array(INLINE_BODY_LENGTH + 1) : new Uint8Array(0),
  }))
  const { batch } = await readPart(store, SPACE, 0, 10, head)
  const signed = batch.entries.flatMap((entry, i) => (entry.signature === undefined ? [] : [[i, entry.signature[0]]]))
  expect(signed).toEqual([4, 7, 8, 9].map(i => [i, i]))
  expect(batch.entries.map(entry => entry.body?.length)).toEqual([0, 0, 0, 0, 0, undefined, 0, 0, 0, 0])
})

test('a part is cut until it fits together with its tracer, and one entry always comes', async () => {
  const count = 2000
  const { store, head } = await storedLog(count)
  const tracers: [perEntry: number, least: number][] = [
    [400, 1000],
    [5000, 50],
    [MAX_TRACER_LENGTH - 10, 1],
  ]
  for (const [perEntry, least] of tracers) {
    const tracerOf = async (_from: number, entries: readonly unknown[]) => new Uint8Array(entries.length * perEntry)
    const { batch, end } = await readPart(store, SPACE, 1, count, head, { carries: () => false, tracerOf })
    expect(batch.entries.length).toBe(end - 1)
    expect(batch.tracer?.length).toBe(batch.entries.length * perEntry)
    expect(batch.tracer?.length).toBeLessThanOrEqual(MAX_TRACER_LENGTH)
    expect(batch.entries.length).toBeGreaterThanOrEqual(least)
    expect(encodeMessage({ type: 'sync', ref: 1, space: SPACE, batch }).length).toBeLessThanOrEqual(MAX_FRAME_LENGTH)
  }
  // Before the first entry there is no state.
  const tracerOf = async () => new Uint8Array(1)
  expect((await readPart(store, SPACE, 0, 5, head, { carries: () => false, tracerOf })).batch.tracer).toBeUndefined()
})

test('only bodies that are carried travel, and those that are not read along are read one by one', async () => {
  const body = (index: number) => new Uint8Array(1000).fill(index)
  const { store, head } = await storedLog(6, index => ({
    bodyLength: 1000,
    body: body(index),
    isSnapshot: index === 2,
  }))
  const reads: number[] = []
  const bodiless = {
    ...store,
    readEntries: async (...args: Parameters<typeof store.readEntries>) =>
      (await store.readEntries(...args)).map(entry => ({ ...entry, body: undefined })),
    readBody: async (_space: SpaceId, index: number) => {
      reads.push(index)
      return body(index)
    },
  }
  const carries = ({ seq }: StoredEntry): boolean => seq === 1
  const { batch } = await readPart(bodiless, SPACE, 0, 6, head, { carries })
  expect(batch.entries.map(entry => entry.body?.[0])).toEqual([undefined, undefined, undefined, 3, 4, 5])
  expect(reads).toEqual([3, 4, 5])
  const full = await readPart(store, SPACE, 0, 6, head)
  expect(full.batch.entries.map(entry => entry.body?.[0])).toEqual([0, 1, undefined, 3, 4, 5])
})
