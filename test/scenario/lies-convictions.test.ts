import { forgeLog, type Lie, signNote } from 'sealog-relay/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { generateSeed } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import type { DocumentId } from '../../src/ids.ts'
import { encodeNote, encodeNoteText, originOf, parseNote } from '../../src/verify/checkpoint.ts'
import { noteKeyHash } from '../../src/verify/note-key.ts'
import {
  type ActorRecord,
  actorsOf,
  findDocument,
  type SpaceState,
  stateKey,
  stateRoot,
} from '../../src/verify/state.ts'
import { deleteAt, setAt } from '../../src/verify/state-map.ts'
import { expectConvicted } from '../helpers/convicted.ts'
import { EAGER } from '../helpers/eager.ts'
import {
  bodies,
  isFrozen,
  type LyingWorld,
  openLyingWorld,
  type Party,
  partyOf,
  settleAll,
  within,
  write,
} from '../helpers/lies.ts'
import { deviceOf } from '../helpers/members.ts'

let opened: LyingWorld

afterEach(() => opened.world.close())

/** Ann and Bob on a branch each, with as much on each as is said. */
async function fork(rounds: { ann: number; bob: number }): Promise<void> {
  const { ann, bob, relay } = opened
  const isAnn = await partyOf(ann)
  await relay.branch({ space: ann.space.id, to: listener => !isAnn(listener) })
  await settleAll(opened)
  for (let i = 0; i < rounds.ann; i++) await writeOne(ann, 'left ')
  for (let i = 0; i < rounds.bob; i++) await writeOne(bob, 'right ')
}

/** One entry. */
async function writeOne(party: Party, word: string): Promise<void> {
  party.notes[0]?.change(doc => {
    doc.title = `${word}${doc.title}`
  })
  await party.space.sync(within(opened))
}

function expectApart(): void {
  const { ann, bob } = opened
  expect(bob.notes[0]?.doc().title).not.toContain('left ')
  expect(ann.notes[0]?.doc().title).not.toContain('right ')
}

