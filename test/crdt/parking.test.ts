import * as Automerge from '@automerge/automerge/slim'
import { beforeAll, describe, expect, it } from 'vitest'
import { fromHex } from '../../src/bytes.ts'
import { encodeCbor } from '../../src/codec.ts'
import { buildImport } from '../../src/crdt/import-payload.ts'
import type { ChangesPayload } from '../../src/crdt/payload.ts'
import { failingStore } from '../../src/crdt/store-failing.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { VerifiedEntry } from '../../src/verify/log.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { bytesOf, DOCUMENT, verdictOf } from '../helpers/log-builder.ts'
import { chunkOf, hashOf, partsOf } from './guard-support.ts'
import { Author, Reader, withheld } from './parking-support.ts'

beforeAll(initializeAutomerge)

/** An author's edits, each in an entry of its own, from this place of the log on. */
function typing(author: Author, from: number, count: number, step = 1): VerifiedEntry[] {
  return Array.from({ length: count }, (_, i) => {
    const n = author.changes().length
    author.edit(doc => {
      doc[`${author.actor[0]}${n}`] = n
    })
    return author.entry(from + i * step, author.next() as ChangesPayload)
  })
}

/** The author's next change, with a counter that no replica takes: what its tag commits to, and nothing else. */
function runningAhead(author: Author, index: number): VerifiedEntry {
  author.set(`${author.actor[0]} ahead`, 1)
  const payload = author.next() as ChangesPayload
  const parts = partsOf(payload.chunks)
  const chunks = chunkOf({ ...parts, startOp: parts.startOp + 1000 })
  return author.entry(index, { ...payload, chunks, latestHash: hashOf(chunks) })
}

async function openReader(): Promise<Reader> {
  const reader = await Reader.on(memoryStore())
  await reader.set.open(DOCUMENT)
  return reader
}

const keysIn = async (reader: Reader): Promise<string[]> => Object.keys(await reader.doc()).sort()

describe('an actor is parked from the entry on (R-PARK-1)', () => {
  it('whose body the relay withholds, and nobody else is', async () => {
    const ann = new Author('a')
    const bob = new Author('b')
    const [first, second, third] = typing(ann, 0, 3, 2) as [VerifiedEntry, VerifiedEntry, VerifiedEntry]
    const others = typing(bob, 1, 3, 2)
    const reader = await openReader()
    await reader.receive(first, others[0] as VerifiedEntry, withheld(second), others[1] as VerifiedEntry, third)
    expect(await keysIn(reader)).toEqual(['a0', 'b0', 'b1'])
    expect((await reader.outcome()).stopped).toEqual([[ann.actor, 'parked', 2, 'ERR_BODY']])
    expect(reader.problems.get(ann.actor)?.covered).toEqual({ seq: 0, hash: first.hash })
    expect(reader.set.missingBodies()).toMatchObject([{ document: DOCUMENT, index: 2 }])
  })

  it('whose changes build on what is not there', async () => {
    const ann = new Author('a')
    const bob = new Author('b')
    const hidden = typing(ann, 0, 1)
    bob.merge(ann)
    const entries = typing(bob, 1, 2)
    const reader = await openReader()
    await reader.receive(...entries)
    expect(await keysIn(reader)).toEqual([])
    expect((await reader.outcome()).stopped).toEqual([[bob.actor, 'parked', 1, 'ERR_DEPENDENCY']])
    expect(reader.problems.get(bob.actor)?.needs).toEqual(ann.changes()[0]?.hash)
    expect(hidden).toHaveLength(1)
  })

  it('and its covered place counts entries that bring no content (R-PARK-4)', async () => {
    const ann = new Author('a')
    const [first] = typing(ann, 0, 1) as [VerifiedEntry]
    const snapshot = ann.entry(1, { kind: 'snapshot', body: new Uint8Array(40) })
    const [third] = typing(ann, 2, 1) as [VerifiedEntry]
    const reader = await openReader()
    await reader.receive(first, withheld(snapshot), withheld(third))
    expect(reader.problems.get(ann.actor)).toMatchObject({ index: 2, covered: { seq: 1, hash: snapshot.hash } })
  })
})

