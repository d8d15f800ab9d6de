import * as Automerge from '@automerge/automerge/slim'
import { describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { SealogError } from '../../src/errors.ts'
import { type Note, openPair, openWorld, settle } from '../helpers/world.ts'
import { controlledStore, latch, writes } from './controlled-store.ts'

const type = (note: { change(fn: (doc: Note) => void): void }, at: number, text: string): void =>
  note.change(doc => Automerge.splice(doc, ['body'], at, 0, text))

const broken = (): SealogError => new SealogError('ERR_STORE', 'the disk is gone')

describe('saved() means durable', () => {
  it('also when the flush that was under way at the call fails', async () => {
    const world = await openWorld()
    const store = controlledStore()
    const { ann, bob, bobNote } = await openPair(world, { bob: store })
    world.down()
    const begun = latch()
    const held = latch()
    store.before = async operation => {
      if (operation.name !== 'commit') return
      begun.open()
      await held.opened
      throw broken()
    }
    type(bobNote, 0, 'word')
    await begun.opened
    const saved = bobNote.saved()
    held.open()
    await expect(saved).rejects.toMatchObject({ code: 'ERR_STORE' })
    store.before = () => {}
    await bobNote.saved()
    await ann.close()
    await bob.close()
  })

  it('for every change made before the call, and says how many are not yet', async () => {
    const world = await openWorld({ hurry: 0.1 })
    const store = controlledStore()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: store })
    let failures = 0
    store.before = operation => {
      if (operation.name !== 'commit') return
      failures++
      throw new SealogError('ERR_STORE_FULL', 'no space left')
    }
    type(bobNote, 0, 'a')
    await expect(bobNote.saved()).rejects.toMatchObject({ code: 'ERR_STORE_FULL' })
    type(bobNote, 0, 'b')
    type(annNote, 0, 'c')
    await expect(bobNote.saved()).rejects.toMatchObject({ code: 'ERR_STORE_FULL' })
    expect(bobSpace.status.local.unsaved).toBe(2)
    expect(bobSpace.status.storage).toBe('full')
    expect(bobSpace.problems).toContainEqual(expect.objectContaining({ code: 'ERR_STORE_FULL' }))
    // A second of the hurried clock is ten: a few attempts, and no busy loop.
    const before = failures
    await new Promise(resolve => setTimeout(resolve, 1000))
    expect(failures - before).toBeGreaterThan(0)
    expect(failures - before).toBeLessThan(20)
    store.before = () => {}
    await bobSpace.sync({ timeout: world.patience(5000) })
    expect(bobSpace.status).toMatchObject({ storage: 'ok', local: { unsaved: 0, pending: 0, sequenced: 0 } })
    await settle(annSpace, bobSpace)
    expect(bobSpace.problems).toEqual([])
    expect([...annNote.doc().body].sort().join('')).toBe('abc')
    expect(bobNote.heads()).toEqual(annNote.heads())
    await ann.close()
    await bob.close()
  })

  it('says that storage works only once nothing is left unsaved', async () => {
    const world = await openWorld({ hurry: 0.1 })
    const store = controlledStore()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: store })
    store.before = operation => {
      if (operation.name === 'commit' && writes(operation.batch, 'local')) throw broken()
    }
    type(bobNote, 0, 'b')
    await expect(bobNote.saved()).rejects.toMatchObject({ code: 'ERR_STORE' })
    type(annNote, 0, 'a')
    await annSpace.sync({ timeout: world.patience(5000) })
    await expect.poll(() => bobNote.doc().body).toContain('a')
    expect(bobSpace.status).toMatchObject({ storage: 'failed', local: { unsaved: 1 } })
    store.before = () => {}
    await settle(bobSpace)
    expect(bobSpace.status.storage).toBe('ok')
    await ann.close()
    await bob.close()
  })
})

describe('a document that is written while it is compacted', () => {
  it('keeps every change, also over a restart', async () => {
    const world = await openWorld()
    const inner = memoryStore()
    const store = controlledStore(inner)
    const { ann, bob, bobSpace, bobNote } = await openPair(world, { bob: store })
    let during = 0
    store.before = operation => {
      // The scan for the rows that the saved form replaces.
      if (operation.name !== 'scan' || !operation.key.includes(`/file/${bobNote.id}`) || during > 0) return
      during++
      type(bobNote, 0, 'DURING')
    }
    for (let i = 0; i < 2100; i++) type(bobNote, 0, 'x')
    await settle(bobSpace)
    expect(during).toBe(1)
    const heads = bobNote.heads()
    await bob.close()
    const again = await world.open('Bob', inner.twin())
    const space = await again.openSpace(bobSpace.id)
    const note = await space.openDocument<Note>(bobNote.id)
    expect(note.doc().body).toContain('DURING')
    expect(note.heads()).toEqual(heads)
    type(note, 0, 'later')
    await settle(space)
    await ann.close()
    await again.close()
  })

  it('keeps changes that are not proven out of what counts as proven', async () => {
    const world = await openWorld()
    const inner = memoryStore()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: inner })
    for (let i = 0; i < 200; i++) type(annNote, 0, 'a')
    await settle(annSpace, bobSpace)
    world.down()
    for (let i = 0; i < 200; i++) type(bobNote, 0, 'b')
    await bob.close()
    for (let restart = 0; restart < 2; restart++) {
      const again = await world.open('Bob', inner.twin())
      const space = await again.openSpace(bobSpace.id)
      const note = await space.openDocument<Note>(bobNote.id)
      expect(note.doc().body).toHaveLength(400 + restart)
      type(note, 0, 'c')
      await again.close()
    }
    world.up()
    const last = await world.open('Bob', inner.twin())
    const space = await last.openSpace(bobSpace.id)
    await settle(space, annSpace)
    expect(annNote.doc().body).toHaveLength(402)
    await last.close()
    await ann.close()
  })
})
