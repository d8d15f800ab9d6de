import * as Automerge from '@automerge/automerge/slim'
import { describe, expect, it } from 'vitest'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { ErrorCode } from '../../src/errors.ts'
import type { Sync } from '../../src/relay/log-messages.ts'
import type { RelayMessage } from '../../src/relay/messages.ts'
import type { Batch, BatchEntry } from '../../src/verify/log.ts'
import { type Note, openPair, openWorld, settle, type World } from '../helpers/world.ts'

const HURRY = 0.1

function flip(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice()
  copy[at] = (copy[at] as number) ^ 1
  return copy
}

type Lie = (batch: Batch) => Batch

function ofEntry(index: number, change: (entry: BatchEntry) => BatchEntry): Lie {
  return batch => ({ ...batch, entries: batch.entries.map((entry, i) => (i === index ? change(entry) : entry)) })
}

/** What a relay may say of three entries that a replica does not know, and the code that answers it. */
const LIES: Readonly<Record<string, { lie: Lie; codes: readonly ErrorCode[] }>> = {
  'a bit flipped in a header': {
    lie: ofEntry(0, entry => ({ ...entry, header: flip(entry.header, 60) })),
    codes: ['ERR_ROOT_MISMATCH'],
  },
  'a bit flipped in a signature': {
    lie: ofEntry(2, entry => ({ ...entry, signature: flip(entry.signature as Uint8Array, 10) })),
    codes: ['ERR_SIGNATURE'],
  },
  'a bit flipped in a body': {
    lie: ofEntry(1, entry => ({ ...entry, body: flip(entry.body as Uint8Array, 30) })),
    codes: ['ERR_BODY'],
  },
  'a body of another entry': {
    lie: batch => ofEntry(1, entry => ({ ...entry, body: batch.entries[0]?.body }))(batch),
    codes: ['ERR_BODY'],
  },
  'a bit flipped in the checkpoint': {
    lie: batch => ({ ...batch, note: flip(batch.note, batch.note.length - 8) }),
    codes: ['ERR_CHECKPOINT', 'ERR_CHECKPOINT_SIGNATURE'],
  },
  'two entries swapped': {
    lie: batch => {
      const [a, b, ...rest] = batch.entries as [BatchEntry, BatchEntry]
      return { ...batch, entries: [b, a, ...rest] }
    },
    codes: ['ERR_ROOT_MISMATCH'],
  },
  'an entry dropped, the later ones following': {
    lie: batch => ({ ...batch, entries: batch.entries.slice(1) }),
    codes: ['ERR_PROOF', 'ERR_ROOT_MISMATCH'],
  },
  'an entry twice': {
    lie: batch => ({ ...batch, entries: [...batch.entries, ...batch.entries.slice(-1)] }),
    codes: ['ERR_ROOT_MISMATCH', 'ERR_PROOF'],
  },
  'no signature for the last entry of an actor': {
    lie: ofEntry(2, entry => ({ ...entry, signature: undefined })),
    codes: ['ERR_UNCOVERED'],
  },
  'a consistency proof where none is due': {
    lie: batch => ({ ...batch, consistency: [new Uint8Array(32)] }),
    codes: ['ERR_PROOF'],
  },
  'a batch that starts elsewhere': {
    lie: batch => ({ ...batch, from: batch.from + 1 }),
    codes: ['ERR_UNEXPECTED'],
  },
}

async function digest(store: ReplicaStore): Promise<string> {
  const rows = await store.scan(new Uint8Array(0))
  return rows.map(([key, value]) => `${Buffer.from(key).toString()} ${Buffer.from(value).toString('hex')}`).join('\n')
}

/** Tampers with every batch that brings entries, until it is told to stop. */
function lieAbout(world: World, lie: Lie): void {
  world.tamper = message => {
    const isTarget = message.type === 'sync' && message.batch.entries.length >= 3
    return [isTarget ? { ...message, batch: lie(message.batch) } : message]
  }
}

