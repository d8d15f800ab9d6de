import * as Automerge from '@automerge/automerge/slim'
import { describe, expect, it } from 'vitest'
import { buildImport } from '../../src/crdt/import-payload.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { sendAsMember } from '../helpers/hostile-member.ts'
import { type Note, openPair, openWorld, settle, settleKeys } from '../helpers/world.ts'

describe('a hostile member begins a document with an import in the name of its author (R-IMPORT-4, R-IMPORT-5)', () => {
  for (const replicate of ['all', 'opened'] as const) {
    it(`whose own first entry the relay kept back, and who replicates ${replicate}`, async () => {
      const world = await openWorld({ hurry: 0.1 })
      const stores = { ann: memoryStore(), bob: memoryStore() }
      const { ann, bob, annSpace, bobSpace } = await openPair(world, stores)
      const carl = await world.open('Carl')
      const carlSpace = await carl.joinSpace(await annSpace.invite({ timeout: world.patience(5000) }))
      await settle(annSpace, bobSpace, carlSpace)
      await settleKeys(annSpace, { timeout: world.patience(5000) })
      await settle(annSpace, bobSpace, carlSpace)
      await bob.close()

      // What Ann pushed never got into the log. Whoever saw the header can compute its actor.
      world.down()
      const draft = await annSpace.createDocument<Note>({ title: 'Mine', body: 'one ' }, { name: 'Mine' })
      const own = Automerge.getActorId(draft.doc())
      const first = Automerge.save(draft.doc())
      draft.change(doc => Automerge.splice(doc, ['body'], 4, 0, 'two '))
      await ann.close()
      world.up()

      const mixed = Automerge.change(Automerge.load<Note>(first, { actor: own }), doc => {
        doc.title = 'Theirs'
      })
      await sendAsMember(world, stores.bob, annSpace.id, draft.id, () => {
        const { payload, commitment } = buildImport(Automerge.save(mixed))
        return { kind: 'import', payload, tagged: commitment }
      })

      const again = await world.open('Ann', stores.ann.twin(), { replicate })
      const annAgain = await again.openSpace(annSpace.id)
      const note = await annAgain.openDocument<Note>(draft.id)
      note.change(doc => Automerge.splice(doc, ['body'], doc.body.length, 0, 'three '))
      await settle(annAgain, carlSpace)
      const carlNote = await carlSpace.openDocument<Note>(draft.id)
      for (const { doc } of [{ doc: note.doc() }, { doc: carlNote.doc() }]) {
        expect(doc.body).toBe('one two three ')
        expect(doc.title).toBe('Theirs')
      }
      carlNote.change(doc => Automerge.splice(doc, ['body'], doc.body.length, 0, 'four '))
      await settle(carlSpace, annAgain)
      expect(note.heads()).toEqual(carlNote.heads())
      expect(note.doc().body).toBe('one two three four ')
      expect(note.receipt.state).toBe('proven')
      expect([...annAgain.problems, ...carlSpace.problems]).toEqual([])
      await Promise.all([again.close(), carl.close()])
    })
  }
})
