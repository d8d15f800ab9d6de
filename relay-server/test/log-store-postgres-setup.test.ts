import { describe, expect, test, vi } from 'vitest'
import type { LogStore } from '../src/log-store.ts'
import { bytes, EVERYTHING, head, kept, SPACE, sampleAppend, spaceAfter } from '../src/log-store-contract-samples.ts'
import { type PostgresLogStoreOptions, postgresLogStore } from '../src/log-store-postgres.ts'
import { describePostgresStores } from './helpers/postgres-stores.ts'

// A server of its own is started, and brought down: on a busy machine all of it takes its time.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })
const PATIENCE = { timeout: 30_000 }

const OWNER = { name: 'relay.example', key: bytes(32, 1) }

describe('PostgreSQL store: what cannot be', () => {
  const url = 'postgres://relay:pass-word@localhost/relay'

  test('an address that is none is refused, and never quoted', () => {
    for (const wrong of ['', 'http://localhost', 'postgres://relay:pass-word@local host:x/a', 'relay.db']) {
      for (const options of [{ url: wrong }, { url, heads: wrong }]) {
        const make = (): LogStore => postgresLogStore(options)
        expect(make).toThrow(TypeError)
        expect(make).not.toThrow(/pass-word/)
      }
    }
  })

  test('a schema is a plain name that leaves room for what is appended', () => {
    for (const schema of ['', 'Sealog', '1st', 'a-b', 'a"b', 'pg_sealog', 'a'.repeat(49), 'a b', 'é']) {
      expect(() => postgresLogStore({ url, schema })).toThrow(/^schema: /)
    }
    postgresLogStore({ url, schema: 'a'.repeat(48) })
  })

  test('times and counts are whole numbers from 1 on', () => {
    for (const name of ['connections', 'timeout', 'connectTimeout', 'heartbeat'] as const) {
      for (const value of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
        expect(() => postgresLogStore({ url, [name]: value })).toThrow(new RegExp(`^${name}: `))
      }
    }
  })

  test('a server that is not there is an error that may pass, and does not tell the password', async () => {
    const store = postgresLogStore({ url: 'postgres://relay:pass-word@127.0.0.1:1/relay' })
    const error = await store.open().catch(each => each)
    expect(error).toMatchObject({ code: 'ERR_STORE', retryable: true })
    expect(JSON.stringify([error.message, error.cause, error.cause.message, error.stack])).not.toContain('pass-word')
    await expect(store.open()).rejects.toMatchObject({ code: 'ERR_STORE' })
    await store.close()
  })
})

