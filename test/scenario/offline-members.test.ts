import * as Automerge from '@automerge/automerge/slim'
import { lyingRelay } from 'sealog-relay/testing'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { toHex } from '../../src/bytes.ts'
import type { memoryStore } from '../../src/crdt/store-memory.ts'
import { publicKeyOf } from '../../src/crypto/sign.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { openMember } from '../helpers/hostile-member.ts'
import {
  admitted,
  allSynced,
  codesOf,
  epochIn,
  eventually,
  founded,
  idOf,
  noteOf,
  type Person,
  reopened,
  retitle,
  timely,
} from '../helpers/people.ts'
import { type Note, openWorld, type World } from '../helpers/world.ts'
import { copyOf } from './controlled-store.ts'

vi.setConfig({ testTimeout: 60_000 })

const HURRY = 0.02
const DAY = 24 * 60 * 60 * 1000

let world: World
afterEach(() => world.close())

describe('maxHeadAge (R-FRESH-2)', () => {
  it('a relay whose word is too old gets nothing, until it has a later one', async () => {
    const start = Date.now()
    let ticks = false
    world = await openWorld({
      hurry: 0.002,
      relay: options => {
        const { environment } = options
        return lyingRelay({
          ...options,
          environment: { ...environment, now: () => (ticks ? environment.now() : start) },
        })
      },
    })
    const ann = await founded(world, 'Ann', { maxHeadAge: DAY })
    const size = await world.logSize(ann.space.id)
    world.later(2 * DAY)
    retitle(ann.note, 'held back')
    await eventually(() => codesOf(ann.space)).toEqual(['ERR_STALE_HEAD'])
    expect(await world.logSize(ann.space.id)).toBe(size)
    expect(ann.note.doc().title).toBe('held back')
    ticks = true
    await ann.space.sync(timely(world))
    expect(codesOf(ann.space)).toEqual([])
    expect(await world.logSize(ann.space.id)).toBe(size + 1)
  })

  it('an honest relay that had nothing to tell for long is asked, and nothing is in the way', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world, 'Ann', { maxHeadAge: DAY })
    const problems: string[] = []
    ann.space.on('problem', ({ problem }) => problems.push(problem.code))
    world.later(2 * DAY)
    retitle(ann.note, 'goes out')
    await ann.space.sync(timely(world))
    expect(ann.note.receipt.state).toBe('proven')
    expect(problems).toEqual([])
  })
})

describe('a removal that the relay hides from one author', () => {
  it('shows by the signatures of the relay when the two compare what they were told', async () => {
    let relay: ReturnType<typeof lyingRelay> | undefined
    world = await openWorld({
      hurry: HURRY,
      relay: options => {
        relay = lyingRelay(options)
        return relay
      },
    })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    const eve = await admitted(world, ann.space, 'Eve')
    await allSynced(world, ann, bob, eve)
    await bob.replica.close()
    const { secrets } = await openMember(bob.store.twin(), ann.space.id)
    const own = toHex(publicKeyOf(secrets.device.signing))
    await relay?.branch({ space: ann.space.id, to: ({ device }) => toHex(device) === own })
    await ann.space.removeMember(idOf(ann.space, 'Eve'), timely(world))
    await ann.space.sync(timely(world))
    const misled = await reopened(world, bob)
    const note = await noteOf(misled, ann.note)
    retitle(note, 'Eve may read this')
    await misled.space.sync(timely(world))
    expect(misled.space.members().map(({ name }) => name)).toContain('Eve')
    expect(misled.space.fingerprint()?.digits).not.toBe(ann.space.fingerprint()?.digits)
    const shown = misled.space.head as Uint8Array
    // What Ann was shown is ahead: before the relay leads there, which it cannot, nothing more is sealed.
    await misled.space.compareHead(ann.space.head as Uint8Array, timely(world))
    const pushes = world.count('push')
    retitle(note, 'and not this')
    await expect(misled.space.sync({ timeout: world.patience(300) })).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    expect(codesOf(misled.space)).toContain('ERR_ROLLBACK')
    expect(world.count('push')).toBe(pushes)
    // What Bob was shown is no way in which Ann's log began: the relay has signed both.
    await expect(ann.space.compareHead(shown, timely(world))).rejects.toMatchObject({ code: 'ERR_FROZEN' })
    expect(ann.space.exportEvidence()).toBeInstanceOf(Uint8Array)
  })

  it('and that it merely keeps back must come out before the author goes on (R-FRESH-3)', async () => {
    world = await openWorld({ hurry: HURRY })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    const eve = await admitted(world, ann.space, 'Eve')
    await allSynced(world, ann, bob, eve)
    bob.space.pause()
    await ann.space.removeMember(idOf(ann.space, 'Eve'), timely(world))
    await ann.space.sync(timely(world))
    const head = ann.space.head as Uint8Array
    // Bob is told what he knows already, and no more; what he is asked to compare leads further.
    const { size } = bob.space.status.confirmed
    world.tamper = message =>
      message.type === 'sync' && message.batch.from + message.batch.entries.length > size ? [] : [message]
    bob.space.resume()
    const bobNote = await noteOf(bob, ann.note)
    retitle(bobNote, 'not for Eve')
    await expect(bob.space.compareHead(head, { timeout: world.patience(300) })).rejects.toThrow(/ERR_TIMEOUT|ERR_PROOF/)
    world.tamper = undefined
    world.cut()
    await bob.space.compareHead(head, timely(world))
    await allSynced(world, bob, ann)
    expect(ann.note.doc().title).toBe('not for Eve')
    const entry = bobNote.receipt.index as number
    expect(bob.space.readers({ document: bobNote.id, index: entry }).map(({ name }) => name)).not.toContain('Eve')
  })
})

