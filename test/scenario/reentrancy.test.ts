import * as Automerge from '@automerge/automerge/slim'
import { describe, expect, it } from 'vitest'
import { type Note, openWorld } from '../helpers/world.ts'

describe('whoever asks a document inside its change() callback', () => {
  it('is told what was there before, and does not cut the change in two', async () => {
    const world = await openWorld()
    const ann = await world.open('Ann')
    const space = await ann.createSpace({ name: 'Field notes', timeout: 5000 })
    const note = await space.createDocument<Note>({ title: 'Day 1', body: '' }, { name: 'Day 1' })
    const other = await space.createDocument<Note>({ title: 'Day 2', body: '' }, { name: 'Day 2' })
    const before = { heads: note.heads(), changes: Automerge.getAllChanges(note.doc()).length }
    const events: number[] = []
    const headsInEvent: (readonly string[])[] = []
    note.on('change', ({ patches }) => {
      events.push(patches.length)
      headsInEvent.push(note.heads())
    })

    const ask = (): void => {
      expect(note.heads()).toEqual(before.heads)
      expect(note.isReady()).toBe(true)
      expect(note.doc()).toEqual({ title: 'Day 1', body: '' })
      expect(note.info?.name).toBe('Day 1')
      expect(note.receipt.state).toBeTypeOf('string')
      expect(space.documents()).toHaveLength(2)
      expect(space.status.storage).toBe('ok')
      expect(() => note.export()).toThrow(expect.objectContaining({ code: 'ERR_REENTRANT' }))
      expect(() => note.attribution()).toThrow(expect.objectContaining({ code: 'ERR_REENTRANT' }))
      expect(() => note.change(() => {})).toThrow(expect.objectContaining({ code: 'ERR_REENTRANT' }))
      expect(other.heads()).toEqual(Automerge.getHeads(other.doc()))
    }
    note.change(doc => {
      ask()
      doc.title = 'Day one'
      ask()
      Automerge.splice(doc, ['body'], 0, 0, 'text')
      ask()
    })
    expect(Automerge.getAllChanges(note.doc())).toHaveLength(before.changes + 1)
    expect(note.heads()).not.toEqual(before.heads)
    expect(note.heads()).toEqual(Automerge.getHeads(note.doc()))
    expect(note.doc()).toEqual({ title: 'Day one', body: 'text' })
    expect(events).toHaveLength(1)
    expect(headsInEvent).toEqual([note.heads()])
    await ann.close()
  })

  it('and throws, leaves nothing of what was edited, and may ask on', async () => {
    const world = await openWorld()
    const ann = await world.open('Ann')
    const space = await ann.createSpace({ name: 'Field notes', timeout: 5000 })
    const note = await space.createDocument<Note>({ title: 'Day 1', body: '' })
    const before = note.heads()
    expect(() =>
      note.change(doc => {
        doc.title = 'gone'
        throw new Error(note.heads().join())
      }),
    ).toThrow(before.join())
    expect(note.heads()).toEqual(before)
    expect(note.doc().title).toBe('Day 1')
    note.change(doc => {
      doc.title = 'Day 2'
    })
    expect(note.heads()).not.toEqual(before)
    await space.sync({ timeout: 5000 })
    expect(note.receipt.state).toBe('proven')
    await ann.close()
  })
})
