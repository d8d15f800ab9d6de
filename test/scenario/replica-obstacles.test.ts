import * as Automerge from '@automerge/automerge/slim'
import { afterEach, describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { SealogError } from '../../src/errors.ts'
import type { RelayMessage } from '../../src/relay/messages.ts'
import { decodeHeader } from '../../src/verify/entry.ts'
import { EAGER, settle, TIMEOUT, until, write } from '../helpers/eager.ts'
import { type Note, openPair, openWorld, type World } from '../helpers/world.ts'
import { controlledStore, latch } from './controlled-store.ts'

let world: World
afterEach(() => world.close())

/** Bytes that do not compress. */
function noise(length: number): Uint8Array {
  let state = 1
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  })
}

/** What a relay answers that lost a body, as after a restoration. */
function lost(message: Extract<RelayMessage, { type: 'body-part' }>): RelayMessage {
  const { ref, space } = message
  return { type: 'reject', ref, space, code: 'ERR_BODY', message: 'not stored', position: 0, retryAfter: 0 }
}

describe('a body that the relay does not have', () => {
  it('parks its author, and the rest of a catch-up goes on, however long it is', async () => {
    world = await openWorld({ hurry: 0.01 })
    const { annSpace, annNote, bobSpace, bobNote } = await openPair(world)
    bobSpace.pause()
    annNote.change(doc => {
      Object.assign(doc, { picture: noise(400_000) })
    })
    await settle(annSpace)
    const other = await annSpace.createDocument<Note>({ title: 'Day 2', body: '' })
    await settle(annSpace)
    world.tamper = message => [message.type === 'body-part' ? lost(message) : message]
    bobSpace.resume()
    await settle(bobSpace)
    expect((await bobSpace.openDocument<Note>(other.id)).heads()).toEqual(other.heads())
    expect(bobSpace.problems).toMatchObject([{ code: 'ERR_BODY', document: annNote.id }])
    world.tamper = undefined
    await until(() => bobSpace.problems.length === 0, 'the body is asked for again')
    expect(bobNote.heads()).toEqual(annNote.heads())
  })

  it('of a snapshot: the entries do as well', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, annNote, bobSpace } = await openPair(world)
    const kinds = new Set<string>()
    world.tamper = message => {
      if (message.type !== 'records') return [message]
      const records = message.records.map(record => {
        const { kind } = decodeHeader(record.header)
        kinds.add(kind)
        return kind === 'snapshot' ? { ...record, body: undefined } : record
      })
      return [{ ...message, records }]
    }
    await write(annSpace, annNote, 30)
    await settle(annSpace, bobSpace)
    const link = await annSpace.invite({ timeout: TIMEOUT })
    const cyd = await world.open('Cyd')
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    expect(kinds).toContain('snapshot')
    const note = await cydSpace.openDocument<Note>(annNote.id)
    expect(note.heads()).toEqual(annNote.heads())
    expect(cydSpace.problems).toEqual([])
  })

  it('takes nothing away that a replica had before it skipped, nor what it wrote on top of it', async () => {
    world = await openWorld({ hurry: 0.01, limits: { ...EAGER, snapshot: { entries: 1000, bytes: 1e9, delay: 5 } } })
    const store = memoryStore()
    const { annSpace, annNote, bob, bobSpace, bobNote } = await openPair(world, { bob: store })
    await write(annSpace, annNote, 3)
    await settle(bobSpace)
    bobNote.change(doc => {
      doc.title = 'by Bob'
    })
    await settle(bobSpace, annSpace)
    const before = bobNote.doc().body
    bobSpace.pause()
    bobNote.change(doc => {
      doc.body += 'offline'
    })
    await bobNote.saved()
    const other = await annSpace.createDocument<Note>({ title: 'Day 2', body: '' })
    await write(annSpace, other, 70)
    world.tamper = message => {
      if (message.type !== 'records') return [message]
      const records = message.records.map(record =>
        decodeHeader(record.header).document === annNote.id ? { ...record, body: undefined } : record,
      )
      return [{ ...message, records }]
    }
    bobSpace.resume()
    await settle(bobSpace)
    expect(world.count('get-document')).toBeGreaterThan(0)
    expect(bobNote.doc()).toEqual({ title: 'by Bob', body: `${before}offline` })
    expect(bobSpace.problems).toEqual([])
    await settle(annSpace)
    expect(annNote.heads()).toEqual(bobNote.heads())
    await bob.close()
    const again = await (await world.open('Bob', store.twin())).openSpace(annSpace.id)
    expect((await again.openDocument<Note>(annNote.id)).heads()).toEqual(annNote.heads())
  })
})

