import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nobleSigningKey, type SpaceId } from 'sealog/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { backupCommand } from '../src/command-backup.ts'
import { fsckCommand } from '../src/command-fsck.ts'
import { restoreCommand } from '../src/command-restore.ts'
import { statsCommand } from '../src/command-stats.ts'
import type { LogStore, StoredEntry } from '../src/log-store.ts'
import { type MemoryContent, memoryContent, memoryLogStore } from '../src/log-store-memory.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { loopbackRelay } from '../src/loopback.ts'
import { TestReplica } from './helpers/replica.ts'
import { NOTES, runCommand, storedWorld, write } from './helpers/stored-world.ts'
import { admit, openWorld, type World } from './helpers/world.ts'

let folder = ''
let backup = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sealog-test-'))
  backup = join(folder, 'backup')
})

afterEach(() => rmSync(folder, { recursive: true }))

type Opening = (readOnly: boolean) => Promise<LogStore>

function over(content: MemoryContent): Opening {
  return opening(() => memoryLogStore(content))
}

function opening(make: (readOnly: boolean) => LogStore): Opening {
  return async readOnly => {
    const store = make(readOnly)
    await store.open()
    return store
  }
}

const backUp = (open: Opening) => runCommand(backupCommand, open, { to: backup })
const restore = (open: Opening, flags = {}, options = {}) =>
  runCommand(restoreCommand, open, { from: backup, ...flags }, options)

/** All entries, with their bodies. */
async function entriesOf(open: Opening, space: SpaceId): Promise<readonly StoredEntry[]> {
  const store = await open(true)
  const all = { from: 0, to: 1000, inlineLength: 1 << 24, maxBytes: 1 << 26 }
  const entries = await store.readEntries(space, all)
  await store.close()
  return entries
}

async function stored(): Promise<{ world: World; content: MemoryContent; open: Opening }> {
  const content = memoryContent()
  const world = await storedWorld(memoryLogStore(content))
  return { world, content, open: over(content) }
}

test('a backup that is taken while the relay serves is restored byte for byte, into another kind of store', async () => {
  const file = join(folder, 'relay.db')
  const open = opening(readOnly => sqliteLogStore(file, { readOnly }))
  const world = await storedWorld(sqliteLogStore(file))
  expect((await backUp(open)).lines[0]).toMatch(/1 spaces, \d\d entries, 1 mailboxes, \d+ bytes$/)
  expect(statSync(backup).mode & 0o777).toBe(0o600)
  const into = over(memoryContent())
  const restored = await restore(into, { 'without-heads': true })
  expect(restored).toMatchObject({ code: 0, errors: [expect.stringContaining('the key of the relay')] })
  expect(await entriesOf(into, world.space)).toEqual(await entriesOf(open, world.space))
  expect((await runCommand(fsckCommand, into, {}, { key: world.relay.key })).lines).toEqual(
    (await runCommand(fsckCommand, open)).lines,
  )
  const there = await restore(into, { 'without-heads': true })
  expect(there.lines[0]).toContain('is there already')
  await world.relay.close()
})

test('an entry that comes while the backup is written stands in it whole or not at all', async () => {
  const { world, content } = await stored()
  const reader = await world.reader()
  const slow = opening(() => {
    const store = memoryLogStore(content)
    return {
      ...store,
      async readEntries(...args) {
        await write(world, reader, world.entry(reader, world.owner, { document: NOTES }))
        return store.readEntries(...args)
      },
    }
  })
  const before = (await entriesOf(over(content), world.space)).length
  expect((await backUp(slow)).lines[0]).toContain(`${before} entries`)
  const into = over(memoryContent())
  expect((await restore(into, { 'without-heads': true })).code).toBe(0)
  expect((await entriesOf(into, world.space)).length).toBe(before)
  expect((await runCommand(fsckCommand, into)).code).toBe(0)
})

