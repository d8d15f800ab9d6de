import { afterEach, describe, expect, it } from 'vitest'
import type { RelayMessage } from '../../src/relay/messages.ts'
import { verifyDocument } from '../../src/verify/document-proof.ts'
import { decodeHeader } from '../../src/verify/entry.ts'
import type { LogRecord } from '../../src/verify/records.ts'
import { EAGER } from '../helpers/eager.ts'
import { documentAnswer } from '../helpers/log-answers.ts'
import { DOCUMENT, LogBuilder, verdictOf } from '../helpers/log-builder.ts'
import { type Note, openPair, openWorld, type World } from '../helpers/world.ts'

const TIMEOUT = 1_000_000

let world: World | undefined
afterEach(() => world?.close())

describe('where a relay says that the entries of a document stand', () => {
  async function verdict(
    change: (record: LogRecord, at: number, all: readonly LogRecord[]) => number,
  ): Promise<string> {
    const { log, writer } = LogBuilder.withWriter()
    for (let i = 0; i < 3; i++) {
      log.append(log.changes(writer))
      log.append(log.changes(log.owner))
    }
    const view = await log.viewAt(log.size)
    const { head, records } = documentAnswer(log, DOCUMENT, true)
    const changed = records.map((record, i) => ({ ...record, index: change(record, i, records) }))
    return verdictOf(async () => verifyDocument(view, DOCUMENT, head, changed))
  }

  it('is not one place for two entries: they are kept by it', async () => {
    expect(await verdict(({ index }) => index)).toBe('accepted')
    expect(await verdict(({ index }, at, all) => (at === 1 ? (all[0] as LogRecord).index : index))).toBe('ERR_PROOF')
  })

  it('is not before what their authors had seen of the log (R-SEEN-1)', async () => {
    expect(await verdict(({ index }) => index - 1)).toBe('ERR_PROOF')
  })
})

describe('a relay that puts an entry behind the snapshot that covers it', () => {
  it('does not make a liar of who wrote the snapshot', async () => {
    world = await openWorld({ hurry: 0.01, limits: EAGER })
    const { annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    bobNote.change(doc => {
      doc.title = 'by Bob'
    })
    await bobSpace.sync({ timeout: TIMEOUT })
    bobSpace.pause()
    for (let i = 0; i < 20; i++) {
      annNote.change(doc => {
        doc.body += `${i} `
      })
      await annSpace.sync({ timeout: TIMEOUT })
    }
    await new Promise(resolve => setTimeout(resolve, 200))
    await annSpace.sync({ timeout: TIMEOUT })
    const link = await annSpace.invite({ timeout: TIMEOUT })
    const free = (await world.logSize(annSpace.id)) - 1
    const bobs = new Set<number>()
    world.tamper = (message): readonly RelayMessage[] => {
      if (message.type !== 'records') return [message]
      const records = message.records.map(record => {
        const { document, device, kind } = decodeHeader(record.header)
        if (document !== annNote.id || kind !== 'changes' || device === 0) return record
        bobs.add(record.index)
        return { ...record, index: free }
      })
      return [{ ...message, records }]
    }
    const cyd = await world.open('Cyd')
    const cydSpace = await cyd.joinSpace(link, { timeout: TIMEOUT })
    await cydSpace.sync({ timeout: TIMEOUT })
    const note = await cydSpace.openDocument<Note>(annNote.id)
    expect(bobs.size).toBe(1)
    expect(note.doc()).toEqual(annNote.doc())
    expect(cydSpace.problems).toEqual([])
  })
})
