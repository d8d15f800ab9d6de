import * as Automerge from '@automerge/automerge/slim'
import { beforeAll, describe, expect, it } from 'vitest'
import { concat } from '../../src/bytes.ts'
import { type AnyDoc, changeCount, compact, emptyDoc } from '../../src/crdt/content.ts'
import type { ActorId } from '../../src/ids.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { replaced } from '../helpers/replaced.ts'
import { chunkOf, partsOf } from './guard-support.ts'

beforeAll(initializeAutomerge)

/** Of a change chunk: text of keys. */
const KEY_COLUMN = 0x15
const ACTOR = 'a1'.repeat(16) as ActorId

function written(): AnyDoc {
  let doc = emptyDoc(ACTOR)
  for (const value of [1, 2]) {
    doc = Automerge.change(doc, { time: 0 }, d => {
      d.here = value
    })
  }
  return doc
}

/** A document that works, but does not load from its saved form: its last change replaces what is on another key. */
function unloadable(): AnyDoc {
  const doc = written()
  const [first, second] = Automerge.getAllChanges(doc) as [Uint8Array, Uint8Array]
  const parts = partsOf(second)
  const columns = parts.columns.map(([at, data]): [number, Uint8Array] => [
    at,
    at === KEY_COLUMN ? replaced(data, 'here', 'away') : data,
  ])
  return Automerge.loadIncremental(emptyDoc(ACTOR), concat(first, chunkOf({ ...parts, columns })))
}

describe('the saved form of a document (R-STORE-4)', () => {
  it('holds all of it', () => {
    const doc = written()
    const saved = compact(doc)
    expect(saved?.count).toBe(changeCount(doc))
    const again = Automerge.load(saved?.bytes as Uint8Array)
    expect(Automerge.getHeads(again)).toEqual(Automerge.getHeads(doc))
  })

  it('does not take the place of the changes where it does not load', () => {
    const doc = unloadable()
    expect(changeCount(doc)).toBe(2)
    expect(() => Automerge.load(Automerge.save(doc))).toThrow()
    expect(compact(doc)).toBeUndefined()
  })
})
