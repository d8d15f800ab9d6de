import * as Automerge from '@automerge/automerge/slim'
import { LIES } from 'sealog-relay/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { concat } from '../../src/bytes.ts'
import type { AnyDoc } from '../../src/crdt/content.ts'
import type { Problem } from '../../src/crdt/problems.ts'
import { encodeSnapshotPayload } from '../../src/crdt/snapshot-payload.ts'
import { DEFAULT_SNAPSHOT_LIMITS } from '../../src/crdt/snapshot-writer.ts'
import type { DocumentId } from '../../src/ids.ts'
import { edit, MALLORY, set, tipIn } from '../crdt/snapshot-support.ts'
import { EAGER } from '../helpers/eager.ts'
import { type ChainEnd, sendSnapshot } from '../helpers/hostile-snapshot.ts'
import { isFrozen, type LyingWorld, openLyingWorld, partyOf, settleAll, within, write } from '../helpers/lies.ts'
import type { Note } from '../helpers/world.ts'

/** What a snapshot says that is not so: from the true document, another one, and the ends of the true chains. */
type Forge = (doc: AnyDoc, other: AnyDoc, ends: readonly ChainEnd[]) => Uint8Array

function payload(doc: AnyDoc, ends: readonly ChainEnd[], saved: Uint8Array = Automerge.save(doc)): Uint8Array {
  const covered = ends.map(end => {
    const tip = tipIn(doc, end.actor)
    return { ...end, latestSeq: tip?.seq ?? 0, latestHash: tip?.hash ?? new Uint8Array(32) }
  })
  covered.sort((a, b) => (a.actor < b.actor ? -1 : 1))
  return encodeSnapshotPayload({ imported: undefined, covered, saved })
}

/** The document as it was some changes ago. */
function earlier(doc: AnyDoc): AnyDoc {
  const changes = Automerge.getAllChanges(doc)
  const [before] = Automerge.applyChanges(Automerge.init<Record<string, unknown>>(), changes.slice(0, -1))
  return before
}

const FORGERIES: Readonly<Record<string, Forge>> = {
  'an extra change by somebody who wrote no entry': (doc, _other, ends) =>
    payload(doc, ends, Automerge.save(set(doc, MALLORY, 'extra', true))),
  'an extra change in the name of an author': (doc, _other, ends) => {
    const [author] = ends.filter(({ actor }) => tipIn(doc, actor) !== undefined)
    return payload(doc, ends, Automerge.save(set(doc, author?.actor as never, 'extra', true)))
  },
  'an extra change that it lists as the latest': (doc, _other, ends) => {
    const [author] = ends.filter(({ actor }) => tipIn(doc, actor) !== undefined)
    return payload(set(doc, author?.actor as never, 'extra', true), ends)
  },
  'a change that waits for another': (doc, _other, ends) => {
    const two = edit(set(doc, MALLORY, 'first', 1), MALLORY, draft => {
      draft.second = 2
    })
    return payload(doc, ends, concat(Automerge.save(doc), Automerge.getLastLocalChange(two) as Uint8Array))
  },
  'a second document behind the first': (doc, other, ends) =>
    payload(doc, ends, concat(Automerge.save(doc), Automerge.save(other))),
  'a change missing': (doc, _other, ends) => payload(doc, ends, Automerge.save(earlier(doc))),
  'a change missing, and not listed': (doc, _other, ends) => payload(earlier(doc), ends),
  'another document': (doc, other, ends) => payload(doc, ends, Automerge.save(other)),
  'an entry more than there is': (doc, _other, ends) =>
    payload(
      doc,
      ends.map((end, i) => (i === 0 ? { ...end, seq: end.seq + 1 } : end)),
    ),
  'no entry at all, and all of the content': doc => payload(doc, []),
  'bytes that are no document': (doc, _other, ends) => payload(doc, ends, new Uint8Array(200).fill(7)),
  'nothing that can be read': () => new Uint8Array(64).fill(255),
}

/** What the author signed is not what the tags say. */
const REFUSALS = ['ERR_CONTENT', 'ERR_TAG', 'ERR_GUARD', 'ERR_MALFORMED'] as const

const limits = { ...EAGER, snapshot: DEFAULT_SNAPSHOT_LIMITS, cosign: { entries: 1000 } }
let opened: LyingWorld

beforeAll(async () => {
  opened = await openLyingWorld('all', limits)
})

afterAll(() => opened.world.close())

/** Bob, a member, hands in a snapshot of the first note that is not right. @returns its place in the log */
async function forgeSnapshot(forge: Forge): Promise<number> {
  const { ann, bob, world } = opened
  write(ann, 'n ')
  await settleAll(opened)
  const [note, other] = bob.notes
  const doc = Automerge.clone(note?.doc() as never) as AnyDoc
  const second = Automerge.clone(other?.doc() as never) as AnyDoc
  const document = note?.id as DocumentId
  const index = await sendSnapshot(world, bob.store, bob.space.id, document, ends => forge(doc, second, ends))
  await settleAll(opened)
  return index
}

