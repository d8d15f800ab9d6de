import { createHash } from 'node:crypto'
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { defaultVerifier } from 'sealog/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fsckCommand } from '../src/command-fsck.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { seededRandom } from '../src/seeded-random.ts'
import { runCommand, storedWorld } from './helpers/stored-world.ts'

type Value = bigint | string | Uint8Array | null

const FILES = ['relay.db', 'relay-heads.db'] as const
/** Bits that are flipped of each column, and of each page. */
const PER_COLUMN = 2
const PER_FILE = 300

let whole = ''
let key = new Uint8Array(0)

beforeAll(async () => {
  whole = mkdtempSync(join(tmpdir(), 'sealog-test-'))
  const world = await storedWorld(sqliteLogStore(join(whole, 'relay.db')))
  key = world.relay.key.slice()
  await world.relay.close()
})

afterAll(() => rmSync(whole, { recursive: true }))

/** @returns what fsck says of a copy after `damage` */
async function verdictOn(damage: (folder: string) => void, see?: (folder: string) => void): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'sealog-test-'))
  try {
    for (const file of FILES) copyFileSync(join(whole, file), join(folder, file))
    damage(folder)
    const verifier = await defaultVerifier()
    const { code, lines } = await runCommand(
      fsckCommand,
      async readOnly => {
        const store = sqliteLogStore(join(folder, 'relay.db'), { readOnly })
        await store.open()
        return store
      },
      {},
      { key, verifier },
    ).catch(error => ({ code: 1, lines: [String(error)] }))
    if (code === 0) see?.(folder)
    return code === 0 ? [] : lines
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function columnsOf(file: string): readonly (readonly [table: string, column: string])[] {
  const db = new Database(join(whole, file), { readonly: true })
  const columns = db
    .prepare<[], [string, string]>(
      `SELECT tables.name, columns.name FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
       WHERE tables.type = 'table' ORDER BY 1, columns.cid`,
    )
    .raw()
    .all()
  db.close()
  return columns
}

/** Flips one bit of one value, through SQL, so that the file itself stays in order. @returns whether there was a value */
function flipValue(path: string, table: string, column: string, random: (limit: number) => number): boolean {
  const db = new Database(path)
  db.defaultSafeIntegers()
  const keys = db
    .prepare<[string], string>('SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk')
    .pluck()
    .all(table)
  const rows = db.prepare<[], Record<string, Value>>(`SELECT * FROM ${table}`).all()
  const where = keys.map(name => `${name} = ?`).join(' AND ')
  try {
    // What a constraint forbids cannot be stored in the first place.
    for (let attempt = 0; attempt < 200; attempt++) {
      const row = rows[random(rows.length)]
      const flipped = row && withFlippedBit(row[column] ?? null, random)
      if (row === undefined || flipped === undefined) continue
      try {
        const { changes } = db
          .prepare(`UPDATE ${table} SET ${column} = ? WHERE ${where}`)
          .run(flipped, ...keys.map(name => row[name]))
        if (changes !== 1) throw new Error('no such row')
        return true
      } catch (error) {
        if (!String((error as { code?: unknown }).code).startsWith('SQLITE_CONSTRAINT')) throw error
      }
    }
    return false
  } finally {
    db.close()
  }
}

function withFlippedBit(value: Value, random: (limit: number) => number): Value | undefined {
  if (typeof value === 'bigint') return BigInt.asIntN(64, value ^ (1n << BigInt(random(64))))
  if (value === null || value.length === 0) return undefined
  const at = random(value.length)
  if (typeof value === 'string') {
    return value.slice(0, at) + String.fromCharCode(value.charCodeAt(at) ^ (1 << random(7))) + value.slice(at + 1)
  }
  return Uint8Array.from(value, (byte, i) => (i === at ? byte ^ (1 << random(8)) : byte))
}

test('without damage nothing is found', async () => {
  expect(await verdictOn(() => {})).toEqual([])
})

describe('one flipped bit of any stored value is found', () => {
  test.each(FILES)('in every column of every table of %s', { timeout: 400_000 }, async file => {
    const random = seededRandom(1, file).below
    const columns = columnsOf(file)
    const unfound: string[] = []
    let flips = 0
    for (const [table, column] of columns) {
      for (let i = 0; i < PER_COLUMN; i++) {
        let isFlipped = false
        const lines = await verdictOn(folder => {
          isFlipped = flipValue(join(folder, file), table, column, random)
        })
        if (isFlipped) flips++
        if (isFlipped && lines.length === 0) unfound.push(`${table}.${column}`)
      }
    }
    expect(unfound).toEqual([])
    expect(flips).toBeGreaterThan(columns.length)
  })
})

/** A hash of all rows of the tables that the undamaged file has, and of the statements that made them. */
function contentOf(path: string, tables: readonly string[]): string {
  const db = new Database(path, { readonly: true })
  db.defaultSafeIntegers()
  const queries = ['SELECT sql FROM sqlite_schema ORDER BY 1', ...tables.map(table => `SELECT * FROM ${table}`)]
  const content = queries.map(query => db.prepare(query).raw().all())
  db.close()
  const text = JSON.stringify(content, (_, value) => (typeof value === 'bigint' ? `${value}` : value))
  return createHash('sha256').update(text).digest('hex')
}

describe('one flipped bit anywhere in a file is found, or changes nothing that is stored', () => {
  test.each(FILES)('%s', { timeout: 400_000 }, async file => {
    const random = seededRandom(2, file).below
    const { length } = readFileSync(join(whole, file))
    const tables = [...new Set(columnsOf(file).map(([table]) => table))]
    const before = contentOf(join(whole, file), tables)
    const pageSize = 4096
    let unused = 0
    for (let i = 0; i < PER_FILE; i++) {
      const offset = random(Math.floor(length / pageSize)) * pageSize + random(pageSize)
      await verdictOn(
        folder => {
          const bytes = readFileSync(join(folder, file))
          bytes[offset] = (bytes[offset] as number) ^ (1 << random(8))
          writeFileSync(join(folder, file), bytes)
        },
        folder => {
          expect(contentOf(join(folder, file), tables), `byte ${offset}`).toBe(before)
          unused++
        },
      )
    }
    console.log('FILE', file, 'unused', unused, PER_FILE, length)
    expect(unused).toBeLessThan(PER_FILE)
    expect(readdirSync(whole)).toContain(file)
  })
})