describe('a parked actor goes on (R-PARK-2)', () => {
  it('when the withheld body is served, with everything behind it, also after a restart', async () => {
    for (const isRestarted of [false, true]) {
      const store = memoryStore()
      const ann = new Author('a')
      const entries = typing(ann, 0, 4)
      let reader = await Reader.on(store)
      await reader.set.open(DOCUMENT)
      await reader.receive(...entries.map((entry, i) => (i === 1 ? withheld(entry) : entry)))
      if (isRestarted) {
        await reader.close()
        reader = await Reader.on(store)
        expect(reader.set.missingBodies()).toHaveLength(1)
      }
      await reader.serve(entries[1] as VerifiedEntry)
      expect(await keysIn(reader)).toEqual(['a0', 'a1', 'a2', 'a3'])
      expect(await reader.outcome()).toMatchObject({ stopped: [], missing: [] })
      expect([...reader.problems.keys()]).toEqual([])
      // And for good.
      await reader.close()
      const again = await Reader.on(store)
      expect(await keysIn(again)).toEqual(['a0', 'a1', 'a2', 'a3'])
      const [more] = typing(ann, 4, 1)
      await again.receive(more as VerifiedEntry)
      expect((await again.outcome()).heads).toEqual(Automerge.getHeads(ann.doc))
    }
  })

  it('but not by bytes that its header does not commit to', async () => {
    const ann = new Author('a')
    const [first] = typing(ann, 0, 1) as [VerifiedEntry]
    const reader = await openReader()
    await reader.receive(withheld(first))
    expect(await verdictOf(() => reader.serve({ ...first, body: new Uint8Array(first.header.bodyLength) }))).toBe(
      'ERR_BODY',
    )
    expect(await verdictOf(() => reader.serve({ ...first, body: new Uint8Array(3) }))).toBe('ERR_BODY')
    expect((await reader.outcome()).missing).toEqual([0])
    await reader.serve({ ...first, index: 7 })
    await reader.serve(first)
    expect(await keysIn(reader)).toEqual(['a0'])
  })

  it('when the changes come that its own build on, through others that waited, too', async () => {
    const [ann, bob, carl] = [new Author('a'), new Author('b'), new Author('c')]
    const [a0] = typing(ann, 2, 1) as [VerifiedEntry]
    bob.merge(ann)
    const [b0] = typing(bob, 1, 1) as [VerifiedEntry]
    carl.merge(bob)
    const [c0] = typing(carl, 0, 1) as [VerifiedEntry]
    const reader = await openReader()
    await reader.receive(c0)
    await reader.receive(b0)
    expect(await keysIn(reader)).toEqual([])
    await reader.receive(a0)
    expect(await keysIn(reader)).toEqual(['a0', 'b0', 'c0'])
    expect(await reader.outcome()).toMatchObject({ stopped: [], missing: [] })
  })

  it('up to the next entry that cannot be taken: a chain can be parked again, or end', async () => {
    const ann = new Author('a')
    const [first, second] = typing(ann, 0, 2) as [VerifiedEntry, VerifiedEntry]
    const unfit = runningAhead(ann, 2)
    const [fourth] = typing(ann, 3, 1) as [VerifiedEntry]
    const reader = await openReader()
    await reader.receive(withheld(first), withheld(second), unfit, withheld(fourth))
    await reader.serve(first)
    expect((await reader.outcome()).stopped).toEqual([[ann.actor, 'parked', 1, 'ERR_BODY']])
    await reader.serve(second)
    expect((await reader.outcome()).stopped).toEqual([[ann.actor, 'refused', 2, 'ERR_GUARD']])
    expect(await keysIn(reader)).toEqual(['a0', 'a1'])
    // Of what comes behind the end, nothing is kept or asked for.
    expect(reader.set.missingBodies()).toEqual([])
  })

  it('with changes in the middle of a bundle that others build on, whatever came in one batch', async () => {
    const [ann, bob] = [new Author('a'), new Author('b')]
    for (let i = 0; i < 3; i++) ann.set(`a${i}`, i)
    bob.merge(ann)
    for (let i = 3; i < 8; i++) ann.set(`a${i}`, i)
    const bundle = ann.entry(0, ann.next('bundle') as ChangesPayload)
    const [after] = typing(bob, 1, 1) as [VerifiedEntry]
    for (const batches of [[[bundle, after]], [[bundle], [after]], [[after], [bundle]]]) {
      const reader = await openReader()
      for (const batch of batches) await reader.receive(...batch)
      expect(await reader.outcome()).toMatchObject({ stopped: [] })
      expect(await keysIn(reader)).toHaveLength(9)
    }
  })
})

