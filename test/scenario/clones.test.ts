import * as Automerge from '@automerge/automerge/slim'
import { describe, expect, it } from 'vitest'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { SealogError } from '../../src/errors.ts'
import type { Replica } from '../../src/replica.ts'
import type { Space } from '../../src/space.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { type Note, openPair, openWorld, settle, type World } from '../helpers/world.ts'
import { controlledStore, copyOf, writes } from './controlled-store.ts'

const type = (note: { change(fn: (doc: Note) => void): void }, at: number, text: string): void =>
  note.change(doc => Automerge.splice(doc, ['body'], at, 0, text))

const wordsOf = (note: { doc(): Note }): string[] =>
  note
    .doc()
    .body.split(' ')
    .filter(word => word !== '')
    .sort()

interface Device {
  readonly replica: Replica
  readonly space: Space
  readonly note: SpaceDocument<Note>
}

async function boot(world: World, store: ReplicaStore, space: string, document: string): Promise<Device> {
  const replica = await world.open('Bob', store)
  const opened = await replica.openSpace(space)
  return { replica, space: opened, note: await opened.openDocument<Note>(document) }
}

/** Lets a replica that is behind meet what a clone wrote under its actor, up to the proven retirement. */
async function behindAClone(pending: string): Promise<{
  world: World
  store: ReturnType<typeof memoryStore>
  pair: Awaited<ReturnType<typeof openPair>>
  other: Device
}> {
  const world = await openWorld({ hurry: 0.1 })
  const store = memoryStore()
  const pair = await openPair(world, { bob: store })
  type(pair.bobNote, 0, 'base ')
  await settle(pair.bobSpace, pair.annSpace)
  await pair.bob.close()
  const other = await boot(world, await copyOf(store), pair.bobSpace.id, pair.bobNote.id)
  type(other.note, 0, 'other ')
  await settle(other.space)
  await other.replica.close()
  world.down()
  const offline = await boot(world, store.twin(), pair.bobSpace.id, pair.bobNote.id)
  type(offline.note, 0, pending)
  await offline.replica.close()
  world.up()
  return { world, store, pair, other }
}

