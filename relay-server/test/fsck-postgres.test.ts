import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultVerifier } from 'sealog/protocol'
import { expect, test } from 'vitest'
import { describePostgres } from '../../test/helpers/postgres.ts'
import { backupCommand } from '../src/command-backup.ts'
import { fsckCommand } from '../src/command-fsck.ts'
import { gcCommand } from '../src/command-gc.ts'
import { restoreCommand } from '../src/command-restore.ts'
import { statsCommand } from '../src/command-stats.ts'
import type { LogStore } from '../src/log-store.ts'
import { memoryContent, memoryLogStore } from '../src/log-store-memory.ts'
import { postgresLogStore } from '../src/log-store-postgres.ts'
import { seededRandom } from '../src/seeded-random.ts'
import { runCommand, storedWorld } from './helpers/stored-world.ts'

async function opened(store: LogStore): Promise<LogStore> {
  await store.open()
  return store
}

describePostgres('the operator of a relay on PostgreSQL', cluster => {
  const open = (schema: string) => (readOnly: boolean) =>
    opened(postgresLogStore({ url: cluster.url, schema, connections: 3, readOnly, exclusive: !readOnly }))

  /** Every column of the tables of a schema that may be written, and of what type it is. */
  async function columnsOf(schema: string) {
    const { rows } = await cluster.query(
      `SELECT table_name, column_name, data_type FROM information_schema.columns
       WHERE table_schema = $1 AND table_name <> 'migrations' AND is_identity = 'NO' ORDER BY 1, ordinal_position`,
      [schema],
    )
    return rows as readonly { readonly table_name: string; readonly column_name: string; readonly data_type: string }[]
  }

  test('a backup of another kind of store is restored, found clean, and a flipped bit of any value is found', {
    timeout: 240_000,
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sealog-test-'))
    const file = join(folder, 'backup')
    const verifier = await defaultVerifier()
    const random = seededRandom(3, 'postgres').below
    try {
      const content = memoryContent()
      const { relay } = await storedWorld(memoryLogStore(content))
      await runCommand(backupCommand, () => opened(memoryLogStore(content)), { to: file })
      const given = { from: file, 'without-heads': true }
      expect((await runCommand(restoreCommand, open('moved'), given, { key: relay.key })).code).toBe(0)
      const fsck = async () => (await runCommand(fsckCommand, open('moved'), {}, { verifier })).lines
      expect(await fsck()).toEqual([expect.stringMatching(/^clean: 1 spaces, \d\d entries, 1 mailboxes$/)])

      const unfound: string[] = []
      let flips = 0
      for (const schema of ['moved', 'moved_heads']) {
        for (const { table_name, column_name, data_type } of await columnsOf(schema)) {
          const table = `${schema}.${table_name}`
          const { rows } = await cluster.query(
            `SELECT ctid::text AS ctid, ${column_name} AS value FROM ${table} WHERE ${column_name} IS NOT NULL`,
          )
          const row = rows[random(rows.length)]
          const flipped = row && flippedSql(column_name, data_type, row.value, random)
          if (flipped === undefined) continue
          const update = `UPDATE ${table} SET ${column_name} = ${flipped} WHERE ctid = $1 RETURNING ctid::text AS ctid`
          const done = await cluster.query(update, [row.ctid]).catch(() => undefined)
          if (done?.rowCount !== 1) continue
          flips++
          if ((await fsck())[0]?.startsWith('clean')) unfound.push(`${table}.${column_name}`)
          await cluster.query(`UPDATE ${table} SET ${column_name} = $2 WHERE ctid = $1`, [done.rows[0].ctid, row.value])
        }
      }
      expect(unfound).toEqual([])
      expect(flips).toBeGreaterThan(40)
      expect(await fsck()).toEqual([expect.stringMatching(/^clean/)])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('the numbers, a backup and a cleaning are to be had there too; a removed space does not come back', {
    timeout: 120_000,
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sealog-test-'))
    const [first, second] = [join(folder, 'first'), join(folder, 'second')]
    try {
      const content = memoryContent()
      const { space } = await storedWorld(memoryLogStore(content))
      await runCommand(backupCommand, () => opened(memoryLogStore(content)), { to: first })
      await runCommand(restoreCommand, open('tidy'), { from: first, 'without-heads': true })
      expect((await runCommand(statsCommand, open('tidy'))).lines[0]).toMatch(/2 documents, 2 devices, 2 members/)
      expect((await runCommand(backupCommand, open('tidy'), { to: second })).code).toBe(0)
      expect(readFileSync(second).length).toBe(readFileSync(first).length)
      expect((await runCommand(gcCommand, open('tidy'))).lines[0]).toMatch(/^0 superseded snapshots .* bytes before/)
      await runCommand(gcCommand, open('tidy'), { 'remove-space': space, yes: true })
      expect((await runCommand(fsckCommand, open('tidy'))).lines[0]).toMatch(/^clean: 1 spaces, 0 entries/)
      const refused = await runCommand(restoreCommand, open('tidy'), { from: second, 'without-heads': true })
      expect([refused.code, refused.lines[0]]).toEqual([1, expect.stringContaining('has removed this space')])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

/** The value of a column with one bit flipped; undefined where it has none. */
function flippedSql(
  column: string,
  type: string,
  value: unknown,
  random: (limit: number) => number,
): string | undefined {
  switch (type) {
    case 'bytea': {
      const bits = 8 * (value as Uint8Array).length
      const bit = random(bits)
      return bits === 0 ? undefined : `set_bit(${column}, ${bit}, 1 - get_bit(${column}, ${bit}))`
    }
    case 'bigint':
      return `${column} # (1::bigint << ${random(63)})`
    case 'boolean':
      return `NOT ${column}`
    default:
      return `overlay(${column} placing chr(ascii(${column}) # 1) from 1 for 1)`
  }
}