const write = (note: { change(fn: (doc: Note) => void): void }, text: string): void =>
  note.change(doc => Automerge.splice(doc, ['body'], 0, 0, text))

describe('a relay that lies in a catch-up is found out, and nothing of it is kept (R-ADVANCE-1)', () => {
  for (const [what, { lie, codes }] of Object.entries(LIES)) {
    it(what, async () => {
      const world = await openWorld({ hurry: HURRY })
      const bobStore = memoryStore()
      const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: bobStore })
      bobSpace.pause()
      for (const word of ['one ', 'two ', 'three ']) {
        write(annNote, word)
        await annSpace.sync({ timeout: world.patience(5000) })
      }
      const before = await digest(bobStore)
      const shown = bobNote.doc()
      lieAbout(world, lie)
      bobSpace.resume()
      await expect.poll(() => bobSpace.problems[0]?.code, { timeout: 5000 }).toBeOneOf([...codes])
      await expect.poll(() => bobSpace.problems[0]?.count, { timeout: 5000 }).toBeGreaterThan(1)
      expect(await digest(bobStore)).toBe(before)
      expect(bobNote.doc()).toBe(shown)

      // Refused and retried: once the relay is honest again, nothing is left of it.
      world.tamper = undefined
      await settle(bobSpace)
      expect(bobSpace.problems).toEqual([])
      expect(bobNote.heads()).toEqual(annNote.heads())
      await ann.close()
      await bob.close()
    })
  }
})

describe('a relay that goes back in time', () => {
  it('with an old checkpoint after a reconnect, is refused with ERR_ROLLBACK (R-NOTE-4)', async () => {
    const world = await openWorld({ hurry: HURRY })
    const bobStore = memoryStore()
    const { ann, bob, annSpace, bobSpace, annNote, bobNote } = await openPair(world, { bob: bobStore })
    const old: Sync[] = []
    world.tamper = message => {
      if (message.type === 'sync') old.push(message)
      return [message]
    }
    await settle(bobSpace)
    const [note] = old.map(message => message.batch.note)
    write(annNote, 'later ')
    await settle(annSpace, bobSpace)
    const before = await digest(bobStore)
    const replayed = (message: RelayMessage): RelayMessage =>
      message.type === 'sync'
        ? { ...message, batch: { ...message.batch, entries: [], note: note as Uint8Array } }
        : message
    world.tamper = message => [replayed(message)]
    world.cut()
    await expect.poll(() => bobSpace.problems[0]?.code, { timeout: 5000 }).toBe('ERR_ROLLBACK')
    expect(await digest(bobStore)).toBe(before)
    world.tamper = undefined
    write(bobNote, 'on ')
    await settle(bobSpace, annSpace)
    expect(bobSpace.problems).toEqual([])
    expect(annNote.doc().body).toBe('on later ')
    await ann.close()
    await bob.close()
  })
})

describe('garbage from the network', () => {
  it('closes the connection with a code, and the next one works', async () => {
    const world = await openWorld({ hurry: HURRY })
    const { ann, bob, bobSpace, annSpace, annNote, bobNote } = await openPair(world)
    world.tamper = () => [
      { type: 'welcome', version: 99, name: 'x', key: new Uint8Array(32), challenge: new Uint8Array(32) },
    ]
    world.cut()
    await expect.poll(() => bobSpace.problems[0]?.code, { timeout: 5000 }).toBe('ERR_UPGRADE')
    world.tamper = () => [
      { type: 'welcome', version: 1, name: 'x', key: new Uint8Array(32), challenge: new Uint8Array(32) },
    ]
    await expect.poll(() => bobSpace.problems[0]?.code, { timeout: 5000 }).toBe('ERR_RELAY_IDENTITY')
    expect(bobSpace.status.connection).not.toBe('online')
    write(bobNote, 'meanwhile ')
    world.tamper = undefined
    await settle(bobSpace, annSpace)
    expect(annNote.doc().body).toBe('meanwhile ')
    expect(bobSpace.problems).toEqual([])
    await ann.close()
    await bob.close()
  })
})