describe('two members who were kept on two branches (R-HEAD-3, R-FREEZE-2)', () => {
  beforeEach(async () => {
    opened = await openLyingWorld()
  })

  it.each(['all', 'opened'] as const)(
    'by a head of the same size, on a replica of %s: convict the relay',
    async kept => {
      if (kept === 'opened') {
        await opened.world.close()
        opened = await openLyingWorld('opened')
      }
      await fork({ ann: 2, bob: 2 })
      const { ann, bob } = opened
      let events = 0
      bob.space.on('frozen', () => events++)
      await expect(bob.space.compareHead(ann.space.head as Uint8Array)).rejects.toMatchObject({ code: 'ERR_FROZEN' })
      expect(events).toBe(1)
      expect(bob.space.problems.map(problem => problem.code)).toEqual(['ERR_FROZEN'])
      expectApart()
      await expectConvicted(opened, bob)
    },
  )

  it('by a head that is behind, and a proof that is not for it: convict the relay', async () => {
    const { ann, bob } = opened
    // From a power of two, a proof does not show the root: see below.
    if (Math.log2(ann.space.status.confirmed.size + 1) % 1 === 0) await writeOne(ann, 'common ')
    await settleAll(opened)
    await fork({ ann: 1, bob: 4 })
    const { size } = parseNote(ann.space.head as Uint8Array).checkpoint
    expect(Math.log2(size) % 1).not.toBe(0)
    await expect(bob.space.compareHead(ann.space.head as Uint8Array)).rejects.toMatchObject({ code: 'ERR_FROZEN' })
    expectApart()
    await expectConvicted(opened, bob)
  })

  it('by a head that is behind, where no signature is bound to a contradiction: refuse it, and show that', async () => {
    const { ann, bob } = opened
    // The root at a power of two is no part of the proof from there, so that it shows nothing but that it fails.
    while (Math.log2(ann.space.status.confirmed.size + 1) % 1 !== 0) await writeOne(ann, 'common ')
    await settleAll(opened)
    await fork({ ann: 1, bob: 4 })
    await expect(bob.space.compareHead(ann.space.head as Uint8Array)).rejects.toMatchObject({ code: 'ERR_PROOF' })
    expect(isFrozen(bob.space)).toBe(false)
    expect(bob.space.problems.map(problem => problem.code)).toEqual(['ERR_PROOF'])
    expectApart()
    // Work goes on, and the problem stays.
    await writeOne(bob, 'still ')
    expect(bob.space.problems.map(problem => problem.code)).toEqual(['ERR_PROOF'])
  })

  it('by a head that is ahead: never take another log than the one that leads there', async () => {
    await fork({ ann: 0, bob: 1 })
    const { ann, bob, relay } = opened
    for (let i = 0; i < 4; i++) await writeOne(ann, 'left ')
    const { size } = bob.space.status.confirmed
    await bob.space.compareHead(ann.space.head as Uint8Array)
    expect(isFrozen(bob.space)).toBe(false)
    relay.cut()
    await expect.poll(() => bob.space.problems.length, { interval: 2, timeout: 5000 }).toBeGreaterThan(0)
    // A note that the relay signed anew for the smaller log is a contradiction; the old one is merely refused.
    expect(bob.space.problems[0]?.code).toBeOneOf(['ERR_ROLLBACK', 'ERR_FROZEN'])
    expect(bob.space.status.confirmed.size).toBe(size)
    expectApart()
    if (isFrozen(bob.space)) return expectConvicted(opened, bob)
    write(bob, 'kept ')
    for (const note of bob.notes) await note.saved()
    expect(bodies(bob).every(body => body.startsWith('kept '))).toBe(true)
  })

  it('by fingerprint: convict the relay', async () => {
    await fork({ ann: 2, bob: 2 })
    const { ann, bob } = opened
    const { qr } = ann.space.fingerprint() as { qr: string }
    await expect(bob.space.verifyFingerprint(qr)).rejects.toMatchObject({ code: 'ERR_FROZEN' })
    expectApart()
    await expectConvicted(opened, bob)
  })

  it('by an entry that was made on the other branch: convict the relay', async () => {
    await fork({ ann: 1, bob: 1 })
    const { ann, bob, relay } = opened
    await writeOne(ann, 'more ')
    relay.lie('signed-entry-of-another-branch', { to: await partyOf(bob) })
    write(bob, 'and ')
    await expect.poll(() => isFrozen(bob.space), { interval: 2, timeout: 5000 }).toBe(true)
    expectApart()
    await expectConvicted(opened, bob)
  })

  it('by an invite, whose guest is shown the other branch: the guest convicts the relay', async () => {
    await fork({ ann: 2, bob: 1 })
    const { ann, bob, relay, world } = opened
    const link = await bob.space.invite(within(opened))
    const [isAnn, isBob] = [await partyOf(ann), await partyOf(bob)]
    relay.lie('log-of-another-branch', { to: listener => !isAnn(listener) && !isBob(listener) })
    const carl = await world.open('Carl')
    await expect(carl.joinSpace(link, { timeout: world.patience(500) })).rejects.toThrow()
    const space = await carl.openSpace(bob.space.id)
    expect(space.status.confirmed.size).toBe(0)
    expect(space.problems.length).toBeGreaterThan(0)
    await carl.close()
  })
})

describe('a member that invents heads (R-HEAD-1, R-FREEZE-1)', () => {
  beforeEach(async () => {
    opened = await openLyingWorld()
  })

  it('freezes nobody: what the relay did not sign for this space is refused', async () => {
    const { ann, bob, relay, world } = opened
    const head = ann.space.head as Uint8Array
    const { checkpoint, signatures } = parseNote(head)
    const own = nobleSigningKey(generateSeed(world.platform.environment.random))
    const name = originOf(relay.name, ann.space.id)
    const sign = async (changed: typeof checkpoint, publicKey: Uint8Array): Promise<Uint8Array> =>
      encodeNote(changed, [
        { name, keyHash: noteKeyHash(name, publicKey), signature: await own.sign(encodeNoteText(changed)) },
      ])
    const elsewhere = (await ann.replica.spaces()).find(id => id !== ann.space.id)
    const other = await ann.replica.openSpace(elsewhere as string)
    const inventions: readonly (readonly [Uint8Array, readonly string[]])[] = [
      [encodeNote({ ...checkpoint, size: checkpoint.size + 5 }, signatures), ['ERR_CHECKPOINT_SIGNATURE']],
      [
        encodeNote({ ...checkpoint, root: checkpoint.root.map(byte => byte ^ 1) }, signatures),
        ['ERR_CHECKPOINT_SIGNATURE'],
      ],
      [encodeNote({ ...checkpoint, stateRoot: checkpoint.root }, signatures), ['ERR_CHECKPOINT_SIGNATURE']],
      [encodeNote({ ...checkpoint, time: checkpoint.time + 1 }, signatures), ['ERR_CHECKPOINT_SIGNATURE']],
      [await sign({ ...checkpoint, root: checkpoint.stateRoot }, own.publicKey), ['ERR_CHECKPOINT_SIGNATURE']],
      [await sign({ ...checkpoint, root: checkpoint.stateRoot }, relay.key), ['ERR_CHECKPOINT_SIGNATURE']],
      [other.head as Uint8Array, ['ERR_CHECKPOINT_SIGNATURE', 'ERR_CHECKPOINT']],
      [head.slice(0, -2), ['ERR_CHECKPOINT']],
      [new Uint8Array(100), ['ERR_CHECKPOINT', 'ERR_MALFORMED']],
    ]
    for (const [invented, codes] of inventions) {
      await expect(bob.space.compareHead(invented)).rejects.toMatchObject({ code: expect.toBeOneOf([...codes]) })
    }
    // One that is true, only old, is no contradiction either.
    write(ann, 'more ')
    await settleAll(opened)
    await bob.space.compareHead(head)
    expect(isFrozen(bob.space)).toBe(false)
    expect(bob.space.problems).toEqual([])
    write(bob, 'on ')
    await settleAll(opened)
    expect(bodies(ann)).toEqual(bodies(bob))
  })
})