describe('documents that the relay refuses to serve', () => {
  it('do not keep the others from coming, and are asked for again', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, annNote } = await openPair(world)
    const refused = new Set<string>([annNote.id])
    for (const title of ['a', 'b', 'c']) refused.add((await annSpace.createDocument({ title, body: '' })).id)
    const last = await annSpace.createDocument<Note>({ title: 'last', body: '' })
    await write(annSpace, last, 12)
    const link = await annSpace.invite({ timeout: TIMEOUT })
    let isRefusing = true
    world.tamper = message => {
      if (message.type !== 'records' || !isRefusing) return [message]
      const [first] = message.records
      if (first === undefined || !refused.has(decodeHeader(first.header).document)) return [message]
      const { ref, space } = message
      return [{ type: 'reject', ref, space, code: 'ERR_LIMIT', message: 'too much', position: 0, retryAfter: 0 }]
    }
    const cyd = await world.open('Cyd')
    const joining = cyd.joinSpace(link, { timeout: TIMEOUT })
    await until(() => world.count('get-document') > 6, 'all are asked for')
    const cydSpace = await cyd.openSpace(annSpace.id)
    const note = await cydSpace.openDocument<Note>(last.id)
    await until(() => note.heads().length > 0, 'the last one comes')
    expect(new Set(cydSpace.problems.map(({ document }) => document))).toEqual(refused)
    isRefusing = false
    await joining
    expect(cydSpace.problems).toEqual([])
  })
})

describe('documents that the relay never answers for', () => {
  it('do not keep the others from coming, and show', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, annNote } = await openPair(world)
    const silent = new Set<string>([annNote.id])
    for (const title of ['a', 'b']) silent.add((await annSpace.createDocument({ title, body: '' })).id)
    const last = await annSpace.createDocument<Note>({ title: 'last', body: '' })
    await write(annSpace, last, 12)
    const link = await annSpace.invite({ timeout: TIMEOUT })
    let isSilent = true
    world.tamper = message => {
      const [first] = message.type === 'records' && isSilent ? message.records : []
      return first !== undefined && silent.has(decodeHeader(first.header).document) ? [] : [message]
    }
    const cyd = await world.open('Cyd')
    const joining = cyd.joinSpace(link, { timeout: TIMEOUT })
    await until(() => world.count('get-document') > 3, 'several are asked for')
    const cydSpace = await cyd.openSpace(annSpace.id)
    const note = await cydSpace.openDocument<Note>(last.id)
    await until(() => note.heads().length > 0, 'the last one comes')
    await until(() => cydSpace.problems.length === silent.size, 'the others show')
    expect(new Set(cydSpace.problems.map(({ code }) => code))).toEqual(new Set(['ERR_TIMEOUT']))
    isSilent = false
    world.cut()
    await joining
    expect(cydSpace.problems).toEqual([])
  })
})

describe('a connection that ends while a document is stored', () => {
  it('leaves no doubt which documents are here', async () => {
    world = await openWorld({ hurry: 0.01 })
    const { annSpace, annNote } = await openPair(world)
    const link = await annSpace.invite({ timeout: TIMEOUT })
    const store = controlledStore()
    const cyd = await world.open('Cyd', store, { replicate: 'opened' })
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    await cydSpace.sync({ timeout: TIMEOUT })
    let opened = 0
    store.before = async operation => {
      const isAdopting =
        operation.name === 'commit' &&
        operation.batch.puts.some(([key]) => new TextDecoder().decode(key).includes(`/state/${annNote.id}`))
      if (!isAdopting || opened > 0) return
      opened = world.count('open')
      world.cut()
      await until(() => world.count('open') > opened, 'the space is opened anew')
    }
    const note = await cydSpace.openDocument<Note>(annNote.id)
    await cydSpace.sync({ timeout: TIMEOUT })
    expect(opened).toBeGreaterThan(0)
    const bodies = world.count('get-body')
    await write(annSpace, annNote, 3)
    await cydSpace.sync({ timeout: TIMEOUT })
    expect(note.heads()).toEqual(annNote.heads())
    expect(world.count('get-body')).toBe(bodies)
    expect(cydSpace.problems).toEqual([])
  })
})

