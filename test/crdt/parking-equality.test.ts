import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import { concat, toHex } from '../../src/bytes.ts'
import type { ChangesPayload } from '../../src/crdt/payload.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { VerifiedEntry } from '../../src/verify/log.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { bytesOf, DOCUMENT } from '../helpers/log-builder.ts'
import { chunkOf, hashOf, partsOf } from './guard-support.ts'
import { Author, type Outcome, Reader, withheld } from './parking-support.ts'

beforeAll(initializeAutomerge)

/** What an author does next: edits, sees what others wrote (also what no entry has yet), or writes an entry. */
const STEPS = [
  'edit',
  'edit',
  'see',
  'see',
  'send',
  'send',
  'bundle',
  'withheld',
  'mis-tagged',
  'garbage',
  'sealed-shut',
  'outside',
  'ahead',
] as const

interface Step {
  readonly who: number
  readonly what: (typeof STEPS)[number]
  readonly n: number
}

interface Log {
  readonly entries: readonly VerifiedEntry[]
  /** Indices of entries whose body the relay does not serve at first. */
  readonly withheld: ReadonlySet<number>
}

function write(steps: readonly Step[]): Log {
  const authors = ['a', 'b', 'c'].map(name => new Author(name)) as [Author, Author, Author]
  const entries: VerifiedEntry[] = []
  const withheldBodies = new Set<number>()
  for (const { who, what, n } of steps) {
    const author = authors[who] as Author
    if (what === 'see') author.merge(authors[(who + 1 + (n % 2)) % 3] as Author)
    author.edit(doc => edit(doc, author.actor[0] as string, n))
    if (what !== 'edit' && what !== 'see') {
      const payload = author.next(what === 'bundle' ? 'bundle' : 'raw')
      if (payload === undefined) continue
      if (what === 'withheld') withheldBodies.add(entries.length)
      entries.push(author.entry(entries.length, contentOf(what, payload, n, author)))
    }
  }
  return { entries, withheld: withheldBodies }
}

function edit(doc: Record<string, unknown>, name: string, n: number): void {
  if (n % 3 === 0) doc[name] = typeof doc[name] === 'number' ? doc[name] + 1 : n
  else if (!Array.isArray(doc.list)) doc.list = [n]
  else doc.list.splice(n % (doc.list.length + 1), 0, `${name}${n}`)
}

function contentOf(
  what: Step['what'],
  payload: ChangesPayload,
  n: number,
  author: Author,
): Parameters<Author['entry']>[1] {
  switch (what) {
    case 'mis-tagged':
      return { ...payload, tagged: bytesOf('another change') }
    case 'garbage':
      return { ...payload, chunks: payload.chunks.slice(0, -1 - (n % 5)) }
    case 'sealed-shut':
      return { body: new Uint8Array(100).fill(n), tagged: payload.latestHash }
    case 'outside': {
      // A single change without the past that others made: what it refers to is there, but not for it.
      if (payload.count > 1) return payload
      const parts = partsOf(payload.chunks)
      const previous = author.changes().at(-2)?.hash
      const chunks = chunkOf({ ...parts, deps: parts.deps.filter(dep => previous && dep === toHex(previous)) })
      return { ...payload, chunks, latestHash: hashOf(chunks) }
    }
    case 'ahead': {
      const changes = author.changes().slice(-payload.count)
      const parts = partsOf((changes.pop() as { bytes: Uint8Array }).bytes)
      const last = chunkOf({ ...parts, startOp: parts.startOp + 1000 })
      return { ...payload, chunks: concat(...changes.map(({ bytes }) => bytes), last), latestHash: hashOf(last) }
    }
    default:
      return payload
  }
}

/** How a replica gets the log: in which batches, and what happens to the document in between. */
interface Way {
  readonly sizes: readonly number[]
  /** After each batch: nothing, open the document, let it go, restart. */
  readonly moves: readonly number[]
}

async function follow(
  { entries, withheld: missing }: Log,
  way: Way,
  serve: 'never' | 'late' | 'early',
): Promise<Outcome> {
  const store = memoryStore()
  let reader = await Reader.on(store)
  let at = 0
  for (let batch = 0; at < entries.length; batch++) {
    const size = way.sizes[batch % way.sizes.length] as number
    const next = entries.slice(at, at + size)
    at += size
    await reader.receive(
      ...next.map(entry => (serve !== 'early' && missing.has(entry.index) ? withheld(entry) : entry)),
    )
    const move = way.moves[batch % way.moves.length]
    if (move === 1) await reader.set.open(DOCUMENT)
    if (move === 2) {
      reader.used = false
      await reader.set.release(DOCUMENT)
    }
    if (move === 3) {
      await reader.close()
      reader = await Reader.on(store)
    }
  }
  if (serve === 'late') {
    // In whatever order they come.
    const wanted = reader.set.missingBodies().map(({ index }) => entries[index] as VerifiedEntry)
    for (const entry of (way.sizes[0] as number) % 2 === 0 ? wanted : wanted.reverse()) await reader.serve(entry)
  }
  const outcome = await reader.outcome()
  // What a person is told is what is in force.
  if (way.moves.every(move => move !== 3)) {
    const told = [...reader.problems].map(([actor, { index }]) => [actor, index]).sort()
    expect(told).toEqual(outcome.stopped.map(([actor, , index]) => [actor, index]))
  }
  await reader.close()
  return outcome
}

const ONE_BY_ONE: Way = { sizes: [1], moves: [1] }

it('what is taken, parked and ended is the same in all batches, over restarts, open or closed (R-PARK-6)', async () => {
  const steps = fc.array(fc.record({ who: fc.nat(2), what: fc.constantFrom(...STEPS), n: fc.nat(30) }), {
    minLength: 6,
    maxLength: 30,
  })
  const way = fc.record({
    sizes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
    moves: fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }),
  })
  const seen = new Set<string>()
  await fc.assert(
    fc.asyncProperty(steps, fc.array(way, { minLength: 2, maxLength: 2 }), async (script, ways) => {
      const log = write(script)
      const parked = await follow(log, ONE_BY_ONE, 'never')
      const served = await follow(log, ONE_BY_ONE, 'early')
      for (const [, reason, , code] of [...parked.stopped, ...served.stopped]) seen.add(`${reason} ${code}`)
      expect(await follow(log, ONE_BY_ONE, 'late')).toEqual(served)
      for (const other of [...ways, { sizes: [99], moves: [0] }]) {
        expect(await follow(log, other, 'never')).toEqual(parked)
        expect(await follow(log, other, 'late')).toEqual(served)
      }
    }),
    { numRuns: 40 },
  )
  expect([...seen].sort()).toEqual([
    'parked ERR_BODY',
    'parked ERR_DEPENDENCY',
    'parked ERR_GUARD',
    'parked ERR_OPEN',
    'parked ERR_TAG',
    'refused ERR_GUARD',
  ])
}, 120_000)
