import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { testFolder } from '../../test/helpers/folder.ts'
import type { LogStore } from '../src/log-store.ts'
import {
  bytes,
  head,
  kept,
  OTHER_SPACE,
  SPACE,
  sampleAppend,
  spaceAfter,
  withBody,
} from '../src/log-store-contract-samples.ts'
import { type SqliteLogStoreOptions, sqliteLogStore } from '../src/log-store-sqlite.ts'
import { bundleChild } from './helpers/bundle-child.ts'

const MINE = { name: 'relay.example', key: bytes(32, 1) }
const OTHER = { name: 'relay.test', key: bytes(32, 2) }

function place(): { readonly file: string; readonly heads: string } {
  const folder = testFolder()
  return { file: join(folder, 'relay.db'), heads: join(folder, 'relay-heads.db') }
}

async function opened(file: string, options: SqliteLogStoreOptions = {}): Promise<LogStore> {
  const store = sqliteLogStore(file, options)
  await store.open()
  return store
}

/** A closed store of a relay with a space. */
async function filled(file: string, options: SqliteLogStoreOptions = {}, identity = MINE): Promise<void> {
  const store = await opened(file, options)
  await store.writeIdentity(identity)
  await store.append(sampleAppend({ from: 0, count: 2 }))
  await store.putHead(SPACE, head(2, 10))
  await store.close()
}

describe('what was signed is in a file of its own', () => {
  test('beside the logs, or where the operator wants it', async () => {
    const { file, heads } = place()
    await filled(file)
    expect(existsSync(heads)).toBe(true)
    expect(statSync(heads).mode & 0o077).toBe(0)
    const elsewhere = join(testFolder(), 'signed.db')
    const other = place()
    await filled(other.file, { heads: elsewhere })
    expect([existsSync(elsewhere), existsSync(other.heads)]).toEqual([true, false])
    for (const wrong of [other.file, ':memory:', '', 'a\0b']) {
      expect(() => sqliteLogStore(other.file, { heads: wrong })).toThrow(/^heads: /)
    }
  })

  test('logs whose heads are gone or empty are refused and no heads made up, until a rollback is accepted', async () => {
    const { file, heads } = place()
    await filled(file)
    const refusal = { code: 'ERR_STORE_CORRUPT', details: { reason: 'heads' } }
    rmSync(heads)
    for (const readOnly of [false, true]) {
      await expect(sqliteLogStore(file, { readOnly }).open()).rejects.toMatchObject(refusal)
      expect(existsSync(heads)).toBe(false)
    }
    writeFileSync(heads, '')
    await expect(sqliteLogStore(file).open()).rejects.toMatchObject(refusal)
    const store = await opened(file, { acceptRollback: true })
    expect(await store.readHead(SPACE)).toBeUndefined()
    expect((await store.readSize(SPACE)).size).toBe(2)
    await store.close()
    // From now on these are its heads.
    await (await opened(file)).close()
  })

  test('heads without logs are kept: every space is behind', async () => {
    const { file } = place()
    await filled(file)
    rmSync(file)
    const store = await opened(file)
    expect(await store.readIdentity()).toBeUndefined()
    expect(await store.readSpaces(undefined, 10)).toEqual([SPACE])
    expect(await store.readHead(SPACE)).toEqual(kept(head(2, 10)))
    await expect(store.writeIdentity(OTHER)).rejects.toMatchObject({
      code: 'ERR_STORE_CORRUPT',
      details: { reason: 'other-heads' },
    })
    expect(await store.readIdentity()).toBeUndefined()
    await store.writeIdentity(MINE)
    expect(await store.readIdentity()).toEqual(MINE)
    await store.close()
  })

  test("another relay's heads are refused, whatever the operator accepts", async () => {
    const [mine, other] = [place(), place()]
    await filled(mine.file)
    await filled(other.file, {}, OTHER)
    const before = readFileSync(other.heads)
    for (const options of [{}, { acceptRollback: true }, { readOnly: true }]) {
      const store = sqliteLogStore(mine.file, { heads: other.heads, ...options })
      await expect(store.open()).rejects.toMatchObject({
        code: 'ERR_STORE_CORRUPT',
        details: { reason: 'other-heads' },
      })
    }
    expect(readFileSync(other.heads)).toEqual(before)
    // Nor are logs taken for heads.
    const store = sqliteLogStore(mine.file, { heads: other.file })
    await expect(store.open()).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
  })

  test('an identity that was cut off half-way can be written again', async () => {
    const { file } = place()
    await filled(file)
    // The heads have it, the logs have not.
    const logs = new Database(file)
    logs.exec('DELETE FROM identity')
    logs.close()
    const store = await opened(file)
    await store.writeIdentity(MINE)
    await expect(store.writeIdentity(MINE)).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
    await store.close()
  })
})

