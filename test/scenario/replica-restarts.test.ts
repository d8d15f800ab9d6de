import * as Automerge from '@automerge/automerge/slim'
import { afterEach, describe, expect, it } from 'vitest'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { type MemoryStore, memoryStore } from '../../src/crdt/store-memory.ts'
import { SealogError } from '../../src/errors.ts'
import { DIRECTORY_DOCUMENT } from '../../src/ids.ts'
import type { Replica } from '../../src/replica.ts'
import type { Space } from '../../src/space.ts'
import { decodeHeader } from '../../src/verify/entry.ts'
import { EAGER, settle, TIMEOUT, until, write } from '../helpers/eager.ts'
import { type Note, openPair, openWorld, type World } from '../helpers/world.ts'
import { type ControlledStore, controlledStore, copyOf, type Operation, writes } from './controlled-store.ts'

let world: World
afterEach(() => world.close())

const type = (note: { change(fn: (doc: Note) => void): void }, text: string): void =>
  note.change(doc => Automerge.splice(doc, ['body'], 0, 0, text))

/** One change in each document, told apart by its message. */
async function workIn(space: Space, ids: readonly string[], text: string, saved: Set<string>): Promise<void> {
  for (const id of ids) {
    const note = await space.openDocument<Record<string, number>>(id)
    const message = `${id} ${text}`
    note.change(
      doc => {
        doc[text] = 1
      },
      { message },
    )
    await note.saved()
    saved.add(message)
  }
}

function changesOf(note: { doc(): unknown }): readonly string[] {
  const changes = Automerge.getBackend(note.doc() as Automerge.Doc<unknown>).getChangesMeta([])
  return changes.flatMap(({ message }) => message ?? [])
}

/** A store of a process that dies at an operation: nothing gets in or out from there on. */
function mortal(inner: ReplicaStore, isLast: (operation: Operation) => boolean): ControlledStore & { dead: boolean } {
  const store = Object.assign(controlledStore(inner), { dead: false })
  store.before = operation => {
    store.dead ||= isLast(operation)
    if (store.dead) throw new SealogError('ERR_STORE', 'the process is gone')
  }
  return store
}

/** Ends a replica as a crash does: nothing that it does in the end reaches the store. */
async function crash(replica: Replica, store: ControlledStore & { dead: boolean }): Promise<void> {
  store.dead = true
  await replica.close().catch(() => {})
}

const touches = (operation: Operation, kind: string, document: string): boolean =>
  operation.name === 'commit' &&
  operation.batch.puts.some(([key]) => new TextDecoder().decode(key).includes(`/${kind}/${document}`))

/** Another life of the same store. */
async function again(name: string, store: MemoryStore, id: string, replicate: 'all' | 'opened' = 'all') {
  const replica = await world.open(name, store.twin(), { replicate })
  return { replica, space: await replica.openSpace(id) }
}

describe('a replica that died on the way', () => {
  it('after its directory arrived, still gets every document that it lists', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, annNote } = await openPair(world)
    await write(annSpace, annNote, 12)
    const link = await annSpace.invite({ timeout: TIMEOUT })
    const inner = memoryStore()
    const store = mortal(inner, operation => touches(operation, 'file', annNote.id))
    const cyd = await world.open('Cyd', store)
    const joining = cyd.joinSpace(link, { timeout: TIMEOUT }).catch(() => {})
    await until(() => store.dead, 'the note arrives')
    await crash(cyd, store)
    await joining
    const { space } = await again('Cyd', inner, annSpace.id)
    await space.sync({ timeout: TIMEOUT })
    const note = await space.openDocument<Note>(annNote.id)
    expect(note.heads()).toEqual(annNote.heads())
  })

  it('after a skip, still sends what it wrote before, in documents that nobody opens', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, annNote } = await openPair(world)
    const link = await annSpace.invite({ timeout: TIMEOUT })
    const inner = memoryStore()
    const store = mortal(inner, () => false)
    const cyd = await world.open('Cyd', store, { replicate: 'opened' })
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    const cydNote = await cydSpace.openDocument<Note>(annNote.id)
    await settle(cydSpace)
    cydSpace.pause()
    cydNote.change(doc => {
      doc.title = 'offline'
    })
    await cydNote.saved()
    await write(annSpace, annNote, 60)
    let skipped = false
    store.after = batch => {
      skipped ||= writes(batch, 'trust')
      store.dead ||= skipped
    }
    cydSpace.resume()
    await until(() => store.dead, 'the skip is stored')
    await crash(cyd, store)
    const { space } = await again('Cyd', inner, annSpace.id, 'opened')
    await settle(space, annSpace)
    expect(annNote.doc().title).toBe('offline')
    // A rotation, which the join made due, may be on its way.
    await expect.poll(() => space.status.local).toEqual({ unsaved: 0, pending: 0, sequenced: 0 })
  })

  it('does not take its own last entry for that of a clone', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const inner = memoryStore()
    const store = mortal(inner, () => false)
    const { annSpace, annNote, bob, bobSpace, bobNote } = await openPair(world, { bob: store })
    bobNote.change(doc => {
      doc.title = 'by Bob'
    })
    await settle(bobSpace)
    await crash(bob, store)
    await write(annSpace, annNote, 60)
    const kinds = new Set<string>()
    world.tamper = message => {
      if (message.type === 'sync') for (const { header } of message.batch.entries) kinds.add(decodeHeader(header).kind)
      return [message]
    }
    const { space } = await again('Bob', inner, annSpace.id)
    await space.sync({ timeout: TIMEOUT })
    const note = await space.openDocument<Note>(annNote.id)
    expect(world.count('skip')).toBeGreaterThan(0)
    expect(note.heads()).toEqual(annNote.heads())
    await settle(annSpace, space)
    expect(kinds).not.toContain('retire')
  })
})