describe('heads', () => {
  test('that are ahead of the backup stay, so that the relay knows what it has lost (R-OPS-3)', async () => {
    const content = memoryContent()
    const signingKey = nobleSigningKey(new Uint8Array(32).fill(7))
    const world = await openWorld({ store: memoryLogStore(content), signingKey })
    const { relay, space, owner } = world
    await memoryStoreOf(content, store => store.writeIdentity({ name: relay.name, key: relay.key }))
    const reader = await world.reader()
    await admit(world, reader)
    await backUp(over(content))
    await write(world, reader, world.entry(reader, owner))
    const head = content.heads.get(space)
    relay.stop()
    content.spaces.clear()
    content.identity = undefined
    expect((await restore(over(content), {}, { key: relay.key })).code).toBe(0)
    expect(content.heads.get(space)).toBe(head)
    const { lines, code } = await runCommand(fsckCommand, over(content))
    expect([code, lines[0]]).toEqual([1, expect.stringMatching(/^behind: space .*: 1 of \d entries/)])
  })

  test('beside SQLite stay where they are when the logs are put back, by the same file names', async () => {
    const file = join(folder, 'relay.db')
    const open = opening(readOnly => sqliteLogStore(file, { readOnly }))
    const world = await storedWorld(sqliteLogStore(file))
    const { relay, space } = world
    await backUp(open)
    const reader = await world.reader()
    await write(world, reader, world.entry(reader, world.owner, { document: NOTES }))
    await relay.close()
    for (const name of readdirSync(folder)) if (name.startsWith('relay.db')) rmSync(join(folder, name))
    const { code, lines } = await restore(open, {}, { key: relay.key })
    expect([code, lines[0]]).toEqual([0, expect.stringContaining(`${space}: 14 entries restored`)])
    expect((await runCommand(fsckCommand, open)).lines[0]).toMatch(
      /^behind: .* 1 of 15 entries that were signed are lost$/,
    )
  })

  test('that are missing, or older than the backup, are a reason not to go on, unless the operator says so', async () => {
    const { world, open, content } = await stored()
    await backUp(open)
    const into = memoryContent()
    const refused = await restore(over(into))
    expect(refused).toMatchObject({ code: 1, lines: [expect.stringContaining('--without-heads'), expect.anything()] })
    expect(into.spaces.size).toBe(0)
    // Nor is it any relay's store now: a relay would serve from it as if there had never been a log.
    expect(into.identity).toBeUndefined()
    expect((await restore(over(into), { 'without-heads': true })).code).toBe(0)
    expect(into.heads.get(world.space)).toEqual(content.heads.get(world.space))
  })

  test('are there before the logs: what was cut off is known to be a beginning, and may be repeated (R-OPS-3)', async () => {
    const { world, open, content } = await stored()
    await backUp(open)
    const into = memoryContent()
    let appends = 0
    const cutOff = opening(() => {
      const store = memoryLogStore(into)
      return {
        ...store,
        append: append => (++appends === 2 ? Promise.reject(new Error('killed')) : store.append(append)),
      }
    })
    await expect(restore(cutOff, { 'without-heads': true })).rejects.toThrow('killed')
    const { size } = (await runCommand(statsCommand, over(into), { json: true })).lines.map(line => JSON.parse(line))[0]
      .space.signed
    expect(size).toBe(content.heads.get(world.space)?.size)
    expect((await runCommand(fsckCommand, over(into))).lines[0]).toMatch(
      /^behind: .* entries that were signed are lost$/,
    )
    expect((await restore(over(into))).code).toBe(0)
    expect((await runCommand(fsckCommand, over(into))).code).toBe(0)
    expect(await entriesOf(over(into), world.space)).toEqual(await entriesOf(open, world.space))
  })

  test('of another log than the backup refuse it', async () => {
    const { open, world } = await stored()
    const other = await stored()
    await backUp(open)
    const into = memoryContent()
    for (const head of other.content.heads.values()) into.heads.set(world.space, head)
    const { code, lines } = await restore(over(into))
    expect([code, lines[0]]).toEqual([1, expect.stringContaining('another log')])
    expect(into.spaces.size).toBe(0)
  })

  test('a space that the operator removed does not come back', async () => {
    const { open, world } = await stored()
    await backUp(open)
    const into = memoryContent()
    await memoryStoreOf(into, store => store.removeSpace(world.space))
    const { code, lines } = await restore(over(into), { 'without-heads': true })
    expect([code, lines[0]]).toEqual([1, expect.stringContaining('has removed this space')])
  })
})

async function memoryStoreOf(content: MemoryContent, use: (store: LogStore) => Promise<void>): Promise<void> {
  const store = memoryLogStore(content)
  await store.open()
  await use(store)
  await store.close()
}

