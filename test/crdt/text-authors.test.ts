import * as Automerge from '@automerge/automerge/slim'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { type AnyDoc, emptyDoc } from '../../src/crdt/content.ts'
import { type AuthoredRun, type AuthoredText, type TextPath, textAuthors } from '../../src/crdt/text-authors.ts'
import type { ActorId } from '../../src/ids.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'

const ALICE = 'a1'.repeat(16) as ActorId
const BOB = 'b2'.repeat(16) as ActorId
const CAROL = 'c3'.repeat(16) as ActorId
const MALLORY = 'e5'.repeat(16) as ActorId

type Draft = Record<string, unknown>

beforeAll(initializeAutomerge)

function edit(doc: AnyDoc, actor: ActorId, fn: (draft: Draft) => void): AnyDoc {
  return Automerge.change(Automerge.clone(doc, { actor }), { time: 0 }, fn)
}

function splice(draft: Draft, path: TextPath, at: number, deleted: number, text: string): void {
  Automerge.splice(draft as never, [...path], at, deleted, text)
}

function textAt(doc: AnyDoc, path: TextPath): string {
  return path.reduce<unknown>((value, key) => (value as Draft)[key], doc) as string
}

/** What each author wrote, as one can read it: `[['a1', 'Hello'], ['b2', ' there']]`. */
function readable(doc: AnyDoc, path: TextPath): readonly (readonly [string, string])[] {
  const [found] = textAuthors(doc, path)
  const text = textAt(doc, path)
  return (found as AuthoredText).runs.map(({ start, end, actor }) => [actor.slice(0, 2), text.slice(start, end)])
}

/** A change that Automerge's own API would not make. */
function crafted(doc: AnyDoc, actor: ActorId, ops: readonly unknown[]): AnyDoc {
  const { numOps } = Automerge.stats(doc)
  const startOp = Math.max(numOps, ...Automerge.getAllChanges(doc).map(endOf)) + 1
  const change = { actor, seq: 1, startOp, time: 0, message: null, deps: Automerge.getHeads(doc), ops }
  const [next] = Automerge.applyChanges(Automerge.clone(doc, { actor: CAROL }), [
    Automerge.encodeChange(change as unknown as Parameters<typeof Automerge.encodeChange>[0]),
  ])
  return next
}

function endOf(change: Automerge.Change): number {
  const { startOp, ops } = Automerge.decodeChange(change)
  return startOp + ops.length
}

function objectId(doc: AnyDoc, key: string): string {
  return (Automerge.getBackend(doc).getWithType('_root', key) as readonly [string, string])[1]
}

