import * as Automerge from '@automerge/automerge/slim'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AnyDoc } from '../../src/crdt/content.ts'
import { buildImport } from '../../src/crdt/import-payload.ts'
import type { ChangesPayload } from '../../src/crdt/payload.ts'
import { encodeSnapshotPayload } from '../../src/crdt/snapshot-payload.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { documentIdOf } from '../../src/ids.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import { Author } from '../crdt/parking-support.ts'
import { contentOf } from '../helpers/histories.ts'
import { bytesOf } from '../helpers/log-builder.ts'
import { accompliceSnapshot, type Guest, heldBy, join, REPLAYS, SKIPS, untilEqual } from '../helpers/mixed-replicas.ts'
import { type Puppet, ScriptedMember } from '../helpers/scripted-member.ts'
import { type Note, openPair, openWorld, type Pair, type World } from '../helpers/world.ts'

let world: World
let pair: Pair
let ann: Guest
let eve: ScriptedMember
const guests: Guest[] = []

/** Ann and Bob follow the log as it grows; Eve is a member who keeps to no rule. */
beforeEach(async () => {
  world = await openWorld({ hurry: 0.01, limits: REPLAYS })
  const store = memoryStore()
  pair = await openPair(world, { ann: store })
  ann = { name: 'Ann', store, replica: pair.ann, space: pair.annSpace }
  const guest = await join(world, pair.annSpace, 'Eve', REPLAYS)
  await guest.replica.close()
  eve = await ScriptedMember.open(world, guest.store, guest.space.id, store)
})

afterEach(async () => {
  eve.close()
  for (const { replica } of guests.splice(0)) await replica.close().catch(() => {})
  await world.close()
})

const timeout = (): { timeout: number } => ({ timeout: world.patience(5000) })

function knowing(puppet: Puppet, note: SpaceDocument<Note>): Puppet {
  puppet.author.doc = Automerge.merge(puppet.author.doc, Automerge.clone(note.doc() as unknown as AnyDoc))
  return puppet
}

async function openOn(guest: Guest, note: SpaceDocument<Note>): Promise<SpaceDocument<Note>> {
  guests.push(guest)
  return guest.space.openDocument<Note>(note.id)
}

/** What these replicas hold, as soon as it is the same. */
async function allOf(parties: readonly (readonly [Guest, SpaceDocument<Note>])[]): ReturnType<typeof untilEqual> {
  return untilEqual(async () => {
    for (const [{ space }] of parties) await space.sync(timeout())
    return Promise.all(parties.map(([guest, note]) => heldBy(guest, [note])))
  })
}

describe('a body that is not what its tag commits to, and an accomplice who has that (R-CONTENT-6, R-PARK-3)', () => {
  it('splits nobody: live, with the document closed, by replay, by fast-forward, sparse', async () => {
    const { annSpace, annNote } = pair
    const closed = await join(world, annSpace, 'Cyd', REPLAYS)
    const kinds = ['garbage', 'wrong bundle', 'wrong count', 'another body', 'sealed shut'] as const
    const puppets: Puppet[] = []
    for (const kind of kinds) {
      const puppet = knowing(eve.puppet(annNote.id), annNote)
      puppets.push(puppet)
      // A bundle gets as far as Automerge where it begins the chain.
      const steps = kind === 'wrong bundle' ? ([kind, 'send', 'send'] as const) : (['send', kind, 'send'] as const)
      for (const what of steps) {
        puppet.author.set(kind, what)
        const payload = puppet.author.next() as ChangesPayload
        await eve.send(puppet, contentOf(what, payload, 2, puppet.author))
      }
    }
    await annSpace.sync(timeout())
    // Nobody ends for it: what the tag commits to is still to come.
    expect(annSpace.problems.map(({ code }) => code).sort()).toEqual([
      'ERR_CONTENT',
      'ERR_CONTENT',
      'ERR_GUARD',
      'ERR_GUARD',
      'ERR_OPEN',
    ])
    expect((await heldBy(ann, [annNote])).stopped[0]?.map(([, reason]) => reason)).toEqual(Array(5).fill('parked'))
    const skips = await join(world, annSpace, 'Dan', SKIPS)
    const skipsNote = await openOn(skips, annNote)

    const docs = [annNote.doc() as unknown as AnyDoc, ...puppets.map(({ author }) => author.doc)]
    const plain = (await accompliceSnapshot(ann, annNote.id, docs)) as Uint8Array
    await eve.send(eve.puppet(annNote.id), { kind: 'snapshot', plain })

    const replays = await join(world, annSpace, 'Fay', REPLAYS)
    const late = await join(world, annSpace, 'Gus', SKIPS)
    const sparse = await join(world, annSpace, 'Hal', SKIPS, 'opened')
    const held = await allOf([
      [ann, annNote],
      [closed, await openOn(closed, annNote)],
      [skips, skipsNote],
      [replays, await openOn(replays, annNote)],
      [late, await openOn(late, annNote)],
    ])
    for (const each of held) expect(each).toEqual(held[0])
    expect(held[0]?.stopped).toEqual([[]])
    for (const kind of kinds) expect(annNote.doc()).toHaveProperty(kind, 'send')
    const sparseNote = await openOn(sparse, annNote)
    await sparse.space.sync(timeout())
    expect(sparseNote.heads().toSorted()).toEqual(held[0]?.heads[0])
    expect(annSpace.problems).toEqual([])
    // What is written on top reaches everybody, and so does what the puppets write from now on.
    annNote.change(doc => {
      doc.title = 'after'
    })
    const [first] = puppets as [Puppet]
    first.author.set('garbage', 'no more')
    await eve.send(first, first.author.next() as ChangesPayload)
    await annSpace.sync(timeout())
    await late.space.sync(timeout())
    expect((await late.space.openDocument<Note>(annNote.id)).doc()).toMatchObject({
      title: 'after',
      garbage: 'no more',
    })
  })
})

