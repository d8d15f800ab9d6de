import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { testFolder } from '../../test/helpers/folder.ts'
import type { LogStore } from '../src/log-store.ts'
import { bytes, head, SPACE, sampleAppend } from '../src/log-store-contract-samples.ts'
import { type SqliteLogStoreOptions, sqliteLogStore } from '../src/log-store-sqlite.ts'

function fresh(): { readonly file: string; readonly heads: string } {
  const folder = testFolder()
  return { file: join(folder, 'relay.db'), heads: join(folder, 'relay-heads.db') }
}

async function opened(file: string, options: SqliteLogStoreOptions = {}): Promise<LogStore> {
  const store = sqliteLogStore(file, options)
  await store.open()
  return store
}

/** A closed store of a relay with a space. */
async function filled(file: string): Promise<void> {
  const store = await opened(file)
  await store.writeIdentity({ name: 'relay.example', key: bytes(32, 1) })
  await store.append(sampleAppend({ from: 0, count: 2 }))
  await store.putHead(SPACE, head(2, 10))
  await store.close()
}

describe('a medium that fails', () => {
  test('after damage every call fails until the store is opened again, and then tells of it again', async () => {
    const { file } = fresh()
    await filled(file)
    const damaged = new Database(file)
    const root = damaged.prepare<[], number>("SELECT rootpage FROM sqlite_schema WHERE name = 'nodes'").pluck().get()
    damaged.close()
    const store = await opened(file)
    const content = readFileSync(file)
    content.fill(0xff, ((root as number) - 1) * 4096, (root as number) * 4096)
    writeFileSync(file, content)
    await expect(store.readNodes(SPACE, [[1, 0]])).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    const calls = [
      () => store.readSize(SPACE),
      () => store.readHead(SPACE),
      () => store.readSpaces(undefined, 1),
      () => store.putHead(SPACE, head(2, 20)),
      () => store.append(sampleAppend({ from: 2, count: 1 })),
    ]
    for (const call of calls) {
      await expect(call()).rejects.toMatchObject({ code: 'ERR_STORE', message: expect.stringContaining('restart') })
    }
    await store.close()
    await store.open()
    expect((await store.readSize(SPACE)).size).toBe(2)
    await expect(store.readNodes(SPACE, [[1, 0]])).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    await store.close()
    // Who only looks goes on looking.
    const reader = await opened(file, { readOnly: true })
    expect((await reader.inspect(10)).length).toBeGreaterThan(0)
    await expect(reader.readNodes(SPACE, [[1, 0]])).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    expect((await reader.readSize(SPACE)).size).toBe(2)
    await reader.close()
  })

  test('rows that belong to nothing are found, each of them', async () => {
    const { file, heads } = fresh()
    await filled(file)
    const strays: readonly (readonly [sql: string, reason: RegExp])[] = [
      ['UPDATE entries SET place = 7 WHERE place = 1', /entry 7/],
      ['UPDATE entries SET space = 9 WHERE place = 1', /entries are of no space/],
      ['UPDATE bodies SET entry = entry + 8 WHERE entry & 255 = 1', /body 9/],
      ['INSERT INTO bodies VALUES (-1, zeroblob(3))', /body/],
      ['INSERT INTO wraps VALUES (1, 5, 0, 1, zeroblob(9))', /wrap 0 at 5/],
      ['UPDATE nodes SET level = 0', /node 0 on level 0/],
      ['UPDATE nodes SET level = 62', /node 0 on level 62/],
      ['UPDATE nodes SET place = 1', /node 1 on level 1/],
      ['UPDATE nodes SET place = -1', /node -1/],
      ['UPDATE control_rows SET space = 3', /control_rows/],
      ['UPDATE documents SET space = -1', /documents/],
      ['UPDATE actors SET space = 3', /actors/],
      ['INSERT INTO cosigned VALUES (1, 3, zeroblob(9))', /a cosigned note of 3, where/],
      ['INSERT INTO cosigned VALUES (1, 2, zeroblob(9))', /cosigned note of 2 is another/],
      ['UPDATE spaces SET id = zeroblob(31)', /no id/],
    ]
    for (const [sql, reason] of strays) {
      const copy = fresh()
      copyFileSync(file, copy.file)
      copyFileSync(heads, copy.heads)
      const db = new Database(copy.file)
      db.exec(sql)
      db.close()
      const store = await opened(copy.file, { readOnly: true })
      const reasons = (await store.inspect(10)).map(fault => fault.reason)
      await store.close()
      expect(
        reasons.some(each => reason.test(each)),
        `${sql}: ${reasons.join('; ')}`,
      ).toBe(true)
      rmSync(dirname(copy.file), { recursive: true })
    }
  })
})
