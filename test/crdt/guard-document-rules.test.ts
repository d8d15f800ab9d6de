import * as Automerge from '@automerge/automerge'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../src/bytes.ts'
import { ByteReader } from '../../src/crdt/guard/byte-reader.ts'
import { readChunk, writeChunk } from '../../src/crdt/guard/chunk.ts'
import { readDocument } from '../../src/crdt/guard/document-chunk.ts'
import { documentClocks } from '../../src/crdt/guard/document-clocks.ts'
import { checkDocumentChanges } from '../../src/crdt/guard/document-rules.ts'
import { inspectChunks } from '../../src/crdt/guard.ts'
import {
  ACTOR_A,
  ACTOR_B,
  ACTOR_C,
  ancestors,
  type ChangeParts,
  chunkOf,
  type Doc,
  partsOf,
  pastOf,
  richDocument,
  verdict,
} from './guard-support.ts'

const ACTORS = [ACTOR_A, ACTOR_B, ACTOR_C]
/** Column of a change chunk: counter of each op's object. */
const OBJECT_COUNTER = 0x02

function judge(saved: Uint8Array, isMember: 0 | 1 = 1): string {
  return verdict(() => {
    const chunk = readDocument(saved)
    checkDocumentChanges(chunk, new Uint8Array(chunk.actors.length).fill(isMember))
  })
}

function numbers(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return (state >> 8) % below
  }
}

type Draft = Record<string, unknown> & { list: unknown[]; map: Record<string, unknown>; text: string }

/** Three actors edit everything that there is, at the same time, and merge now and then. */
function randomDocument(seed: number, edits: number): Doc {
  const random = numbers(seed)
  const first = Automerge.change(Automerge.init<Record<string, unknown>>(ACTOR_A), draft => {
    Object.assign(draft, { text: 'some text', list: [1, { deep: 2 }], map: {}, count: new Automerge.Counter(1) })
  })
  const docs = [first, Automerge.clone(first, ACTOR_B), Automerge.clone(first, ACTOR_C)]
  const acts: readonly ((draft: Draft, i: number) => void)[] = [
    (draft, i) => Automerge.splice(draft as never, ['text'], random(draft.text.length + 1), 0, `+${i}`),
    draft => Automerge.splice(draft as never, ['text'], random(draft.text.length), 1, ''),
    (draft, i) => draft.list.push(i),
    draft => draft.list.length > 0 && draft.list.splice(random(draft.list.length), 1),
    (draft, i) => draft.list.length > 0 && draft.list.splice(random(draft.list.length), 1, { more: [i] }),
    (draft, i) => Object.assign(draft.list, { [Math.max(0, draft.list.length - 1)]: [i] }),
    (draft, i) => Object.assign(draft.map, { [`key ${random(3)}`]: random(2) === 0 ? i : { i } }),
    draft => delete draft.map[`key ${random(3)}`],
    draft => (draft.count as Automerge.Counter).increment(1),
    (draft, i) => Object.assign(draft, { count: new Automerge.Counter(i) }),
    draft => Automerge.mark(draft as never, ['text'], { start: 0, end: 2 }, 'bold', random(2) === 0 || null),
    draft => Automerge.splitBlock(draft as never, ['text'], 0, { type: 'p', attrs: {}, parents: [] }),
  ]
  for (let i = 0; i < edits; i++) {
    const at = random(3)
    const merged = random(3) === 0 ? Automerge.merge(docs[at] as Doc, docs[(at + 1) % 3] as Doc) : (docs[at] as Doc)
    docs[at] = Automerge.change(merged, draft => {
      if ((draft as Draft).text.length > 3) acts[random(acts.length)]?.(draft as Draft, i)
    })
  }
  return docs.reduce((all, doc) => Automerge.merge(all, doc))
}

/** A document with one more change, as its author rewrote it; and how the guard judges that change in an entry. */
function withForged(doc: Doc, change: Uint8Array, rewrite: (parts: ChangeParts) => ChangeParts): [Doc, string] {
  const forged = chunkOf(rewrite(partsOf(change)))
  const { actor, seq, deps } = partsOf(forged)
  const all = Automerge.getAllChanges(doc)
  const previous = all.find(bytes => partsOf(bytes).actor === actor && partsOf(bytes).seq === seq - 1)
  const inEntry = verdict(() =>
    inspectChunks(forged, {
      actor,
      nextSeq: seq,
      previousHash: previous && fromHex(Automerge.decodeChange(previous).hash as string),
      nextOp: 1 + pastOf(all.filter(bytes => partsOf(bytes).actor === actor)).maxOp,
      past: () => pastOf(ancestors(all, deps)),
    }),
  )
  return [Automerge.loadIncremental(Automerge.clone(doc), forged), inEntry]
}

