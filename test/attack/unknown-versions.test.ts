import * as Automerge from '@automerge/automerge/slim'
import { describe, expect, it } from 'vitest'
import { encodeCbor } from '../../src/codec.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { RelayMessage } from '../../src/relay/messages.ts'
import { entryHash } from '../../src/verify/entry.ts'
import type { Batch, BatchEntry } from '../../src/verify/log.ts'
import { sendAsMember } from '../helpers/hostile-member.ts'
import { accept, bytesOf, DOCUMENT, LogBuilder, verdictOf } from '../helpers/log-builder.ts'
import { type Note, openPair, openWorld, settle, settleKeys, type World } from '../helpers/world.ts'

const write = (note: { change(fn: (doc: Note) => void): void }, text: string): void =>
  note.change(doc => Automerge.splice(doc, ['body'], 0, 0, text))

/** A header as a later build might write it: the version is another, the rest is anything. */
function laterHeader(): Uint8Array {
  return encodeCbor([2, 'whatever'])
}

function withEntry(batch: Batch, header: Uint8Array): Batch {
  const entry: BatchEntry = { header, signature: undefined, body: undefined }
  return { ...batch, entries: [...batch.entries, entry] }
}

describe('bytes of a later version that no relay signed do not stop a replica (R-UPGRADE-1)', () => {
  async function known(): Promise<{ log: LogBuilder; size: number }> {
    const { log, writer } = LogBuilder.withWriter()
    log.append(log.changes(writer))
    return { log, size: log.size }
  }

  it('an entry that was added on the way', async () => {
    const { log, size } = await known()
    const view = await log.viewAt(size)
    const verdict = await verdictOf(() => accept(view, withEntry(log.batch(size), laterHeader())))
    expect(verdict).toBe('ERR_ROOT_MISMATCH')
  })

  it('an entry in the place of another', async () => {
    const { log, size } = await known()
    const view = await log.viewAt(size - 1)
    const batch = log.batch(size - 1)
    const verdict = await verdictOf(() => accept(view, withEntry({ ...batch, entries: [] }, laterHeader())))
    expect(verdict).toBe('ERR_ROOT_MISMATCH')
  })

  it('a log of which another key signed that it holds them', async () => {
    const { log, size } = await known()
    const view = await log.viewAt(size)
    const [entry] = log.entries
    log.force({ ...(entry as (typeof log.entries)[0]), header: laterHeader(), hash: bytesOf('later') })
    const note = log.note(log.checkpoint(), bytesOf('mallory'))
    const verdict = await verdictOf(() => accept(view, { ...log.batch(size), note }))
    expect(verdict).toBe('ERR_CHECKPOINT_SIGNATURE')
  })

  it('while a log that the relay signed does: such an entry is not judged', async () => {
    const { log, size } = await known()
    const view = await log.viewAt(size)
    const entry = log.changes(log.owner, { document: DOCUMENT })
    // The second byte of a header is its version.
    const header = entry.header.with(1, 2)
    log.force({ ...entry, header, hash: entryHash(header) })
    expect(await verdictOf(() => accept(view, log.batch(size)))).toBe('ERR_UPGRADE')
  })
})

/** Lets one message be forged on the way, once. */
function forgeOnce(world: World, forge: (message: RelayMessage) => RelayMessage | undefined): void {
  world.tamper = message => {
    const forged = forge(message)
    if (forged === undefined) return [message]
    world.tamper = undefined
    return [forged]
  }
}

describe('one forged message on the wire does not stop sync for good', () => {
  async function afterOne(forge: (message: RelayMessage) => RelayMessage | undefined): Promise<void> {
    const world = await openWorld({ hurry: 0.1 })
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world)
    bobSpace.pause()
    write(annNote, 'before ')
    await annSpace.sync({ timeout: world.patience(5000) })
    forgeOnce(world, forge)
    bobSpace.resume()
    await expect.poll(() => world.tamper, { timeout: 5000 }).toBeUndefined()
    expect.soft(bobSpace.status.halted).toBeUndefined()
    await bobSpace.sync({ timeout: 4000 })
    expect(bobNote.doc().body).toBe('before ')
    expect(bobSpace.status.halted).toBeUndefined()
    await ann.close()
    await bob.close()
  }

  it('a sync message with an entry of a later version', () =>
    afterOne(message =>
      message.type === 'sync' && message.batch.entries.length > 0
        ? { ...message, batch: withEntry({ ...message.batch, entries: [] }, laterHeader()) }
        : undefined,
    ))

  it('a refusal that says ERR_UPGRADE', () =>
    afterOne(message =>
      message.type === 'sync' && message.batch.entries.length > 0
        ? {
            type: 'reject',
            ref: message.ref,
            space: message.space,
            code: 'ERR_UPGRADE',
            message: 'a later version',
            position: 0,
            retryAfter: 0,
          }
        : undefined,
    ))
})

describe('a hostile member does not stop the others with content of a version that nobody has', () => {
  for (const [what, payload] of Object.entries({
    'a payload of version 9': encodeCbor([9]),
    'changes in encoding 9': encodeCbor([0, 9, new Uint8Array(32), 1, 1, new Uint8Array(1)]),
  })) {
    it(what, async () => {
      const world = await openWorld({ hurry: 0.1 })
      const bobStore = memoryStore()
      const { ann, bob, annSpace, bobSpace, annNote } = await openPair(world, { bob: bobStore })
      const carl = await world.open('Carl')
      const carlSpace = await carl.joinSpace(await annSpace.invite({ timeout: world.patience(5000) }))
      const carlNote = await carlSpace.openDocument<Note>(annNote.id)
      await settle(annSpace)
      await settleKeys(annSpace, { timeout: world.patience(5000) })
      await settle(annSpace, bobSpace, carlSpace)
      await bob.close()
      await sendAsMember(world, bobStore, bobSpace.id, annNote.id, () => ({ payload, tagged: new Uint8Array(32) }))
      write(annNote, 'Ann ')
      await settle(annSpace, carlSpace).catch(() => {})
      expect(annSpace.status.halted).toBeUndefined()
      expect(carlSpace.status.halted).toBeUndefined()
      expect(carlNote.doc().body).toBe('Ann ')
      await ann.close()
      await carl.close()
    })
  }
})
