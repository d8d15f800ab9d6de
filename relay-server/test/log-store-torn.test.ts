import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { toHex } from 'sealog/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LogStore } from '../src/log-store.ts'
import {
  authoredAppend,
  bytes,
  EVERYTHING,
  head,
  OTHER_SPACE,
  SPACE,
  sampleAppend,
  sampleWraps,
} from '../src/log-store-contract-samples.ts'
import { sqliteLogStore } from '../src/log-store-sqlite.ts'
import { seededRandom } from '../src/seeded-random.ts'

/** What a disk holds of the two databases. The memory shared by processes is gone after a crash. */
interface Disk {
  readonly logs: Buffer
  readonly logsWal: Buffer
  readonly heads: Buffer
  readonly headsWal: Buffer
}

/** What can be read, as text: of the logs, and of the heads. */
interface Content {
  readonly logs: string
  readonly heads: string
}

/** What there was when an operation was acknowledged. */
interface Moment {
  readonly disk: Disk
  readonly content: Content
}

const FILES: Readonly<Record<keyof Disk, string>> = {
  logs: 'relay.db',
  logsWal: 'relay.db-wal',
  heads: 'relay-heads.db',
  headsWal: 'relay-heads.db-wal',
}
const SECTOR = 512
const WAL_HEADER = 32
const FRAME = 24 + 4096

/** All that writes, over two spaces; each is one commit in one of the files. */
const OPERATIONS: readonly ((store: LogStore) => Promise<unknown>)[] = [
  store => store.append({ ...sampleAppend({ from: 0, count: 3 }), wraps: sampleWraps(1, 2) }),
  store => store.putHead(SPACE, head(3, 10)),
  store => store.append({ ...sampleAppend({ from: 0, count: 2, bodyLength: 9000, seed: 5 }), space: OTHER_SPACE }),
  store => store.putHead(OTHER_SPACE, head(2, 11)),
  store => store.append({ ...sampleAppend({ from: 3, count: 4, seed: 9 }), dropped: [1, 4] }),
  store => store.putCosigned(SPACE, 3, bytes(300, 3)),
  store => store.putHead(SPACE, head(7, 12)),
  store => store.putMailbox(bytes(32, 1), { counter: 2, bytes: bytes(5000, 2), signature: bytes(64, 3) }),
  store => store.putFloor(OTHER_SPACE, 4),
  store => store.raiseHead(OTHER_SPACE, head(4, 30)),
  store => {
    const authors = [2, 3].map(seq => ({ document: 1, actor: 1, seq }))
    return store.append({ ...authoredAppend(2, authors), space: OTHER_SPACE, isRestored: true })
  },
  store => store.discard(SPACE, [0]),
  store => store.putHead(OTHER_SPACE, head(4, 40)),
]

/** Frames of the write-ahead log's present round, one behind the other from its beginning. */
function endOf(wal: Buffer): number {
  let end = wal.length < WAL_HEADER ? 0 : WAL_HEADER
  while (end > 0 && wal.length >= end + FRAME && wal.subarray(end + 8, end + 16).equals(wal.subarray(16, 24)))
    end += FRAME
  return end
}

/** Or has the write-ahead log begun anew? */
function isSameRound(before: Disk, after: Disk): boolean {
  return before.logsWal.subarray(16, 24).equals(after.logsWal.subarray(16, 24))
}

function diskIn(folder: string): Disk {
  const read = (name: string): Buffer =>
    existsSync(join(folder, name)) ? readFileSync(join(folder, name)) : Buffer.alloc(0)
  return {
    logs: read(FILES.logs),
    logsWal: read(FILES.logsWal),
    heads: read(FILES.heads),
    headsWal: read(FILES.headsWal),
  }
}

async function contentOf(store: LogStore): Promise<Content> {
  const logs: unknown[] = [await store.readIdentity(), await store.readMailbox(bytes(32, 1))]
  const heads: unknown[] = []
  for (const space of [SPACE, OTHER_SPACE]) {
    const { size, floor } = await store.readSize(space)
    const places = Array.from({ length: size }, (_, i) => [0, i] as const)
    const nodes = Array.from({ length: Math.floor(size / 2) }, (_, i) => [1, i] as const)
    logs.push(
      floor,
      await store.readSpace(space),
      await store.readEntries(space, { ...EVERYTHING, inlineLength: 10_000 }),
      await store.readNodes(space, [...places, ...nodes]),
      await Promise.all(places.map(([, index]) => store.readWraps(space, index))),
      await store.readCosigned(space),
    )
    heads.push(await store.readHead(space))
  }
  return { logs: textOf(logs), heads: textOf(heads) }
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_, item) => (item instanceof Uint8Array ? toHex(item) : item) as unknown)
}