describe('a verified snapshot brings what a parked actor wrote (R-PARK-3)', () => {
  it('behind it the actor goes on, and whoever waited for it', async () => {
    const store = memoryStore()
    const [ann, bob] = [new Author('a'), new Author('b')]
    const [first] = typing(ann, 0, 1) as [VerifiedEntry]
    ann.set('lost', 1)
    ann.next()
    const broken = ann.entry(1, { body: new Uint8Array(200).fill(1) })
    const covered = { actor: ann.actor, ...ann.end }
    const saved = Automerge.save(ann.doc)
    bob.merge(ann)
    const [waiting] = typing(bob, 2, 1) as [VerifiedEntry]
    const [behind] = typing(ann, 3, 1) as [VerifiedEntry]
    let reader = await Reader.on(store)
    await reader.set.open(DOCUMENT)
    await reader.receive(first, broken, waiting, behind)
    expect((await reader.outcome()).stopped).toEqual([
      [ann.actor, 'parked', 1, 'ERR_OPEN'],
      [bob.actor, 'parked', 2, 'ERR_DEPENDENCY'],
    ])
    const snapshot = { imported: undefined, covered: [covered], saved }
    // A relay has nothing to serve here, and somebody else's changes are no reason to believe.
    const foreign = new Author('f')
    foreign.merge(ann)
    foreign.set('foreign', 1)
    const wrong = { ...snapshot, saved: Automerge.save(foreign.doc) }
    expect(await verdictOf(() => reader.set.supply(DOCUMENT, wrong))).toBe('ERR_CONTENT')
    expect(await keysIn(reader)).toEqual(['a0'])
    expect(await reader.set.supply(DOCUMENT, snapshot)).toEqual([ann.actor])
    expect(await keysIn(reader)).toEqual(['a0', 'a2', 'b0', 'lost'])
    expect(await reader.outcome()).toMatchObject({ stopped: [], missing: [] })
    expect(await reader.set.supply(DOCUMENT, snapshot)).toEqual([])
    await reader.close()
    reader = await Reader.on(store)
    await reader.receive(...[ann.entry(4, withEdit(ann))])
    expect((await reader.doc()).a0).toBe(0)
    expect(Object.keys(await reader.doc())).toContain('more')
  })
})

function withEdit(author: Author): ChangesPayload {
  author.set('more', 1)
  return author.next() as ChangesPayload
}

describe('what was judged is not judged again (R-PARK-7)', () => {
  it('after a restart, nor after a crash but for what came last', async () => {
    const ann = new Author('a')
    const store = memoryStore()
    const progress = ({ set }: Reader): readonly [number, number] => {
      const { judged, nextFile } = set.meta(DOCUMENT)
      return [judged, nextFile]
    }
    const closed = await Reader.on(store)
    await closed.receive(...typing(ann, 0, 3))
    expect(progress(closed)).toEqual([0, 3])
    await closed.set.open(DOCUMENT)
    // Without the farewell of a close.
    await store.close()
    const opened = await Reader.on(store)
    expect(progress(opened)).toEqual([3, 3])
    await opened.set.open(DOCUMENT)
    await opened.receive(...typing(ann, 3, 1))
    await opened.receive(...typing(ann, 4, 1))
    expect(progress(opened)).toEqual([5, 5])
    await store.close()
    const crashed = await Reader.on(store)
    expect(progress(crashed)).toEqual([4, 5])
    expect((await crashed.outcome()).heads).toEqual(Automerge.getHeads(ann.doc))
    await crashed.receive(...typing(ann, 5, 1))
    await crashed.close()
    expect(progress(await Reader.on(store))).toEqual([6, 6])
  })
})

