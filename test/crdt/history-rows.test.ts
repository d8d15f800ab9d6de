import { describe, expect, it } from 'vitest'
import { historyRows, loadHistory } from '../../src/crdt/history-rows.ts'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { SpaceId } from '../../src/ids.ts'
import type { VerifiedEntry } from '../../src/verify/log.ts'
import { keys, Story, sealed, WRAP } from '../helpers/membership-story.ts'

const SPACE = 'ab'.repeat(32) as SpaceId
const OTHER = 'ac'.repeat(32) as SpaceId

/** A story of more than a few entries, and some of documents in between. */
function story(): Story {
  const told = new Story()
  told.write(3)
  const bob = told.admit(0, 'Bob', 'phone')
  told.rotate(0)
  told.write(300)
  told.say(bob, { type: 'add-device', device: keys('t'), wrap: WRAP, deviceName: sealed('t', 1) })
  for (let i = 0; i < 20; i++) told.invite(0, `guest ${i}`)
  return told
}

function entriesOf({ rows }: Story): readonly VerifiedEntry[] {
  const entry = (index: number, device: number, epoch: number, control?: unknown): VerifiedEntry =>
    ({ index, header: { device, epoch }, control }) as VerifiedEntry
  return rows.flatMap(({ index, device, epoch, body }) => [entry(index, device, epoch, body), entry(index + 1, 0, 0)])
}

async function stored(told: Story): Promise<ReplicaStore> {
  const store = memoryStore()
  await store.open()
  const entries = entriesOf(told)
  // In two batches, each counted from what was before.
  const first = entries.slice(0, 9)
  const puts = [...historyRows(SPACE, first, 0), ...historyRows(SPACE, entries.slice(9), 5)]
  await store.commit({ puts: [...puts, ...historyRows(OTHER, first, 0)], deletes: [] })
  return store
}

describe('control entries as they are kept (R-HISTORY-1)', () => {
  it('come back as they were, in order, whatever batches brought them', async () => {
    const told = story()
    expect(await loadHistory(await stored(told), SPACE, told.rows.length)).toEqual(told.rows)
  })

  it('are those that the state counts, where more have become durable since', async () => {
    const told = story()
    expect(await loadHistory(await stored(told), SPACE, 7)).toEqual(told.rows.slice(0, 7))
  })

  it('are no history where one is missing, or damaged', async () => {
    const told = story()
    const store = await stored(told)
    await expect(loadHistory(store, SPACE, told.rows.length + 1)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    const [key, value] = (await store.scan(new TextEncoder().encode(`space/${SPACE}/history/`)))[3] ?? []
    await store.commit({ puts: [[key as Uint8Array, (value as Uint8Array).subarray(1)]], deletes: [] })
    await expect(loadHistory(store, SPACE, 5)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    await store.commit({ puts: [], deletes: [key as Uint8Array] })
    await expect(loadHistory(store, SPACE, 5)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    expect(await loadHistory(store, SPACE, 3)).toEqual(told.rows.slice(0, 3))
  })
})
