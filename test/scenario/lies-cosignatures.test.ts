import { forgeLog, type Lie, type Teller } from 'sealog-relay/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { generateSeed } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import { encodeNote, type NoteSignature, parseNote } from '../../src/verify/checkpoint.ts'
import { cosign } from '../../src/verify/cosignature.ts'
import { EAGER } from '../helpers/eager.ts'
import { isFrozen, type LyingWorld, openLyingWorld, partyOf, settleAll, within, write } from '../helpers/lies.ts'
import { deviceOf, type MemberDevice } from '../helpers/members.ts'
import { problemsOf } from '../helpers/problems.ts'
import type { Note } from '../helpers/world.ts'

/** Who is there beside Bob, who comes back after long. */
interface Members {
  /** The owner. */
  readonly ann: MemberDevice
  readonly bob: MemberDevice
  /** A writer. */
  readonly carl: MemberDevice
}

type Lines = (text: Uint8Array, members: Members, teller: Teller) => Promise<readonly NoteSignature[]>

const FALSE_LINES: readonly (readonly [what: string, lines: Lines])[] = [
  ['of nobody', async () => []],
  [
    'with a bit flipped',
    async (text, { ann }) => {
      const line = await ann.cosign(text)
      return [{ ...line, signature: line.signature.map((byte, i) => (i === 40 ? byte ^ 1 : byte)) }]
    },
  ],
  [
    'with another time than the signed one',
    async (text, { ann }) => {
      const line = await ann.cosign(text)
      return [{ ...line, signature: line.signature.map((byte, i) => (i === 7 ? byte ^ 1 : byte)) }]
    },
  ],
  [
    'under an older note',
    async (_text, { ann }, { notes }) => [await ann.cosign(parseNote(notes.at(-3) as Uint8Array).text)],
  ],
  ['of the one who asks', async (text, { bob }) => [await bob.cosign(text)]],
  ['of a writer alone', async (text, { carl }) => [await carl.cosign(text)]],
  ['of a writer, several times', async (text, { carl }) => [await carl.cosign(text), await carl.cosign(text)]],
  [
    'in the name of an owner by another key',
    async (text, { ann }, { space }) => {
      const stranger = nobleSigningKey(generateSeed(length => new Uint8Array(length).fill(7)))
      return [await cosign(text, space, ann.number, 1_700_000_000, stranger)]
    },
  ],
  [
    'of an owner under the name of a device that there is not',
    async (text, { ann }, { space }) => [await cosign(text, space, 99, 1_700_000_000, ann.signer)],
  ],
]

let opened: LyingWorld
let members: Members

beforeAll(async () => {
  opened = await openLyingWorld('all', EAGER)
  const { ann, bob, world } = opened
  const store = memoryStore()
  const carl = await world.open('Carl', store)
  const space = await carl.joinSpace(await ann.space.invite(within(opened)), within(opened))
  await space.sync(within(opened))
  space.pause()
  await settleAll(opened)
  const of = (from: ReplicaStore): Promise<MemberDevice> => deviceOf(from, ann.space.id)
  members = { ann: await of(ann.store), bob: await of(bob.store), carl: await of(store) }
  await bob.replica.close()
})

afterEach(() => opened.relay.honest())
afterAll(() => opened.world.close())

/** The relay answers a skip by what it signed last, with these lines under it. */
function skipWith(lines: Lines): Lie {
  return {
    name: 'cosigned',
    says: 'a skip leads to a note with other cosignatures than there are',
    expected: ['ERR_UNVOUCHED'],
    isSigned: false,
    freezes: false,
    tell: async (_message, teller) => {
      const { asked, log, notes } = teller
      if (asked?.type !== 'skip') return undefined
      const { checkpoint, text, signatures } = parseNote(notes.at(-1) as Uint8Array)
      const note = encodeNote(checkpoint, [...signatures.slice(0, 1), ...(await lines(text, members, teller))])
      return [forgeLog(log).skip(asked, { checkpoint, note })]
    },
  }
}

/** Bob comes back after more entries than he would replay. */
async function comeBack(lie: Lie) {
  const { ann, bob, relay, world } = opened
  for (let i = 0; i < 5; i++) {
    write(ann, `${i} `)
    await ann.space.sync(within(opened))
  }
  relay.lie(lie, { to: await partyOf({ ...bob, store: ann.store }).then(isAnn => listener => !isAnn(listener)) })
  const replica = await world.open('Bob', bob.store)
  const space = await replica.openSpace(bob.space.id)
  return { replica, space }
}

describe('who comes back after long, and is shown cosignatures (R-SKIP-8, R-VOUCH-1)', () => {
  it.each(FALSE_LINES)('%s: does not skip, replays the log instead, and has everything', async (_what, lines) => {
    const { ann, relay } = opened
    const told = relay.told.length
    const shown = problemsOf('skip')
    const { replica, space } = await comeBack(skipWith(lines))
    await space.sync(within(opened))
    expect(relay.told[told]?.lie).toBe('cosigned')
    expect(shown()).toEqual(['ERR_UNVOUCHED'])
    // Nothing is left of it once all that it would have skipped is here.
    expect(space.problems).toEqual([])
    expect(space.status.trust).toEqual({ level: 'verified' })
    expect(isFrozen(space)).toBe(false)
    const note = await space.openDocument<Note>(ann.notes[0]?.id as string)
    expect(note.heads()).toEqual(ann.notes[0]?.heads())
    await replica.close()
  })

  it('of an owner: skips there, and verifies what it skipped', async () => {
    const { ann, world } = opened
    const { replica, space } = await comeBack(skipWith(async (text, { ann: owner }) => [await owner.cosign(text)]))
    await space.sync(within(opened))
    expect(world.count('read')).toBeGreaterThan(0)
    expect(space.problems).toEqual([])
    await expect.poll(() => space.status.trust, { interval: 2, timeout: 5000 }).toEqual({ level: 'verified' })
    const note = await space.openDocument<Note>(ann.notes[0]?.id as string)
    expect(note.heads()).toEqual(ann.notes[0]?.heads())
    await replica.close()
  })
})
