import * as Automerge from '@automerge/automerge/slim'
import { afterEach, describe, expect, it } from 'vitest'
import { fromHex } from '../../src/bytes.ts'
import { encodeChangesPayload } from '../../src/crdt/payload.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { SyncLimits } from '../../src/crdt/sync-limits.ts'
import type { MemberId } from '../../src/ids.ts'
import type { Space } from '../../src/space.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { sendAsMember } from '../helpers/hostile-member.ts'
import { type Note, openPair, openWorld, type World } from '../helpers/world.ts'

/** So that a few dozen entries do what takes thousands in life. */
const EAGER: SyncLimits = {
  skip: { join: 4, comeback: 12 },
  snapshot: { entries: 6, bytes: 1 << 20, delay: 5 },
  cosign: { entries: 6 },
}
/** In hurried milliseconds. */
const TIMEOUT = 1_000_000

let world: World
afterEach(() => world.close())

async function settle(...spaces: readonly Space[]): Promise<void> {
  for (const space of [...spaces, ...spaces]) await space.sync({ timeout: TIMEOUT })
}

/** A small generator, so that a failure can be played again. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

/** Every character is typed once: whoever typed it is known by it. */
class Typists {
  readonly authors = new Map<string, MemberId>()
  #next = 0x4e00

