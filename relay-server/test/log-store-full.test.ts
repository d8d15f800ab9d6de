import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type Database from 'better-sqlite3'
import type { SpaceId } from 'sealog/protocol'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { testFolder } from '../../test/helpers/folder.ts'
import type { LogStore } from '../src/log-store.ts'
import { bytes, head, kept, OTHER_SPACE, SPACE, sampleAppend } from '../src/log-store-contract-samples.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { bundleChild } from './helpers/bundle-child.ts'
import type { StoreReport } from './helpers/store-child.ts'

const connections = vi.hoisted((): { readonly open: import('better-sqlite3').Database[] } => ({ open: [] }))

/** SQLite itself, whose connections the tests can get hold of. */
vi.mock('better-sqlite3', async importOriginal => {
  const { default: Original } = await importOriginal<{ default: typeof Database }>()
  return {
    default: class extends Original {
      constructor(...args: ConstructorParameters<typeof Database>) {
        super(...args)
        connections.open.push(this)
      }
    },
  }
})

/** As many pages as a database may have besides those that it has: as if the disk had no more. */
function leaveRoom(file: string, pages: number): void {
  for (const db of connections.open) {
    if (!db.open || db.name !== file) continue
    db.pragma(`max_page_count = ${(db.pragma('page_count', { simple: true }) as number) + pages}`)
  }
}

describe('a full disk', () => {
  afterEach(() => connections.open.splice(0))

  async function opened(): Promise<{ readonly store: LogStore; readonly file: string; readonly heads: string }> {
    const folder = testFolder()
    const file = join(folder, 'relay.db')
    const store = sqliteLogStore(file)
    await store.open()
    return { store, file, heads: join(folder, 'relay-heads.db') }
  }

  test('fails the writes that do not fit, whole, and those alone; the store goes on', async () => {
    const { store, file } = await opened()
    await store.append(sampleAppend({ from: 0, count: 2 }))
    await store.putHead(SPACE, head(2, 10))
    leaveRoom(file, 4)
    const before = await store.readSpace(SPACE)
    const large = sampleAppend({ from: 2, count: 3, bodyLength: 30_000 })
    for (const _attempt of [1, 2]) {
      await expect(store.append(large)).rejects.toMatchObject({ code: 'ERR_STORE_FULL', retryable: true })
      expect(await store.readSpace(SPACE)).toEqual(before)
      expect(await store.readBody(SPACE, 2, 0, 10)).toBeUndefined()
    }
    // What fits is taken, heads have room of their own, and all can be read.
    await store.append(sampleAppend({ from: 2, count: 1, bodyLength: 10 }))
    await store.putHead(SPACE, head(3, 20))
    await store.close()
    await store.open()
    expect([(await store.readSize(SPACE)).size, await store.readHead(SPACE)]).toEqual([3, kept(head(3, 20))])
    // Room again.
    await store.append(sampleAppend({ from: 3, count: 3, bodyLength: 30_000 }))
    expect((await store.readSize(SPACE)).size).toBe(6)
    expect(await store.inspect(10)).toEqual([])
    await store.close()
  })

  test('fails of several spaces at once the one that does not fit', async () => {
    const { store, file } = await opened()
    leaveRoom(file, 12)
    const small = (space: SpaceId) => ({ ...sampleAppend({ from: 0, count: 1, bodyLength: 10 }), space })
    const results = await Promise.allSettled([
      store.append(small(SPACE)),
      store.append({ ...sampleAppend({ from: 0, count: 4, bodyLength: 30_000 }), space: OTHER_SPACE }),
      store.append(small('c3'.repeat(32) as SpaceId)),
    ])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(results[1]).toMatchObject({ reason: { code: 'ERR_STORE_FULL' } })
    expect(await store.readSpaces(undefined, 10)).toEqual([SPACE, 'c3'.repeat(32)])
    await store.close()
  })

  test('fails a head, and what it is of stays', async () => {
    const { store, heads } = await opened()
    await store.append(sampleAppend({ from: 0, count: 2 }))
    leaveRoom(heads, 0)
    const put = async (): Promise<void> => {
      for (let time = 1; time < 40; time++) await store.putHead(`${10 + time}`.repeat(32) as SpaceId, head(1, time))
    }
    await expect(put()).rejects.toMatchObject({ code: 'ERR_STORE_FULL' })
    const last = (await store.readSpaces(undefined, 100)).length - 1
    expect(last).toBeGreaterThan(0)
    leaveRoom(heads, 10)
    await put().catch(error => expect(error).toMatchObject({ code: 'ERR_STORE_LOCKED' }))
    await store.putHead(SPACE, head(2, 10))
    expect((await store.readSize(SPACE)).size).toBe(2)
    await store.close()
  })
})

