import { join } from 'node:path'
import Database from 'better-sqlite3'
import { idBytes } from 'sealog/protocol'
import { describe, expect, test, vi } from 'vitest'
import { testFolder } from '../../test/helpers/folder.ts'
import { backupCommand } from '../src/command-backup.ts'
import { fsckCommand } from '../src/command-fsck.ts'
import { gcCommand } from '../src/command-gc.ts'
import { statsCommand } from '../src/command-stats.ts'
import type { LogStore } from '../src/log-store.ts'
import { bytes, head, SPACE, sampleAppend } from '../src/log-store-contract-samples.ts'
import { headChecksum } from '../src/log-store-head-checksum.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { loopbackRelay } from '../src/loopback.ts'
import { describePostgresStores, type PostgresStores } from './helpers/postgres-stores.ts'
import { TestReplica } from './helpers/replica.ts'
import { runCommand, storedWorld } from './helpers/stored-world.ts'

vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

const NUMBERS = ['size', 'time', 'latest', 'abandoned'] as const
const DAMAGE = { code: 'ERR_STORE_CORRUPT', details: { reason: 'damaged-head' } }

/** Where heads are, and how to get at them behind the store's back. */
interface Heads {
  opened(): Promise<LogStore>
  /** Adds to a number. */
  add(column: (typeof NUMBERS)[number], amount: number): Promise<unknown>
  /** Replaces the bytes of a column. */
  put(column: 'note' | 'checksum', value: Uint8Array): Promise<unknown>
}

/** Whatever bit of the row flips: it is called damage, nothing is built on it, and no write hides it. */
async function expectDamageFound({ opened, add, put }: Heads): Promise<void> {
  const store = await opened()
  await store.append(sampleAppend({ from: 0, count: 2 }))
  await store.putHead(SPACE, head(2, 4096))
  const checksum = headChecksum(idBytes(SPACE), { ...head(2, 4096), latest: 4096, abandoned: 0 })
  const expectDamaged = async (): Promise<void> => {
    const calls = [
      () => store.readHead(SPACE),
      () => store.putHead(SPACE, head(9, 99_999)),
      () => store.putHead(SPACE, head(9, 99_999), head(2, 4096).note),
      () => store.raiseHead(SPACE, head(9, 99_999)),
      () => store.acceptRollback(SPACE),
    ]
    for (const call of calls) await expect(call()).rejects.toMatchObject(DAMAGE)
  }
  for (const column of NUMBERS) {
    for (const amount of [1, 1024]) {
      await add(column, amount)
      await expectDamaged()
      await add(column, -amount)
    }
  }
  await put('note', flipped(head(2, 4096).note))
  await expectDamaged()
  await put('note', head(2, 4096).note)
  await put('checksum', flipped(checksum))
  await expectDamaged()
  await put('checksum', checksum)
  // All was as it had been written, by SQL or by this program.
  expect(await store.readHead(SPACE)).toMatchObject(head(2, 4096))
  await store.putHead(SPACE, head(2, 4097))
  await add('time', 1)
  await store.removeSpace(SPACE)
  expect(await store.readHead(SPACE)).toMatchObject({ size: 2, note: new Uint8Array(0) })
}

function flipped(value: Uint8Array): Uint8Array {
  return value.with(7, (value[7] as number) ^ 16)
}

describe('the row of a signed head: SQLite (R-OPS-9)', () => {
  function place(): { readonly file: string; readonly heads: string } {
    const folder = testFolder()
    return { file: join(folder, 'relay.db'), heads: join(folder, 'relay-heads.db') }
  }

  const behind = (file: string, text: string, ...values: unknown[]): void => {
    const db = new Database(file)
    db.prepare(text).run(...values)
    db.close()
  }

  test('a flipped bit is found by every call, and by none hidden', async () => {
    const { file, heads } = place()
    const store = sqliteLogStore(file)
    await store.open()
    await expectDamageFound({
      opened: async () => store,
      add: async (column, amount) => behind(heads, `UPDATE heads SET ${column} = ${column} + ?`, amount),
      put: async (column, value) => behind(heads, `UPDATE heads SET ${column} = ?`, value),
    })
    await store.close()
  })

  test('fsck and the relay tell a flipped bit from a forgery, and the other commands go on', async () => {
    const { file, heads } = place()
    const store = sqliteLogStore(file)
    const { relay, space, owner, environment } = await storedWorld(store)
    const signed = await store.readHead(space)
    await relay.close()
    const open = async (readOnly: boolean): Promise<LogStore> => {
      const opened = sqliteLogStore(file, { readOnly })
      await opened.open()
      return opened
    }
    const fsck = async () => (await runCommand(fsckCommand, open, {}, { key: relay.key })).lines

    behind(heads, 'UPDATE heads SET latest = latest + 4')
    expect(await fsck()).toEqual([
      expect.stringMatching(/^damaged-head: space .* does not have the checksum/),
      expect.stringMatching(/^1 findings/),
    ])
    const refused: unknown[] = []
    const again = sqliteLogStore(file)
    const served = loopbackRelay({
      environment,
      store: again,
      log: ({ event, reason }) => refused.push([event, reason]),
    })
    const reader = new TestReplica(served)
    await served.deliverAll()
    reader.open(space, owner)
    await served.deliverAll()
    expect(reader.rejects).toMatchObject([{ code: 'ERR_RELAY_STORAGE' }])
    expect(refused).toEqual([
      ['space-refused', expect.stringMatching(/^ERR_STORE_CORRUPT: the row of the signed head is damaged/)],
    ])
    await served.close()
    const backup = join(file, '..', 'backup')
    expect((await runCommand(backupCommand, open, { to: backup })).code).toBe(0)
    expect((await runCommand(statsCommand, open)).lines[0]).toMatch(/; nothing signed; damaged$/)
    expect((await runCommand(gcCommand, open, { 'dry-run': true })).code).toBe(0)
    behind(heads, 'UPDATE heads SET latest = latest - 4')
    expect((await fsck())[0]).toMatch(/^clean/)

    // Who writes rows as they are written can make a checksum, and no signature.
    const note = flipped(signed?.note ?? bytes(100, 1))
    const forged = { size: 0, time: 0, latest: 0, abandoned: 0, ...signed, note }
    behind(heads, 'UPDATE heads SET note = ?, checksum = ?', note, headChecksum(idBytes(space), forged))
    expect((await fsck())[0]).toMatch(/^head: space /)

    behind(heads, 'UPDATE heads SET size = size + 1')
    expect((await runCommand(gcCommand, open, { 'remove-space': space, yes: true })).code).toBe(0)
    expect((await fsck())[0]).toMatch(/^clean: 1 spaces, 0 entries/)
  })
})

describePostgresStores('the row of a signed head: PostgreSQL (R-OPS-9)', ({ opened, sql }: PostgresStores) => {
  test('a flipped bit is found by every call, and by none hidden', async () => {
    const hex = (value: Uint8Array): string => `decode('${Buffer.from(value).toString('hex')}', 'hex')`
    await expectDamageFound({
      opened,
      add: (column, amount) => sql(`UPDATE sealog_heads.heads SET ${column} = ${column} + ${amount}`),
      put: (column, value) => sql(`UPDATE sealog_heads.heads SET ${column} = ${hex(value)}`),
    })
  })
})
