import * as Automerge from '@automerge/automerge/slim'
import { describe, expect, it } from 'vitest'
import { fromUtf8 } from '../../src/bytes.ts'
import type { ReplicaStore, StoreBatch } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { SealogError } from '../../src/errors.ts'
import { decodeReplicaMessage } from '../../src/relay/message-codec.ts'
import { decodeHeader, type EntryKind, type Header } from '../../src/verify/entry.ts'
import { type Note, openPair, openWorld, type World } from '../helpers/world.ts'

const HURRY = 0.1

const type = (note: { change(fn: (doc: Note) => void): void }, text: string): void =>
  note.change(doc => Automerge.splice(doc, ['body'], 0, 0, text))

const kindOf = (key: Uint8Array): string => fromUtf8(key).split('/')[2] ?? ''

/** A store whose commits are seen first, and wait for what `before` returns. */
function watched(inner: ReplicaStore, before: (batch: StoreBatch) => void | Promise<void>): ReplicaStore {
  return {
    ...inner,
    commit: async batch => {
      await before(batch)
      await inner.commit(batch)
    },
  }
}

/** The headers that replicas see from now on, each once. */
function headersSeen(world: World): Map<number, Header> {
  const seen = new Map<number, Header>()
  world.tamper = message => {
    if (message.type === 'sync') {
      for (const [i, { header }] of message.batch.entries.entries()) {
        seen.set(message.batch.from + i, decodeHeader(header))
      }
    }
    return [message]
  }
  return seen
}

describe('an own change', () => {
  it('is durable in the local store before it is sent (R-OUTBOX-1)', async () => {
    const world = await openWorld({ hurry: HURRY })
    let release = (): void => {}
    let held: Promise<void> | undefined
    const store = watched(memoryStore(), ({ puts }) =>
      puts.some(([key]) => kindOf(key) === 'local') ? held : undefined,
    )
    const { ann, bob, bobSpace, bobNote } = await openPair(world, { bob: store })
    const size = await world.logSize(bobSpace.id)
    held = new Promise(resolve => {
      release = resolve
    })
    type(bobNote, 'on its way to the disk')
    await new Promise(resolve => setTimeout(resolve, 150))
    expect(bobNote.receipt.state).toBe('unsaved')
    expect(await world.logSize(bobSpace.id)).toBe(size)
    release()
    await bobNote.receipt.proven({ timeout: world.patience(5000) })
    expect(await world.logSize(bobSpace.id)).toBe(size + 1)
    await Promise.all([ann.close(), bob.close()])
  })

  it('is sealed when it is sent, on the log as it is verified by then (R-OUTBOX-2)', async () => {
    const world = await openWorld({ hurry: HURRY })
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    bobSpace.pause()
    type(bobNote, 'typed offline ')
    await bobNote.saved()
    for (const word of ['one ', 'two ', 'three ']) {
      type(annNote, word)
      await annSpace.sync({ timeout: world.patience(5000) })
    }
    const seen = headersSeen(world)
    bobSpace.resume()
    await bobSpace.sync({ timeout: world.patience(5000) })
    const index = bobNote.receipt.index as number
    expect(seen.get(index)?.seenSize).toBe(index)
    await Promise.all([ann.close(), bob.close()])
  })

  it('waits until what was sent before has come back (R-OUTBOX-3)', async () => {
    const world = await openWorld({ hurry: HURRY })
    const { ann, bob, bobSpace, bobNote } = await openPair(world)
    const seen = headersSeen(world)
    const size = await world.logSize(bobSpace.id)
    world.mute = true
    type(bobNote, 'first ')
    await expect.poll(() => world.logSize(bobSpace.id)).toBe(size + 1)
    type(bobNote, 'second ')
    await new Promise(resolve => setTimeout(resolve, 150))
    expect(await world.logSize(bobSpace.id)).toBe(size + 1)
    // The acknowledgement is lost: the replica looks, finds its entry, and sends the rest once (R-OUTBOX-4).
    world.cut()
    world.mute = false
    await bobSpace.sync({ timeout: world.patience(5000) })
    expect([...seen.keys()]).toEqual([size, size + 1])
    expect(seen.get(size + 1)?.seenSize).toBe(size + 1)
    expect(bobNote.doc().body).toBe('second first ')
    await Promise.all([ann.close(), bob.close()])
  })
})

