import * as Automerge from '@automerge/automerge/slim'
import { describe, expect, it } from 'vitest'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { failingStore } from '../../src/crdt/store-failing.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { type Note, openPair, openWorld, settle } from '../helpers/world.ts'

/** The same rows in a store of its own: a backup, or a cloned machine. */
async function copyOf(store: ReplicaStore): Promise<ReplicaStore> {
  const copy = memoryStore()
  await copy.open()
  await copy.commit({ puts: [...(await store.scan(new Uint8Array(0)))], deletes: [] })
  await copy.close()
  return copy
}

const type = (note: { change(fn: (doc: Note) => void): void }, at: number, text: string): void =>
  note.change(doc => Automerge.splice(doc, ['body'], at, 0, text))

describe('two replicas', () => {
  it('write the same note at the same time and end equal', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    for (let i = 0; i < 60; i++) {
      type(annNote, 0, 'a')
      type(bobNote, 0, 'b')
      if (i % 7 === 0) await new Promise(resolve => setTimeout(resolve, 5))
    }
    await settle(annSpace, bobSpace)
    expect(bobNote.heads()).toEqual(annNote.heads())
    expect([...annNote.doc().body].sort().join('')).toBe('a'.repeat(60) + 'b'.repeat(60))
    expect(annSpace.problems).toEqual([])
    expect(annNote.receipt.state).toBe('proven')
    await ann.close()
    await bob.close()
  })

  it('keep what was written offline over a restart, and send it when the relay is back', async () => {
    const world = await openWorld()
    const store = memoryStore()
    const { ann, bob, annSpace, bobSpace, bobNote } = await openPair(world, { bob: store })
    world.down()
    type(bobNote, 0, 'offline ')
    await bobNote.saved()
    expect(bobSpace.status.local).toEqual({ unsaved: 0, pending: 1, sequenced: 0 })
    expect(bobNote.receipt.state).toBe('pending')
    await bob.close()

    const again = await world.open('Bob', store)
    const space = await again.openSpace(bobSpace.id)
    const note = await space.openDocument<Note>(bobNote.id)
    expect(note.doc().body).toBe('offline ')
    expect(space.status.local.pending).toBe(1)
    type(note, 8, 'twice')
    await expect(space.sync({ timeout: 50 })).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    world.up()
    await settle(space, annSpace)
    const annNote = await annSpace.openDocument<Note>(bobNote.id)
    expect(annNote.doc().body).toBe('offline twice')
    expect(annNote.heads()).toEqual(note.heads())
    await ann.close()
    await again.close()
  })

  it('take a lost acknowledgement for what it is: nothing is sent or applied twice', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    const before = await world.logSize(bobSpace.id)
    world.mute = true
    type(bobNote, 0, 'once')
    await expect.poll(() => world.logSize(bobSpace.id)).toBe(before + 1)
    expect(bobNote.receipt.state).not.toBe('proven')
    world.cut()
    world.mute = false
    await settle(bobSpace, annSpace)
    expect(await world.logSize(bobSpace.id)).toBe(before + 1)
    expect(bobNote.receipt.state).toBe('proven')
    expect(annNote.doc().body).toBe('once')
    expect(bobNote.heads()).toEqual(annNote.heads())
    type(bobNote, 4, ' more')
    await settle(bobSpace, annSpace)
    expect(annNote.doc().body).toBe('once more')
    expect(bobSpace.problems).toEqual([])
    await ann.close()
    await bob.close()
  })
})

describe('a cloned or restored replica (R-CLONE-1, R-CLONE-2)', () => {
  it('loses no edit and repeats none: both go on under actors of their own', async () => {
    const world = await openWorld()
    const store = memoryStore()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: store })
    type(bobNote, 0, 'base ')
    await settle(bobSpace, annSpace)
    await bob.close()
    const backup = await copyOf2(store)

    // The original goes on; the clone edits offline, then meets what the original wrote under its own actor.
    const first = await world.open('Bob', store)
    const firstSpace = await first.openSpace(bobSpace.id)
    const firstNote = await firstSpace.openDocument<Note>(bobNote.id)
    type(firstNote, 5, 'original ')
    await settle(firstSpace, annSpace)

    world.down()
    const clone = await world.open('Bob', backup)
    const cloneSpace = await clone.openSpace(bobSpace.id)
    const cloneNote = await cloneSpace.openDocument<Note>(bobNote.id)
    type(cloneNote, 5, 'clone ')
    type(cloneNote, 5, 'two ')
    await cloneNote.saved()
    world.up()
    await settle(cloneSpace, annSpace, firstSpace)
    type(cloneNote, 0, 'C')
    type(firstNote, 0, 'F')
    await settle(cloneSpace, annSpace, firstSpace, cloneSpace)

    const words = annNote
      .doc()
      .body.split(/\s+/)
      .filter(word => word !== '')
      .map(word => word.replace(/^[CF]+/, ''))
      .sort()
    expect(words).toEqual(['base', 'clone', 'original', 'two'])
    expect([...annNote.doc().body].filter(c => c === 'C' || c === 'F').sort()).toEqual(['C', 'F'])
    expect(cloneNote.heads()).toEqual(annNote.heads())
    expect(firstNote.heads()).toEqual(annNote.heads())
    await Promise.all([ann.close(), first.close(), clone.close()])
  })

  async function copyOf2(store: ReplicaStore): Promise<ReplicaStore> {
    await store.open()
    const copy = await copyOf(store)
    await store.close()
    return copy
  }
})