describe('who wrote a text', () => {
  it('names the actor of each stretch, in UTF-16 code units', () => {
    const first = edit(emptyDoc(ALICE), ALICE, draft => {
      draft.body = 'Hello world'
    })
    const second = edit(first, BOB, draft => splice(draft, ['body'], 5, 0, ' 👋🏽 dear'))
    const third = edit(second, ALICE, draft => splice(draft, ['body'], 6, 4, ''))
    expect(textAuthors(second, ['body'])).toEqual([
      {
        path: ['body'],
        runs: [
          { start: 0, end: 5, actor: ALICE },
          { start: 5, end: 15, actor: BOB },
          { start: 15, end: 21, actor: ALICE },
        ],
      },
    ])
    expect(readable(third, ['body'])).toEqual([
      ['a1', 'Hello'],
      ['b2', '  dear'],
      ['a1', ' world'],
    ])
  })

  it('finds every text, wherever it stands, and one by its path', () => {
    const doc = edit(emptyDoc(ALICE), ALICE, draft => {
      draft.title = 'T'
      draft.count = new Automerge.Counter(1)
      draft.raw = new Automerge.ImmutableString('no text')
      draft.list = [7, new Automerge.Counter(2), 'in a list', { deep: ['deeper', 'deepest'] }, true]
    })
    const later = edit(doc, BOB, draft => {
      const list = draft.list as unknown[]
      ;(list[1] as Automerge.Counter).increment(3)
      ;(draft.count as Automerge.Counter).increment(3)
      list[0] = 8
      list.splice(4, 1)
      list.unshift('first')
      draft.empty = ''
    })
    const found = textAuthors(later)
    expect(found.map(({ path }) => path).sort()).toEqual(
      [['title'], ['list', 0], ['list', 3], ['list', 4, 'deep', 0], ['list', 4, 'deep', 1], ['empty']].sort(),
    )
    for (const text of found) expect(textAuthors(later, text.path)).toEqual([text])
    expect(readable(later, ['list', 0])).toEqual([['b2', 'first']])
    expect(readable(later, ['list', 4, 'deep', 1])).toEqual([['a1', 'deepest']])
    expect(textAuthors(later, ['empty'])).toEqual([{ path: ['empty'], runs: [] }])
  })

  it('finds nothing where no text stands', () => {
    const doc = edit(emptyDoc(ALICE), ALICE, draft => {
      Object.assign(draft, { title: 'T', list: ['a'], number: 1, gone: 'x' })
    })
    const later = edit(doc, BOB, draft => {
      delete draft.gone
    })
    const nowhere: TextPath[] = [
      [],
      ['gone'],
      ['number'],
      ['list'],
      ['list', 1],
      ['list', '0'],
      ['title', 0],
      ['constructor'],
      [0],
    ]
    for (const path of nowhere) expect(textAuthors(later, path)).toEqual([])
    expect(textAuthors(emptyDoc(ALICE))).toEqual([])
  })

  it('names who wrote the text that is shown where one text took the place of another', () => {
    const first = edit(emptyDoc(ALICE), ALICE, draft => {
      draft.body = 'old'
    })
    const replaced = edit(first, BOB, draft => {
      draft.body = 'new'
    })
    expect(readable(replaced, ['body'])).toEqual([['b2', 'new']])
    const hers = edit(first, ALICE, draft => {
      draft.body = 'hers'
    })
    const his = edit(first, BOB, draft => {
      draft.body = 'his'
    })
    for (const merged of [Automerge.merge(hers, his), Automerge.merge(his, hers)]) {
      expect(readable(merged, ['body'])).toEqual([[merged.body === 'his' ? 'b2' : 'a1', merged.body]])
    }
  })

  it('counts marks as nothing, and blocks as the one character that stands for them', () => {
    let doc = edit(emptyDoc(ALICE), ALICE, draft => {
      draft.body = 'one two three'
    })
    doc = edit(doc, BOB, draft => {
      Automerge.mark(draft as never, ['body'], { start: 4, end: 7, expand: 'both' }, 'bold', true)
    })
    doc = edit(doc, CAROL, draft =>
      Automerge.splitBlock(draft as never, ['body'], 3, { type: 'p', note: 'in a block' }),
    )
    expect(readable(doc, ['body'])).toEqual([
      ['a1', 'one'],
      ['c3', '\ufffc'],
      ['a1', ' two three'],
    ])
    const unmarked = edit(doc, CAROL, draft => {
      Automerge.unmark(draft as never, ['body'], { start: 5, end: 6, expand: 'none' }, 'bold')
      Automerge.joinBlock(draft as never, ['body'], 3)
    })
    expect(readable(unmarked, ['body'])).toEqual([['a1', 'one two three']])
  })

  it('a byte order mark is a character like others', () => {
    const doc = edit(emptyDoc(ALICE), ALICE, draft => {
      draft.body = '\ufeffab'
    })
    const later = edit(doc, BOB, draft => splice(draft, ['body'], 1, 0, '\ufeff'))
    expect(readable(later, ['body'])).toEqual([
      ['a1', '\ufeff'],
      ['b2', '\ufeff'],
      ['a1', 'ab'],
    ])
  })

  it('a character that was replaced in its place is of who replaced it: nobody can put words into another’s mouth (R-ATTR-3)', () => {
    const honest = edit(emptyDoc(ALICE), ALICE, draft => {
      draft.body = 'I do not owe Mallory'
    })
    const obj = objectId(honest, 'body')
    const places = [5, 6, 7].map(at => Automerge.getCursor(honest, ['body'], at))
    const ops = places.map((elemId, i) => ({
      action: 'set',
      obj,
      elemId,
      insert: false,
      value: ['u', 'ch', ''][i],
      pred: [elemId],
    }))
    const forged = crafted(honest, MALLORY, ops)
    expect(forged.body).toBe('I do uch owe Mallory')
    expect(readable(forged, ['body'])).toEqual([
      ['a1', 'I do '],
      ['e5', 'uch'],
      ['a1', ' owe Mallory'],
    ])
    // An increment takes away what it stands on, as there is no counter there.
    const counted = crafted(honest, MALLORY, [
      { action: 'inc', obj, elemId: places[0], insert: false, value: 1, pred: [places[0]] },
    ])
    expect(readable(counted, ['body'])).toEqual([['a1', 'I do ot owe Mallory']])
    // Two who replace the same at once: what is shown is of the one whose operation is later.
    const rival = crafted(honest, BOB, [ops[0]])
    const merged = Automerge.merge(Automerge.clone(rival, { actor: CAROL }), forged)
    expect(readable(merged, ['body'])).toEqual([
      ['a1', 'I do '],
      ['e5', 'uch'],
      ['a1', ' owe Mallory'],
    ])
  })

  it('finds a text in a list behind elements that somebody counts up, though they are no counters', () => {
    const doc = edit(emptyDoc(ALICE), ALICE, draft => {
      draft.list = [7, { text: 'mine' }, true, 'last']
    })
    const list = objectId(doc, 'list')
    const at = (i: number): string => Automerge.getBackend(doc).getAll(list, i)[0]?.at(-1) as string
    const ops = [0, 1, 2].map(i => {
      return { action: 'inc', obj: list, elemId: at(i), insert: false, value: 1, pred: [at(i)] }
    })
    const counted = crafted(doc, MALLORY, ops)
    expect(counted.list).toEqual(['last'])
    expect(readable(counted, ['list', 0])).toEqual([['a1', 'last']])
  })

  it('agrees with whoever typed each character, over random concurrent editing', () => {
    fc.assert(
      fc.property(fc.array(stepArbitrary, { minLength: 1, maxLength: 60 }), steps => {
        const { docs, authors } = play(steps)
        for (const doc of docs) {
          for (const path of PATHS) {
            const [found] = textAuthors(doc, path)
            const text = textAt(doc, path)
            expect(perCodePoint(text, (found as AuthoredText).runs)).toEqual(
              [...text].map(character => authors.get(character)),
            )
            for (const { start, actor } of found?.runs ?? []) {
              expect(Automerge.getCursor(doc, [...path], start).split('@')[1]).toBe(actor)
            }
            expect(found?.runs.every((run, i) => run.actor !== found.runs[i + 1]?.actor)).toBe(true)
          }
        }
      }),
      { numRuns: 60 },
    )
  })
})

