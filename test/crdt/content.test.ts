import * as Automerge from '@automerge/automerge/slim'
import { beforeAll, describe, expect, it } from 'vitest'
import { fromHex } from '../../src/bytes.ts'
import type { ChangeTip } from '../../src/crdt/chain-place.ts'
import { type AnyDoc, applyRows, compact, emptyDoc } from '../../src/crdt/content.ts'
import { DocumentCore } from '../../src/crdt/document-core.ts'
import type { FileRow } from '../../src/crdt/file-row.ts'
import { GuardedContent } from '../../src/crdt/guarded-content.ts'
import type { LocalChange } from '../../src/crdt/local-row.ts'
import { openContent } from '../../src/crdt/open-content.ts'
import type { ActorId, DocumentId } from '../../src/ids.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'

const actor = (digit: string): ActorId => digit.repeat(32) as ActorId
const READER = actor('f')

/** What one actor contributes to a document, as the row of one entry. */
function rowOf(doc: AnyDoc, index: number): FileRow {
  const bytes = Automerge.getLastLocalChange(doc) as Uint8Array
  const [hash] = Automerge.getHeads(doc)
  return {
    kind: 'raw',
    count: 1,
    index,
    chain: { seq: 0, prev: new Uint8Array(32) },
    actor: Automerge.getActorId(doc) as ActorId,
    tip: { seq: 1, hash: fromHex(hash as string) },
    bytes,
  }
}

function writtenBy(digit: string, index: number): FileRow {
  const doc = Automerge.change(emptyDoc(actor(digit)), { time: 0 }, d => {
    d[`by-${digit}`] = digit
  })
  return rowOf(doc, index)
}

/** A row whose changes are not what it announces. */
const BAD: Readonly<Record<string, (row: FileRow) => FileRow>> = {
  'announces a change that is not in it': row => ({ ...row, tip: { seq: 1, hash: new Uint8Array(32) } }),
  'announces more changes than it holds': row => ({ ...row, count: 2 }),
  'is cut short': row => ({ ...row, bytes: row.bytes.slice(0, -3) }),
  'is no chunk at all': row => ({ ...row, bytes: new Uint8Array(40).fill(7) }),
  'builds on a change that is missing': row => ({ ...row, ...dependent(row.actor as ActorId, row.index) }),
}

function dependent(author: ActorId, index: number): FileRow {
  const hidden = Automerge.change(emptyDoc(actor('9')), { time: 0 }, d => {
    d.hidden = 1
  })
  const forked = Automerge.clone(hidden, { actor: author })
  return rowOf(
    Automerge.change(forked, { time: 0 }, d => {
      d.after = 1
    }),
    index,
  )
}

function freshCore(): DocumentCore {
  const document = '1'.repeat(32) as DocumentId
  const content = new GuardedContent(READER)
  return new DocumentCore({ document, actor: READER, content, locals: [], tip: undefined, savedCount: 0 })
}

const NOBODY: ReadonlyMap<ActorId, ChangeTip> = new Map()

/** Rows as they are opened that came while the document was closed. */
function open(unjudged: readonly FileRow[]): ReturnType<typeof openContent> {
  return openContent(READER, { judged: [], unjudged, locals: [], tips: NOBODY })
}

function write(core: DocumentCore, key: string, value: unknown): void {
  core.change(
    doc => {
      doc[key] = value
    },
    0,
    undefined,
  )
}

beforeAll(initializeAutomerge)

describe('a batch with an entry that does not apply as announced (R-APPLY-1, R-APPLY-2)', () => {
  for (const [what, spoil] of Object.entries(BAD)) {
    for (const place of [0, 1, 2]) {
      it(`is taken without it: entry ${['first', 'in the middle', 'last'][place]}, it ${what}`, () => {
        const good = [writtenBy('a', 0), writtenBy('b', 1), writtenBy('c', 2)]
        const rows = good.map((row, i) => (i === place ? spoil(row) : row))
        const expected = good.filter((_, i) => i !== place).map(row => `by-${row.actor?.[0]}`)

        expect(applyRows(emptyDoc(READER), rows)).toBeUndefined()

        const core = freshCore()
        const live = core.take(rows, NOBODY)
        expect(live.refused.map(({ row }) => row.index)).toEqual([place])
        // None of them is provably what the author committed to: whatever that is may still turn up.
        expect(live.refused[0]?.reason).toBe('parked')
        expect(Object.keys(core.doc).sort()).toEqual(expected)

        const opened = open(rows)
        expect(opened.refused.map(({ row }) => row.index)).toEqual([place])
        expect(Automerge.getHeads(opened.content.doc).sort()).toEqual(Automerge.getHeads(core.doc).sort())
      })
    }
  }

  it('and nothing later of the same actor is tried', () => {
    const bad = { ...writtenBy('a', 0), bytes: new Uint8Array(9) }
    const opened = open([bad, writtenBy('b', 1), { ...writtenBy('a', 2) }])
    expect(opened.refused.map(({ row }) => row.index)).toEqual([0, 2])
    expect(Object.keys(opened.content.doc)).toEqual(['by-b'])
  })
})