describe('a cloned replica (R-CLONE-1, R-CLONE-2)', () => {
  it('that stops between the proven retirement and the carry-over still carries over', async () => {
    const { world, store, pair } = await behindAClone('mine ')
    const { annSpace, annNote, bobSpace, bobNote } = pair
    // Everything is stored but what follows the retirement: as a crash in that moment leaves it.
    const dying = controlledStore(store.twin())
    let dead = false
    dying.before = operation => {
      if (dead) throw new SealogError('ERR_STORE', 'the process is gone')
      if (operation.name === 'commit' && writes(operation.batch, 'local')) {
        dead = true
        throw new SealogError('ERR_STORE', 'the process is gone')
      }
    }
    const first = await boot(world, dying, bobSpace.id, bobNote.id)
    await expect.poll(() => dead, { timeout: 5000 }).toBe(true)
    await first.replica.close().catch(() => {})

    const again = await boot(world, store.twin(), bobSpace.id, bobNote.id)
    await settle(again.space, annSpace)
    expect(wordsOf(annNote)).toEqual(['base', 'mine', 'other'])
    expect(again.note.heads()).toEqual(annNote.heads())
    type(again.note, 0, 'on ')
    await settle(again.space, annSpace)
    expect(wordsOf(annNote)).toEqual(['base', 'mine', 'on', 'other'])
    await pair.ann.close()
    await again.replica.close()
  })

  it('whose store fails at the carry-over keeps a store that opens', async () => {
    const { world, store, pair } = await behindAClone('mine ')
    const { annSpace, annNote, bobSpace, bobNote } = pair
    const failing = controlledStore(store.twin())
    let failed = 0
    failing.before = operation => {
      if (operation.name !== 'commit' || !writes(operation.batch, 'local')) return
      failed++
      throw new SealogError('ERR_STORE_FULL', 'no space left')
    }
    const first = await boot(world, failing, bobSpace.id, bobNote.id)
    await expect.poll(() => failed, { timeout: 5000 }).toBeGreaterThan(0)
    // Meanwhile others write, and what they write is stored.
    type(annNote, 0, 'ann ')
    await annSpace.sync({ timeout: world.patience(5000) })
    await new Promise(resolve => setTimeout(resolve, 200))
    await first.replica.close().catch(() => {})

    const again = await boot(world, store.twin(), bobSpace.id, bobNote.id)
    await settle(again.space, annSpace)
    expect(wordsOf(annNote)).toEqual(['ann', 'base', 'mine', 'other'])
    expect(again.note.heads()).toEqual(annNote.heads())
    await pair.ann.close()
    await again.replica.close()
  })

  it('that shares unsent edits with its clone sends them once', async () => {
    const world = await openWorld()
    const store = memoryStore()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: store })
    await settle(annSpace, bobSpace)
    world.down()
    type(bobNote, 0, 'shared ')
    await bob.close()
    const backup = await copyOf(store)
    // Both have the same unsent edit, and each one of its own behind it.
    const a = await boot(world, store, bobSpace.id, bobNote.id)
    type(a.note, 0, 'a ')
    await a.replica.close()
    const b = await boot(world, backup, bobSpace.id, bobNote.id)
    type(b.note, 0, 'b ')
    await b.replica.close()
    world.up()
    const a2 = await boot(world, store, bobSpace.id, bobNote.id)
    await settle(a2.space)
    const b2 = await boot(world, backup, bobSpace.id, bobNote.id)
    await settle(b2.space, a2.space, annSpace)
    expect(wordsOf(annNote)).toEqual(['a', 'b', 'shared'])
    expect(a2.note.heads()).toEqual(annNote.heads())
    expect(b2.note.heads()).toEqual(annNote.heads())
    expect(b2.space.problems).toEqual([])
    await Promise.all([ann.close(), a2.replica.close(), b2.replica.close()])
  })

  it('shows carried edits after a restart, also where much was compacted under the old actor', async () => {
    const world = await openWorld()
    const store = memoryStore()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: store })
    for (let i = 0; i < 200; i++) type(bobNote, 0, 'x')
    type(bobNote, 0, ' ')
    await settle(bobSpace, annSpace)
    await bob.close()
    const backup = await copyOf(store)
    const other = await boot(world, backup, bobSpace.id, bobNote.id)
    type(other.note, 0, 'other ')
    await settle(other.space)
    await other.replica.close()

    world.down()
    const offline = await boot(world, store, bobSpace.id, bobNote.id)
    type(offline.note, 0, 'mine ')
    await offline.replica.close()
    world.up()
    // The relay goes away as soon as the edit is carried over, before it is sent.
    const online = controlledStore(store)
    let carried = false
    online.after = batch => {
      if (!writes(batch, 'local')) return
      carried = true
      world.down()
    }
    const meeting = await boot(world, online, bobSpace.id, bobNote.id)
    await expect.poll(() => carried, { timeout: 5000 }).toBe(true)
    await meeting.replica.close()
    world.up()
    const again = await boot(world, store, bobSpace.id, bobNote.id)
    expect(wordsOf(again.note)).toEqual(['mine', 'other', 'x'.repeat(200)])
    type(again.note, 0, 'on ')
    await settle(again.space, annSpace)
    expect(wordsOf(annNote)).toEqual(['mine', 'on', 'other', 'x'.repeat(200)])
    expect(again.note.heads()).toEqual(annNote.heads())
    await ann.close()
    await again.replica.close()
  })

  it('with unsent edits in a compacted document repeats none of them', async () => {
    const world = await openWorld()
    const store = memoryStore()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: store })
    type(bobNote, 0, 'base ')
    await settle(bobSpace, annSpace)
    await bob.close()
    const other = await boot(world, await copyOf(store), bobSpace.id, bobNote.id)
    type(other.note, 0, 'other ')
    await settle(other.space)
    await other.replica.close()
    world.down()
    const offline = await boot(world, store, bobSpace.id, bobNote.id)
    for (let i = 0; i < 200; i++) type(offline.note, i, 'y')
    type(offline.note, 200, ' ')
    await offline.replica.close()
    world.up()
    const online = await boot(world, store, bobSpace.id, bobNote.id)
    await settle(online.space, annSpace)
    expect(wordsOf(annNote)).toEqual(['base', 'other', 'y'.repeat(200)].sort())
    expect(online.note.heads()).toEqual(annNote.heads())
    await ann.close()
    await online.replica.close()
  })

  it('can be written in, offline and after a restart, before the retirement is proven', async () => {
    const { world, store, pair } = await behindAClone('mine ')
    const { annSpace, annNote, bobSpace, bobNote } = pair
    // The relay goes away right after the replica has learnt of its clone.
    const first = await boot(world, store.twin(), bobSpace.id, bobNote.id)
    await expect.poll(() => first.space.status.confirmed.size).toBeGreaterThan(0)
    world.down()
    await first.replica.close()
    const offline = await boot(world, store.twin(), bobSpace.id, bobNote.id)
    type(offline.note, 0, 'offline ')
    await offline.note.saved()
    await offline.replica.close()
    world.up()
    const again = await boot(world, store.twin(), bobSpace.id, bobNote.id)
    await settle(again.space, annSpace)
    expect(wordsOf(annNote)).toEqual(['base', 'mine', 'offline', 'other'])
    expect(again.note.heads()).toEqual(annNote.heads())
    await pair.ann.close()
    await again.replica.close()
  })

  it('restored without any unsent edit goes on at once, and can be written in while it is offline', async () => {
    const world = await openWorld()
    const store = memoryStore()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: store })
    type(bobNote, 0, 'base ')
    await settle(bobSpace, annSpace)
    await bob.close()
    const backup = await copyOf(store)
    const later = await boot(world, store, bobSpace.id, bobNote.id)
    type(later.note, 0, 'lost ')
    await settle(later.space, annSpace)
    await later.replica.close()
    // What the replica learns of its own past is stored, but its retirement never leaves.
    const mute = controlledStore(backup)
    mute.after = () => {
      world.down()
    }
    const restored = await boot(world, mute, bobSpace.id, bobNote.id)
    await new Promise(resolve => setTimeout(resolve, 300))
    await restored.replica.close()
    mute.after = () => {}
    const offline = await boot(world, backup, bobSpace.id, bobNote.id)
    type(offline.note, 0, 'offline ')
    await offline.replica.close()
    world.up()
    const again = await boot(world, backup, bobSpace.id, bobNote.id)
    await settle(again.space, annSpace)
    expect(wordsOf(annNote)).toEqual(['base', 'lost', 'offline'])
    expect(again.note.heads()).toEqual(annNote.heads())
    expect(again.space.problems).toEqual([])
    await ann.close()
    await again.replica.close()
  })

  it('three of one backup, each offline with edits in several documents, end equal and complete', async () => {
    const world = await openWorld()
    const store = memoryStore()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: store })
    const second = await bobSpace.createDocument<Note>({ title: 'second', body: '' })
    type(bobNote, 0, 'base ')
    type(second, 0, 'base ')
    await settle(bobSpace, annSpace)
    await bob.close()
    const stores = [store, await copyOf(store), await copyOf(store)]
    world.down()
    for (const [i, each] of stores.entries()) {
      const device = await boot(world, each, bobSpace.id, bobNote.id)
      const other = await device.space.openDocument<Note>(second.id)
      type(device.note, 0, `n${i} `)
      type(other, 0, `s${i} `)
      type(device.note, 0, `m${i} `)
      // A document of its own, too: the directory is a document like others.
      await device.space.createDocument<Note>({ title: '', body: `own ${i}` }, { name: `own ${i}` })
      await device.replica.close()
    }
    world.up()
    const devices: Device[] = []
    for (const each of stores) devices.push(await boot(world, each, bobSpace.id, bobNote.id))
    const spaces = devices.map(device => device.space)
    await settle(...spaces, annSpace, ...spaces)
    expect(wordsOf(annNote)).toEqual(['base', 'm0', 'm1', 'm2', 'n0', 'n1', 'n2'])
    const annSecond = await annSpace.openDocument<Note>(second.id)
    expect(wordsOf(annSecond)).toEqual(['base', 's0', 's1', 's2'])
    for (const { space, note } of devices) {
      expect(note.heads()).toEqual(annNote.heads())
      expect((await space.openDocument(second.id)).heads()).toEqual(annSecond.heads())
      expect(space.documents().map(info => info.name)).toEqual(annSpace.documents().map(info => info.name))
      expect(space.problems).toEqual([])
    }
    expect(annSpace.documents()).toHaveLength(5)
    // And all of them survive a restart.
    for (const device of devices) await device.replica.close()
    for (const each of stores) {
      const device = await boot(world, each, bobSpace.id, bobNote.id)
      type(device.note, 0, 'z ')
      await settle(device.space)
      await device.replica.close()
    }
    await settle(annSpace)
    expect(wordsOf(annNote).filter(word => word === 'z')).toHaveLength(3)
    await ann.close()
  })
})