describe('a document that begins with an import (R-PARK-5)', () => {
  /** Begun by Ann with what Bob's actor wrote elsewhere; then Carl writes, and somebody who is Bob's actor. */
  function begun(): { start: VerifiedEntry; carl: VerifiedEntry; bob: VerifiedEntry; heads: readonly string[] } {
    const [ann, foreign, carl, bob] = [new Author('a'), new Author('b'), new Author('c'), new Author('b')]
    foreign.set('imported', 1)
    const { payload, commitment } = buildImport(Automerge.save(foreign.doc))
    const start = ann.entry(0, { kind: 'import', plain: payload, tagged: commitment })
    carl.merge(foreign)
    const [first] = typing(carl, 1, 1) as [VerifiedEntry]
    const [posing] = typing(bob, 2, 1) as [VerifiedEntry]
    return { start, carl: first, bob: posing, heads: Automerge.getHeads(carl.doc) }
  }

  it('nobody else is judged before it is there, and its actors never write entries (R-IMPORT-4)', async () => {
    const { start, carl, bob, heads } = begun()
    const outcome = { heads, stopped: [[bob.actor, 'refused', 2, 'ERR_CONTENT']], missing: [] }
    const early = await openReader()
    await early.receive(start, carl, bob)
    expect(await early.outcome()).toEqual(outcome)
    const late = await openReader()
    await late.receive(withheld(start))
    await late.receive(bob)
    await late.receive(carl)
    expect((await late.outcome()).heads).toEqual([])
    expect((await late.outcome()).stopped.map(([, reason, , code]) => [reason, code])).toEqual([
      ['parked', 'ERR_BODY'],
      ['parked', 'ERR_DEPENDENCY'],
      ['parked', 'ERR_DEPENDENCY'],
    ])
    await late.serve(start)
    expect(await late.outcome()).toEqual(outcome)
  })

  it('that is garbage keeps the others waiting for the one that its tag commits to', async () => {
    const { carl, bob } = begun()
    const ann = new Author('a')
    const plain = encodeCbor([0, new Uint8Array(40)])
    const broken = ann.entry(0, { kind: 'import', plain, tagged: bytesOf('x') })
    for (const isServedLate of [false, true]) {
      const reader = await openReader()
      await reader.receive(isServedLate ? withheld(broken) : broken, carl, bob)
      if (isServedLate) await reader.serve(broken)
      expect((await reader.outcome()).stopped).toEqual([
        [ann.actor, 'parked', 0, 'ERR_GUARD'],
        [bob.actor, 'parked', 2, 'ERR_DEPENDENCY'],
        [carl.actor, 'parked', 1, 'ERR_DEPENDENCY'],
      ])
      expect(await keysIn(reader)).toEqual([])
    }
  })
})

describe('crafted changes never reach Automerge (R-GUARD-8)', () => {
  /** What a hostile author does to its first own change on top of an honest document. */
  const CRAFTED: Readonly<
    Record<string, (parts: ReturnType<typeof partsOf>, base: Base) => ReturnType<typeof partsOf>>
  > = {
    'an operation on what is there, but not in its past': parts => ({ ...parts, deps: [] }),
    'a first counter that runs ahead': parts => ({ ...parts, startOp: parts.startOp + 1000 }),
  }

  interface Base {
    readonly honest: Author
  }

  function crafted(craft: (typeof CRAFTED)[string]): { honest: VerifiedEntry[]; hostile: VerifiedEntry } {
    const honest = new Author('a')
    honest.set('list', ['x', 'y'])
    const start = honest.entry(0, honest.next() as ChangesPayload)
    const eve = new Author('e')
    eve.merge(honest)
    eve.edit(doc => void (doc.list as string[]).push('z'))
    const [own] = eve.changes()
    const bytes = chunkOf(craft(partsOf(own?.bytes as Uint8Array), { honest }))
    const latestHash = hashOf(bytes)
    const hostile = eve.entry(1, { encoding: 'raw', latestHash, latestSeq: 1, count: 1, chunks: bytes })
    return { honest: [start], hostile }
  }

  for (const [what, craft] of Object.entries(CRAFTED)) {
    it(`${what}: refused live, at opening and after a restart`, async () => {
      const { honest, hostile } = crafted(craft)
      const stopped = [[hostile.actor, 'refused', 1, 'ERR_GUARD']]
      const live = await openReader()
      await live.receive(...honest)
      await live.receive(hostile)
      const store = memoryStore()
      const late = await Reader.on(store)
      await late.receive(...honest, hostile)
      for (const reader of [live, late]) {
        expect((await reader.outcome()).stopped).toEqual(stopped)
        expect((await reader.doc()).list).toEqual(['x', 'y'])
        expect([...reader.problems.keys()]).toEqual([hostile.actor])
      }
      await late.close()
      const again = await Reader.on(store)
      expect((await again.outcome()).stopped).toEqual(stopped)
    })
  }

  it('a mark that ends before it begins, after which the document could not be loaded', async () => {
    const { honest, hostile } = reversedMark()
    const both = typing(new Author('b'), 2, 1)
    for (const batches of [[[...honest, hostile, ...both]], [honest, [hostile], both]]) {
      const reader = await openReader()
      for (const batch of batches) await reader.receive(...batch)
      expect((await reader.outcome()).stopped).toEqual([[hostile.actor, 'refused', 1, 'ERR_CONTENT']])
      const doc = await reader.doc()
      expect(doc).toMatchObject({ text: 'hello world', b0: 0 })
      expect(Automerge.getHeads(Automerge.load(Automerge.save(doc)))).toEqual(Automerge.getHeads(doc))
    }
  })
})