describe('a store that fails', () => {
  it('at any operation of a session loses nothing that was acknowledged', async () => {
    let total = Number.POSITIVE_INFINITY
    for (const mode of ['before', 'after'] as const) {
      const world = await openWorld({ hurry: 0.1 })
      const { ann, annSpace, annNote } = await openPair(world)
      for (let failAt = 1; failAt < total; failAt++) {
        const inner = memoryStore()
        const store = failingStore(inner, { failAt, mode })
        const saved: string[] = []
        const link = await annSpace.invite({ timeout: world.patience(5000) })
        const word = `<${mode}${failAt}>`
        const run = async (): Promise<void> => {
          const replica = await world.open('Carl', store)
          try {
            const space = await replica.joinSpace(link, { timeout: world.patience(3000) })
            const note = await space.openDocument<Note>(annNote.id)
            type(note, 0, word)
            await note.saved()
            saved.push(word)
            await space.sync({ timeout: world.patience(3000) })
          } finally {
            await replica.close()
          }
        }
        await run().catch(error => {
          if (error?.name !== 'SealogError') throw error
        })
        if (store.operations < failAt) total = failAt
        // Whatever happened: the replica opens again, and everything acknowledged gets through.
        const replica = await world.open('Carl', inner)
        const ids = await replica.spaces()
        if (saved.length > 0) expect(ids).toEqual([annSpace.id])
        if (ids.length > 0) {
          const space = await replica.openSpace(annSpace.id)
          await space.sync({ timeout: world.patience(5000) })
          await annSpace.sync({ timeout: world.patience(5000) })
          for (const text of saved) expect(annNote.doc().body.split(text)).toHaveLength(2)
          const note = await space.openDocument<Note>(annNote.id)
          expect(note.heads()).toEqual(annNote.heads())
        }
        await replica.close()
        // Whoever stays gets every later key: a hundred of them would be another test.
        const [, , carl] = annSpace.members()
        if (carl !== undefined) await annSpace.removeMember(carl.id, { timeout: world.patience(5000) })
        else await annSpace.revokeInvite(link, { timeout: world.patience(5000) })
      }
      total = Number.POSITIVE_INFINITY
      await ann.close()
    }
  }, 240_000)
})

describe('what a person does wrong', () => {
  it('is told by a code or by the name of the argument', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace, annNote } = await openPair(world)
    const link = await annSpace.invite({ timeout: 5000 })
    const carl = await world.open('Carl')
    await carl.joinSpace(link, { timeout: 5000 })
    const dora = await world.open('Dora')
    await expect(dora.joinSpace(link, { timeout: 5000 })).rejects.toMatchObject({ code: 'ERR_INVITE' })
    expect(await dora.spaces()).toEqual([])
    for (const bad of ['', 'sealog:', 'https://app.example/#', `${link.slice(0, -20)}`, `${link}AAAA`, 'sealog:!!!']) {
      await expect(dora.previewInvite(bad)).rejects.toMatchObject({ code: 'ERR_INVITE' })
    }
    await expect(dora.openSpace('nonsense')).rejects.toBeInstanceOf(TypeError)
    await expect(dora.openSpace(annSpace.id)).rejects.toMatchObject({ code: 'ERR_UNKNOWN_SPACE' })
    await expect(annSpace.openDocument('00'.repeat(16))).rejects.toMatchObject({ code: 'ERR_UNKNOWN_DOCUMENT' })
    expect(() => annNote.change('no' as never)).toThrow(TypeError)
    await annSpace.close()
    await annSpace.close()
    expect(() => annNote.change(() => {})).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }))
    await Promise.all([ann.close(), bob.close(), carl.close(), dora.close()])
  })
})