type Forget = (state: SpaceState, document: DocumentId) => SpaceState

/** The state with another record of an actor who has written twice, or with none. */
function withActor(state: SpaceState, document: DocumentId, change: (actor: ActorRecord) => ActorRecord | undefined) {
  const record = findDocument(state, document)
  const actor = record && [...actorsOf(record)].find(({ seq }) => seq > 0)
  if (record === undefined || actor === undefined) throw new Error('nobody wrote twice')
  const changed = change(actor)
  const key = stateKey(actor.actor)
  const actors = changed ? setAt(record.actors, key, changed) : deleteAt(record.actors, key)
  return { ...state, documents: setAt(state.documents, stateKey(document), { ...record, actors }) }
}

const FORGOTTEN: readonly (readonly [string, Forget])[] = [
  ['one actor', (state, document) => withActor(state, document, () => undefined)],
  [
    "a document's last entry",
    (state, document) => withActor(state, document, actor => ({ ...actor, seq: actor.seq - 1 })),
  ],
  ['a document', (state, document) => ({ ...state, documents: deleteAt(state.documents, stateKey(document)) })],
]

describe('a state root that an administrator has cosigned, and that forgets', () => {
  it.each(FORGOTTEN)('%s: is skipped to, and the audit convicts the relay (R-AUDIT-1)', async (_what, forget) => {
    opened = await openLyingWorld('all', EAGER)
    const { ann, bob, relay, world } = opened
    const isAnn = await partyOf(ann)
    const device = await deviceOf(ann.store, ann.space.id)
    await bob.replica.close()
    for (let i = 0; i < 5; i++) {
      write(ann, `${i} `)
      await ann.space.sync(within(opened))
    }
    let target = 0
    let note: Uint8Array | undefined
    const lie: Lie = {
      name: 'false-state',
      says: 'a skip leads to a state that forgets what the log has',
      expected: ['ERR_STATE_ROOT'],
      isSigned: true,
      freezes: true,
      tell: async (message, teller) => {
        const { asked, log, notes } = teller
        if (message.type === 'sync' && asked === undefined && note !== undefined && message.batch.from >= target) {
          const empty = { entries: [], seenProofs: [], consistency: [], tracer: undefined }
          return [{ ...message, batch: { from: target, note, ...empty } }]
        }
        if (asked?.type === 'get-document') return []
        if (asked?.type !== 'skip') return undefined
        const { checkpoint } = parseNote(notes.at(-1) as Uint8Array)
        target = checkpoint.size
        const forged = forgeLog(log)
        const lied = forget(forged.state(target) as SpaceState, ann.notes[0]?.id as DocumentId)
        const head = await signNote(teller, { ...checkpoint, stateRoot: stateRoot(lied) })
        const { signatures, text } = parseNote(head.note)
        note = head.note
        const cosigned = encodeNote(head.checkpoint, [...signatures, await device.cosign(text)])
        return [forged.skip(asked, { checkpoint: head.checkpoint, note: cosigned }, lied)]
      },
    }
    relay.lie(lie, { to: listener => !isAnn(listener) })
    const replica = await world.open('Bob', bob.store)
    const space = await replica.openSpace(bob.space.id)
    await expect.poll(() => space.status.trust.level, { interval: 2, timeout: 5000 }).toBe('vouched')
    await expect.poll(() => isFrozen(space), { interval: 2, timeout: 8000 }).toBe(true)
    expect(space.problems.map(problem => problem.code)).toContain('ERR_STATE_ROOT')
    const notes = await Promise.all(bob.notes.map(({ id }) => space.openDocument<{ title: string; body: string }>(id)))
    await expectConvicted(opened, { ...bob, replica, space, notes })
  })
})