describe('a replica that dies again and again, while it joins, skips, fetches and audits', () => {
  it.each([1, 3, 6])(
    'keeps every edit that was saved, once (lives of %i commits and more)',
    async least => {
      world = await openWorld({ hurry: 0.01, limits: EAGER })
      const { annSpace, annNote } = await openPair(world)
      await write(annSpace, annNote, 20)
      const other = await annSpace.createDocument<Note>({ title: 'Day 2', body: '' })
      const link = await annSpace.invite({ timeout: TIMEOUT })
      const store = memoryStore()
      const saved = new Set<string>()
      for (let life = 0; life < 10; life++) {
        let commits = 0
        const dying = mortal(store.twin(), ({ name }) => name === 'commit' && ++commits > least + (life % 3))
        const replica = await world.open('Cyd', dying)
        try {
          if (life === 0) void replica.joinSpace(link, { timeout: TIMEOUT }).catch(() => {})
          else await workIn(await replica.openSpace(annSpace.id), [annNote.id, other.id], `life ${life}`, saved)
        } catch (error) {
          expect(error).toMatchObject({
            code: expect.stringMatching(/^ERR_(STORE|CLOSED|UNKNOWN_SPACE|UNKNOWN_DOCUMENT|READ_ONLY)$/),
          })
        }
        for (let i = 0; i < 50 && !dying.dead; i++) await new Promise(resolve => setTimeout(resolve, 10))
        await crash(replica, dying)
        if (life % 3 === 2) await write(annSpace, other, 4)
      }
      // Of the shortest lives, none may last until there is something to edit.
      if (least > 1) expect(saved.size).toBeGreaterThan(0)
      const replica = await world.open('Cyd', store.twin())
      const space = await replica.joinSpace(link, { timeout: TIMEOUT })
      await settle(space, annSpace)
      for (const note of [annNote, other]) {
        const messages = changesOf(note)
        for (const text of saved) {
          if (text.startsWith(note.id)) expect(messages.filter(message => message === text)).toEqual([text])
        }
        expect(new Set(messages).size).toBe(messages.length)
        expect((await space.openDocument<Note>(note.id)).heads()).toEqual(note.heads())
      }
      await until(() => space.status.trust.level === 'verified', 'the audit ends')
      expect(space.problems).toEqual([])
      await expect
        .poll(() => space.status)
        .toMatchObject({ local: { unsaved: 0, pending: 0, sequenced: 0 }, storage: 'ok' })
    },
    60_000,
  )
})

