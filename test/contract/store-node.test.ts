import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { nodeStore } from '../../src/crdt/store-node.ts'
import { testFolder } from '../helpers/folder.ts'

const PROJECT = fileURLToPath(new URL('../..', import.meta.url))
const KEY = Uint8Array.of(1)
const EVERYTHING = new Uint8Array(0)

test('a new file, and the log beside it, are for the owner only, whatever the umask', async () => {
  const file = join(testFolder(), 'replica.db')
  const umask = process.umask(0)
  onTestFinished(() => void process.umask(umask))
  const store = await opened(file)
  await put(store, KEY)
  expect(readdirSync(join(file, '..')).sort()).toEqual(['replica.db', 'replica.db-wal'])
  for (const name of [file, `${file}-wal`]) expect(statSync(name).mode & 0o777).toBe(0o600)
})

test('after close there is one file, which says whose it is', async () => {
  const file = join(testFolder(), 'replica.db')
  const store = await opened(file)
  await put(store, KEY)
  await store.close()
  expect(readdirSync(join(file, '..'))).toEqual(['replica.db'])
  expect(readFileSync(file).toString('latin1', 68, 72)).toBe('SEAL')
})

test('an empty file becomes a store, as one that a crash left behind must', async () => {
  const file = join(testFolder(), 'replica.db')
  writeFileSync(file, '')
  await put(await opened(file), KEY)
})

test('a file that is no database is refused and left as it is', async () => {
  const folder = testFolder()
  for (const content of ['x', 'a diary\n'.repeat(1000), 'SQLite format 3\0 and then nothing']) {
    const file = join(folder, `diary-${content.length}`)
    writeFileSync(file, content)
    await expect(nodeStore(file).open()).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    expect(readFileSync(file, 'utf8')).toBe(content)
  }
})

test.each(['DELETE', 'WAL'])(
  "another application's database (journal mode %s) is refused and left as it is",
  async mode => {
    const file = join(testFolder(), 'other.db')
    makeDatabase(file, `PRAGMA journal_mode = ${mode}; CREATE TABLE rows (key, value)`)
    const before = readFileSync(file)
    await expect(nodeStore(file).open()).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    expect(readFileSync(file).equals(before)).toBe(true)
    expect(readdirSync(join(file, '..'))).toEqual(['other.db'])
  },
)

test("a database without tables that has another application's number is refused", async () => {
  const file = join(testFolder(), 'other.db')
  makeDatabase(file, 'PRAGMA application_id = 7')
  await expect(nodeStore(file).open()).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
})

test('a store whose tables were tampered with is refused', async () => {
  const file = join(testFolder(), 'replica.db')
  await (await opened(file)).close()
  makeDatabase(file, 'CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM rows; END')
  await expect(nodeStore(file).open()).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
})

test('a store of a newer version is refused, and neither downgraded nor locked', async () => {
  const file = join(testFolder(), 'replica.db')
  const store = await opened(file)
  await put(store, KEY)
  await store.close()
  makeDatabase(file, 'PRAGMA user_version = 2')
  const before = readFileSync(file)
  await expect(nodeStore(file).open()).rejects.toMatchObject({ code: 'ERR_STORE_SCHEMA' })
  expect(readFileSync(file).equals(before)).toBe(true)
  makeDatabase(file, 'PRAGMA user_version = 1')
  expect(await (await opened(file)).get(KEY)).toEqual(KEY)
})

