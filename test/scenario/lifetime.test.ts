import * as Automerge from '@automerge/automerge/slim'
import { describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { Environment } from '../../src/environment.ts'
import { SealogError } from '../../src/errors.ts'
import { Replica } from '../../src/replica.ts'
import { type Note, openPair, openWorld, settle } from '../helpers/world.ts'
import { controlledStore, latch } from './controlled-store.ts'

const type = (note: { change(fn: (doc: Note) => void): void }, at: number, text: string): void =>
  note.change(doc => Automerge.splice(doc, ['body'], at, 0, text))

describe('a handle', () => {
  it('that is opened while another one closes can be read and written', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    await settle(annSpace, bobSpace)
    for (let i = 0; i < 5; i++) {
      const first = await bobSpace.openDocument<Note>(annNote.id)
      bobNote.close()
      first.close()
      const second = await bobSpace.openDocument<Note>(annNote.id)
      type(second, 0, 'x')
      expect(second.doc().body).toHaveLength(i + 1)
      await settle(bobSpace)
      const both = [bobSpace.openDocument<Note>(annNote.id), bobSpace.openDocument<Note>(annNote.id)]
      second.close()
      const [third, fourth] = await Promise.all(both)
      third?.close()
      expect(fourth?.heads()).toHaveLength(1)
      fourth?.close()
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    await settle(bobSpace, annSpace)
    expect(annNote.doc().body).toBe('xxxxx')
    await ann.close()
    await bob.close()
  })

  it('can still be asked what it showed after it, its space or its replica was closed', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace, bobSpace, bobNote } = await openPair(world)
    type(bobNote, 0, 'last')
    await settle(bobSpace, annSpace)
    const heads = bobNote.heads()
    const names = bobSpace.documents().map(info => info.name)
    await bob.close()
    expect(bobNote.heads()).toEqual(heads)
    expect(bobNote.doc().body).toBe('last')
    expect(bobNote.info?.name).toBe('Day 1')
    expect(bobNote.receipt.state).toBe('proven')
    expect(bobSpace.documents().map(info => info.name)).toEqual(names)
    expect(bobSpace.status.local.unsaved).toBe(0)
    expect(() => type(bobNote, 0, 'x')).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }))
    await expect(bobSpace.openDocument(bobNote.id)).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await expect(bobSpace.sync()).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await ann.close()
  })

  it('is not handed out by a space that closed meanwhile', async () => {
    const world = await openWorld()
    const { ann, bob, annNote, bobSpace, bobNote } = await openPair(world)
    bobNote.close()
    await new Promise(resolve => setTimeout(resolve, 20))
    const opening = bobSpace.openDocument<Note>(annNote.id)
    const closing = bobSpace.close()
    await expect(opening).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await closing
    await ann.close()
    await bob.close()
  })

  it('that was closed before its changes were sent does not keep the document in memory for good', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace, bobSpace, bobNote } = await openPair(world)
    world.down()
    type(bobNote, 0, 'late')
    await bobNote.saved()
    const core = bobNote.heads
    bobNote.close()
    world.up()
    await settle(bobSpace, annSpace)
    const again = await bobSpace.openDocument<Note>(bobNote.id)
    expect(again.doc()).not.toBe(bobNote.doc())
    expect(core.call(again)).toEqual(bobNote.heads())
    await ann.close()
    await bob.close()
  })
})