describe('a full disk, and a broken one, for a process', { timeout: 30_000 }, () => {
  const ENTRIES = 400
  const BODY = 2000
  const inNamespace = ['--user', '--map-root-user', '--mount']
  const canMount = spawnSync('unshare', [...inNamespace, 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0
  let child: Awaited<ReturnType<typeof bundleChild>>

  beforeAll(async () => {
    child = await bundleChild('store-child.ts')
  })
  afterAll(() => child.remove())

  const run = promisify(execFile)

  async function reportsOf(command: string, file: string, ...rest: string[]): Promise<readonly StoreReport[]> {
    const script = `${command}; "$0" "$1" "$2" ${ENTRIES} ${BODY}; ${rest.join('; ')}`
    const shell = ['sh', '-c', script, process.execPath, child.path, file]
    const [program, ...args] = canMount ? ['unshare', ...inNamespace, ...shell] : shell
    const { stdout } = await run(program as string, args, { maxBuffer: 2 ** 22 })
    return stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as StoreReport)
  }

  function storedIn(reports: readonly StoreReport[]): number {
    return Math.max(0, ...reports.map(report => ('stored' in report ? report.stored : 0)))
  }

  function failuresIn(reports: readonly StoreReport[]): readonly string[] {
    return reports.flatMap(report => ('failed' in report ? [report.failed] : []))
  }

  test('a file system without room: the write is refused, and nothing acknowledged is lost', async context => {
    if (!canMount) context.skip('this system lets nobody mount a small file system')
    const folder = testFolder()
    const [small, saved] = [join(folder, 'small'), join(folder, 'saved')]
    for (const path of [small, saved]) mkdirSync(path)
    const file = join(small, 'relay.db')
    const mount = `mount -t tmpfs -o size=1m none ${small}`
    const reports = await reportsOf(mount, file, `cp ${small}/*.db* ${saved}`)
    const stored = storedIn(reports)
    expect(stored).toBeGreaterThan(10)
    expect(stored).toBeLessThan(ENTRIES)
    // The first failed for want of room; a read then goes well, and a small write may.
    expect(failuresIn(reports)[0]).toBe('ERR_STORE_FULL')
    const others = failuresIn(reports).slice(1)
    expect(others.filter(code => code !== 'ERR_STORE_FULL')).toEqual([])
    await expectAll(join(saved, 'relay.db'), stored)
  })

  test('a disk whose writes fail: nothing more is taken or read, and nothing acknowledged is lost', async () => {
    const file = join(testFolder(), 'relay.db')
    // In blocks of 512 bytes; beyond, writing fails with EFBIG, which for SQLite is an error of the disk.
    const reports = await reportsOf('ulimit -f 2000', file)
    const stored = storedIn(reports)
    expect(stored).toBeGreaterThan(10)
    expect(stored).toBeLessThan(ENTRIES)
    expect(failuresIn(reports)).toEqual(['ERR_STORE', 'ERR_STORE', 'ERR_STORE'])
    const told = reports.flatMap(report => ('message' in report ? [report.message] : []))
    expect(told[0]).toMatch(/disk I\/O error/)
    for (const message of told.slice(1)) expect(message).toMatch(/restart/)
    await expectAll(file, stored)
  })

  /** One more than was acknowledged may be there, where its head was not. */
  async function expectAll(file: string, stored: number): Promise<void> {
    const store = sqliteLogStore(file)
    await store.open()
    const { size } = await store.readSize(SPACE)
    expect([stored, stored + 1]).toContain(size)
    const signed = (await store.readHead(SPACE))?.size ?? 0
    expect(signed).toBeGreaterThanOrEqual(stored)
    expect(signed).toBeLessThanOrEqual(size)
    expect(await store.inspect(10)).toEqual([])
    const last = sampleAppend({ from: stored - 1, count: 1, bodyLength: BODY })
    expect(await store.readBody(SPACE, stored - 1, 0, BODY)).toEqual(last.entries[0]?.body)
    await store.append(sampleAppend({ from: size, count: 1 }))
    await store.putMailbox(bytes(32, 1), { counter: 9, bytes: bytes(9, 1), signature: bytes(64, 1) })
    await store.close()
  }
})