describe('a control entry', () => {
  it('is pushed alone, whatever waits with it (R-OUTBOX-5)', async () => {
    const world = await openWorld({ hurry: HURRY })
    const pushes = pushesOf(world)
    const { ann, bob, annSpace, annNote } = await openPair(world)
    pushes.length = 0
    for (let i = 0; i < 3; i++) {
      type(annNote, `${i} `)
      await annSpace.invite({ timeout: world.patience(5000) })
    }
    await annSpace.sync({ timeout: world.patience(5000) })
    expect(pushes.filter(kinds => kinds.includes('control'))).toEqual([['control'], ['control'], ['control']])
    expect(pushes.filter(kinds => kinds.includes('changes')).length).toBeGreaterThan(0)
    await Promise.all([ann.close(), bob.close()])
  })
})

/** The kinds of the entries of each push that replicas send from now on. */
function pushesOf(world: World): EntryKind[][] {
  const pushes: EntryKind[][] = []
  const { transport } = world.platform
  const connect = transport.connect.bind(transport)
  transport.connect = (url, events) => {
    const connection = connect(url, events)
    return {
      ...connection,
      send: frame => {
        const message = decodeReplicaMessage(frame)
        if (message.type === 'push') pushes.push(message.entries.map(({ header }) => decodeHeader(header).kind))
        connection.send(frame)
      },
    }
  }
  return pushes
}

describe('a verified batch', () => {
  it('that cannot be stored is dropped whole, and asked for again (R-STORE-1)', async () => {
    const world = await openWorld({ hurry: HURRY })
    let full = false
    const store = watched(memoryStore(), ({ puts }) => {
      if (full && puts.some(([key]) => kindOf(key) === 'view')) throw new SealogError('ERR_STORE_FULL', 'no space left')
    })
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: store })
    const { size } = bobSpace.status.confirmed
    full = true
    type(annNote, 'too much ')
    await annSpace.sync({ timeout: world.patience(5000) })
    await expect.poll(() => bobSpace.status.storage).toBe('full')
    expect(bobNote.doc().body).toBe('')
    expect(bobSpace.status.confirmed.size).toBe(size)
    full = false
    await bobSpace.sync({ timeout: world.patience(5000) })
    expect(bobNote.doc().body).toBe('too much ')
    expect(bobSpace.status.storage).toBe('ok')
    await Promise.all([ann.close(), bob.close()])
  })

  it('is made durable in one transaction, before anything of it is visible (R-STORE-2)', async () => {
    const world = await openWorld({ hurry: HURRY })
    const commits: string[][] = []
    const shown: string[] = []
    let bodyOf = (): string => ''
    const store = watched(memoryStore(), ({ puts }) => {
      const kinds = puts.map(([key]) => kindOf(key))
      if (!kinds.includes('view')) return
      commits.push([...new Set(kinds)].sort())
      shown.push(bodyOf())
    })
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: store })
    bodyOf = () => bobNote.doc().body
    bobSpace.pause()
    type(annNote, 'one ')
    type(annNote, 'two ')
    await annSpace.sync({ timeout: world.patience(5000) })
    commits.length = 0
    shown.length = 0
    bobSpace.resume()
    await bobSpace.sync({ timeout: world.patience(5000) })
    expect(bobNote.doc().body).toBe('two one ')
    const withContent = commits.filter(kinds => kinds.includes('file'))
    expect(withContent).toEqual([['confirmed', 'file', 'meta', 'recent', 'state', 'view']])
    expect(shown[commits.findIndex(kinds => kinds.includes('file'))]).toBe('')
    await Promise.all([ann.close(), bob.close()])
  })
})