describe('close()', () => {
  it('settles for every caller only when everything is stored', async () => {
    const world = await openWorld()
    const inner = memoryStore()
    const store = controlledStore(inner)
    const { ann, bob, bobSpace, bobNote } = await openPair(world, { bob: store })
    world.down()
    const held = latch()
    store.before = operation => (operation.name === 'commit' ? held.opened : undefined)
    type(bobNote, 0, 'last words')
    const first = bobSpace.close()
    let isClosed = false
    const second = bob.close().then(() => {
      isClosed = true
    })
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(isClosed).toBe(false)
    held.open()
    await Promise.all([first, second])
    const again = await world.open('Bob', inner.twin())
    const note = await (await again.openSpace(bobSpace.id)).openDocument<Note>(bobNote.id)
    expect(note.doc().body).toBe('last words')
    await ann.close()
    await again.close()
  })

  it('of a space is waited for by who opens it again', async () => {
    const world = await openWorld()
    const { ann, bob, bobSpace, bobNote, annSpace, annNote } = await openPair(world)
    type(bobNote, 0, 'before ')
    const closing = bobSpace.close()
    const again = await bob.openSpace(bobSpace.id)
    await closing
    expect(again).not.toBe(bobSpace)
    const note = await again.openDocument<Note>(bobNote.id)
    type(note, 0, 'after ')
    await settle(again, annSpace)
    expect(annNote.doc().body).toBe('after before ')
    expect(await bob.openSpace(again.id)).toBe(again)
    await ann.close()
    await bob.close()
  })

  it('from a listener, in the middle of a batch, leaves everything in order', async () => {
    const world = await openWorld()
    const inner = memoryStore()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: inner })
    let closing: Promise<void> | undefined
    bobNote.on('change', ({ patchInfo }) => {
      if (patchInfo.source === 'change') return
      type(bobNote, 0, '!')
      closing = bobSpace.close()
    })
    type(annNote, 0, 'go')
    await annSpace.sync({ timeout: 5000 })
    await expect.poll(() => closing !== undefined).toBe(true)
    await closing
    await bob.close()
    const again = await world.open('Bob', inner.twin())
    const space = await again.openSpace(bobSpace.id)
    const note = await space.openDocument<Note>(bobNote.id)
    await settle(space, annSpace)
    expect(note.doc().body).toBe('!go')
    expect(annNote.heads()).toEqual(note.heads())
    await ann.close()
    await again.close()
  })

  it('leaves no timer behind, also where the store fails', async () => {
    const world = await openWorld()
    let timers = 0
    const { environment } = world.platform
    const counted: Environment = {
      ...environment,
      schedule: (ms, task) => {
        timers++
        let isOver = false
        const end = (): void => {
          if (!isOver) timers--
          isOver = true
        }
        const cancel = environment.schedule(ms, () => {
          end()
          task()
        })
        return () => {
          end()
          cancel()
        }
      },
    }
    const store = controlledStore()
    const replica = await Replica.open({ store, relay: 'ws://relay.test' }, { ...world.platform, environment: counted })
    const space = await replica.createSpace({ name: 'x', timeout: 5000 })
    const note = await space.createDocument<Note>({ title: '', body: '' })
    await space.sync({ timeout: 5000 })
    const waiting = space.sync({ timeout: 60_000 })
    await waiting
    store.before = operation => {
      if (operation.name === 'commit') throw new SealogError('ERR_STORE', 'the disk is gone')
    }
    type(note, 0, 'lost')
    await expect(note.saved()).rejects.toMatchObject({ code: 'ERR_STORE' })
    await expect(replica.close()).rejects.toMatchObject({ code: 'ERR_STORE' })
    expect(timers).toBe(0)
  })

  it('ends a first contact that never came', async () => {
    const world = await openWorld()
    world.down()
    const replica = await world.open('Ann')
    const creating = replica.createSpace({ name: 'never' })
    await new Promise(resolve => setTimeout(resolve, 20))
    await replica.close()
    await expect(creating).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  })
})

