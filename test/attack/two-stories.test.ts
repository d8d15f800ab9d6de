import * as Automerge from '@automerge/automerge/slim'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { AnyDoc } from '../../src/crdt/content.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { Author } from '../crdt/parking-support.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import {
  accompliceSnapshot,
  type Guest,
  type Held,
  heldBy,
  join,
  openGuest,
  REPLAYS,
  SKIPS,
  untilEqual,
} from '../helpers/mixed-replicas.ts'
import { type Puppet, ScriptedMember } from '../helpers/scripted-member.ts'
import { type Note, openPair, openWorld, type World } from '../helpers/world.ts'

beforeAll(initializeAutomerge)

let world: World
const guests: Guest[] = []
afterEach(async () => {
  for (const { replica } of guests.splice(0)) await replica.close().catch(() => {})
  await world.close()
})

interface Scene {
  readonly ann: Guest
  readonly note: SpaceDocument<Note>
  readonly eve: ScriptedMember
  readonly puppet: Puppet
  readonly timeout: number
}

/** Ann has a note in which Eve, a member without rules, is about to write. */
async function scene(limits = REPLAYS): Promise<Scene> {
  world = await openWorld({ hurry: 0.01, limits })
  const timeout = world.patience(10_000)
  const store = memoryStore()
  const { ann, annSpace, annNote } = await openPair(world, { ann: store })
  const asEve = await join(world, annSpace, 'Eve', REPLAYS)
  await asEve.space.sync({ timeout })
  await asEve.replica.close()
  const eve = await ScriptedMember.open(world, asEve.store, annSpace.id, store)
  annNote.change(doc => {
    doc.body = 'by Ann'
  })
  await annSpace.sync({ timeout })
  const guest = { name: 'Ann', store, replica: ann, space: annSpace }
  return { ann: guest, note: annNote, eve, puppet: eve.puppet(annNote.id), timeout }
}

/**
 * Eve sends one change in her first entry, and commits to two others in her second, whose body nobody can open; her
 * accomplice's snapshot has those.
 */
async function tellTwoStories({ ann, note, eve, puppet, timeout }: Scene): Promise<void> {
  const before = Automerge.clone(note.doc() as unknown as AnyDoc)
  const other = new Author(puppet.author.actor)
  other.set('first', 'another')
  other.set('second', 'another')
  puppet.author.set('first', 'sent')
  await eve.send(puppet, puppet.author.next() ?? {})
  const latest = other.next()
  if (latest === undefined) throw new Error('nothing to commit to')
  await eve.send(puppet, { body: new Uint8Array(100), tagged: latest.latestHash })
  await ann.space.sync({ timeout })
  const plain = await accompliceSnapshot(ann, note.id, [before, other.doc])
  await eve.send(eve.puppet(note.id), { kind: 'snapshot', plain: plain as Uint8Array })
  await ann.space.sync({ timeout })
}

async function joined(...arguments_: Parameters<typeof join>): Promise<Guest> {
  const guest = await join(...arguments_)
  guests.push(guest)
  return guest
}

/** Until they hold the same, all of it checked. */
async function sameFor(note: SpaceDocument<Note>, parties: readonly Guest[], timeout: number): Promise<Held> {
  const opened = await Promise.all(
    parties.map(async guest => [guest, await guest.space.openDocument<Note>(note.id)] as const),
  )
  const all = await untilEqual(async () => {
    for (const { space } of parties) await space.sync({ timeout })
    const isChecked = parties.every(({ space }) => space.status.trust.level === 'verified')
    const held = await Promise.all(opened.map(([guest, own]) => heldBy(guest, [own])))
    return isChecked ? held : held.map((each, i) => ({ ...each, stateRoot: `${i}` }))
  }, 60_000)
  for (const each of all) expect(each).toEqual(all[0])
  return all[0] as Held
}

