import * as Automerge from '@automerge/automerge/slim'
import { describe, expect, it } from 'vitest'
import { fromHex } from '../../src/bytes.ts'
import { emptyDoc } from '../../src/crdt/content.ts'
import { encodeChangesPayload } from '../../src/crdt/payload.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { ActorId } from '../../src/ids.ts'
import { type Forgery, sendAsMember } from '../helpers/hostile-member.ts'
import { type Note, openPair, openWorld, settle, settleKeys } from '../helpers/world.ts'

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

/** One change that no replica of ours would make, encoded by Automerge itself. */
function crafted(
  actor: ActorId,
  ops: readonly Record<string, unknown>[],
  startOp = 1,
  deps: readonly string[] = [],
): Omit<Forgery, 'actor'> {
  const chunks = Automerge.encodeChange({ actor, seq: 1, startOp, time: 0, message: null, deps, ops } as never)
  const hash = fromHex(Automerge.decodeChange(chunks).hash as string)
  return { payload: payloadOf(chunks, hash), tagged: hash }
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
  'an operation on an object that does not exist': {
    code: 'ERR_GUARD',
    forge: actor => crafted(actor, [{ action: 'set', obj: `1@${'ee'.repeat(16)}`, key: 'x', value: 1, pred: [] }]),
  },
  'a deletion of what is not there': {
    code: 'ERR_GUARD',
    forge: actor => crafted(actor, [{ action: 'del', obj: '_root', key: 'x', pred: [`1@${'ee'.repeat(16)}`] }]),
  },
  'a counter that runs ahead': {
    code: 'ERR_GUARD',
    forge: actor => crafted(actor, [{ action: 'set', obj: '_root', key: 'hostile', value: 1, pred: [] }], 2 ** 30),
  },
  'a mark that ends before it begins': {
    code: 'ERR_CONTENT',
    forge: actor => {
      const text = `1@${actor}`
      const letter = { action: 'set', obj: text, insert: true, pred: [] }
      const mark = { obj: text, insert: true, expand: false, pred: [] }
      return crafted(actor, [
        { action: 'makeText', obj: '_root', key: 'hostile', pred: [] },
        { ...letter, elemId: '_head', value: 'a' },
        { ...letter, elemId: `2@${actor}`, value: 'b' },
        { ...letter, elemId: `3@${actor}`, value: 'c' },
        { ...mark, action: 'markBegin', elemId: `4@${actor}`, name: 'bold', value: true },
        { ...mark, action: 'markEnd', elemId: `2@${actor}` },
      ])
    },
  },
  'changes that build on one that nobody has': {
    code: 'ERR_DEPENDENCY',
    forge: actor => {
      const ops = [{ action: 'set', obj: '_root', key: 'hostile', value: 1, pred: [] }]
      return crafted(actor, ops, 1, ['ab'.repeat(32)])
    },
  },
  'a payload that is no CBOR': {
    code: 'ERR_MALFORMED',
    forge: () => ({ payload: new Uint8Array(50).fill(255), tagged: new Uint8Array(32) }),
  },
}

describe('a hostile member neither crashes nor splits the others (R-CONTENT-1, R-CONTENT-2, R-GUARD-8)', () => {
  for (const [what, { code, forge }] of Object.entries(ATTACKS)) {
    it(`who sends ${what}`, async () => {
      const world = await openWorld({ hurry: 0.1 })
      const bobStore = memoryStore()
      const { ann, bob, annSpace, bobSpace, annNote } = await openPair(world, { bob: bobStore })
      const carl = await world.open('Carl')
      const carlSpace = await carl.joinSpace(await annSpace.invite({ timeout: world.patience(5000) }))
      await annSpace.sync({ timeout: world.patience(5000) })
      await settleKeys(annSpace, { timeout: world.patience(5000) })
      await carlSpace.sync({ timeout: world.patience(5000) })
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