describe('a document', () => {
  it('is as before when the callback of a change throws', () => {
    const core = freshCore()
    write(core, 'kept', 1)
    expect(() =>
      core.change(
        d => {
          d.lost = 1
          throw new RangeError('no')
        },
        0,
        undefined,
      ),
    ).toThrow(RangeError)
    expect(core.doc).toEqual({ kept: 1 })
    expect(core.locals).toHaveLength(1)
    write(core, 'next', 2)
    expect(core.locals.map(change => change.seq)).toEqual([1, 2])
  })

  it('is as before when the guard refuses the change, and goes on afterwards (R-GUARD-1)', () => {
    const core = freshCore()
    write(core, 'kept', 1)
    expect(() =>
      core.change(
        d => {
          d.lost = 1
          // What an application might do with a key that somebody typed in.
          Object.defineProperty(d, '__proto__', {
            value: { isAdmin: true },
            enumerable: true,
            configurable: true,
            writable: true,
          })
          ;(d as { m: unknown }).m = JSON.parse('{"__proto__": {"isAdmin": true}}')
        },
        0,
        undefined,
      ),
    ).toThrow()
    expect(core.doc).toEqual({ kept: 1 })
    write(core, 'next', 2)
    expect(core.doc).toEqual({ kept: 1, next: 2 })
    expect(core.locals.map(change => change.seq)).toEqual([1, 2])
  })

  it('refuses a change inside a change', () => {
    const core = freshCore()
    expect(() =>
      core.change(
        () => {
          write(core, 'inner', 1)
        },
        0,
        undefined,
      ),
    ).toThrow(expect.objectContaining({ code: 'ERR_REENTRANT' }))
    write(core, 'after', 1)
    expect(core.doc).toEqual({ after: 1 })
  })

  it('opens from its saved form, what came after it, and own changes on their way', () => {
    const core = freshCore()
    write(core, 'own', 'first')
    core.take([writtenBy('a', 0)], NOBODY)
    const saved = compact(core.doc) as NonNullable<ReturnType<typeof compact>>
    const later = writtenBy('b', 1)
    core.take([later], NOBODY)
    write(core, 'own', 'second')
    const row: FileRow = {
      kind: 'saved',
      count: saved.count,
      index: 0,
      actor: undefined,
      chain: undefined,
      tip: undefined,
      bytes: saved.bytes,
    }
    const locals: readonly LocalChange[] = core.locals.slice(1)
    const opened = openContent(READER, { judged: [row, later], unjudged: [], locals, tips: NOBODY })
    expect(opened.refused).toEqual([])
    expect(opened.content.doc).toEqual({ own: 'second', 'by-a': 'a', 'by-b': 'b' })
    expect(Automerge.getHeads(opened.content.doc)).toEqual(core.heads())
  })

  it('says so when its saved form has lost changes', () => {
    const core = freshCore()
    write(core, 'own', 1)
    const saved = compact(core.doc) as NonNullable<ReturnType<typeof compact>>
    const row: FileRow = {
      kind: 'saved',
      count: saved.count + 1,
      index: 0,
      actor: undefined,
      chain: undefined,
      tip: undefined,
      bytes: saved.bytes,
    }
    const openSaved = (saved: FileRow): unknown =>
      openContent(READER, { judged: [saved], unjudged: [], locals: [], tips: NOBODY })
    expect(() => openSaved(row)).toThrow(expect.objectContaining({ code: 'ERR_STORE_CORRUPT' }))
    expect(() => openSaved({ ...row, bytes: row.bytes.slice(1) })).toThrow(
      expect.objectContaining({ code: 'ERR_STORE_CORRUPT' }),
    )
  })
})
