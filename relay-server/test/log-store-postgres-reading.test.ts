import { type ActorId, type DocumentId, encodeNote, encodeRange, type SpaceId } from 'sealog/protocol'
import { beforeEach, expect, test, vi } from 'vitest'
import type { Append, EntryChoice, LogStore, StoredEntry } from '../src/log-store.ts'
import { equal } from '../src/log-store-contract-checks.ts'
import { bytes, EVERYTHING, SPACE, sampleAppend, sampleWraps } from '../src/log-store-contract-samples.ts'
import { memoryLogStore } from '../src/log-store-memory.ts'
import { seededRandom } from '../src/seeded-random.ts'
import { describePostgresStores } from './helpers/postgres-stores.ts'

// A server of its own is started, and brought down: on a busy machine all of it takes its time.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

describePostgresStores('PostgreSQL store: large spaces', ({ opened, sql }) => {
  let store: LogStore

  beforeEach(async () => {
    store = await opened()
  })

  test('what is read of a long log, in whatever way and within whatever limits, is what another store reads', async () => {
    const other = memoryLogStore()
    await other.open()
    const { below } = seededRandom(20_261_121, 'long log')
    const size = 2600
    const actors = 1200
    const chains = new Map<number, number>()
    for (let from = 0; from < size; from += 650) {
      const append = longAppend(from, 650, actors, chains, below)
      await store.append(append)
      await other.append(append)
    }
    const document = (): EntryChoice & { kind: 'document' } => {
      return { kind: 'document', document: id(below(3)), from: below(size), to: below(2 * size) }
    }
    const choices = Array.from({ length: 20 }, (_, i): EntryChoice => {
      const [from, to] = [below(size / 4), below(2 * size)]
      const kinds: readonly EntryChoice[] = [
        { kind: 'control', from, to },
        { ...document(), from },
        { kind: 'latest', document: id(0), below: to, from },
        { kind: 'chain', actor: id(1), from: below(40), to: 5000 },
      ]
      return kinds[i % 4] as EntryChoice
    })
    for (const choice of choices) {
      const limits = { inlineLength: below(60), maxBytes: below(700_000) }
      const expected = await other.readChoice(SPACE, choice, limits)
      equal(await store.readChoice(SPACE, choice, limits), expected)
      const range = { ...limits, from: choice.from, to: below(2 * size) }
      equal(await store.readEntries(SPACE, range), await other.readEntries(SPACE, range))
    }
    // Several pages.
    const whole = { from: 0, to: size, inlineLength: 1000, maxBytes: 10_000_000 }
    expect(await store.readEntries(SPACE, whole)).toHaveLength(size)
    expect(await store.readSize(SPACE)).toEqual(await other.readSize(SPACE))
  })

  test('the largest groups are taken whole', async () => {
    const append = { ...sampleAppend({ from: 0, count: 1024, bodyLength: 16 * 1024 }), wraps: sampleWraps(7, 8192) }
    await store.append(append)
    const read = await store.readEntries(SPACE, { from: 1000, to: 1024, inlineLength: 20_000, maxBytes: 1_000_000 })
    equal(read, append.entries.slice(1000))
    expect(await store.readWraps(SPACE, 7)).toHaveLength(8192)
    expect(await store.readWrap(SPACE, 7, 2 * 8191 + 1)).toEqual(append.wraps[8191])
  })

  test('a body of 64 MiB is kept, and read in parts', async () => {
    const body = new Uint8Array(64 * 2 ** 20).fill(7)
    body.set([1, 2, 3], body.length - 3)
    const [entry] = sampleAppend({ from: 0, count: 1 }).entries as [StoredEntry]
    await store.append({
      ...sampleAppend({ from: 0, count: 1 }),
      entries: [{ ...entry, body, bodyLength: body.length }],
    })
    expect(await store.readBody(SPACE, 0, body.length - 3, 100)).toEqual(Uint8Array.of(1, 2, 3))
    expect(await store.readBody(SPACE, 0, body.length, 100)).toEqual(new Uint8Array(0))
    expect((await store.readBody(SPACE, 0, 1000, 2 ** 20))?.every(each => each === 7)).toBe(true)
    const [read] = await store.readEntries(SPACE, EVERYTHING)
    expect([read?.bodyLength, read?.body]).toEqual([body.length, undefined])
  })

  test('rows that belong to nothing are found, in each table', async () => {
    const append = { ...sampleAppend({ from: 0, count: 4 }), wraps: sampleWraps(1, 1) }
    await store.append(append)
    await store.putCosigned(SPACE, 2, noteOf(2))
    expect(await store.inspect(10)).toEqual([])
    const strays: readonly (readonly [change: string, undo: string, space: SpaceId | undefined])[] = [
      ...['entries', 'nodes', 'control_rows', 'documents', 'actors', 'cosigned', 'wraps'].map(
        table =>
          [
            `UPDATE sealog.${table} SET space = space + 64`,
            `UPDATE sealog.${table} SET space = space - 64`,
            undefined,
          ] as const,
      ),
      [
        'UPDATE sealog.entries SET place = 9 WHERE place = 2',
        'UPDATE sealog.entries SET place = 2 WHERE place = 9',
        SPACE,
      ],
      ['UPDATE sealog.wraps SET place = 9', 'UPDATE sealog.wraps SET place = 1', SPACE],
      ['UPDATE sealog.cosigned SET size = 66', 'UPDATE sealog.cosigned SET size = 2', SPACE],
      ['UPDATE sealog.cosigned SET size = 3', 'UPDATE sealog.cosigned SET size = 2', SPACE],
      ...[
        ['level', '4611686018427387904'],
        ['level', '3'],
        ['level', '0'],
        ['place', '-1'],
        ['place', '4503599627370496'],
      ].map(
        ([column, value]) =>
          [
            `UPDATE sealog.nodes SET ${column} = ${value} WHERE place = 1 AND level = 1`,
            `UPDATE sealog.nodes SET level = 1, place = 1 WHERE ${column} = ${value}`,
            SPACE,
          ] as const,
      ),
    ]
    for (const [change, undo, space] of strays) {
      await sql(change)
      const faults = await store.inspect(10)
      expect(
        faults.map(fault => fault.space),
        change,
      ).toContain(space)
      expect((await store.inspect(1)).length).toBe(1)
      await sql(undo)
      expect(await store.inspect(10), undo).toEqual([])
    }
  })
})

