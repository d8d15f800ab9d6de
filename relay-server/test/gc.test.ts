import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fsckCommand } from '../src/command-fsck.ts'
import { gcCommand } from '../src/command-gc.ts'
import { statsCommand } from '../src/command-stats.ts'
import type { LogStore } from '../src/log-store.ts'
import { memoryContent, memoryLogStore } from '../src/log-store-memory.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { loopbackRelay } from '../src/loopback.ts'
import { pushEntryOf } from './helpers/authoring.ts'
import { TestReplica } from './helpers/replica.ts'
import { runCommand, storedWorld } from './helpers/stored-world.ts'

let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sealog-test-'))
})

afterEach(() => rmSync(folder, { recursive: true }))

interface Place {
  readonly store: (readOnly: boolean) => LogStore
  readonly open: (readOnly: boolean) => Promise<LogStore>
}

const PLACES: Readonly<Record<string, () => Place>> = {
  memory: () => {
    const content = memoryContent()
    return place(() => memoryLogStore(content))
  },
  SQLite: () => place(readOnly => sqliteLogStore(join(folder, 'relay.db'), { readOnly })),
}

function place(store: Place['store']): Place {
  return {
    store,
    async open(readOnly) {
      const opened = store(readOnly)
      await opened.open()
      return opened
    },
  }
}

describe.each(Object.keys(PLACES))('over %s', kind => {
  test('what the relay leaves behind is nothing to collect, and stays as it is', async () => {
    const { store, open } = (PLACES[kind] as () => Place)()
    const world = await storedWorld(store(false))
    await world.relay.close()
    const before = await open(false)
    const { size, bytes } = await before.readSize(world.space)
    const entries = await before.readEntries(world.space, {
      from: 0,
      to: size,
      inlineLength: 1 << 20,
      maxBytes: 1 << 24,
    })
    const snapshots = entries.flatMap(({ isSnapshot, body }, i) => (isSnapshot ? [{ i, body }] : []))
    expect(snapshots.map(({ body }) => body?.length)).toEqual([undefined, 950])
    await before.close()
    const clean = await runCommand(gcCommand, open)
    expect(clean.lines[0]).toMatch(/^0 superseded snapshots of 0 bytes, 0 old notes removed/)
    const after = await open(true)
    expect((await after.readSize(world.space)).bytes).toBe(bytes)
    await after.close()
    expect((await runCommand(fsckCommand, open)).code).toBe(0)
  })

  test('a space is removed for good: its head stays as a tombstone, and nobody can create or restore it (R-OPS-4)', async () => {
    const { store, open } = (PLACES[kind] as () => Place)()
    const world = await storedWorld(store(false))
    const { space, relay, owner, genesis, environment } = world
    await relay.close()
    await expect(runCommand(gcCommand, open, { 'remove-space': space })).rejects.toThrow(/--yes/)
    const dry = await runCommand(gcCommand, open, { 'remove-space': space, 'dry-run': true })
    expect(dry.lines[0]).toMatch(/would be removed/)
    const removed = await runCommand(gcCommand, open, { 'remove-space': space, yes: true })
    expect(removed.lines[0]).toMatch(/removed for good$/)
    await runCommand(gcCommand, open)
    const opened = await open(true)
    expect(await opened.readSize(space)).toMatchObject({ size: 0, bytes: 0 })
    expect(await opened.readSpace(space)).toBe(undefined)
    const head = await opened.readHead(space)
    expect([head?.note.length, (head?.size ?? 0) > 10]).toEqual([0, true])
    await opened.close()
    expect((await runCommand(fsckCommand, open)).code).toBe(0)
    expect((await runCommand(statsCommand, open)).lines[0]).toMatch(/: 0 entries, .*; removed$/)
    const again = loopbackRelay({ environment, store: store(false) })
    const replica = new TestReplica(again)
    await again.deliverAll()
    replica.send({ type: 'push', ref: 1, space, entries: [pushEntryOf(genesis)] })
    await again.deliverAll()
    replica.open(space, owner)
    await again.deliverAll()
    expect(replica.rejects.length).toBe(2)
    await again.close()
    const last = await open(true)
    expect([await last.readHead(space), (await last.readSize(space)).size]).toEqual([head, 0])
    await last.close()
  })
})

test('a snapshot that was left behind is collected; a dry run only says so', async () => {
  const content = memoryContent()
  const world = await storedWorld(memoryLogStore(content))
  await world.relay.close()
  const space = content.spaces.get(world.space)
  const index = space?.entries.findIndex(({ isSnapshot }) => isSnapshot) ?? -1
  const entry = space?.entries[index]
  if (space === undefined || entry === undefined) throw new Error('no snapshot')
  space.entries[index] = { ...entry, body: new Uint8Array(entry.bodyLength) }
  space.bytes += entry.bodyLength
  const { open } = place(() => memoryLogStore(content))
  expect((await runCommand(gcCommand, open, { 'dry-run': true })).lines[0]).toBe(
    '1 superseded snapshots of 900 bytes, 0 old notes would be removed',
  )
  expect(space.entries[index]?.body?.length).toBe(900)
  expect((await runCommand(gcCommand, open)).lines[0]).toMatch(/^1 superseded snapshots of 900 bytes/)
  expect(space.entries[index]?.body).toBe(undefined)
  expect((await runCommand(fsckCommand, open)).code).toBe(0)
})

test('a space that is not there cannot be removed', async () => {
  const { open } = place(() => memoryLogStore(memoryContent()))
  const given = { 'remove-space': 'ab'.repeat(32), yes: true }
  await expect(runCommand(gcCommand, open, given)).rejects.toMatchObject({ code: 'ERR_UNKNOWN_SPACE' })
  await expect(runCommand(gcCommand, open, { 'remove-space': 'AB' })).rejects.toThrow(TypeError)
})