describePostgresStores('PostgreSQL store: how it starts', ({ cluster, url, store: made, opened, sql }) => {
  const refused = (options: Partial<PostgresLogStoreOptions> = {}) => expect(made(options).open()).rejects

  test('a schema of a later version is refused, and left as it is', async () => {
    await (await opened()).close()
    for (const schema of ['sealog', 'sealog_heads']) {
      const part = schema === 'sealog' ? 'logs' : 'heads'
      await sql(`INSERT INTO ${schema}.migrations VALUES (3, '${part}')`)
      await refused().toMatchObject({ code: 'ERR_STORE_SCHEMA' })
      expect((await sql(`SELECT version FROM ${schema}.migrations ORDER BY 1`)).rows).toHaveLength(3)
      await sql(`DELETE FROM ${schema}.migrations WHERE version = 3`)
    }
    await opened()
  })

  test('a schema of something else, of the other kind, or with a table too few is refused, and left as it is', async () => {
    await sql('CREATE SCHEMA theirs')
    await sql('CREATE TABLE theirs.accounts (id integer)')
    await refused({ schema: 'theirs' }).toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    expect((await sql(`SELECT relname FROM pg_class WHERE relnamespace = 'theirs'::regnamespace`)).rows).toEqual([
      { relname: 'accounts' },
    ])
    await (await opened()).close()
    await refused({ schema: 'sealog_heads' }).toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    await sql('DROP TABLE sealog.wraps')
    await refused().toMatchObject({ code: 'ERR_STORE_CORRUPT', message: expect.stringContaining('wraps') })
  })

  test('once the schemas are there, the rights on what is in them are enough', async () => {
    await (await opened()).close()
    await sql(`CREATE ROLE plain LOGIN PASSWORD 'plain'`)
    await sql('GRANT USAGE ON SCHEMA sealog, sealog_heads TO plain')
    const rights = 'SELECT, INSERT, UPDATE, DELETE'
    await sql(`GRANT ${rights} ON ALL TABLES IN SCHEMA sealog, sealog_heads TO plain`)
    const plain = url().replace(/\/\/[^@]*@/, '//plain:plain@')
    const store = await opened({ url: plain })
    await store.append(sampleAppend({ from: 0, count: 2 }))
    await store.putHead(SPACE, head(2, 10))
    await refused({ url: plain, schema: 'other' }).toMatchObject({ code: 'ERR_STORE' })
  })

  test('settings of the database that would weaken the store do not reach it', async () => {
    const name = new URL(url()).pathname.slice(1)
    const settings = {
      synchronous_commit: 'off',
      default_transaction_isolation: 'serializable',
      bytea_output: 'escape',
      search_path: 'nowhere',
      default_transaction_read_only: 'on',
    }
    for (const [setting, value] of Object.entries(settings)) {
      await cluster.query(`ALTER DATABASE ${name} SET ${setting} = '${value}'`)
    }
    const store = await opened()
    await cluster.query(`ALTER DATABASE ${name} RESET ALL`)
    await sql('CREATE TABLE public.seen (sync text, isolation text)')
    await sql(`CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO public.seen VALUES (current_setting('synchronous_commit'), current_setting('transaction_isolation'));
      RETURN NEW; END $$`)
    await sql('CREATE TRIGGER look AFTER INSERT ON sealog.entries EXECUTE FUNCTION public.look()')
    const append = sampleAppend({ from: 0, count: 2 })
    await store.append(append)
    expect((await sql('SELECT * FROM public.seen')).rows).toEqual([{ sync: 'on', isolation: 'read committed' }])
    expect(await store.readEntries(SPACE, EVERYTHING)).toEqual(append.entries)
  })

  test('a server that loses what it confirmed is refused, unless the operator accepts it', async () => {
    await cluster.query('ALTER SYSTEM SET fsync = off')
    try {
      await cluster.query('SELECT pg_reload_conf()')
      await expect.poll(async () => (await sql('SHOW fsync')).rows, PATIENCE).toEqual([{ fsync: 'off' }])
      await refused().toMatchObject({ code: 'ERR_STORE', details: { reason: 'fsync' } })
      const store = await opened({ acceptVolatile: true })
      await store.append(sampleAppend({ from: 0, count: 1 }))
    } finally {
      await cluster.query('ALTER SYSTEM RESET fsync')
      await cluster.query('SELECT pg_reload_conf()')
      await expect.poll(async () => (await sql('SHOW fsync')).rows, PATIENCE).toEqual([{ fsync: 'on' }])
    }
  })

  test('two schemas of one database are two stores', async () => {
    const [one, other] = [await opened(), await opened({ schema: 'second' })]
    const heard: unknown[] = []
    const echoes: unknown[] = []
    other.onGrown(space => heard.push(space))
    one.onGrown(space => echoes.push(space))
    await one.append(sampleAppend({ from: 0, count: 1 }))
    await one.putHead(SPACE, head(1, 5))
    await one.announce(SPACE)
    expect(await other.readSpace(SPACE)).toBeUndefined()
    expect(await other.readHead(SPACE)).toBeUndefined()
    const third = await opened({ schema: 'second' })
    await third.announce(SPACE)
    await expect.poll(() => heard, PATIENCE).toEqual([SPACE])
    expect(echoes).toEqual([])
  })

  test('what was signed may be kept in another database, and must be there', async () => {
    const heads = await cluster.createDatabase()
    const store = await opened({ heads })
    await store.writeIdentity(OWNER)
    const append = sampleAppend({ from: 0, count: 2 })
    await store.append(append)
    await store.putHead(SPACE, head(2, 10))
    expect(await store.readSpaces(undefined, 10)).toEqual([SPACE])
    expect((await sql('SELECT count(*)::int AS count FROM sealog_heads.heads', heads)).rows).toEqual([{ count: 1 }])
    expect((await sql(`SELECT 1 FROM pg_namespace WHERE nspname = 'sealog_heads'`)).rows).toEqual([])
    expect(await store.inspect(10)).toEqual([])
    await store.compact()
    await store.close()

    // Another place for them, where there are none, or those of another relay.
    const empty = await cluster.createDatabase()
    await refused({ heads: empty }).toMatchObject({ code: 'ERR_STORE_CORRUPT', details: { reason: 'heads' } })
    const others = await cluster.createDatabase()
    const other = await opened({ url: others })
    await other.writeIdentity({ name: 'relay.test', key: bytes(32, 2) })
    await refused({ heads: others }).toMatchObject({ code: 'ERR_STORE_CORRUPT', details: { reason: 'other-heads' } })

    // The logs are lost, the heads are not: every space is known to be behind.
    const behind = await opened({ url: await cluster.createDatabase(), heads })
    expect(await behind.readIdentity()).toBeUndefined()
    expect(await behind.readSpaces(undefined, 10)).toEqual([SPACE])
    expect(await behind.readHead(SPACE)).toEqual(kept(head(2, 10)))
    const foreign = behind.writeIdentity({ name: 'relay.test', key: bytes(32, 2) })
    await expect(foreign).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    await behind.writeIdentity(OWNER)
    expect(await behind.readIdentity()).toEqual(OWNER)

    // The last resort, after which it is as it was everywhere.
    const accepted = await opened({ heads: empty, acceptRollback: true })
    expect(await accepted.readSpace(SPACE)).toEqual(spaceAfter(append))
    expect(await accepted.readHead(SPACE)).toBeUndefined()
    await accepted.close()
    await opened({ heads: empty })
  })

  test('who only reads changes nothing, makes nothing, and sees what others append', async () => {
    await refused({ readOnly: true }).toMatchObject({ code: 'ERR_STORE_SCHEMA' })
    expect((await sql(`SELECT 1 FROM pg_namespace WHERE nspname LIKE 'sealog%'`)).rows).toEqual([])
    const writer = await opened()
    const reader = await opened({ readOnly: true })
    const append = sampleAppend({ from: 0, count: 2 })
    await writer.append(append)
    expect(await reader.readEntries(SPACE, EVERYTHING)).toEqual(append.entries)
    expect(await reader.inspect(10)).toEqual([])
    const writes = [
      () => reader.writeIdentity(OWNER),
      () => reader.append(sampleAppend({ from: 2, count: 1 })),
      () => reader.putFloor(SPACE, 5),
      () => reader.putHead(SPACE, head(1, 1)),
      () => reader.raiseHead(SPACE, head(1, 1)),
      () => reader.acceptRollback(SPACE),
      () => reader.announce(SPACE),
      () => reader.putCosigned(SPACE, 1, bytes(100, 1)),
      () => reader.putMailbox(bytes(32, 1), { counter: 1, bytes: bytes(9, 1), signature: bytes(64, 1) }),
      () => reader.discard(SPACE, [0]),
      () => reader.removeSpace(SPACE),
      () => reader.compact(),
    ]
    for (const write of writes) await expect(write()).rejects.toMatchObject({ code: 'ERR_READ_ONLY' })
    await expect(writer.readSize(SPACE)).resolves.toMatchObject({ size: 2, floor: 0 })
  })
})
