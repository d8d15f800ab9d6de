import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test, vi } from 'vitest'
import { testFolder } from '../../test/helpers/folder.ts'
import type { LogStore } from '../src/log-store.ts'
import { bytes, EVERYTHING, head, kept, SPACE, sampleAppend, spaceAfter } from '../src/log-store-contract-samples.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { describePostgresStores } from './helpers/postgres-stores.ts'

vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

const OWNER = { name: 'relay.example', key: bytes(32, 1) }
const FIRST = sampleAppend({ from: 0, count: 3 })

/** What every store has, made by whatever version. */
async function fill(store: LogStore): Promise<void> {
  await store.writeIdentity(OWNER)
  await store.append(FIRST)
  await store.putHead(SPACE, head(3, 10))
  await store.raiseHead(SPACE, { ...head(2, 20), size: 2 })
}

/** All is there, what former versions did not keep is not known, and the relay goes on from it. */
async function expectMigrated(store: LogStore): Promise<void> {
  expect(await store.readIdentity()).toEqual(OWNER)
  expect(await store.readSpace(SPACE)).toEqual({ ...spaceAfter(FIRST), base: undefined })
  expect(await store.readEntries(SPACE, EVERYTHING)).toEqual(FIRST.entries)
  expect(await store.readHead(SPACE)).toEqual({ ...kept(head(3, 10)), latest: 20 })
  expect(await store.inspect(10)).toEqual([])
  const second = sampleAppend({ from: 3, count: 2 })
  await store.append(second)
  await store.putHead(SPACE, head(5, 30), head(3, 10).note)
  expect(await store.readSpace(SPACE)).toMatchObject({ size: 5, base: FIRST.frontier })
  expect(await store.readHead(SPACE)).toEqual(kept(head(5, 30)))
}

/** Takes two SQLite files back to the versions before: logs 4 without `base`, heads 1 without checksums. */
function toFormerVersion(file: string, heads: string): void {
  const logs = new Database(file)
  logs.exec(`ALTER TABLE spaces RENAME TO later;
    CREATE TABLE spaces (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    frontier BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    floor INTEGER NOT NULL
  ) STRICT;
    INSERT INTO spaces SELECT number, id, size, frontier, bytes, floor FROM later;
    DROP TABLE later;
    PRAGMA user_version = 4`)
  logs.close()
  const signed = new Database(heads)
  signed.exec(`ALTER TABLE heads RENAME TO later;
    CREATE TABLE heads (
    space BLOB PRIMARY KEY NOT NULL,
    size INTEGER NOT NULL,
    time INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    abandoned INTEGER NOT NULL,
    note BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
    INSERT INTO heads SELECT space, size, time, latest, abandoned, note FROM later;
    DROP TABLE later;
    PRAGMA user_version = 1`)
  signed.close()
}

test('SQLite files of the former version are brought to this one, with all that is in them', async () => {
  const file = join(testFolder(), 'relay.db')
  const heads = file.replace('relay.db', 'relay-heads.db')
  const before = sqliteLogStore(file)
  await before.open()
  await fill(before)
  await before.close()
  toFormerVersion(file, heads)

  // Who only reads changes nothing, and so cannot.
  await expect(sqliteLogStore(file, { readOnly: true }).open()).rejects.toMatchObject({ code: 'ERR_STORE_SCHEMA' })
  const store = sqliteLogStore(file)
  await store.open()
  await expectMigrated(store)
  await store.close()
  const again = sqliteLogStore(file)
  await again.open()
  expect((await again.readSize(SPACE)).size).toBe(5)
  await again.close()
})

test('a SQLite file that has the number of the former version, and not its tables, is left as it is', async () => {
  const file = join(testFolder(), 'relay.db')
  const before = sqliteLogStore(file)
  await before.open()
  await fill(before)
  await before.close()
  const changed = new Database(file)
  changed.exec('DROP TABLE spaces; PRAGMA user_version = 4')
  changed.close()
  await expect(sqliteLogStore(file).open()).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
  const after = new Database(file)
  expect(after.pragma('user_version', { simple: true })).toBe(4)
  expect(after.prepare("SELECT name FROM sqlite_schema WHERE name LIKE '%spaces'").all()).toEqual([])
  after.close()
})

describePostgresStores('PostgreSQL store: former versions', ({ opened, sql }) => {
  test('schemas of the former version are brought to this one, with all that is in them', async () => {
    const before = await opened()
    await fill(before)
    await before.close()
    await sql('ALTER TABLE sealog.spaces DROP COLUMN base')
    await sql('ALTER TABLE sealog_heads.heads DROP COLUMN checksum')
    for (const schema of ['sealog', 'sealog_heads']) await sql(`DELETE FROM ${schema}.migrations WHERE version = 2`)
    await expectMigrated(await opened())
  })

  test('a process of the former version writes no head any more', async () => {
    await opened()
    const former = `INSERT INTO sealog_heads.heads (space, size, time, note, latest)
      VALUES (decode(repeat('a1', 32), 'hex'), 1, 1, 'note', 1) ON CONFLICT (space) DO UPDATE SET size = 1`
    await expect(sql(former)).rejects.toMatchObject({ code: '23502' })
  })
})