describe('one writes, others read', () => {
  test('a reader beside the writer sees what is committed, when it is, and changes nothing', async () => {
    const { file } = place()
    const writer = await opened(file)
    await writer.writeIdentity(MINE)
    await writer.append(sampleAppend({ from: 0, count: 2 }))
    await writer.putHead(SPACE, head(2, 10))
    const reader = await opened(file, { readOnly: true })
    expect(await reader.readIdentity()).toEqual(MINE)
    expect(await reader.readSpace(SPACE)).toEqual(spaceAfter(sampleAppend({ from: 0, count: 2 })))
    const late = writer.append(sampleAppend({ from: 2, count: 1 }))
    expect((await reader.readSize(SPACE)).size).toBe(2)
    await late
    expect((await reader.readSize(SPACE)).size).toBe(3)
    await writer.append({ ...sampleAppend({ from: 0, count: 1 }), space: OTHER_SPACE })
    expect(await reader.readSpaces(undefined, 10)).toEqual([SPACE, OTHER_SPACE])
    expect(await reader.inspect(10)).toEqual([])
    const writes = [
      () => reader.writeIdentity(MINE),
      () => reader.append(sampleAppend({ from: 3, count: 1 })),
      () => reader.putFloor(SPACE, 9),
      () => reader.putHead(SPACE, head(3, 20)),
      () => reader.raiseHead(SPACE, head(9, 20)),
      () => reader.acceptRollback(SPACE),
      () => reader.putCosigned(SPACE, 1, bytes(100, 1)),
      () => reader.putMailbox(bytes(32, 1), { counter: 1, bytes: bytes(1, 1), signature: bytes(64, 1) }),
      () => reader.discard(SPACE, [0]),
      () => reader.removeSpace(SPACE),
      () => reader.compact(),
    ]
    for (const write of writes) await expect(write()).rejects.toMatchObject({ code: 'ERR_READ_ONLY' })
    // The writer goes on where it is, and when it ends the reader still reads.
    await writer.append(sampleAppend({ from: 3, count: 1 }))
    await writer.close()
    expect((await reader.readSize(SPACE)).size).toBe(4)
    await reader.close()
  })

  test('a reader needs something to read, and makes nothing', async () => {
    const { file, heads } = place()
    await expect(sqliteLogStore(file, { readOnly: true }).open()).rejects.toMatchObject({ code: 'ERR_STORE' })
    expect([existsSync(file), existsSync(heads)]).toEqual([false, false])
    expect(() => sqliteLogStore(':memory:', { readOnly: true })).toThrow(TypeError)
  })

  test('a second writer is kept out by whatever name it comes, and of the heads as well', async () => {
    const { file, heads } = place()
    const store = await opened(file)
    const alias = join(testFolder(), 'alias.db')
    symlinkSync(file, alias)
    const other = place()
    const seconds = [sqliteLogStore(alias, { heads: other.heads }), sqliteLogStore(other.file, { heads })]
    for (const second of seconds) await expect(second.open()).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
    await store.close()
    // What was opened half-way was closed again.
    for (const second of seconds) {
      await second.open()
      await second.close()
    }
  })

  describe('in two processes', () => {
    let child: Awaited<ReturnType<typeof bundleChild>>
    beforeAll(async () => {
      child = await bundleChild('store-child.ts')
    })
    afterAll(() => child.remove())

    test('a writer that is killed leaves no lock, and all that it acknowledged', { timeout: 20_000 }, async () => {
      const { file } = place()
      const first = spawn(process.execPath, [child.path, file, '6', '40', 'hold'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let told = ''
      for await (const chunk of first.stdout) {
        told += String(chunk)
        if (told.includes('"stored":6')) break
      }
      await expect(sqliteLogStore(file).open()).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
      const reader = await opened(file, { readOnly: true })
      expect((await reader.readSize(SPACE)).size).toBe(6)
      await reader.close()
      first.kill('SIGKILL')
      await once(first, 'exit')
      expect(existsSync(`${file}-wal`)).toBe(true)
      const store = await opened(file)
      expect((await store.readSize(SPACE)).size).toBe(6)
      expect((await store.readHead(SPACE))?.size).toBe(6)
      await store.close()
    })
  })
})

describe('commits', () => {
  test('writes of one turn share one commit, and later ones do not wait for them', async () => {
    const { file, heads } = place()
    const store = await opened(file)
    const spaces = Array.from({ length: 5 }, (_, i) => `${i}7`.repeat(32) as typeof SPACE)
    const before = [commitsIn(file), commitsIn(heads)]
    await Promise.all(spaces.map(space => store.append({ ...sampleAppend({ from: 0, count: 2 }), space })))
    expect(commitsIn(file) - (before[0] ?? 0)).toBe(1)
    await Promise.all(spaces.map(space => store.putHead(space, head(2, 10))))
    expect(commitsIn(heads) - (before[1] ?? 0)).toBe(1)
    await store.append({ ...sampleAppend({ from: 2, count: 1 }), space: spaces[0] as typeof SPACE })
    expect(commitsIn(file) - (before[0] ?? 0)).toBe(2)
    await store.close()
  })

  test('what was called before close is on the disk after it', async () => {
    const { file } = place()
    const store = await opened(file)
    const pending = [store.append(sampleAppend({ from: 0, count: 1 })), store.putHead(SPACE, head(1, 10))]
    await store.close()
    await Promise.all(pending)
    const again = await opened(file)
    expect([(await again.readSize(SPACE)).size, (await again.readHead(SPACE))?.size]).toEqual([1, 1])
    await again.close()
  })

  test('a write-ahead log does not grow without end', { timeout: 60_000 }, async () => {
    const { file } = place()
    const store = await opened(file)
    const body = new Uint8Array(2 ** 22)
    for (let from = 0; from < 7; from++) await store.append(withBody(sampleAppend({ from, count: 1 }), body))
    expect(statSync(`${file}-wal`).size).toBeLessThan(22 * 2 ** 20)
    expect((await store.readSize(SPACE)).size).toBe(7)
    await store.close()
  })
})

/** Frames of a write-ahead log that end a transaction: those with a size of the database, as SQLite's format has it. */
function commitsIn(file: string): number {
  const log = existsSync(`${file}-wal`) ? readFileSync(`${file}-wal`) : Buffer.alloc(0)
  let commits = 0
  for (let at = 32; at + 24 <= log.length; at += 24 + 4096) {
    if (log.subarray(at + 8, at + 16).equals(log.subarray(16, 24)) && log.readUInt32BE(at + 4) > 0) commits++
  }
  return commits
}