const lastChange = (doc: Doc): Uint8Array => Automerge.getLastLocalChange(doc) as Uint8Array

describe('the changes of a document', () => {
  it('are accepted where Automerge made them', { timeout: 60_000 }, () => {
    expect(judge(Automerge.save(richDocument().doc))).toBe('accepted')
    expect(judge(Automerge.save(Automerge.init()))).toBe('accepted')
    for (let seed = 1; seed <= 12; seed++) {
      const doc = randomDocument(seed, 40)
      expect(judge(Automerge.save(doc)), `seed ${seed}`).toBe('accepted')
      expect(judge(Automerge.save(doc), 0), `seed ${seed}`).toBe('accepted')
    }
  })

  it('are refused with counters that skip some, as in an entry', () => {
    const doc = Automerge.change(richDocument().doc, d => {
      d.more = 1
    })
    const before = Automerge.view(doc, partsOf(lastChange(doc)).deps as string[])
    const base = Automerge.load<Record<string, unknown>>(Automerge.save(richDocument().doc), ACTOR_A)
    expect(Automerge.getHeads(base)).toEqual(Automerge.getHeads(before))
    const [forged, inEntry] = withForged(base, lastChange(doc), parts => ({ ...parts, startOp: parts.startOp + 5 }))
    expect(inEntry).toBe('counter')
    expect(judge(Automerge.save(forged))).toBe('counter')
  })

  it('are refused where they replace what is not in their past, as in an entry', () => {
    const first = Automerge.change(Automerge.init<Record<string, unknown>>(ACTOR_A), d => {
      d.start = 1
    })
    const his = Automerge.change(Automerge.clone(first, ACTOR_B), d => {
      Object.assign(d, { one: 1, two: 2, three: 3, four: 4 })
    })
    const hers = Automerge.change(first, d => {
      d.hers = 1
    })
    const both = Automerge.merge(his, hers)
    const knowing = Automerge.change(Automerge.clone(both, ACTOR_B), d => {
      d.hers = 2
    })
    const [own] = Automerge.getHeads(his)
    const [forged, inEntry] = withForged(both, lastChange(knowing), parts => {
      return { ...parts, deps: parts.deps.filter(hash => hash === own) }
    })
    expect(inEntry).toBe('predecessor')
    expect(judge(Automerge.save(forged))).toBe('predecessor')
    // The same with the whole past is fine.
    const [honest, fine] = withForged(both, lastChange(knowing), parts => parts)
    expect(fine).toBe('accepted')
    expect(judge(Automerge.save(honest))).toBe('accepted')
  })

  it('are refused with a number in a text, as in an entry', () => {
    const base = Automerge.change(Automerge.init<Record<string, unknown>>(ACTOR_A), d => {
      d.list = []
      d.text = ''
    })
    const more = Automerge.change(Automerge.clone(base, ACTOR_A), d => {
      ;(d.list as number[]).push(7)
    })
    const move = (parts: ChangeParts): ChangeParts => ({
      ...parts,
      columns: parts.columns.map(([specification, bytes]) => {
        const isObject = specification === OBJECT_COUNTER
        return [specification, isObject ? bytes.map(byte => (byte === 1 ? 2 : byte)) : bytes] as const
      }),
    })
    const [forged, inEntry] = withForged(base, lastChange(more), move)
    expect(inEntry).toBe('value')
    expect(judge(Automerge.save(forged))).toBe('value')
  })

  it('are refused nested too deeply', () => {
    const nested = (levels: number): Uint8Array => {
      let value: Record<string, unknown> = {}
      for (let level = 1; level < levels; level++) value = { value }
      return Automerge.save(Automerge.from({ value }, ACTOR_A))
    }
    expect(judge(nested(128))).toBe('accepted')
    expect(judge(nested(129))).toBe('too-deep')
    expect(judge(nested(129), 0)).toBe('too-deep')
  })

  it('bear no extra bytes, unless they were imported', () => {
    const { doc } = richDocument()
    const more = Automerge.change(Automerge.clone(doc, ACTOR_A), d => {
      d.more = 1
    })
    const [forged, inEntry] = (() => {
      const bytes = chunkOf({ ...partsOf(lastChange(more)), extra: Uint8Array.of(1, 2, 3) })
      return [Automerge.loadIncremental(Automerge.clone(doc), bytes), verdict(() => partsOf(bytes))] as const
    })()
    expect(inEntry).toBe('extra')
    expect(judge(Automerge.save(forged))).toBe('extra')
    expect(judge(Automerge.save(forged), 0)).toBe('accepted')
  })

  it('on an earlier state of a document are taken in imports alone, as they skip counters', () => {
    const first = Automerge.from<Record<string, unknown>>({ list: [1] }, ACTOR_A)
    let doc = first
    for (let i = 0; i < 3; i++) {
      doc = Automerge.change(doc, d => {
        ;(d.list as number[]).push(i)
      })
    }
    const { newDoc } = Automerge.changeAt(doc, Automerge.getHeads(first), d => {
      ;(d.list as number[]).push(9)
    })
    expect(judge(Automerge.save(newDoc), 0)).toBe('accepted')
    expect(judge(Automerge.save(newDoc))).toBe('counter')
  })

  it('never panic Automerge once they are accepted, whatever bit was flipped', { timeout: 60_000 }, () => {
    let loads = 0
    let refusals = 0
    for (let seed = 1; seed <= 6; seed++) {
      const doc = randomDocument(seed, 12)
      const { type, body } = readChunk(new ByteReader(Automerge.getBackend(doc).saveNoCompress()))
      for (let bit = seed; bit < body.length * 8; bit += 19) {
        const forged = body.slice()
        forged[bit >> 3] = (forged[bit >> 3] as number) ^ (1 << (bit & 7))
        const saved = writeChunk(type, forged)
        if (judge(saved) !== 'accepted') {
          refusals++
          continue
        }
        loads++
        try {
          expect(Automerge.getHeads(Automerge.load(saved)), `seed ${seed}, bit ${bit}`).toEqual(Automerge.getHeads(doc))
        } catch (error) {
          expect(String(error), `seed ${seed}, bit ${bit}`).not.toMatch(/panic|unreachable|assertion|recursive/i)
        }
      }
    }
    expect(loads).toBeGreaterThan(50)
    expect(refusals).toBeGreaterThan(50)
  })
})