/** Of three documents; most entries are by actor 1, the others by many. */
function longAppend(
  from: number,
  count: number,
  actors: number,
  chains: Map<number, number>,
  below: (end: number) => number,
): Append {
  const sample = sampleAppend({ from, count: 1 })
  const rows = new Map<string, Append['state']['actors'][number]>()
  const entries = Array.from({ length: count }, (_, i): StoredEntry => {
    const actor = i % 2 === 0 ? 1 : 2 + below(actors)
    const seq = chains.get(actor) ?? 0
    chains.set(actor, seq + 1)
    const document = id(actor % 3 === 1 ? 0 : below(3))
    rows.set(`${document}/${actor}`, { document, actor: id(actor), value: bytes(90, actor) })
    const body = bytes(below(60), i)
    return {
      header: bytes(200 + below(50), from + i),
      hash: bytes(32, from + i),
      signature: bytes(64, from + i),
      document,
      actor: id(actor),
      seq,
      isControl: below(20) === 0,
      isSnapshot: false,
      seenSize: from,
      bodyLength: body.length,
      body,
      replaced: bytes(below(20), i),
    }
  })
  const frontierOf = (size: number): Uint8Array =>
    encodeRange({ size, hashes: Array.from(size.toString(2).replaceAll('0', ''), () => bytes(32, 1)) })
  return {
    ...sample,
    entries,
    nodes: [],
    base: frontierOf(from),
    frontier: frontierOf(from + count),
    state: { ...sample.state, actors: [...rows.values()] },
    dropped: from === 0 ? [] : [from - 1, from + 1, from + 2],
  }
}

function id(number: number): ActorId & DocumentId {
  return number.toString(16).padStart(32, '0') as ActorId & DocumentId
}

function noteOf(size: number): Uint8Array {
  const name = `relay.example/${SPACE}`
  const checkpoint = { origin: name, size, root: bytes(32, 1), stateRoot: bytes(32, 2), time: 5 }
  return encodeNote(checkpoint, [{ name, keyHash: bytes(4, 3), signature: bytes(64, 4) }])
}
