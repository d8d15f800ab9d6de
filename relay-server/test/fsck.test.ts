import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fsckCommand } from '../src/command-fsck.ts'
import type { LogStore } from '../src/log-store.ts'
import { type MemoryContent, memoryContent, memoryLogStore } from '../src/log-store-memory.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { repeating } from './helpers/answers.ts'
import { filler } from './helpers/authoring.ts'
import { NOTES, runCommand, storedWorld, write } from './helpers/stored-world.ts'

let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sealog-test-'))
})

afterEach(() => rmSync(folder, { recursive: true }))

function opening(make: (readOnly: boolean) => LogStore): (readOnly: boolean) => Promise<LogStore> {
  return async readOnly => {
    const store = make(readOnly)
    await store.open()
    return store
  }
}

test('a store that holds one of everything is clean, while the relay serves from it and afterwards', async () => {
  const file = join(folder, 'relay.db')
  const open = opening(readOnly => sqliteLogStore(file, { readOnly }))
  const world = await storedWorld(sqliteLogStore(file))
  const during = await runCommand(fsckCommand, open, {}, { key: world.relay.key })
  expect(during.lines).toEqual([expect.stringMatching(/^clean: 1 spaces, \d\d entries, 1 mailboxes$/)])
  expect(during.code).toBe(0)
  await world.relay.close()
  expect((await runCommand(fsckCommand, open)).code).toBe(0)
  await expect(runCommand(fsckCommand, open, { space: 'ab'.repeat(32) })).rejects.toMatchObject({
    code: 'ERR_UNKNOWN_SPACE',
  })
  await expect(runCommand(fsckCommand, open, { space: 'ab' })).rejects.toThrow(TypeError)
  const { lines } = await runCommand(fsckCommand, open, { json: true, space: world.space })
  expect(JSON.parse(lines[0] as string)).toEqual({ checked: expect.objectContaining({ spaces: 1, findings: 0 }) })
})

test('snapshots that take the place of others while it is at work are no finding', async () => {
  const content = memoryContent()
  const world = await storedWorld(memoryLogStore(content))
  const reader = await world.reader()
  const snapshot = async (): Promise<void> => {
    const change = world.entry(reader, world.owner, { document: NOTES })
    await write(world, reader, change)
    const options = { document: NOTES, kind: 'snapshot', body: filler(500), header: { epoch: reader.epoch } } as const
    await write(world, reader, repeating(world, reader, world.owner, change, options))
  }
  await snapshot()
  const size = content.spaces.get(world.space)?.entries.length ?? 0
  let rounds = 0
  const busy = opening(() => {
    const store = memoryLogStore(content)
    const pause = async <T>(result: T): Promise<T> => {
      // After what was read, so that it is older than what is there when it is judged.
      if (rounds++ < 4) await snapshot()
      return result
    }
    return {
      ...store,
      readEntries: async (...args) => pause(await store.readEntries(...args)),
      readSpace: async space => pause(await store.readSpace(space)),
    }
  })
  const { lines } = await runCommand(fsckCommand, busy)
  expect(lines).toEqual([expect.stringMatching(/^clean: 1 spaces, \d\d entries, 1 mailboxes$/)])
  expect(rounds).toBeGreaterThanOrEqual(4)
  expect(Number(/(\d+) entries/.exec(lines[0] ?? '')?.[1])).toBeGreaterThan(size)
})

describe('what is wrong is named, with space and entry', () => {
  async function damaged(damage: (content: MemoryContent) => void) {
    const content = memoryContent()
    const world = await storedWorld(memoryLogStore(content))
    damage(content)
    const ran = await runCommand(
      fsckCommand,
      opening(() => memoryLogStore(content)),
      { json: true },
    )
    expect(ran.code).toBe(1)
    const findings = ran.lines.map(line => JSON.parse(line).finding).filter(Boolean)
    for (const { space = world.space } of findings) expect(space).toBe(world.space)
    return findings as readonly { checked: string; entry?: number; reason: string }[]
  }

  function firstOf(content: MemoryContent) {
    const [space] = content.spaces.values()
    if (space === undefined) throw new Error('no space')
    return space
  }

  test('a body, in its entry alone', async () => {
    const findings = await damaged(content => {
      const { entries } = firstOf(content)
      const entry = entries[5] as (typeof entries)[0]
      entries[5] = { ...entry, body: entry.body?.map((byte, i) => (i === 7 ? byte ^ 1 : byte)) }
    })
    expect(findings).toEqual([expect.objectContaining({ checked: 'body', entry: 5 })])
  })

  test('a signature, in its entry alone', async () => {
    const findings = await damaged(content => {
      const { entries } = firstOf(content)
      const entry = entries[6] as (typeof entries)[0]
      entries[6] = { ...entry, signature: entry.signature.map((byte, i) => (i === 7 ? byte ^ 1 : byte)) }
    })
    expect(findings).toEqual([expect.objectContaining({ checked: 'signature', entry: 6 })])
  })

  test('an entry without a signature that a later one of its chain does not make up for (R-COVER-1)', async () => {
    const findings = await damaged(content => {
      const { entries } = firstOf(content)
      const last = entries.length - 1
      entries[last] = { ...(entries[last] as (typeof entries)[0]), signature: new Uint8Array(64) }
    })
    expect(findings).toEqual([expect.objectContaining({ checked: 'signature', reason: 'no signature covers it' })])
  })

  test('a wrap, and nothing that comes behind it', async () => {
    const findings = await damaged(content => {
      const { wraps } = firstOf(content)
      for (const [index, [first, ...others]] of wraps) {
        if (first !== undefined)
          wraps.set(index, [{ ...first, wrap: first.wrap.with(9, 1 ^ (first.wrap[9] ?? 0)) }, ...others])
      }
    })
    expect(findings).toEqual([expect.objectContaining({ checked: 'wraps', entry: 4 })])
  })

  test('a header: the state behind it is not known', async () => {
    const findings = await damaged(content => {
      const { entries } = firstOf(content)
      const entry = entries[6] as (typeof entries)[0]
      entries[6] = { ...entry, header: entry.header.with(-1, 1 ^ (entry.header.at(-1) ?? 0)) }
    })
    expect(findings.map(({ checked }) => checked)).toEqual(expect.arrayContaining(['entry', 'columns', 'state']))
    expect(findings.filter(({ checked }) => checked === 'entry').every(({ entry = 0 }) => entry >= 6)).toBe(true)
  })

  test('entries that were signed and are lost', async () => {
    const findings = await damaged(content => {
      for (const [space, head] of content.heads) content.heads.set(space, { ...head, size: head.size + 2 })
    })
    expect(findings).toContainEqual(expect.objectContaining({ checked: 'behind' }))
  })

  test('a log that is another than the signed one', async () => {
    const other = memoryContent()
    await storedWorld(memoryLogStore(other))
    const findings = await damaged(content => {
      const [space] = content.spaces.keys()
      for (const [, head] of other.heads) if (space !== undefined) content.heads.set(space, head)
    })
    expect(findings).toEqual([expect.objectContaining({ checked: 'head' })])
  })
})
