import { afterEach, describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { EAGER } from '../helpers/eager.ts'
import { sendAsMember } from '../helpers/hostile-member.ts'
import { bytesOf } from '../helpers/log-builder.ts'
import { type Note, openPair, openWorld, type World } from '../helpers/world.ts'

const TIMEOUT = 1_000_000

let world: World
afterEach(() => world.close())

describe('a member whose chain begins with a snapshot under a tag of nothing that there is', () => {
  it('cannot make the snapshots of others look wrong, nor have them named', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const bobStore = memoryStore()
    const { bob, annSpace, annNote } = await openPair(world, { bob: bobStore })
    await bob.close()
    annNote.change(doc => {
      doc.body = 'begun'
    })
    await annSpace.sync({ timeout: TIMEOUT })
    await sendAsMember(world, bobStore, annSpace.id, annNote.id, () => ({
      payload: bytesOf('no snapshot'),
      tagged: bytesOf('no change'),
      kind: 'snapshot',
    }))
    for (let i = 0; i < 20; i++) {
      annNote.change(doc => {
        doc.body += `${i} `
      })
      await annSpace.sync({ timeout: TIMEOUT })
    }
    await new Promise(resolve => setTimeout(resolve, 200))
    await annSpace.sync({ timeout: TIMEOUT })
    const link = await annSpace.invite({ timeout: TIMEOUT })
    const cyd = await world.open('Cyd')
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    await cydSpace.sync({ timeout: TIMEOUT })
    const note = await cydSpace.openDocument<Note>(annNote.id)
    expect(note.doc()).toEqual(annNote.doc())
    expect(cydSpace.problems).toEqual([])
  })
})