  type(note: SpaceDocument<Note>, member: MemberId, random: (below: number) => number): void {
    const { length } = note.doc().body
    const deleted = length > 10 && random(3) === 0 ? random(6) : 0
    const at = random(length - deleted + 1)
    const text = Array.from({ length: 1 + random(5) }, () => String.fromCodePoint(this.#next++)).join('')
    for (const character of text) this.authors.set(character, member)
    note.change(doc => Automerge.splice(doc as never, ['body'], at, deleted, text))
  }

  /** What attribution says of each character, and what is so. */
  expectKnown(note: SpaceDocument<Note>): void {
    const { body } = note.doc()
    const said = note.attribution(['body'])
    expect(said.map(({ start }) => start)).toEqual([0, ...said.map(({ end }) => end)].slice(0, -1))
    const wrong = said.flatMap(({ start, end, member }) =>
      [...body.slice(start, end)].filter(character => this.authors.get(character) !== member),
    )
    expect(wrong).toEqual([])
    expect(said.at(-1)?.end).toBe(body.length)
    expect(said.some(({ imported }) => imported)).toBe(false)
  }
}

function who(note: SpaceDocument<Note>, path: readonly string[] = ['body']): readonly string[] {
  const text = path.reduce<unknown>((value, key) => (value as Record<string, unknown>)[key], note.doc()) as string
  return note.attribution(path).map(({ start, end, member, imported }) => {
    return `${member}${imported ? ' imported' : ''}: ${text.slice(start, end)}`
  })
}

describe('who wrote which range of a text', () => {
  it('is the same for everybody, over edits at the same time, offline, restarts and replicas that came late', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const stores = { ann: memoryStore(), bob: memoryStore() }
    const { annSpace, bob, bobSpace, annNote, bobNote } = await openPair(world, stores)
    const typists = new Typists()
    for (let round = 0; round < 4; round++) {
      const random = randomOf(round + 1)
      const isApart = round % 2 === 1
      if (isApart) bobSpace.pause()
      for (let i = 0; i < 8; i++) {
        typists.type(annNote, annSpace.me.id, random)
        typists.type(bobNote, bobSpace.me.id, random)
        // What is not sent yet is one's own already.
        typists.expectKnown(bobNote)
      }
      if (isApart) bobSpace.resume()
      await settle(annSpace, bobSpace)
      typists.expectKnown(annNote)
      expect(bobNote.attribution()).toEqual(annNote.attribution())
    }
    await bob.close()
    const again = await (await world.open('Bob', stores.bob)).openSpace(bobSpace.id)
    typists.expectKnown(await again.openDocument<Note>(annNote.id))
    const link = await annSpace.invite({ timeout: TIMEOUT })
    const cyd = await world.open('Cyd', memoryStore(), { replicate: 'opened' })
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    await cydSpace.sync({ timeout: TIMEOUT })
    const late = await cydSpace.openDocument<Note>(annNote.id)
    await cydSpace.sync({ timeout: TIMEOUT })
    expect(world.count('skip')).toBeGreaterThan(0)
    typists.expectKnown(late)
    expect(late.attribution()).toEqual(annNote.attribution())
  })

  it('a document that somebody took elsewhere and imports is said by that member, whatever actors it names', async () => {
    world = await openWorld({ hurry: 0.01 })
    const { annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    annNote.change(doc => {
      doc.body = 'I never said this'
    })
    await settle(annSpace, bobSpace)
    const copy = await bobSpace.importDocument<Note>(Automerge.save(bobNote.doc() as never), { name: 'A copy' })
    expect(who(copy)).toEqual([`${bobSpace.me.id} imported: I never said this`])
    await settle(bobSpace, annSpace)
    const there = await annSpace.openDocument<Note>(copy.id)
    there.change(doc => Automerge.splice(doc as never, ['body'], 0, 0, 'No: '))
    await settle(annSpace, bobSpace)
    for (const note of [copy, there]) {
      expect(who(note)).toEqual([`${annSpace.me.id}: No: `, `${bobSpace.me.id} imported: I never said this`])
    }
  })

  it('a member that writes under the actor of another is refused, and no word of it is anybody’s', async () => {
    world = await openWorld({ hurry: 0.01 })
    const stores = { bob: memoryStore() }
    const { annSpace, bob, bobSpace, annNote } = await openPair(world, stores)
    annNote.change(doc => {
      doc.body = 'mine'
    })
    await settle(annSpace, bobSpace)
    const ann = Automerge.getActorId(annNote.doc() as never)
    await bob.close()
    await sendAsMember(world, stores.bob, annSpace.id, annNote.id, () => {
      const base = Automerge.clone(annNote.doc() as never, { actor: ann }) as Automerge.Doc<Note>
      const forged = Automerge.change(base, { time: 0 }, doc => Automerge.splice(doc, ['body'], 0, 0, 'not '))
      const chunks = Automerge.getLastLocalChange(forged) as Uint8Array
      const hash = fromHex(Automerge.getHeads(forged)[0] as string)
      const { seq } = Automerge.decodeChange(chunks)
      const payload = { encoding: 'raw', latestHash: hash, latestSeq: seq, count: 1, chunks } as const
      return { payload: encodeChangesPayload(payload), tagged: hash }
    })
    await annSpace.sync({ timeout: TIMEOUT })
    expect(annSpace.problems.map(({ code }) => code)).toEqual(['ERR_GUARD'])
    expect(who(annNote)).toEqual([`${annSpace.me.id}: mine`])
  })

  it('refuses a path that is none, a document that was closed, and one that is just being changed', async () => {
    world = await openWorld({ hurry: 0.01 })
    const space = await (await world.open('Ann')).createSpace({ name: 'Field notes', timeout: TIMEOUT })
    const note = await space.createDocument<Note>({ title: 'T', body: 'B' })
    for (const path of ['body', [1.5], [-1], [null], {}]) {
      expect(() => note.attribution(path as never)).toThrow(TypeError)
    }
    expect(note.attribution().map(({ path }) => path)).toEqual([['body'], ['title']])
    const inside = (): void => note.change(() => void note.attribution())
    expect(inside).toThrow('ERR_REENTRANT')
    note.change(doc => {
      doc.title = 'Title'
    })
    expect(note.attribution(['title']).map(({ end }) => end)).toEqual([5])
    note.close()
    expect(() => note.attribution()).toThrow('ERR_CLOSED')
  })
})

/** Brings everybody to one state, in which nobody has keys to rotate any more. */
async function rotated(...spaces: readonly Space[]): Promise<void> {
  for (let i = 0; i < 100; i++) {
    await settle(...spaces)
    const histories = await Promise.all(spaces.map(space => space.history()))
    const isDone = histories.every(events => events.length === histories[0]?.length)
    if (isDone && histories[0]?.every(({ keys }) => keys !== 'waiting')) return
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  throw new Error('the keys were never rotated')
}

describe('what happened in a space', () => {
  it('is told by everybody alike, also by those who joined late or skipped ahead, and after a restart', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const store = memoryStore()
    const { ann, annSpace, annNote, bobSpace } = await openPair(world, { ann: store })
    for (let i = 0; i < 8; i++) {
      annNote.change(doc => {
        doc.body += `${i} `
      })
      await annSpace.sync({ timeout: TIMEOUT })
    }
    const link = await annSpace.invite({ role: 'reader', timeout: TIMEOUT })
    const cyd = await world.open('Cyd')
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    await rotated(annSpace, bobSpace, cydSpace)
    const skips = world.count('skip')
    expect(skips).toBeGreaterThan(0)
    // Bob misses much, an invite among it.
    bobSpace.pause()
    await annSpace.invite({ timeout: TIMEOUT })
    for (let i = 0; i < 24; i++) {
      annNote.change(doc => {
        doc.body += `${i} `
      })
      await annSpace.sync({ timeout: TIMEOUT })
    }
    bobSpace.resume()
    await rotated(annSpace, bobSpace, cydSpace)
    expect(world.count('skip')).toBeGreaterThan(skips)
    const formatDate = (): string => 'then'
    const mine = await annSpace.history({ formatDate })
    const joined = mine.filter(({ type }) => type !== 'rotate')
    expect(joined.map(({ text }) => text.replace(/, entry \d+/, '').replace(/, keys .*/, ''))).toEqual([
      "Ann created the space ‘Field notes’ on the device ‘Ann's laptop’, then",
      'Ann made an instant invite as writer, then',
      "Bob joined as writer with the device ‘Bob's laptop’, invited by Ann, then",
      'Ann made an instant invite as reader, then',
      "Cyd joined as reader with the device ‘Cyd's laptop’, invited by Ann, then",
      'Ann made an instant invite as writer, then',
    ])
    expect(mine.map(({ number }) => number)).toEqual(mine.map((_, i) => i))
    for (const space of [bobSpace, cydSpace]) expect(await space.history({ formatDate })).toEqual(mine)
    const { id } = annSpace
    await ann.close()
    await expect(annSpace.history()).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    const again = await (await world.open('Ann', store)).openSpace(id)
    expect(await again.history({ formatDate })).toEqual(mine)
    await expect(again.history({ formatDate: 'd' as never })).rejects.toThrow(TypeError)
  })

  it('says who could read an entry', async () => {
    world = await openWorld({ hurry: 0.01 })
    const { annSpace, annNote, bobSpace } = await openPair(world)
    annNote.change(doc => {
      doc.body = 'for both'
    })
    await settle(annSpace, bobSpace)
    const index = annNote.receipt.index as number
    const readers = annSpace.readers({ document: annNote.id, index })
    expect(readers.map(({ member, name, devices }) => [member, name, devices.map(device => device.name)])).toEqual([
      [annSpace.me.id, 'Ann', ["Ann's laptop"]],
      [bobSpace.me.id, 'Bob', ["Bob's laptop"]],
    ])
    expect(bobSpace.readers({ document: annNote.id, index })).toEqual(readers)
    const unknown = 'ab'.repeat(16)
    expect(() => annSpace.readers({ document: unknown, index })).toThrow('ERR_UNKNOWN_DOCUMENT')
    for (const wrong of [-1, 0, 1.5, 1_000]) {
      expect(() => annSpace.readers({ document: annNote.id, index: wrong })).toThrow(TypeError)
    }
    expect(() => annSpace.readers({ document: 'x', index })).toThrow(TypeError)
  })
})