describe('a store', () => {
  test('with the beginning of the same log gets the rest; with another beginning, nothing', async () => {
    const content = memoryContent()
    const world = await storedWorld(memoryLogStore(content))
    await backUp(over(content))
    rmSync(backup)
    const older = over(memoryContent())
    const reader = await world.reader()
    await backUp(over(content))
    await restore(older, { 'without-heads': true })
    rmSync(backup)
    await write(world, reader, world.entry(reader, world.owner, { document: NOTES }))
    await backUp(over(content))
    const { lines, code } = await restore(older, { 'without-heads': true })
    expect([code, lines[0]]).toEqual([0, expect.stringContaining('1 entries restored')])
    expect(await entriesOf(older, world.space)).toEqual(await entriesOf(over(content), world.space))
    const forked = memoryContent()
    await restore(over(forked), { 'without-heads': true })
    const space = forked.spaces.get(world.space)
    const entry = space?.entries[3] as StoredEntry
    if (space !== undefined) space.entries[3] = { ...entry, hash: entry.hash.with(0, 1 ^ (entry.hash[0] as number)) }
    const other = await restore(over(forked))
    expect([other.code, other.lines[0]]).toEqual([1, expect.stringContaining('entry 3 of the store is another')])
  })

  test('of another relay, or with another key file, is refused as a whole', async () => {
    const { open } = await stored()
    await backUp(open)
    const foreign = memoryContent()
    foreign.identity = { name: 'relay.test', key: new Uint8Array(32) }
    await expect(restore(over(foreign))).rejects.toMatchObject({ code: 'ERR_RELAY_IDENTITY' })
    const key = new Uint8Array(32)
    await expect(restore(over(memoryContent()), {}, { key })).rejects.toMatchObject({ code: 'ERR_RELAY_IDENTITY' })
  })

  test('that waits for what members have is left to them', async () => {
    const { open, world, content } = await stored()
    await backUp(open)
    const into = memoryContent()
    for (const head of content.heads.values()) into.heads.set(world.space, head)
    await memoryStoreOf(into, store => store.putFloor(world.space, 100))
    const { code, lines } = await restore(over(into))
    expect([code, lines[0]]).toEqual([1, expect.stringContaining('restore into an empty store')])
  })
})

describe('a file that is not as it was written', () => {
  test('changes nothing, whichever bit is flipped, wherever it is cut off, whatever is put behind it', async () => {
    const { open } = await stored()
    await backUp(open)
    const whole = readFileSync(backup)
    const expectRefused = async (bytes: Uint8Array, what: string): Promise<void> => {
      writeFileSync(backup, bytes)
      const into = memoryContent()
      const outcome = await restore(over(into), { 'without-heads': true }).catch(error => error)
      expect(outcome.code, what).toMatch(/^ERR_(MALFORMED|LIMIT|UPGRADE|RELAY_IDENTITY)$/)
      expect([into.spaces.size, into.mailboxes.size, into.identity], what).toEqual([0, 0, undefined])
    }
    for (let i = 0; i < 40; i++) {
      const at = Math.floor((i * whole.length) / 40) + ((i * 7919) % 50)
      const bytes = Uint8Array.from(whole)
      bytes[at] = (bytes[at] as number) ^ (1 << (i % 8))
      await expectRefused(bytes, `byte ${at}`)
    }
    for (const length of [0, 5, 16, 40, 300, whole.length >> 1, whole.length - 1]) {
      await expectRefused(whole.subarray(0, length), `cut at ${length}`)
    }
    await expectRefused(Buffer.concat([whole, Buffer.from([0])]), 'one more byte')
  })

  test('a dry run judges it, and writes nothing', async () => {
    const { open } = await stored()
    await backUp(open)
    const into = memoryContent()
    const { code, lines } = await restore(over(into), { 'without-heads': true, 'dry-run': true })
    expect([code, lines[0]]).toEqual([0, expect.stringContaining('could be restored')])
    expect([into.spaces.size, into.identity]).toEqual([0, undefined])
    const missing = opening(() => sqliteLogStore(join(folder, 'none.db'), { readOnly: true }))
    const alone = await restore(missing, { 'dry-run': true })
    expect(alone).toMatchObject({ code: 0, errors: [expect.stringContaining('judged by itself'), expect.anything()] })
    expect(readdirSync(folder)).toEqual(['backup'])
  })
})