let attempts = 0

/** What a relay finds that starts on such a disk. */
async function contentOn(parent: string, disk: Disk): Promise<Content> {
  const folder = join(parent, `crash-${attempts++}`)
  mkdirSync(folder)
  for (const [part, name] of Object.entries(FILES)) {
    const content = disk[part as keyof Disk]
    if (content.length > 0) writeFileSync(join(folder, name), content)
  }
  const store = sqliteLogStore(join(folder, FILES.logs))
  await store.open()
  try {
    // Notes of the samples are no notes.
    const faults = (await store.inspect(10)).filter(({ reason }) => !reason.includes('cosigned'))
    expect(faults).toEqual([])
    return await contentOf(store)
  } finally {
    await store.close()
    rmSync(folder, { recursive: true })
  }
}

describe('a crash of the machine', { timeout: 60_000 }, () => {
  /** Of a first round of the write-ahead logs, and of a second over what a checkpoint left of the first. */
  const rounds: { readonly before: Moment; readonly moments: readonly Moment[] }[] = []
  /** At each statement, with what was acknowledged then. */
  const statements: Moment[] = []
  let folder = ''

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sealog-test-'))
    const file = join(folder, FILES.logs)
    let last: Content | undefined
    const store = sqliteLogStore(file, {
      onStatement: () => {
        if (last !== undefined) statements.push({ disk: diskIn(folder), content: last })
      },
    })
    await store.open()
    await store.writeIdentity({ name: 'relay.example', key: bytes(32, 9) })
    const half = 7
    for (const operations of [OPERATIONS.slice(0, half), OPERATIONS.slice(half)]) {
      last = await contentOf(store)
      const before = { disk: diskIn(folder), content: last }
      const moments: Moment[] = []
      for (const operation of operations) {
        await operation(store)
        last = await contentOf(store)
        moments.push({ disk: diskIn(folder), content: last })
      }
      rounds.push({ before, moments })
      for (const name of [FILES.logs, FILES.heads]) {
        const beside = new Database(join(folder, name))
        beside.pragma('wal_checkpoint(PASSIVE)')
        beside.close()
      }
    }
    statements.push({ disk: diskIn(folder), content: last as Content })
    await store.close()
  })

  afterAll(() => rmSync(folder, { recursive: true }))

  /**
   * Logs and heads as they were at the last acknowledgement before the `length`-th byte of each write-ahead log.
   * Nothing more, either: what is not whole is not there.
   */
  function expectedAt({ before, moments }: (typeof rounds)[number], part: 'logs' | 'heads', length: number): string {
    const wal = part === 'logs' ? 'logsWal' : 'headsWal'
    let content = before.content[part]
    for (const moment of moments) if (endOf(moment.disk[wal]) <= length) content = moment.content[part]
    return content
  }

  test('is tried in a first and in a second round of the write-ahead log', () => {
    const [first, second] = rounds as [(typeof rounds)[number], (typeof rounds)[number]]
    expect(first.moments.every(moment => isSameRound(first.before.disk, moment.disk))).toBe(true)
    expect(second.moments.every(moment => isSameRound(second.before.disk, moment.disk))).toBe(false)
    const { disk } = second.moments.at(-1) as Moment
    expect(endOf(disk.logsWal)).toBeLessThan(disk.logsWal.length)
  })

  test('before, within and after each transaction leaves what was acknowledged, and nothing half', async () => {
    expect(statements.length).toBeGreaterThan(60)
    for (const { disk, content } of statements) expect(await contentOn(folder, disk)).toEqual(content)
  })

  test('with the write-ahead logs cut at any byte leaves all commits before it', async () => {
    for (const [index, round] of rounds.entries()) {
      const { disk } = round.moments.at(-1) as Moment
      const random = seededRandom(index, 'torn 1')
      const ends = { logs: endOf(disk.logsWal), heads: endOf(disk.headsWal) }
      const at = round.moments.flatMap(moment => [-1, 0, 1].map(offset => endOf(moment.disk.logsWal) + offset))
      const cuts = [...new Set([...at, ...Array.from({ length: 25 }, () => random.below(ends.logs + 1))])]
      for (const cut of cuts.filter(each => each <= ends.logs)) {
        // Heads without the relay's identity are none.
        const least = index === 0 ? endOf(round.before.disk.headsWal) : 0
        const headsCut = least + random.below(ends.heads - least + 1)
        const { logsWal, headsWal } = disk
        const files = index === 0 ? [logsWal.subarray(0, cut), headsWal.subarray(0, headsCut)] : undefined
        // In a second round what was not written is what was there before it.
        const [logs, heads] = files ?? [
          Buffer.concat([logsWal.subarray(0, cut), round.before.disk.logsWal.subarray(cut)]),
          Buffer.concat([headsWal.subarray(0, headsCut), round.before.disk.headsWal.subarray(headsCut)]),
        ]
        const found = await contentOn(folder, { ...disk, logsWal: logs as Buffer, headsWal: heads as Buffer })
        expect(found.logs === expectedAt(round, 'logs', cut), `round ${index}, cut at ${cut}`).toBe(true)
        expect(found.heads === expectedAt(round, 'heads', headsCut), `round ${index}, heads at ${headsCut}`).toBe(true)
      }
    }
  })

  test('with garbage at the end of a write-ahead log leaves all commits before it', async () => {
    for (const [index, round] of rounds.entries()) {
      const { disk } = round.moments.at(-1) as Moment
      const random = seededRandom(index, 'torn 11')
      const end = endOf(disk.logsWal)
      for (let i = 0; i < 15; i++) {
        const from = random.below(end)
        const wal = Buffer.from(disk.logsWal)
        const mask = Array.from({ length: 97 }, () => 1 + random.below(255))
        for (let at = from; at < wal.length; at++) wal[at] = (wal[at] as number) ^ (mask[at % mask.length] as number)
        const found = await contentOn(folder, { ...disk, logsWal: wal })
        expect(found.logs === expectedAt(round, 'logs', from), `round ${index}, garbage from ${from}`).toBe(true)
      }
    }
  })

  test('in the middle of a commit whose writes came in any order leaves all of it or nothing', async () => {
    for (const [index, round] of rounds.entries()) {
      const random = seededRandom(index, 'torn 21')
      let before = round.before
      for (const moment of round.moments) {
        const to = endOf(moment.disk.logsWal)
        const from = isSameRound(before.disk, moment.disk) ? endOf(before.disk.logsWal) : 0
        for (let i = 0; i < (to > from ? 3 : 0); i++) {
          const wal = Buffer.from(moment.disk.logsWal)
          const old = Buffer.concat([before.disk.logsWal, Buffer.alloc(to)])
          // Of the sectors that were being written some are on the disk, and some are as before.
          for (let at = from - (from % SECTOR); at < to; at += SECTOR) {
            if (random.below(4) === 0) old.copy(wal, Math.max(at, from), Math.max(at, from), Math.min(at + SECTOR, to))
          }
          const isWhole = wal.subarray(0, to).equals(moment.disk.logsWal.subarray(0, to))
          const found = await contentOn(folder, { ...moment.disk, logsWal: wal })
          const expected = (isWhole ? moment : before).content.logs
          expect(found.logs === expected, `round ${index}, between ${from} and ${to}`).toBe(true)
        }
        before = moment
      }
    }
  })

  test('in the middle of a checkpoint leaves everything', async () => {
    for (const [index, { moments }] of rounds.entries()) {
      const { disk, content } = moments.at(-1) as Moment
      const after =
        index === 0 ? (rounds[1] as (typeof rounds)[number]).before.disk : (statements.at(-1) as Moment).disk
      const random = seededRandom(index, 'torn 31')
      for (let i = 0; i < 12; i++) {
        const torn = (from: Buffer, to: Buffer): Buffer => {
          const mixed = Buffer.alloc(Math.max(from.length, to.length) - 4096 * random.below(2))
          from.copy(mixed)
          for (let at = 0; at < mixed.length; at += SECTOR)
            if (random.below(2) === 0) to.copy(mixed, at, at, at + SECTOR)
          return mixed
        }
        const mixed = { ...disk, logs: torn(disk.logs, after.logs), heads: torn(disk.heads, after.heads) }
        expect(await contentOn(folder, mixed)).toEqual(content)
      }
    }
  })
})