// -- An oracle: every character is typed once, so whoever typed it is known by the character --------------------------

const PATHS: readonly TextPath[] = [['body'], ['list', 1, 'text']]
const WRITERS = [ALICE, BOB, CAROL] as const

interface Step {
  readonly kind: 'insert' | 'delete' | 'merge' | 'mark' | 'block' | 'join'
  readonly who: number
  readonly other: number
  readonly path: number
  readonly at: number
  readonly length: number
}

const stepArbitrary: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('insert', 'insert', 'insert', 'delete', 'delete', 'merge', 'merge', 'mark', 'block', 'join'),
  who: fc.nat(2),
  other: fc.nat(2),
  path: fc.nat(1),
  at: fc.nat(1_000),
  length: fc.integer({ min: 1, max: 8 }),
})

/** Characters of one, two, three and four bytes, none twice; beyond U+FFFF they take two code units. */
function* characters(): Generator<string, never> {
  for (let code = 0; ; code++) {
    const base = [0x21, 0x400, 0x4e00, 0x1f300][code % 4] as number
    yield String.fromCodePoint(base + (code >> 2))
  }
}

function play(steps: readonly Step[]): { docs: readonly AnyDoc[]; authors: ReadonlyMap<string, string> } {
  const authors = new Map<string, string>()
  const fresh = characters()
  const start = edit(emptyDoc(ALICE), ALICE, draft => {
    Object.assign(draft, { body: '', list: [1, { text: '' }] })
  })
  const docs: AnyDoc[] = WRITERS.map(actor => Automerge.clone(start, { actor }))
  const typed = (actor: ActorId, length: number): string => {
    const text = Array.from({ length }, () => fresh.next().value)
    for (const character of text) authors.set(character, actor)
    return text.join('')
  }
  for (const { kind, who, other, path: which, at, length } of steps) {
    const doc = docs[who] as AnyDoc
    const actor = WRITERS[who] as ActorId
    const path = PATHS[which] as TextPath
    const text = textAt(doc, path)
    // Never into the middle of a character of two units.
    const place = [...text].slice(0, at % (1 + [...text].length)).join('').length
    const behind = place + [...text.slice(place)].slice(0, length).join('').length
    const change = (fn: (draft: Draft) => void): AnyDoc => Automerge.change(doc, { time: 0 }, fn)
    const next = (): AnyDoc => {
      switch (kind) {
        case 'insert':
          return change(draft => splice(draft, path, place, 0, typed(actor, length)))
        case 'delete':
          return behind === place ? doc : change(draft => splice(draft, path, place, behind - place, ''))
        case 'merge':
          return other === who ? doc : Automerge.merge(doc, docs[other] as AnyDoc)
        case 'mark':
          if (behind === place) return doc
          return change(draft =>
            Automerge.mark(
              draft as never,
              [...path],
              { start: place, end: behind, expand: 'after' },
              'bold',
              `${length}`,
            ),
          )
        case 'block':
          // All blocks look alike: only Alice makes any.
          authors.set('\ufffc', ALICE)
          return who === 0
            ? change(draft => Automerge.splitBlock(draft as never, [...path], place, { type: 'p' }))
            : doc
        case 'join':
          return text[place] === '\ufffc' ? change(draft => Automerge.joinBlock(draft as never, [...path], place)) : doc
      }
    }
    docs[who] = next()
  }
  const all = docs.reduce((merged, doc) => Automerge.merge(merged, doc), Automerge.clone(start, { actor: MALLORY }))
  return { docs: [...docs, all], authors }
}

function perCodePoint(text: string, runs: readonly AuthoredRun[]): readonly (string | undefined)[] {
  let at = 0
  return [...text].map(character => {
    const run = runs.find(({ start, end }) => start <= at && at + character.length <= end)
    at += character.length
    return run?.actor
  })
}
