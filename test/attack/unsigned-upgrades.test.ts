import { afterEach, describe, expect, it } from 'vitest'
import type { RelayMessage } from '../../src/relay/messages.ts'
import { decodeHeader } from '../../src/verify/entry.ts'
import { EAGER } from '../helpers/eager.ts'
import { type Note, openPair, openWorld, type World } from '../helpers/world.ts'

const TIMEOUT = 1_000_000

let world: World
afterEach(() => world.close())

function withByte(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const changed = bytes.slice()
  changed[at] = value
  return changed
}

describe('what a later build might have written (R-UPGRADE-2)', () => {
  it('ends nothing in an answer that nobody signed: the document is asked for again', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, annNote } = await openPair(world)
    for (let i = 0; i < 12; i++) {
      annNote.change(doc => {
        doc.body += `${i} `
      })
      await annSpace.sync({ timeout: TIMEOUT })
    }
    const link = await annSpace.invite({ timeout: TIMEOUT })
    let lies = 0
    world.tamper = (message): readonly RelayMessage[] => {
      if (message.type !== 'records' || lies > 3) return [message]
      const records = message.records.map(record => {
        if (decodeHeader(record.header).kind === 'control') return record
        lies++
        return { ...record, header: withByte(record.header, 1, 2) }
      })
      return [{ ...message, records }]
    }
    const cyd = await world.open('Cyd')
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    await cydSpace.sync({ timeout: TIMEOUT })
    expect(lies).toBeGreaterThan(0)
    const note = await cydSpace.openDocument<Note>(annNote.id)
    expect(note.doc()).toEqual(annNote.doc())
  })

  it('ends nothing in the body of an invite, which is held against nothing yet', async () => {
    world = await openWorld({ hurry: 0.01 })
    const { annSpace, annNote } = await openPair(world)
    const link = await annSpace.invite({ timeout: TIMEOUT })
    let lies = 0
    world.tamper = (message): readonly RelayMessage[] => {
      if (message.type !== 'body-part' || lies > 0) return [message]
      lies++
      return [{ ...message, bytes: withByte(message.bytes, 1, 11) }]
    }
    const cyd = await world.open('Cyd')
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    await cydSpace.sync({ timeout: TIMEOUT })
    expect(lies).toBe(1)
    expect(cydSpace.documents().map(({ id }) => id)).toEqual([annNote.id])
  })
})