describe('a snapshot', () => {
  it('that holds the import but does not cover the entry that brought it is refused (R-SNAPSHOT-7, R-SNAPSHOT-9)', async () => {
    const { annSpace } = pair
    const document = documentIdOf(bytesOf('an imported document').slice(0, 16))
    const foreign = new Author('f')
    foreign.set('title', 'imported')
    const { payload, commitment, summary } = buildImport(Automerge.save(foreign.doc))
    const importer = eve.puppet(document)
    await eve.send(importer, { kind: 'import', plain: payload, tagged: commitment })
    const saved = Automerge.save(foreign.doc)
    const plain = encodeSnapshotPayload({ imported: summary, covered: [], saved })
    await eve.send(eve.puppet(document), { kind: 'snapshot', plain })
    importer.author.merge(foreign)
    importer.author.set('body', 'written on top')
    await eve.send(importer, importer.author.next() as ChangesPayload)

    const note = await annSpace.openDocument<Note>(document)
    await annSpace.sync(timeout())
    const late = await join(world, annSpace, 'Dan', SKIPS)
    // The directory does not list it: the audit finds it.
    await expect.poll(() => late.space.status.trust.level).toBe('verified')
    await late.space.sync(timeout())
    const held = await allOf([
      [ann, note],
      [late, await openOn(late, note)],
    ])
    expect(held[1]).toEqual(held[0])
    expect(note.doc()).toEqual({ title: 'imported', body: 'written on top' })
    expect(late.space.problems.map(({ code }) => code)).toEqual(['ERR_CONTENT'])
  })

  it('that contradicts what its author wrote before releases nobody, and stops nobody else (R-PARK-3)', async () => {
    const { annSpace, annNote, bobSpace, bobNote } = pair
    const puppet = eve.puppet(annNote.id)
    puppet.author.set('first', 'as written')
    await eve.send(puppet, puppet.author.next() as ChangesPayload)
    // Another history of the same actor, which its next tag commits to.
    const other = new Author(puppet.author.actor)
    other.set('first', 'as told later')
    other.set('second', 1)
    const payload = other.next() as ChangesPayload
    await eve.send(puppet, contentOf('garbage', payload, 0, other))
    await annSpace.sync(timeout())
    const docs = [annNote.doc() as unknown as AnyDoc, other.doc]
    const honest = Automerge.clone(docs[0] as AnyDoc)
    expect(honest).toHaveProperty('first', 'as written')
    const onlyAnn = Automerge.loadIncremental(
      Automerge.init<Record<string, unknown>>(),
      concatOf(honest, puppet.author.actor),
    )
    const plain = (await accompliceSnapshot(ann, annNote.id, [onlyAnn, other.doc])) as Uint8Array
    await eve.send(eve.puppet(annNote.id), { kind: 'snapshot', plain })
    annNote.change(doc => {
      doc.title = 'goes on'
    })
    await annSpace.sync(timeout())
    await new Promise(resolve => setTimeout(resolve, 100))
    await bobSpace.sync(timeout())
    for (const space of [annSpace, bobSpace]) {
      expect(space.status.connection).toBe('online')
      expect(space.problems.map(({ code, actor }) => [code, actor])).toEqual([['ERR_GUARD', puppet.author.actor]])
    }
    expect(bobNote.doc()).toMatchObject({ title: 'goes on', first: 'as written' })
    expect(bobNote.heads()).toEqual(annNote.heads())
  })
})

/** All changes of a document that are not by this actor. */
function concatOf(doc: AnyDoc, except: string): Uint8Array {
  const backend = Automerge.getBackend(doc)
  const others = backend.getChangesMeta([]).filter(({ actor }) => actor !== except)
  const chunks = others.map(({ hash }) => backend.getChangeByHash(hash) as Uint8Array)
  return Uint8Array.from(chunks.flatMap(chunk => [...chunk]))
}