describe('the clocks of a document', () => {
  it('see exactly what lies in the past of a change', { timeout: 60_000 }, () => {
    const doc = randomDocument(77, 40)
    const { actors, changes } = readDocument(Automerge.save(doc))
    const clocks = documentClocks(changes, actors.length)
    const all = Automerge.getAllChanges(doc)
    const byName = new Map(all.map(bytes => [`${partsOf(bytes).seq}@${partsOf(bytes).actor}`, bytes]))
    for (let i = 0; i < changes.count; i++) {
      const bytes = byName.get(`${changes.seq[i]}@${actors[changes.actor[i] as number]}`) as Uint8Array
      const past = ancestors(all, [Automerge.decodeChange(bytes).hash as string])
      for (const [index, actor] of actors.entries()) {
        const { maxOp } = pastOf(past.filter(each => partsOf(each).actor === actor))
        expect(clocks.sees(i, index, maxOp), `${i} ${toHex(Uint8Array.of(index))}`).toBe(true)
        expect(clocks.sees(i, index, maxOp + 1)).toBe(false)
      }
    }
    expect(actors).toEqual([...ACTORS].sort())
  })

  it('that would take too much memory are refused: everybody on top of everybody', () => {
    // 20,000 actors, each with a change on top of the one before: 200 million numbers.
    const count = 20_000
    const index = Int32Array.from({ length: count }, (_, i) => i)
    const changes = {
      count,
      actor: index,
      seq: new Int32Array(count).fill(1),
      maxOp: index.map(i => i + 1),
      dependencyStart: Int32Array.from({ length: count + 1 }, (_, i) => Math.max(0, i - 1)),
      dependency: index.subarray(0, count - 1),
      extraLength: new Int32Array(count),
    }
    expect(verdict(() => documentClocks(changes, count))).toBe('too-many-dependencies')
    const part = { ...changes, count: 2_000 }
    expect(documentClocks(part, count).sees(1_999, 0, 1)).toBe(true)
  })
})