describe('what a hostile author of a backup can bring about', () => {
  async function forged(damage: (content: MemoryContent) => void) {
    const { content, world } = await stored()
    damage(content)
    await backUp(over(content))
    const into = memoryContent()
    const ran = await restore(over(into), { 'without-heads': true })
    return { ...ran, into, world }
  }

  const FORGERIES: Readonly<Record<string, (entry: StoredEntry) => StoredEntry>> = {
    'a signature': entry => ({ ...entry, signature: entry.signature.with(3, 1 ^ (entry.signature[3] as number)) }),
    'a missing signature of a control entry': entry => ({ ...entry, signature: new Uint8Array(64) }),
    'a body': entry => ({ ...entry, body: entry.body?.with(0, 1 ^ (entry.body[0] as number)) }),
    'a header': entry => ({ ...entry, header: entry.header.with(-3, 1 ^ (entry.header.at(-3) as number)) }),
  }

  test.each(Object.keys(FORGERIES))('%s of another kind is refused, and the space is left out', async name => {
    const { code, lines, into } = await forged(content => {
      for (const { entries } of content.spaces.values()) {
        entries[3] = (FORGERIES[name] as (entry: StoredEntry) => StoredEntry)(entries[3] as StoredEntry)
      }
    })
    expect([code, lines[0]]).toEqual([1, expect.stringMatching(/refused: .*entry 3/)])
    expect(into.spaces.size).toBe(0)
  })

  test('a log that this relay has not signed is refused (R-OPS-3)', async () => {
    const other = await stored()
    const { code, lines } = await forged(content => {
      const [space] = content.heads.keys()
      const [head] = other.content.heads.values()
      if (space !== undefined && head !== undefined) content.heads.set(space, head)
    })
    expect([code, lines[0]]).toEqual([1, expect.stringContaining('another log')])
  })
})

test('nothing is overwritten, and nothing half is left behind', async () => {
  const { open } = await stored()
  writeFileSync(backup, 'mine')
  await expect(backUp(open)).rejects.toMatchObject({ code: 'ERR_STORE' })
  expect(readFileSync(backup, 'utf8')).toBe('mine')
  rmSync(backup)
  const failing = opening(() => ({
    ...memoryLogStore(memoryContent()),
    readIdentity: () => Promise.reject(new Error('x')),
  }))
  await expect(backUp(failing)).rejects.toThrow('x')
  expect(readdirSync(folder)).toEqual([])
  // Of the same name, while another one is being written.
  const slow = opening(() => {
    const store = memoryLogStore(memoryContent())
    return {
      ...store,
      readIdentity: async () => {
        writeFileSync(backup, 'faster')
        return { name: 'relay.example', key: new Uint8Array(32) }
      },
    }
  })
  await expect(backUp(slow)).rejects.toThrow('is there already')
  expect(readFileSync(backup, 'utf8')).toBe('faster')
  expect(readdirSync(folder)).toEqual(['backup'])
  rmSync(backup)
  writeFileSync(`${backup}.partial`, 'of one that was killed')
  await expect(backUp(open)).rejects.toThrow('remove it')
  expect(readFileSync(`${backup}.partial`, 'utf8')).toBe('of one that was killed')
})

test('after a restoration the relay goes on where it was', async () => {
  const signingKey = nobleSigningKey(new Uint8Array(32).fill(7))
  const content = memoryContent()
  const world = await openWorld({ store: memoryLogStore(content), signingKey })
  const { relay, space, environment } = world
  await memoryStoreOf(content, store => store.writeIdentity({ name: relay.name, key: relay.key }))
  await backUp(over(content))
  await relay.close()
  const moved = memoryContent()
  expect((await restore(over(moved), { 'without-heads': true }, { key: relay.key })).code).toBe(0)
  const next = loopbackRelay({ environment, signingKey, store: memoryLogStore(moved) })
  const replica = new TestReplica(next)
  await next.deliverAll()
  replica.open(space, world.owner)
  await next.deliverAll()
  await replica.follow(space)
  await write({ ...world, relay: next }, replica, world.entry(replica))
  expect(replica.seen.size).toBe(2)
  expect(moved.heads.get(space)?.size).toBe(2)
  await next.close()
  expect((await runCommand(fsckCommand, over(moved))).code).toBe(0)
})