describe('a member hands in (R-SNAPSHOT-9) a snapshot with', () => {
  it.each(Object.entries(FORGERIES).map(([what, forge], i) => [what, i % 2 === 0 ? 'opened' : 'all', forge] as const))(
    '%s: a newcomer of %s names it, uses the entries, and ends equal',
    async (_what, replicate, forge) => {
      const { ann, bob, world } = opened
      const index = await forgeSnapshot(forge)
      const wait = within(opened)
      const dan = await world.open('Dan', undefined, { replicate })
      const space = await dan.joinSpace(await ann.space.invite(wait), wait)
      const seen: Problem[] = []
      space.on('problem', ({ problem }) => void seen.push(problem))
      const note = await space.openDocument<Note>(ann.notes[0]?.id as string)
      await space.sync(wait)
      expect(note.heads()).toEqual(ann.notes[0]?.heads())
      expect(note.doc()).toEqual(ann.notes[0]?.doc())
      const [problem, ...others] = space.problems
      expect(problem).toMatchObject({ document: note.id, index, code: expect.toBeOneOf([...REFUSALS]) })
      expect(problem?.actor).toBeDefined()
      expect(others).toEqual([])
      expect(isFrozen(space)).toBe(false)
      // It goes on from there like everybody else.
      note.change(doc => {
        doc.title = `Dan ${index}`
      })
      await space.sync(wait)
      await settleAll(opened)
      expect(ann.notes[0]?.doc().title).toBe(`Dan ${index}`)
      for (const party of [ann, bob]) expect(party.space.problems).toEqual([])
      await dan.close()
    },
  )
})

describe('a member hands in a snapshot that is right, with', () => {
  // A device has no more than 16 chains open in a document, and each of these is in one of its own.
  beforeAll(async () => {
    await opened.world.close()
    opened = await openLyingWorld('all', limits)
  })

  it('less than there is, and says so: the rest comes as entries, of which the relay cannot leave out any', async () => {
    const { ann, bob, relay, world } = opened
    const [isAnn, isBob] = [await partyOf(ann), await partyOf(bob)]
    const wait = within(opened)
    for (const name of [undefined, ...LIES.map(lie => lie.name).filter(each => each.startsWith('chain-'))]) {
      await forgeSnapshot(() =>
        encodeSnapshotPayload({ imported: undefined, covered: [], saved: Automerge.save(Automerge.init()) }),
      )
      const dan = await world.open('Dan', undefined, { replicate: 'opened' })
      const space = await dan.joinSpace(await ann.space.invite(wait), wait)
      const codes: string[] = []
      space.on('problem', ({ problem }) => void codes.push(problem.code))
      const told = relay.told.length
      const asked = world.count('get-chain')
      if (name !== undefined) relay.lie(name, { to: listener => !isAnn(listener) && !isBob(listener) })
      const note = await space.openDocument<Note>(ann.notes[0]?.id as string)
      if (name !== undefined) {
        await expect.poll(() => codes.length, { interval: 2, timeout: 5000 }).toBeGreaterThan(0)
        expect(relay.told[told]?.lie).toBe(name)
        expect(codes[0]).toBe('ERR_PROOF')
        expect(note.heads()).toEqual([])
        relay.honest()
      }
      await space.sync(wait)
      expect(world.count('get-chain')).toBeGreaterThan(asked)
      // What the relay took to be covered came without bodies: they are asked for behind it.
      await expect.poll(() => note.heads(), { interval: 5, timeout: 5000 }).toEqual(ann.notes[0]?.heads())
      expect(space.problems).toEqual([])
      expect(isFrozen(space)).toBe(false)
      await dan.close()
    }
  })

  it('all that there is: it is used, and the document can be edited at once', async () => {
    const { ann, world } = opened
    await forgeSnapshot((doc, _other, ends) => payload(doc, ends))
    const wait = within(opened)
    const dan = await world.open('Dan', undefined, { replicate: 'opened' })
    const space = await dan.joinSpace(await ann.space.invite(wait), wait)
    const note = await space.openDocument<Note>(ann.notes[0]?.id as string)
    await space.sync(wait)
    expect(space.problems).toEqual([])
    expect(note.heads()).toEqual(ann.notes[0]?.heads())
    note.change(doc => {
      doc.title = 'Dan, on a snapshot'
    })
    await space.sync(wait)
    await settleAll(opened)
    expect(ann.notes[0]?.doc().title).toBe('Dan, on a snapshot')
    await dan.close()
  })
})