/** An honest text, and a mark whose ends were exchanged. */
function reversedMark(): { honest: VerifiedEntry[]; hostile: VerifiedEntry } {
  const honest = new Author('a')
  honest.set('text', 'hello world')
  const start = honest.entry(0, honest.next() as ChangesPayload)
  const eve = new Author('e')
  const [change] = honest.changes()
  const deps = [Buffer.from(change?.hash as Uint8Array).toString('hex')]
  const at = (n: number): string => `${n}@${honest.actor}`
  const mark = { obj: at(1), insert: true, expand: false, pred: [] }
  const ops = [
    { ...mark, action: 'markBegin', elemId: at(9), name: 'bold', value: true },
    { ...mark, action: 'markEnd', elemId: at(4) },
  ]
  const bytes = Automerge.encodeChange({
    ...{ actor: eve.actor, seq: 1, startOp: 13, time: 0, message: null, deps },
    ops,
  } as never)
  const latestHash = fromHex(Automerge.decodeChange(bytes).hash as string)
  return {
    honest: [start],
    hostile: eve.entry(1, { encoding: 'raw', latestHash, latestSeq: 1, count: 1, chunks: bytes }),
  }
}

describe('a crash between any two operations of the store', () => {
  it('ends as if there had been none, with whatever is received again and served again', async () => {
    const [ann, bob] = [new Author('a'), new Author('b')]
    const a = typing(ann, 0, 3)
    bob.merge(ann)
    const b = typing(bob, 3, 2)
    const unfit = runningAhead(ann, 5)
    const batches = [[a[0], withheld(a[1] as VerifiedEntry), a[2]], [...b], [unfit]] as VerifiedEntry[][]
    /** Everything from where the store stands. @returns the number of operations */
    const session = async (inner: ReturnType<typeof memoryStore>, failAt: number): Promise<number> => {
      const store = failingStore(inner, failAt === 0 ? {} : { failAt })
      const attempt = async (): Promise<Reader> => {
        const reader = await Reader.on(store)
        await reader.set.open(DOCUMENT)
        for (const batch of batches) {
          const seen = await inner.get(bytesOf(`seen ${batch[0]?.index}`))
          if (seen === undefined) await reader.receive(...batch)
          await inner.commit({ puts: [[bytesOf(`seen ${batch[0]?.index}`), new Uint8Array(0)]], deletes: [] })
        }
        await reader.serve(a[1] as VerifiedEntry)
        return reader
      }
      const reader = await attempt().catch(() => undefined)
      const { operations } = store
      if (reader !== undefined) await reader.close()
      else await store.close()
      return operations
    }
    const count = await session(memoryStore(), 0)
    expect(count).toBeGreaterThan(10)
    for (let failAt = 1; failAt <= count; failAt++) {
      const inner = memoryStore()
      await session(inner, failAt)
      await session(inner, 0)
      const reader = await Reader.on(inner)
      expect(await reader.outcome(), `operation ${failAt}`).toEqual({
        heads: Automerge.getHeads(bob.doc),
        stopped: [[ann.actor, 'refused', 5, 'ERR_GUARD']],
        missing: [],
      })
    }
  })
})
