import * as Automerge from '@automerge/automerge/slim'
import { afterEach, describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { SyncLimits } from '../../src/crdt/sync-limits.ts'
import type { Space } from '../../src/space.ts'
import { type Note, openPair, openWorld, type World } from '../helpers/world.ts'

/** So that a few dozen entries do what takes thousands in life. */
const EAGER: SyncLimits = {
  skip: { join: 8, comeback: 12 },
  snapshot: { entries: 6, bytes: 1 << 20, delay: 5 },
  cosign: { entries: 6 },
}
/** In hurried milliseconds. */
const TIMEOUT = 1_000_000

let world: World
afterEach(() => world.close())

/** So many entries, each proven before the next is made. */
async function write(space: Space, note: { change(fn: (doc: Note) => void): void }, entries: number): Promise<void> {
  for (let i = 0; i < entries; i++) {
    note.change(doc => {
      doc.body += `${i} `
    })
    await space.sync({ timeout: TIMEOUT })
  }
}

async function settle(...spaces: readonly Space[]): Promise<void> {
  for (const space of [...spaces, ...spaces]) await space.sync({ timeout: TIMEOUT })
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (holds()) return
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  throw new Error(`never happened: ${what}`)
}

describe('who joins a long log', () => {
  it('skips to the checkpoint of the invite, has every document, and audits what it skipped (R-SKIP-7, R-AUDIT-1)', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, bobSpace, annNote } = await openPair(world)
    await write(annSpace, annNote, 30)
    const second = await annSpace.createDocument<Note>({ title: 'Day 2', body: 'x' }, { name: 'Day 2' })
    await write(annSpace, second, 10)
    await settle(annSpace, bobSpace)
    const link = await annSpace.invite({ timeout: TIMEOUT })
    const cyd = await world.open('Cyd')
    const reads = world.count('read')
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    await cydSpace.sync({ timeout: TIMEOUT })
    const note = await cydSpace.openDocument<Note>(annNote.id)
    expect(note.doc()).toEqual(annNote.doc())
    expect(note.heads()).toEqual(annNote.heads())
    await until(() => cydSpace.status.trust.level === 'verified', 'the audit ends')
    expect(world.count('read')).toBeGreaterThan(reads)
    expect(cydSpace.problems).toEqual([])
    note.change(doc => {
      doc.title = 'from Cyd'
    })
    await settle(cydSpace, annSpace, bobSpace)
    expect(annNote.doc().title).toBe('from Cyd')
  })
})

describe('who comes back after long', () => {
  it('skips to what other members cosigned, and loses nothing that it wrote meanwhile (R-SKIP-7)', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, bob, bobSpace, annNote, bobNote } = await openPair(world)
    await settle(annSpace, bobSpace)
    bobSpace.pause()
    bobNote.change(doc => {
      doc.title = 'offline'
    })
    await write(annSpace, annNote, 60)
    bobSpace.resume()
    await bobSpace.sync({ timeout: TIMEOUT })
    expect(world.count('skip')).toBeGreaterThan(0)
    await settle(annSpace, bobSpace)
    expect(bobNote.doc()).toEqual(annNote.doc())
    expect(bobNote.doc().title).toBe('offline')
    await until(() => bobSpace.status.trust.level === 'verified', 'the audit ends')
    expect(bobSpace.problems).toEqual([])
    await bob.close()
  })
})

describe('a sparse replica', () => {
  it('verifies everything, and holds what was opened on it (R-SPARSE-1)', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, annNote } = await openPair(world)
    const store = memoryStore()
    const link = await annSpace.invite({ timeout: TIMEOUT })
    const cyd = await world.open('Cyd', store, { replicate: 'opened' })
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    const second = await annSpace.createDocument<Note>({ title: 'Day 2', body: 'x' }, { name: 'Day 2' })
    await write(annSpace, second, 5)
    await write(annSpace, annNote, 5)
    await settle(cydSpace, annSpace)
    expect(cydSpace.documents().map(item => item.name)).toEqual(['Day 1', 'Day 2'])
    const note = await cydSpace.openDocument<Note>(annNote.id)
    await cydSpace.sync({ timeout: TIMEOUT })
    expect(note.heads()).toEqual(annNote.heads())
    note.change(doc => {
      doc.title = 'sparse'
    })
    const own = await cydSpace.createDocument<Note>({ title: 'mine', body: '' }, { name: 'Day 3' })
    await settle(cydSpace, annSpace)
    expect(annNote.doc().title).toBe('sparse')
    const there = await annSpace.openDocument<Note>(own.id)
    expect(there.doc()).toEqual(own.doc())
    expect(cydSpace.status.trust).toEqual({ level: 'verified' })
    expect(cydSpace.problems).toEqual([])
    // After a restart it goes on from what it kept.
    await cyd.close()
    const again = await world.open('Cyd', store, { replicate: 'opened' })
    const space = await again.openSpace(cydSpace.id)
    await write(annSpace, annNote, 3)
    await write(annSpace, second, 3)
    await settle(space, annSpace)
    const reopened = await space.openDocument<Note>(annNote.id)
    expect(reopened.heads()).toEqual(annNote.heads())
    expect(space.problems).toEqual([])
  })
})

describe('an import', () => {
  it('begins a document on all replicas: live, by replay, sparse, and under a snapshot', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, bobSpace } = await openPair(world)
    let foreign = Automerge.from<Record<string, unknown>>({ title: 'from elsewhere', body: 'old ' })
    foreign = Automerge.change(foreign, doc => {
      doc.body = 'older '
    })
    const note = await annSpace.importDocument<Note>(Automerge.save(foreign), { name: 'Old notes' })
    expect(note.doc()).toEqual({ title: 'from elsewhere', body: 'older ' })
    note.change(doc => {
      doc.body += 'and new'
    })
    await settle(annSpace, bobSpace)
    const bobNote = await bobSpace.openDocument<Note>(note.id)
    expect(bobNote.doc()).toEqual(note.doc())
    bobNote.change(doc => {
      doc.title = 'by Bob'
    })
    await write(annSpace, note, 20)
    await settle(annSpace, bobSpace)
    const link = await annSpace.invite({ timeout: TIMEOUT })
    const cyd = await world.open('Cyd', memoryStore(), { replicate: 'opened' })
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    const cydNote = await cydSpace.openDocument<Note>(note.id)
    await cydSpace.sync({ timeout: TIMEOUT })
    expect(cydNote.heads()).toEqual(note.heads())
    for (const space of [annSpace, bobSpace, cydSpace]) expect(space.problems).toEqual([])
    await expect(annSpace.importDocument(new Uint8Array(9))).rejects.toMatchObject({ code: 'ERR_GUARD' })
  })

  it('that was made offline survives a restart, and is sent once', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const store = memoryStore()
    const { ann, annSpace, bobSpace } = await openPair(world, { ann: store })
    annSpace.pause()
    const foreign = Automerge.from<Record<string, unknown>>({ title: 'elsewhere', body: '' })
    const note = await annSpace.importDocument<Note>(Automerge.save(foreign))
    note.change(doc => {
      doc.body = 'offline'
    })
    await note.saved()
    await ann.close()
    const again = await (await world.open('Ann', store)).openSpace(annSpace.id)
    await settle(again, bobSpace)
    const there = await bobSpace.openDocument<Note>(note.id)
    expect(there.doc()).toEqual({ title: 'elsewhere', body: 'offline' })
    expect((await again.openDocument<Note>(note.id)).heads()).toEqual(there.heads())
    expect(again.problems).toEqual([])
  })
})