describe('replicas of one backup, across a rotation (R-CLONE-1, R-CLONE-2)', () => {
  const words = (note: SpaceDocument<Note>): string[] => note.doc().body.split(' ').filter(Boolean).sort()
  const type = (note: SpaceDocument<Note>, text: string): void =>
    note.change(doc => Automerge.splice(doc, ['body'], 0, 0, text))

  async function clones(): Promise<{
    ann: Awaited<ReturnType<typeof founded>>
    bob: Person
    backup: ReturnType<typeof memoryStore>
  }> {
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    await allSynced(world, ann, bob)
    type(await noteOf(bob, ann.note), 'base ')
    await allSynced(world, bob, ann)
    await bob.replica.close()
    return { ann, bob, backup: (await copyOf(bob.store)) as ReturnType<typeof memoryStore> }
  }

  it('retire and carry over: no edit is lost, none comes twice', async () => {
    world = await openWorld({ hurry: HURRY })
    const { ann, bob, backup } = await clones()
    world.down()
    const offline = await reopened(world, bob)
    type(await noteOf(offline, ann.note), 'mine ')
    await offline.replica.close()
    world.up()
    const twin = await reopened(world, { ...bob, store: backup })
    type(await noteOf(twin, ann.note), 'other ')
    await allSynced(world, twin, ann)
    await ann.space.revokeInvite(await ann.space.invite(timely(world)), timely(world))
    type(await noteOf(twin, ann.note), 'later ')
    await allSynced(world, twin, ann)
    expect(await epochIn(ann.space)).toBeGreaterThan(1)
    const back = await reopened(world, offline)
    await allSynced(world, back, ann, twin)
    expect(words(ann.note)).toEqual(['base', 'later', 'mine', 'other'])
    for (const person of [back, twin]) {
      expect((await noteOf(person, ann.note)).heads()).toEqual(ann.note.heads())
      expect(codesOf(person.space)).toEqual([])
    }
  })

  it('also where the relay holds back an entry of the one, and a rotation with it, and tells the other later', async () => {
    world = await openWorld({ hurry: HURRY })
    const { ann, bob, backup } = await clones()
    const twin = await reopened(world, { ...bob, store: backup })
    const known = twin.space.status.confirmed.size
    type(await noteOf(twin, ann.note), 'other ')
    await allSynced(world, twin, ann)
    await twin.replica.close()
    await ann.space.revokeInvite(await ann.space.invite(timely(world)), timely(world))
    await ann.space.sync(timely(world))
    const size = Math.max(known, (await openMember(bob.store.twin(), ann.space.id)).view.range.size)
    // The other one is told of nothing that came after the backup.
    world.tamper = message =>
      message.type === 'sync' && message.batch.from + message.batch.entries.length > size ? [] : [message]
    const held = await reopened(world, bob)
    type(await noteOf(held, ann.note), 'mine ')
    await (await noteOf(held, ann.note)).saved()
    await new Promise(resolve => setTimeout(resolve, 200))
    world.tamper = undefined
    world.cut()
    await allSynced(world, held, ann)
    expect(words(ann.note)).toEqual(['base', 'mine', 'other'])
    expect((await noteOf(held, ann.note)).heads()).toEqual(ann.note.heads())
    const back = await reopened(world, twin)
    type(await noteOf(back, ann.note), 'more ')
    await allSynced(world, back, held, ann)
    expect(words(ann.note)).toEqual(['base', 'mine', 'more', 'other'])
    expect((await noteOf(back, ann.note)).heads()).toEqual(ann.note.heads())
  })
})