describe('a signal or a timeout', () => {
  it('ends a wait before, while and after it is under way, and nothing goes unhandled', async () => {
    const world = await openWorld()
    const { ann, bob, bobSpace, bobNote } = await openPair(world)
    world.down()
    type(bobNote, 0, 'x')
    for (const wait of [
      (options: object) => bobSpace.sync(options),
      (options: object) => bobNote.receipt.proven(options),
      (options: object) => bobSpace.invite(options),
    ]) {
      await expect(wait({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ERR_ABORTED' })
      const controller = new AbortController()
      const waiting = wait({ signal: controller.signal })
      controller.abort(new Error('enough'))
      await expect(waiting).rejects.toMatchObject({ code: 'ERR_ABORTED' })
      await expect(wait({ timeout: 5 })).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    }
    await new Promise(resolve => setTimeout(resolve, 20))
    await bob.close()
    await ann.close()
  })

  it('of Infinity is no timeout', async () => {
    const world = await openWorld()
    const { ann, bob, bobSpace, annSpace } = await openPair(world)
    world.cut()
    await annSpace.sync({ timeout: Number.POSITIVE_INFINITY })
    await bobSpace.sync({ timeout: 2 ** 40 })
    expect(() => bobSpace.sync({ timeout: -1 })).toThrow(TypeError)
    expect(() => bobSpace.sync({ timeout: Number.NaN })).toThrow(TypeError)
    await ann.close()
    await bob.close()
  })
})

describe('a listener', () => {
  it('may write in the document it hears about, and in others', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    const log = await bobSpace.createDocument<{ entries: string[] }>({ entries: [] })
    bobNote.on('change', ({ patchInfo }) => {
      if (patchInfo.source !== 'remote') return
      type(bobNote, 0, '+')
      log.change(doc => {
        doc.entries.push('heard')
      })
    })
    type(annNote, 0, 'a')
    await settle(annSpace, bobSpace, annSpace)
    await expect.poll(() => annNote.doc().body).toBe('+a')
    expect(log.doc().entries).toEqual(['heard'])
    await settle(bobSpace, annSpace)
    expect(bobNote.heads()).toEqual(annNote.heads())
    await ann.close()
    await bob.close()
  })

  it('that answers every change with another one is stopped by a code, and the document stays sound', async () => {
    const world = await openWorld()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    const codes: unknown[] = []
    bobNote.on('change', () => {
      try {
        type(bobNote, 0, 'x')
      } catch (error) {
        codes.push((error as SealogError).code)
      }
    })
    type(bobNote, 0, 'x')
    expect(codes).toEqual(['ERR_REENTRANT'])
    await settle(bobSpace, annSpace)
    expect(annNote.doc().body).toBe(bobNote.doc().body)
    await ann.close()
    await bob.close()
  })

  it('that was taken off is not told any more, and no signal holds on to it', async () => {
    const world = await openWorld()
    const { ann, bob, bobNote } = await openPair(world)
    const told: string[] = []
    const controller = new AbortController()
    let listening = 0
    const { signal } = controller
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = ((...args: Parameters<typeof add>) => {
      listening++
      add(...args)
    }) as typeof add
    signal.removeEventListener = ((...args: Parameters<typeof remove>) => {
      listening--
      remove(...args)
    }) as typeof remove
    const second = (): void => void told.push('second')
    bobNote.on('change', () => {
      told.push('first')
      bobNote.off('change', second)
    })
    bobNote.on('change', second, { signal })
    type(bobNote, 0, 'x')
    expect(told).toEqual(['first'])
    expect(listening).toBe(0)
    bobNote.on('change', second, { signal })
    expect(listening).toBe(1)
    bobNote.close()
    expect(listening).toBe(0)
    expect(() => bobNote.on('change', second, { signal: 'soon' as never })).toThrow(TypeError)
    await ann.close()
    await bob.close()
  })
})

describe('opening a replica', () => {
  it('that fails leaves no listener on the network', async () => {
    const world = await openWorld()
    let listening = 0
    const onNetworkBack = (): (() => void) => {
      listening++
      return () => void listening--
    }
    const store = memoryStore()
    const platform = { ...world.platform, onNetworkBack }
    const first = await Replica.open({ store, relay: 'ws://relay.test' }, platform)
    expect(listening).toBe(1)
    await expect(Replica.open({ store: store.twin(), relay: 'ws://relay.test' }, platform)).rejects.toMatchObject({
      code: 'ERR_STORE_LOCKED',
    })
    expect(listening).toBe(1)
    await first.close()
    expect(listening).toBe(0)
  })
})