describe('an audit whose last word cannot be stored', () => {
  it('is made up for', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, annNote } = await openPair(world)
    await write(annSpace, annNote, 12)
    const link = await annSpace.invite({ timeout: TIMEOUT })
    const store = controlledStore()
    let failures = 0
    store.before = operation => {
      const isEnd =
        operation.name === 'commit' &&
        operation.batch.deletes.some(key => new TextDecoder().decode(key).endsWith('/trust'))
      if (!isEnd || failures > 0) return
      failures++
      throw new SealogError('ERR_STORE', 'the disk is gone')
    }
    const cyd = await world.open('Cyd', store)
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    await until(() => failures > 0, 'the audit ends')
    await write(annSpace, annNote, 2)
    await cydSpace.sync({ timeout: TIMEOUT })
    await until(() => cydSpace.status.trust.level === 'verified', 'the audit ends once more')
    await cydSpace.sync({ timeout: TIMEOUT })
    expect(cydSpace.problems).toEqual([])
  })
})

describe('a space that is removed in the middle of it all', () => {
  it('leaves nothing behind', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, annNote } = await openPair(world)
    await write(annSpace, annNote, 12)
    for (let moment = 1; moment <= 12; moment++) {
      const link = await annSpace.invite({ timeout: TIMEOUT })
      const store = controlledStore()
      let commits = 0
      const reached = latch()
      store.before = ({ name }) => {
        if (name === 'commit' && ++commits === moment + 1) reached.open()
      }
      const cyd = await world.open('Cyd', store)
      const joining = cyd.joinSpace(link, { timeout: TIMEOUT }).catch(() => {})
      await Promise.race([reached.opened, joining.then(() => new Promise(resolve => setTimeout(resolve, 30)))])
      await cyd.removeLocal(annSpace.id)
      await joining
      await new Promise(resolve => setTimeout(resolve, 30))
      expect(await store.scan(new TextEncoder().encode('space'))).toEqual([])
      await cyd.close()
    }
  })
})

describe('a store that fails now and then', () => {
  it.each([
    ['before', 3],
    ['before', 7],
    ['after', 3],
    ['after', 7],
  ] as const)(
    '%s its effect, every %ith time, costs no edit and no document',
    async (mode, every) => {
      world = await openWorld({ hurry: 0.01, limits: EAGER })
      const { annSpace, annNote } = await openPair(world)
      await write(annSpace, annNote, 12)
      const link = await annSpace.invite({ timeout: TIMEOUT })
      const store = controlledStore()
      const cyd = await world.open('Cyd', store, { replicate: 'all' })
      let commits = 0
      const fail = (): void => {
        if (++commits % every === 0) throw new SealogError('ERR_STORE', 'the disk hiccups')
      }
      if (mode === 'before') store.before = ({ name }) => (name === 'commit' ? fail() : undefined)
      else store.after = fail
      const cydSpace = await insistently(() => cyd.joinSpace(link, { timeout: TIMEOUT }))
      const cydNote = await cydSpace.openDocument<Note>(annNote.id)
      for (let i = 0; i < 4; i++) {
        cydNote.change(doc => void Object.assign(doc, { [`cyd${i}`]: i }), { message: `cyd${i}` })
        await write(annSpace, annNote, 1)
      }
      await cydSpace.sync({ timeout: TIMEOUT })
      cydSpace.pause()
      cydNote.change(doc => void Object.assign(doc, { cyd4: 4 }), { message: 'cyd4' })
      await write(annSpace, annNote, 60)
      cydSpace.resume()
      await settle(cydSpace, annSpace)
      const changes = Automerge.getBackend(annNote.doc()).getChangesMeta([])
      const messages = changes.flatMap(({ message }) => message ?? [])
      expect(messages.sort()).toEqual(['cyd0', 'cyd1', 'cyd2', 'cyd3', 'cyd4'])
      expect(cydNote.heads()).toEqual(annNote.heads())
      store.before = () => {}
      store.after = () => {}
      await until(() => cydSpace.status.trust.level === 'verified', 'the audit ends')
      await until(() => cydSpace.status.storage === 'ok', 'the store is known to work')
      await cydSpace.sync({ timeout: TIMEOUT })
      await until(() => cydSpace.problems.length === 0, 'nothing is wrong any more')
    },
    60_000,
  )
})

async function insistently<T>(task: () => Promise<T>): Promise<T> {
  for (let i = 0; ; i++) {
    try {
      return await task()
    } catch (error) {
      if (i === 9) throw error
    }
  }
}