describe('a replica that meets the work of a clone when it comes back by a skip (R-CLONE-1, R-CLONE-2)', () => {
  it('carries over what it wrote, once, also where the audit ends before that document arrives', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const store = memoryStore()
    const { annSpace, annNote, bob, bobSpace, bobNote } = await openPair(world, { bob: store })
    type(bobNote, 'base ')
    await settle(bobSpace, annSpace)
    await bob.close()
    const clone = await world.open('Bob', await copyOf(store))
    const cloned = await clone.openSpace(annSpace.id)
    type(await cloned.openDocument<Note>(annNote.id), 'other ')
    await settle(cloned, annSpace)
    await clone.close()
    world.down()
    const offline = await again('Bob', store, annSpace.id)
    type(await offline.space.openDocument<Note>(annNote.id), 'mine ')
    await offline.replica.close()
    world.up()
    await write(annSpace, await annSpace.createDocument<Note>({ title: 'Day 2', body: '' }), 70)
    let isRefusing = true
    world.tamper = message => {
      const [first] = message.type === 'records' && isRefusing ? message.records : []
      if (message.type !== 'records' || first === undefined) return [message]
      if (decodeHeader(first.header).document !== annNote.id) return [message]
      const { ref, space } = message
      return [{ type: 'reject', ref, space, code: 'ERR_LIMIT', message: 'not now', position: 0, retryAfter: 0 }]
    }
    const { replica, space } = await again('Bob', store, annSpace.id)
    await until(() => space.status.trust.level === 'vouched', 'it skips')
    await until(() => space.status.trust.level === 'verified', 'the audit ends')
    isRefusing = false
    await settle(space, annSpace)
    expect(annNote.doc().body.split(' ').sort()).toEqual(['', 'base', 'mine', 'other'])
    expect((await space.openDocument<Note>(annNote.id)).heads()).toEqual(annNote.heads())
    expect(space.problems).toEqual([])
    await replica.close()
    const { space: after } = await again('Bob', store, annSpace.id)
    expect((await after.openDocument<Note>(annNote.id)).heads()).toEqual(annNote.heads())
  })

  it('carries over what it wrote, once, wherever it dies in between', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const store = memoryStore()
    const { annSpace, annNote, bob, bobSpace, bobNote } = await openPair(world, { bob: store })
    type(bobNote, 'base ')
    await settle(bobSpace, annSpace)
    await bob.close()
    const clone = await world.open('Bob', await copyOf(store))
    const cloned = await clone.openSpace(annSpace.id)
    type(await cloned.openDocument<Note>(annNote.id), 'other ')
    await settle(cloned, annSpace)
    await clone.close()
    world.down()
    const offline = await again('Bob', store, annSpace.id)
    type(await offline.space.openDocument<Note>(annNote.id), 'mine ')
    await offline.replica.close()
    world.up()
    await write(annSpace, await annSpace.createDocument<Note>({ title: 'Day 2', body: '' }), 70)
    // One life after the other, each of which stores a few batches more than nothing.
    for (let life = 0; life < 12; life++) {
      let commits = 0
      const dying = mortal(store.twin(), ({ name }) => name === 'commit' && ++commits > 1 + (life % 3))
      const replica = await world.open('Bob', dying)
      await replica.openSpace(annSpace.id).catch(() => {})
      for (let i = 0; i < 30 && !dying.dead; i++) await new Promise(resolve => setTimeout(resolve, 20))
      await crash(replica, dying)
    }
    const { space } = await again('Bob', store, annSpace.id)
    await settle(space, annSpace)
    expect(annNote.doc().body.split(' ').sort()).toEqual(['', 'base', 'mine', 'other'])
    expect((await space.openDocument<Note>(annNote.id)).heads()).toEqual(annNote.heads())
    expect(space.problems).toEqual([])
  })
})

describe('a sparse replica that is to have everything', () => {
  it('gets every document of the log, also those that no directory lists', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, annNote } = await openPair(world)
    const link = await annSpace.invite({ timeout: TIMEOUT })
    const store = memoryStore()
    const cyd = await world.open('Cyd', store, { replicate: 'opened' })
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    const hidden = await annSpace.createDocument<Note>({ title: 'hidden', body: '' })
    const directory = await annSpace.openDocument<Record<string, unknown>>(DIRECTORY_DOCUMENT)
    await write(annSpace, hidden, 2)
    directory.change(doc => {
      for (const value of Object.values(doc))
        if (value !== null && typeof value === 'object') delete (value as Record<string, unknown>)[hidden.id]
      delete (doc as unknown as Record<string, unknown>)[hidden.id]
    })
    expect(annSpace.documents().map(({ id }) => id)).not.toContain(hidden.id)
    await settle(annSpace, cydSpace)
    await cyd.close()
    const { space } = await again('Cyd', store, annSpace.id)
    await space.sync({ timeout: TIMEOUT })
    expect((await space.openDocument<Note>(annNote.id)).heads()).toEqual(annNote.heads())
    expect((await space.openDocument<Note>(hidden.id)).heads()).toEqual(hidden.heads())
    expect(space.status.trust).toEqual({ level: 'verified' })
    expect(space.problems).toEqual([])
  })
})
