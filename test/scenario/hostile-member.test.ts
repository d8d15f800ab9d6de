import * as Automerge from '@automerge/automerge/slim'
import { describe, expect, it } from 'vitest'
import { fromHex } from '../../src/bytes.ts'
import { emptyDoc } from '../../src/crdt/content.ts'
import { encodeChangesPayload } from '../../src/crdt/payload.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { ActorId } from '../../src/ids.ts'
import { type Forgery, sendAsMember } from '../helpers/hostile-member.ts'
import { type Note, openPair, openWorld, settle } from '../helpers/world.ts'

function honest(actor: ActorId): { chunks: Uint8Array; hash: Uint8Array } {
  const doc = Automerge.change(emptyDoc(actor), { time: 0 }, d => {
    d.hostile = 'value'
  })
  const [head] = Automerge.getHeads(doc)
  return { chunks: Automerge.getLastLocalChange(doc) as Uint8Array, hash: fromHex(head as string) }
}

function payloadOf(chunks: Uint8Array, latestHash: Uint8Array, count = 1): Uint8Array {
  return encodeChangesPayload({ encoding: 'raw', latestHash, latestSeq: count, count, chunks })
}

/** What a member can do with its own keys, and how every replica takes it. */
const ATTACKS: Readonly<Record<string, { code: string; forge: (actor: ActorId) => Omit<Forgery, 'actor'> }>> = {
  'a body that does not open': {
    code: 'ERR_OPEN',
    forge: () => ({ payload: new Uint8Array(0), tagged: new Uint8Array(32), body: new Uint8Array(200).fill(1) }),
  },
  'a tag for another change': {
    code: 'ERR_TAG',
    forge: actor => {
      const { chunks, hash } = honest(actor)
      return { payload: payloadOf(chunks, hash), tagged: new Uint8Array(32).fill(3) }
    },
  },
  'changes of another actor': {
    code: 'ERR_GUARD',
    forge: () => {
      const { chunks, hash } = honest('ab'.repeat(16) as ActorId)
      return { payload: payloadOf(chunks, hash), tagged: hash }
    },
  },
  'chunks that are garbage': {
    code: 'ERR_GUARD',
    forge: () => ({
      payload: payloadOf(new Uint8Array(300).fill(9), new Uint8Array(32).fill(4)),
      tagged: new Uint8Array(32).fill(4),
    }),
  },
  'fewer changes than it announces': {
    code: 'ERR_CONTENT',
    forge: actor => {
      const { chunks, hash } = honest(actor)
      return { payload: payloadOf(chunks, hash, 2), tagged: hash }
    },
  },
  'a change with another hash than the tagged one': {
    code: 'ERR_CONTENT',
    forge: actor => {
      const hash = new Uint8Array(32).fill(5)
      return { payload: payloadOf(honest(actor).chunks, hash), tagged: hash }
    },
  },
  'a payload that is no CBOR': {
    code: 'ERR_MALFORMED',
    forge: () => ({ payload: new Uint8Array(50).fill(255), tagged: new Uint8Array(32) }),
  },
}

describe('a hostile member neither crashes nor splits the others (R-CONTENT-1, R-CONTENT-2)', () => {
  for (const [what, { code, forge }] of Object.entries(ATTACKS)) {
    it(`who sends ${what}`, async () => {
      const world = await openWorld({ hurry: 0.1 })
      const bobStore = memoryStore()
      const { ann, bob, annSpace, bobSpace, annNote } = await openPair(world, { bob: bobStore })
      const carl = await world.open('Carl')
      const carlSpace = await carl.joinSpace(await annSpace.invite({ timeout: world.patience(5000) }))
      const carlNote = await carlSpace.openDocument<Note>(annNote.id)
      await bobSpace.sync({ timeout: world.patience(5000) })
      await bob.close()

      await sendAsMember(world, bobStore, bobSpace.id, annNote.id, forge)
      const write = (note: typeof annNote, text: string): void =>
        note.change(doc => Automerge.splice(doc, ['body'], 0, 0, text))
      write(annNote, 'Ann ')
      write(carlNote, 'Carl ')
      await settle(annSpace, carlSpace)

      for (const space of [annSpace, carlSpace]) {
        expect(space.problems).toMatchObject([{ code, document: annNote.id }])
        expect(space.status.connection).toBe('online')
      }
      expect(carlNote.heads()).toEqual(annNote.heads())
      expect(annNote.doc()).not.toHaveProperty('hostile')
      expect(annNote.doc().body.split(' ').sort()).toEqual(['', 'Ann', 'Carl'])

      // Who comes later, or starts again, sees the same.
      const dora = await world.open('Dora')
      const doraSpace = await dora.joinSpace(await annSpace.invite({ timeout: world.patience(5000) }))
      const doraNote = await doraSpace.openDocument<Note>(annNote.id)
      expect(doraNote.heads()).toEqual(annNote.heads())
      expect(doraSpace.problems).toMatchObject([{ document: annNote.id }])

      // And the member's own replica goes on under its honest actor.
      const again = await world.open('Bob', bobStore)
      const bobAgain = await again.openSpace(bobSpace.id)
      const bobNote = await bobAgain.openDocument<Note>(annNote.id)
      write(bobNote, 'Bob ')
      await settle(bobAgain, annSpace)
      expect(annNote.doc().body).toContain('Bob')
      expect(bobNote.heads()).toEqual(annNote.heads())
      await Promise.all([ann.close(), carl.close(), dora.close(), again.close()])
    })
  }
})
