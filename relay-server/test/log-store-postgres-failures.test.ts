import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { platformEnvironment } from 'sealog/protocol'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { startProxy } from '../../test/crash/tcp-proxy.ts'
import type { Append } from '../src/log-store.ts'
import {
  actorRow,
  bytes,
  documentId,
  EVERYTHING,
  head,
  kept,
  SPACE,
  sampleAppend,
  sampleWraps,
  spaceAfter,
} from '../src/log-store-contract-samples.ts'
import { bundleChild } from './helpers/bundle-child.ts'
import type { PostgresReport } from './helpers/postgres-child.ts'
import { describePostgresStores } from './helpers/postgres-stores.ts'

// A server of its own is started, and brought down: on a busy machine all of it takes its time.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })
const PATIENCE = { timeout: 30_000 }

/** Every table that an append writes to, in the order in which it may. */
const WRITTEN = ['spaces', 'entries', 'nodes', 'control_rows', 'documents', 'actors', 'wraps'] as const

describePostgresStores('PostgreSQL store: whatever fails', ({ cluster, url, opened, sql }) => {
  /** From now on, what writes to this table does this instead. @returns undoes it */
  async function sabotage(table: string, when: string, action: string): Promise<() => Promise<unknown>> {
    await sql(`CREATE FUNCTION sealog.sabotage() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN ${action}; PERFORM pg_sleep(5); RETURN NEW; END $$`)
    const timing = when === 'COMMIT' ? 'AFTER' : when
    await sql(`CREATE ${when === 'COMMIT' ? 'CONSTRAINT' : ''} TRIGGER sabotage ${timing} INSERT OR UPDATE
      ON sealog.${table} ${when === 'COMMIT' ? 'DEFERRABLE INITIALLY DEFERRED' : ''}
      FOR EACH ROW EXECUTE FUNCTION sealog.sabotage()`)
    return () => sql('DROP FUNCTION sealog.sabotage CASCADE')
  }

  const KILL = 'PERFORM pg_terminate_backend(pg_backend_pid())'

  test('an append whose server process is killed at any of its tables, before or at the commit, leaves nothing', async () => {
    const store = await opened()
    const before = { ...sampleAppend({ from: 0, count: 3 }), wraps: sampleWraps(1, 2) }
    await store.append(before)
    const torn: Append = {
      ...sampleAppend({ from: 3, count: 3, seed: 30 }),
      state: {
        control: [{ name: 'core', value: bytes(90, 1) }],
        documents: [{ document: documentId(2), value: bytes(20, 9) }],
        actors: [actorRow(2, 1, 3)],
      },
      wraps: sampleWraps(4, 2),
      dropped: [0, 4],
    }
    for (const table of WRITTEN) {
      for (const when of ['BEFORE', 'AFTER', 'COMMIT']) {
        const undo = await sabotage(table, when, KILL)
        await expect(store.append(torn), `${when} ${table}`).rejects.toMatchObject({
          code: 'ERR_STORE',
          retryable: true,
        })
        await undo()
        expect(await store.readSpace(SPACE)).toEqual(spaceAfter(before))
        expect(await store.readEntries(SPACE, EVERYTHING)).toEqual(before.entries)
        expect(await store.readWraps(SPACE, 4)).toEqual([])
        expect(await store.inspect(10)).toEqual([])
      }
    }
    await store.append(torn)
    expect((await store.readSize(SPACE)).size).toBe(6)
  })

  test('a space whose creation is killed is not there, and a head, floor, note or mailbox is as before', async () => {
    const store = await opened()
    const first = sampleAppend({ from: 0, count: 2 })
    for (const table of ['spaces', 'entries', 'actors']) {
      const undo = await sabotage(table, 'AFTER', KILL)
      await expect(store.append(first)).rejects.toMatchObject({ code: 'ERR_STORE' })
      await undo()
      expect(await store.readSpace(SPACE)).toBeUndefined()
      expect(await store.readSpaces(undefined, 10)).toEqual([])
    }
    await store.append(first)
    await store.putHead(SPACE, head(1, 5))
    await store.putCosigned(SPACE, 1, bytes(100, 1))
    const address = bytes(32, 1)
    const mailbox = (counter: number) => ({ counter, bytes: bytes(50, counter), signature: bytes(64, 2) })
    await store.putMailbox(address, mailbox(1))
    const writes = {
      'sealog_heads.heads': () => store.putHead(SPACE, head(2, 10)),
      'sealog.cosigned': () => store.putCosigned(SPACE, 2, bytes(100, 2)),
      'sealog.mailboxes': () => store.putMailbox(address, mailbox(2)),
      'sealog.spaces': () => store.putFloor(SPACE, 9),
    }
    for (const [table, write] of Object.entries(writes)) {
      await sql(`CREATE FUNCTION sealog.sabotage() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN ${KILL}; PERFORM pg_sleep(5); RETURN NEW; END $$`)
      await sql(`CREATE TRIGGER sabotage AFTER INSERT OR UPDATE ON ${table}
        FOR EACH ROW EXECUTE FUNCTION sealog.sabotage()`)
      await expect(write(), table).rejects.toMatchObject({ code: 'ERR_STORE' })
      await sql('DROP FUNCTION sealog.sabotage CASCADE')
    }
    expect(await store.readHead(SPACE)).toEqual(kept(head(1, 5)))
    expect(await store.readCosigned(SPACE)).toEqual([bytes(100, 1)])
    expect(await store.readMailbox(address)).toEqual(mailbox(1))
    expect((await store.readSize(SPACE)).floor).toBe(0)
  })

  test('a full disk is said as such, changes nothing, and is over when there is room again', async () => {
    const store = await opened()
    await store.append(sampleAppend({ from: 0, count: 1 }))
    const undo = await sabotage('actors', 'AFTER', `RAISE EXCEPTION 'no room' USING ERRCODE = '53100'`)
    await expect(store.append(sampleAppend({ from: 1, count: 1 }))).rejects.toMatchObject({ code: 'ERR_STORE_FULL' })
    await undo()
    expect((await store.readSize(SPACE)).size).toBe(1)
    await store.append(sampleAppend({ from: 1, count: 1 }))
  })

  test('no error quotes what a row holds', async () => {
    const store = await opened()
    await store.append(sampleAppend({ from: 0, count: 1 }))
    await sql(`CREATE UNIQUE INDEX odd ON sealog.entries (signature)`)
    const entry = { ...sampleAppend({ from: 0, count: 1 }).entries[0] } as Append['entries'][number]
    const error = await store.append({ ...sampleAppend({ from: 1, count: 1 }), entries: [entry] }).catch(each => each)
    expect(error).toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    const told = JSON.stringify([error, error.message, error.cause, { ...error.cause }, error.cause.message])
    expect(told).toContain('23505')
    expect(told).not.toContain(Buffer.from(entry.signature.subarray(0, 8)).toString('hex'))
  })

  test('an acknowledgement that is lost on the way is an error, and the entries are there', async () => {
    const proxy = await startProxy([url().replace('postgres:', 'http:')])
    const through = url().replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${proxy.port}`)
    const store = await opened({ url: through })
    await store.append(sampleAppend({ from: 0, count: 1 }))
    const undo = await sabotage('actors', 'AFTER', 'PERFORM pg_sleep(-5)')
    const append = sampleAppend({ from: 1, count: 1 })
    const failed = expect(store.append(append)).rejects.toMatchObject({ code: 'ERR_STORE', retryable: true })
    await delay(500)
    proxy.reset()
    await failed
    // The statement is with the server, which does not know that nobody hears the answer.
    await expect.poll(async () => (await store.readSize(SPACE)).size, PATIENCE).toBe(2)
    expect(await store.readEntries(SPACE, { ...EVERYTHING, from: 1 })).toEqual(append.entries)
    await expect(store.append(append)).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
    await undo()
    await store.close()
    await proxy.close()
  })

  test('a network that falls silent fails the calls in time, and is found by who only listens', async () => {
    const proxy = await startProxy([url().replace('postgres:', 'http:')])
    const through = url().replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${proxy.port}`)
    const platform = platformEnvironment()
    const delays: number[] = []
    const schedule: typeof platform.schedule = (ms, task) => {
      delays.push(ms)
      return platform.schedule(ms, task)
    }
    const environment = { ...platform, schedule }
    const store = await opened({ url: through, timeout: 2000, connectTimeout: 2000, heartbeat: 900, environment })
    const heard: (string | undefined)[] = []
    store.onGrown(space => heard.push(space))
    await store.append(sampleAppend({ from: 0, count: 1 }))
    proxy.stall()
    const start = performance.now()
    await expect(store.append(sampleAppend({ from: 1, count: 1 }))).rejects.toMatchObject({ code: 'ERR_STORE' })
    expect(performance.now() - start).toBeLessThan(20_000)
    await expect(store.readSize(SPACE)).rejects.toMatchObject({ code: 'ERR_STORE', retryable: true })
    // The listener has noticed as well, and tries again, each time after twice as long.
    await expect.poll(() => delays, PATIENCE).toEqual(expect.arrayContaining([900, 100, 200]))
    expect(heard).toEqual([])
    proxy.reset()
    await expect.poll(() => heard, PATIENCE).toEqual([undefined])
    await expect.poll(() => store.readSize(SPACE).catch(() => undefined), PATIENCE).toMatchObject({ floor: 0 })
    const other = await opened()
    await other.announce(SPACE)
    await expect.poll(() => heard, PATIENCE).toEqual([undefined, SPACE])
    await store.close()
    await proxy.close()
  })

  test('through a crash of the server everything acknowledged is there, and the same store goes on', async () => {
    const [store, other] = [await opened(), await opened()]
    const heard: (string | undefined)[] = []
    store.onGrown(space => heard.push(space))
    let size = 0
    const writing = (async () => {
      for (;;) {
        await store.append(sampleAppend({ from: size, count: 1 }))
        size++
        await store.putHead(SPACE, head(size, size))
      }
    })()
    const ended = expect(writing).rejects.toMatchObject({ code: 'ERR_STORE', retryable: true })
    await expect.poll(() => size, PATIENCE).toBeGreaterThan(5)
    await cluster.stop('immediate')
    await ended
    await expect(store.readSize(SPACE)).rejects.toMatchObject({ code: 'ERR_STORE' })
    await cluster.start()
    // The last append may be there though nobody was told.
    const found = (await store.readSize(SPACE)).size
    expect([size, size + 1]).toContain(found)
    const signed = (await store.readHead(SPACE))?.size ?? 0
    expect(signed).toBeGreaterThanOrEqual(size - 1)
    expect(signed).toBeLessThanOrEqual(found)
    expect(await other.readEntries(SPACE, EVERYTHING)).toHaveLength(found)
    expect(await store.inspect(10)).toEqual([])
    await store.append(sampleAppend({ from: found, count: 1 }))
    await expect.poll(() => heard, PATIENCE).toEqual([undefined])
    await other.announce(SPACE)
    await expect.poll(() => heard, PATIENCE).toEqual([undefined, SPACE])
  })

  test('close waits for what is under way', async () => {
    const store = await opened()
    const calls = Array.from({ length: 8 }, (_, i) => store.putMailbox(bytes(32, i), mailboxOf(i)))
    const closed = store.close()
    await expect(store.readSize(SPACE)).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    expect(await Promise.all(calls)).toEqual(calls.map(() => true))
    await closed
    await store.open()
    expect(await store.readMailbox(bytes(32, 7))).toEqual(mailboxOf(7))
  })

  describe('in several processes', () => {
    let child: Awaited<ReturnType<typeof bundleChild>>
    beforeAll(async () => {
      child = await bundleChild('postgres-child.ts')
    })
    afterAll(() => child.remove())

    test('writers that are killed at any moment lose nothing that they acknowledged, and hinder nobody', async () => {
      const store = await opened()
      const cycles = 3
      const acknowledged = { stored: 0, signed: 0 }
      for (let cycle = 1; cycle <= cycles; cycle++) {
        const told = await Promise.all([0, 1].map(i => runAndKill(child.path, url(), cycle * 8 + 5 * i)))
        for (const { stored, signed } of told) {
          acknowledged.stored = Math.max(acknowledged.stored, stored)
          acknowledged.signed = Math.max(acknowledged.signed, signed)
        }
        const { size } = await store.readSize(SPACE)
        expect(size).toBeGreaterThanOrEqual(acknowledged.stored)
        const found = await store.readHead(SPACE)
        expect(found?.size).toBeGreaterThanOrEqual(acknowledged.signed)
        expect(found?.size).toBeLessThanOrEqual(size)
        const expected = Array.from({ length: size }, (_, from) => sampleAppend({ from, count: 1 }).entries).flat()
        expect(await store.readEntries(SPACE, EVERYTHING)).toEqual(expected)
        expect((await store.readSpace(SPACE))?.frontier).toEqual(sampleAppend({ from: size - 1, count: 1 }).frontier)
        expect(await store.inspect(10)).toEqual([])
        // Nobody holds a lock for the dead.
        await store.append(sampleAppend({ from: size, count: 1 }))
      }
      expect(acknowledged.stored).toBeGreaterThan(cycles)
    })
  })
})

function mailboxOf(seed: number) {
  return { counter: seed + 1, bytes: bytes(2000, seed), signature: bytes(64, seed) }
}

/** @returns what it said before it died, a number of lines after its first */
async function runAndKill(path: string, url: string, lines: number): Promise<{ stored: number; signed: number }> {
  const running = spawn(process.execPath, [path, url, 'sealog'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  running.stdout.setEncoding('utf8')
  running.stdout.on('data', text => {
    output += text
    if (output.split('\n').length > lines) running.kill('SIGKILL')
  })
  expect(await once(running, 'close')).toEqual([null, 'SIGKILL'])
  const told = { stored: 0, signed: 0 }
  // A line that was cut off was never read by anybody.
  for (const line of output.split('\n').slice(0, -1)) Object.assign(told, JSON.parse(line) as PostgresReport)
  return told
}