describe('a member that tells two stories of itself (R-SNAPSHOT-10)', () => {
  it('who joins by its accomplice’s snapshot ends like those who were there, and sees who it was', async () => {
    const stage = await scene()
    await tellTwoStories(stage)
    const { ann, note, puppet, timeout } = stage
    const hal = await joined(world, ann.space, 'Hal', SKIPS)
    const ida = await joined(world, ann.space, 'Ida', SKIPS, 'opened')
    const gus = await joined(world, ann.space, 'Gus', REPLAYS)
    await sameFor(note, [ann, gus, hal, ida], timeout)
    expect(note.doc()).toMatchObject({ first: 'sent' })
    for (const { space } of [hal, ida]) {
      const problems = space.problems.filter(({ code }) => code === 'ERR_TAG')
      expect(problems.map(({ actor }) => actor)).toContain(puppet.author.actor)
      expect(problems.some(({ message }) => message.includes('snapshot'))).toBe(true)
    }
  }, 120_000)

  it('what was told last is taken by nobody: neither by those who lack all of it', async () => {
    const { ann, note, eve, puppet, timeout } = await scene()
    const before = Automerge.clone(note.doc() as unknown as AnyDoc)
    const other = new Author(puppet.author.actor)
    other.set('first', 'another')
    const latest = other.next()
    // Of the first nobody has the body either.
    await eve.send(puppet, { body: new Uint8Array(100), tagged: sha256(new Uint8Array(1)) })
    await eve.send(puppet, { body: new Uint8Array(100), tagged: latest?.latestHash as Uint8Array })
    await ann.space.sync({ timeout })
    const plain = await accompliceSnapshot(ann, note.id, [before, other.doc])
    await eve.send(eve.puppet(note.id), { kind: 'snapshot', plain: plain as Uint8Array })
    await ann.space.sync({ timeout })
    const hal = await joined(world, ann.space, 'Hal', SKIPS)
    await sameFor(note, [ann, hal], timeout)
    expect(note.doc()).not.toHaveProperty('first')
  }, 120_000)

  it('a replica that comes back keeps what it had replayed before it skipped', async () => {
    const stage = await scene()
    const { ann, note, eve, puppet, timeout } = stage
    const cyd = await joined(world, ann.space, 'Cyd', SKIPS)
    puppet.author.set('first', 'sent')
    const before = Automerge.clone(note.doc() as unknown as AnyDoc)
    await eve.send(puppet, puppet.author.next() ?? {})
    await ann.space.sync({ timeout })
    await cyd.space.sync({ timeout })
    await cyd.replica.close()
    const other = new Author(puppet.author.actor)
    other.set('first', 'another')
    other.set('second', 'another')
    await eve.send(puppet, { body: new Uint8Array(100), tagged: other.next()?.latestHash as Uint8Array })
    await ann.space.sync({ timeout })
    const plain = await accompliceSnapshot(ann, note.id, [before, other.doc])
    await eve.send(eve.puppet(note.id), { kind: 'snapshot', plain: plain as Uint8Array })
    const scribe = eve.puppet(note.id)
    for (let i = 0; i < 12; i++) {
      scribe.author.set('filler', i)
      await eve.send(scribe, scribe.author.next() ?? {})
    }
    await ann.space.sync({ timeout })
    const replica = await openGuest(world, 'Cyd', cyd.store, SKIPS)
    const again = { ...cyd, replica, space: await replica.openSpace(ann.space.id) }
    guests.push(again)
    await sameFor(note, [ann, again], timeout)
    expect(note.doc()).toMatchObject({ first: 'sent', filler: 11 })
  }, 120_000)

  it('own edits on top of what was replayed outlive a snapshot of the other story, which is never shown', async () => {
    const stage = await scene({ ...REPLAYS, cosign: { entries: 0.5 } })
    const { ann, note, eve, puppet, timeout } = stage
    const cyd = await joined(world, ann.space, 'Cyd', SKIPS)
    puppet.author.set('first', 'sent')
    const before = Automerge.clone(note.doc() as unknown as AnyDoc)
    await eve.send(puppet, puppet.author.next() ?? {})
    await ann.space.sync({ timeout })
    await cyd.space.sync({ timeout })
    const offline = await cyd.space.openDocument<Note>(note.id)
    await expect.poll(() => offline.doc(), { timeout }).toMatchObject({ first: 'sent' })
    // Who has yet to audit one skip makes no other.
    await expect.poll(() => cyd.space.status.trust.level, { timeout: 30_000 }).toBe('verified')
    cyd.space.pause()
    offline.change(doc => {
      doc.title = 'by Cyd, unsent'
    })
    await cyd.replica.close()
    const other = new Author(puppet.author.actor)
    other.set('first', 'another')
    other.set('second', 'another')
    await eve.send(puppet, { body: new Uint8Array(100), tagged: other.next()?.latestHash as Uint8Array })
    await ann.space.sync({ timeout })
    const plain = await accompliceSnapshot(ann, note.id, [before, other.doc])
    await eve.send(eve.puppet(note.id), { kind: 'snapshot', plain: plain as Uint8Array })
    const scribe = eve.puppet(note.id)
    for (let i = 0; i < 24; i++) {
      scribe.author.set('filler', i)
      await eve.send(scribe, scribe.author.next() ?? {})
      // The log as it stands is cosigned before it grows again.
      await ann.space.sync({ timeout })
      await new Promise(resolve => setTimeout(resolve, 30))
    }
    await ann.space.sync({ timeout })
    const replica = await openGuest(world, 'Cyd', cyd.store, SKIPS)
    const again = { ...cyd, replica, space: await replica.openSpace(ann.space.id) }
    guests.push(again)
    const own = await again.space.openDocument<Note>(note.id)
    const shown = new Set<unknown>()
    own.on('change', () => shown.add((own.doc() as { first?: string }).first))
    await sameFor(note, [ann, again], timeout)
    expect(note.doc()).toMatchObject({ first: 'sent', filler: 23, title: 'by Cyd, unsent' })
    expect(shown).not.toContain('another')
    expect(again.space.problems.filter(({ message }) => message.includes('went with it'))).toEqual([])
    await replica.close()
    const third = await openGuest(world, 'Cyd', cyd.store, SKIPS)
    guests.push({ ...cyd, replica: third })
    const later = await (await third.openSpace(ann.space.id)).openDocument<Note>(note.id)
    expect(later.doc()).toEqual(note.doc())
  }, 120_000)

  it('a restart in the middle loses nothing of the check', async () => {
    const stage = await scene()
    await tellTwoStories(stage)
    const { ann, note, timeout } = stage
    const hal = await deceived(ann)
    expect(hal.space.status.trust).toMatchObject({ level: 'vouched' })
    expect((hal.space.status.trust as { documents: unknown }).documents).toContain(note.id)
    const again = await undeceived(hal)
    expect(again.space.status.trust).toMatchObject({ level: 'vouched' })
    await sameFor(note, [ann, again], timeout)
    expect(note.doc()).toMatchObject({ first: 'sent' })
  }, 120_000)

  it('who wrote on top of it meanwhile writes on, as another actor', async () => {
    const stage = await scene()
    await tellTwoStories(stage)
    const { ann, note, timeout } = stage
    const hal = await deceived(ann)
    const deceivedNote = await hal.space.openDocument<Note>(note.id)
    expect(deceivedNote.doc()).toMatchObject({ first: 'another' })
    deceivedNote.change(doc => {
      doc.title = 'sent by Hal'
    })
    await hal.space.sync({ timeout })
    const again = await undeceived(hal)
    const halNote = await again.space.openDocument<Note>(note.id)
    await expect.poll(() => halNote.doc(), { timeout: 60_000 }).toMatchObject({ first: 'sent', title: 'Day 1' })
    await again.space.sync({ timeout })
    halNote.change(doc => {
      doc.title = 'by Hal, again'
    })
    await again.space.sync({ timeout })
    await ann.space.sync({ timeout })
    expect(note.doc()).toMatchObject({ first: 'sent', title: 'by Hal, again' })
    expect(halNote.doc()).toEqual(note.doc())
  }, 120_000)
})

/** Joins by the accomplice's snapshot; no header of what was skipped comes through. */
async function deceived(ann: Guest): Promise<Guest> {
  world.tamper = message => {
    const isAudit = message.type === 'sync' && message.batch.from < 6 && message.batch.entries.length > 0
    return isAudit ? [] : [message]
  }
  return join(world, ann.space, 'Hal', SKIPS)
}

/** The same after a restart, by when everything comes through. */
async function undeceived(hal: Guest): Promise<Guest> {
  await hal.replica.close()
  world.tamper = undefined
  const replica = await openGuest(world, 'Hal', hal.store, SKIPS)
  const again = { ...hal, replica, space: await replica.openSpace(hal.space.id) }
  guests.push(again)
  return again
}