test('a damaged file gives ERR_STORE_CORRUPT when the damage is met, and then refuses to go on', async () => {
  const file = join(testFolder(), 'replica.db')
  const store = await opened(file)
  const puts = Array.from({ length: 500 }, (_, i) => [Uint8Array.of(2, i >> 8, i), new Uint8Array(300)] as const)
  await store.commit({ puts, deletes: [] })
  await store.close()
  const damaged = readFileSync(file)
  damaged.fill(0xa5, 3 * 4096, damaged.length - 4096)
  writeFileSync(file, damaged)
  const reopened = await opened(file)
  await expect(reopened.scan(EVERYTHING)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT', retryable: false })
  await expect(reopened.commit({ puts: [], deletes: [] })).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
  await reopened.close()
})

test('a refused second open does not loosen the lock of the first', async () => {
  const file = join(testFolder(), 'replica.db')
  await put(await opened(file), KEY)
  for (let i = 0; i < 3; i++) await expect(nodeStore(file).open()).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
  const script = `const Database = require('better-sqlite3')
    try { new Database(process.argv[1], { timeout: 0 }).exec('DELETE FROM rows') } catch (error) { console.log(error.code) }`
  const { stdout } = spawnSync(process.execPath, ['-e', script, file], { encoding: 'utf8', cwd: PROJECT })
  expect(stdout.trim()).toBe('SQLITE_BUSY')
})

test('a full disk rejects the commit whole with ERR_STORE_FULL, and the store goes on', async () => {
  const store = await opened(join(testFolder(), 'replica.db'), 256 * 1024)
  await put(store, KEY)
  const batch = {
    puts: [
      [KEY, new Uint8Array(9)],
      [Uint8Array.of(2), new Uint8Array(300_000)],
    ],
    deletes: [],
  } as const
  await expect(store.commit(batch)).rejects.toMatchObject({ code: 'ERR_STORE_FULL', retryable: true })
  expect(await store.scan(EVERYTHING)).toEqual([[KEY, KEY]])
  await put(store, Uint8Array.of(3))
  const large = { puts: [[Uint8Array.of(4), new Uint8Array(150_000)]], deletes: [] } as const
  await store.commit(large)
  await expect(
    store.commit({ puts: [[Uint8Array.of(5), new Uint8Array(150_000)]], deletes: [] }),
  ).rejects.toMatchObject({
    code: 'ERR_STORE_FULL',
  })
  await store.commit({ puts: [], deletes: [Uint8Array.of(4)] })
  await store.commit(large)
})

test('the log is cut back after a large commit', async () => {
  const file = join(testFolder(), 'replica.db')
  const store = await opened(file)
  await store.commit({ puts: [[KEY, new Uint8Array(20 * 2 ** 20)]], deletes: [], durability: 'relaxed' })
  for (let i = 0; i < 3; i++) await put(store, Uint8Array.of(2, i))
  expect(statSync(`${file}-wal`).size).toBeLessThanOrEqual(16 * 2 ** 20)
})

test('file and log, copied while the store is open, hold every commit that was acknowledged', async () => {
  const folder = testFolder()
  const file = join(folder, 'replica.db')
  const store = await opened(file)
  for (let i = 0; i < 20; i++) {
    await store.commit({ puts: [[Uint8Array.of(i), KEY]], deletes: [], durability: i % 2 === 0 ? 'strict' : 'relaxed' })
  }
  const copy = join(folder, 'copy.db')
  copyFileSync(file, copy)
  copyFileSync(`${file}-wal`, `${copy}-wal`)
  expect(await (await opened(copy)).scan(EVERYTHING)).toHaveLength(20)
})

test('a missing folder, and a folder in place of the file, give ERR_STORE', async () => {
  const folder = testFolder()
  await expect(nodeStore(join(folder, 'missing', 'replica.db')).open()).rejects.toMatchObject({ code: 'ERR_STORE' })
  expect(existsSync(join(folder, 'missing'))).toBe(false)
  mkdirSync(join(folder, 'folder'))
  await expect(nodeStore(join(folder, 'folder')).open()).rejects.toMatchObject({ code: 'ERR_STORE' })
})

test('names that mean something else to SQLite are names of files', async () => {
  const folder = testFolder()
  vi.spyOn(process, 'cwd').mockReturnValue(folder)
  onTestFinished(() => void vi.restoreAllMocks())
  for (const name of [':memory:', 'file:replica.db?mode=memory']) {
    await put(await opened(name), KEY)
    expect(existsSync(join(folder, name))).toBe(true)
  }
})

test('without better-sqlite3 open names the package that is missing, and no file is made', async () => {
  const file = join(testFolder(), 'replica.db')
  vi.doMock('better-sqlite3', () => {
    throw Object.assign(new Error("Cannot find package 'better-sqlite3'"), { code: 'ERR_MODULE_NOT_FOUND' })
  })
  onTestFinished(() => vi.doUnmock('better-sqlite3'))
  const opening = nodeStore(file).open()
  await expect(opening).rejects.toMatchObject({ code: 'ERR_STORE', retryable: false })
  await expect(opening).rejects.toThrow('npm install better-sqlite3')
  expect(existsSync(file)).toBe(false)
})

test('wrong arguments are TypeErrors that name them', () => {
  for (const file of ['', 'a\0b', undefined]) expect(() => nodeStore(file as string)).toThrow(/^file:/)
  for (const maxBytes of [0, -1, 1.5, '1']) {
    expect(() => nodeStore('x', { maxBytes: maxBytes as number })).toThrow(/^options\.maxBytes:/)
  }
})

test('gives room that was freed back to the file system when it is closed', async () => {
  const file = join(testFolder(), 'shrinking.db')
  const store = await opened(file)
  const puts = Array.from({ length: 300 }, (_, i): [Uint8Array, Uint8Array] => [
    Uint8Array.of(i >> 8, i & 255),
    new Uint8Array(4000).fill(i),
  ])
  await store.commit({ puts, deletes: [] })
  await store.close()
  const full = statSync(file).size
  const again = await opened(file)
  await again.commit({ puts: [], deletes: puts.slice(10).map(([key]) => key) })
  await again.close()
  expect(statSync(file).size).toBeLessThan(full / 5)
})

async function opened(file: string, maxBytes?: number): Promise<ReplicaStore> {
  const store = nodeStore(file, maxBytes === undefined ? {} : { maxBytes })
  await store.open()
  onTestFinished(() => store.close())
  return store
}

function put(store: ReplicaStore, key: Uint8Array): Promise<void> {
  return store.commit({ puts: [[key, key]], deletes: [] })
}

function makeDatabase(file: string, sql: string): void {
  const db = new Database(file)
  db.exec(sql)
  db.close()
}
