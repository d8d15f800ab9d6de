import { expect, test } from 'vitest'
import { statsCommand } from '../src/command-stats.ts'
import { memoryContent, memoryLogStore } from '../src/log-store-memory.ts'
import { runCommand, storedWorld } from './helpers/stored-world.ts'

test('what is counted is what is stored, of each space and in total, and a space that lost entries is told apart', async () => {
  const content = memoryContent()
  const world = await storedWorld(memoryLogStore(content))
  const open = async () => {
    const store = memoryLogStore(content)
    await store.open()
    return store
  }
  const { lines, code } = await runCommand(statsCommand, open, { json: true })
  const [{ space }, { total }] = lines.map(line => JSON.parse(line))
  const { entries, bytes } = content.spaces.get(world.space) ?? { entries: [], bytes: 0 }
  const head = content.heads.get(world.space)
  expect(code).toBe(0)
  expect(space).toEqual({
    space: world.space,
    standing: 'whole',
    entries: entries.length,
    bytes,
    documents: 2,
    devices: 2,
    members: 2,
    signed: { size: entries.length, time: head?.time },
  })
  expect(total).toEqual({
    spaces: 1,
    behind: 0,
    removed: 0,
    entries: entries.length,
    bytes,
    documents: 2,
    mailboxes: 1,
  })
  if (head !== undefined) content.heads.set(world.space, { ...head, size: head.size + 1 })
  const behind = await runCommand(statsCommand, open)
  expect(behind.lines[0]).toMatch(/2 documents, 2 devices, 2 members; signed \d+ at 20\d\d-.*; behind$/)
  expect(behind.lines[1]).toMatch(/^total: 1 spaces, .*; 1 spaces behind, 0 removed$/)
})
