import { platformEnvironment } from 'sealog/protocol'
import { expect, test, vi } from 'vitest'
import { gcCommand } from '../src/command-gc.ts'
import { restoreCommand } from '../src/command-restore.ts'
import { EVERYTHING, head, OTHER_SPACE, SPACE, sampleAppend } from '../src/log-store-contract-samples.ts'
import { storeReadiness } from '../src/readiness.ts'
import { describePostgresStores } from './helpers/postgres-stores.ts'
import { runCommand } from './helpers/stored-world.ts'

// A server of its own is started, and brought down: on a busy machine all of it takes its time.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })
const PATIENCE = { timeout: 30_000 }

describePostgresStores('PostgreSQL store: who holds it (R-OPS-8)', ({ cluster, url, store: made, opened, sql }) => {
  const lastWord = expect.stringMatching(/stop them first/)
  const maintenance = { code: 'ERR_STORE', retryable: true, details: { reason: 'maintenance' } }

  test('while a relay uses a store nobody has it alone, and readers disturb nobody', async () => {
    const [one, other] = [await opened(), await opened()]
    await opened({ readOnly: true })
    const refused = { code: 'ERR_STORE_LOCKED', message: lastWord }
    await expect(made({ exclusive: true }).open()).rejects.toMatchObject(refused)
    await one.close()
    await expect(made({ exclusive: true }).open()).rejects.toMatchObject(refused)
    await other.close()
    const alone = await opened({ exclusive: true })
    expect(alone.isShared).toBe(false)
    await alone.append(sampleAppend({ from: 0, count: 2 }))
    const reader = await opened({ readOnly: true })
    expect((await reader.readSize(SPACE)).size).toBe(2)
    await expect(made({ exclusive: true }).open()).rejects.toMatchObject(refused)
    await expect(made().open()).rejects.toMatchObject(maintenance)
    // Another store of the same database is nobody's business.
    await opened({ schema: 'second' })
    await alone.close()
    await opened()
  })

  test('restore and gc are refused beside a relay, and leave everything as it is', async () => {
    const relay = await opened()
    await relay.append(sampleAppend({ from: 0, count: 2 }))
    const alone = async (readOnly: boolean) => {
      const store = made({ readOnly, exclusive: !readOnly })
      await store.open()
      return store
    }
    for (const [command, given] of [
      [gcCommand, {}],
      [gcCommand, { 'remove-space': SPACE, yes: true }],
      [restoreCommand, { from: '/nowhere' }],
    ] as const) {
      await expect(runCommand(command, alone, given)).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
    }
    expect(await relay.readEntries(SPACE, EVERYTHING)).toHaveLength(2)
    expect((await runCommand(gcCommand, alone, { 'remove-space': SPACE, 'dry-run': true })).code).toBe(0)
    await relay.close()
    expect((await runCommand(gcCommand, alone, { 'remove-space': SPACE, yes: true })).lines[0]).toMatch(/for good/)
    expect((await runCommand(gcCommand, alone)).lines[0]).toMatch(/bytes before/)
  })

  test('a relay that nobody asks for anything keeps others out, though its idle connections have ended', async () => {
    const relay = await opened()
    await relay.append(sampleAppend({ from: 0, count: 1 }))
    const left = async (): Promise<number | null> =>
      (
        await sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
          AND application_name = 'sealog-relay' AND query NOT LIKE 'LISTEN%'`)
      ).rowCount
    expect(await left()).toBeGreaterThan(0)
    await expect.poll(left, PATIENCE).toBe(0)
    await expect(made({ exclusive: true }).open()).rejects.toMatchObject({
      code: 'ERR_STORE_LOCKED',
      message: lastWord,
    })
    await relay.close()
    await opened({ exclusive: true })
  })

  test('heads under another name of the very same database keep nobody out who has it alone', async () => {
    const heads = `${url()}?application_name=sealog-relay`
    const alone = await opened({ heads, exclusive: true })
    await alone.append(sampleAppend({ from: 0, count: 1 }))
    await alone.putHead(SPACE, head(1, 1))
    // Whichever way others name it.
    await expect(made({ heads }).open()).rejects.toMatchObject(maintenance)
    await expect(made().open()).rejects.toMatchObject(maintenance)
    await expect(made({ url: await cluster.createDatabase(), heads }).open()).rejects.toMatchObject(maintenance)
    await alone.close()
    const relay = await opened({ heads })
    await expect(made({ heads, exclusive: true }).open()).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
    await relay.close()
  })

  test('a relay that lost its connections writes nothing while a command has the store, says why, and goes on after', async () => {
    const platform = platformEnvironment()
    // What it listens on does not come back by itself, before the command does.
    const relay = await opened({ environment: { ...platform, schedule: () => () => {} } })
    await relay.append(sampleAppend({ from: 0, count: 1 }))
    let offset = 0
    const readiness = storeReadiness(relay, { ...platform, now: () => platform.now() + offset })
    expect(await readiness.check()).toBeUndefined()
    // The server comes back, and the command is faster.
    await cluster.stop('fast')
    await cluster.start()
    const alone = await opened({ exclusive: true })
    const next = sampleAppend({ from: 1, count: 1 })
    await expect(relay.append(next)).rejects.toMatchObject({ code: 'ERR_STORE' })
    await expect(relay.append(next)).rejects.toMatchObject(maintenance)
    await expect(relay.putHead(SPACE, head(1, 1))).rejects.toMatchObject(maintenance)
    await expect(relay.readSize(SPACE)).rejects.toMatchObject(maintenance)
    offset += 5000
    expect(await readiness.check()).toBe('maintenance')
    expect((await alone.readSize(SPACE)).size).toBe(1)
    await alone.close()
    await expect
      .poll(
        () =>
          relay.append(next).then(
            () => true,
            () => false,
          ),
        PATIENCE,
      )
      .toBe(true)
    offset += 5000
    expect(await readiness.check()).toBeUndefined()
  })

  test('a command whose connection is lost goes on only where nobody came in between', async () => {
    const alone = await opened({ exclusive: true })
    await alone.append(sampleAppend({ from: 0, count: 1 }))
    const end = (): Promise<unknown> =>
      sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'sealog-relay'`)
    await end()
    await expect.poll(() => alone.readSize(SPACE).catch(() => undefined), PATIENCE).toMatchObject({ size: 1 })
    await end()
    const relay = await opened()
    // Its first attempt may meet the dead connection.
    await alone.append(sampleAppend({ from: 1, count: 1 })).catch(() => {})
    await expect(alone.append(sampleAppend({ from: 1, count: 1 }))).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
    await relay.append(sampleAppend({ from: 1, count: 1 }))
  })

  test('heads in another database are held there, too, with one connection each, also to remove a space', async () => {
    const heads = await cluster.createDatabase()
    const relay = await opened({ heads })
    await expect(made({ heads, exclusive: true }).open()).rejects.toMatchObject({ code: 'ERR_STORE_LOCKED' })
    await relay.close()
    const alone = await opened({ heads, exclusive: true })
    await expect(made({ url: await cluster.createDatabase(), heads }).open()).rejects.toMatchObject(maintenance)
    for (const space of [SPACE, OTHER_SPACE]) await alone.append({ ...sampleAppend({ from: 0, count: 2 }), space })
    await alone.removeSpace(SPACE)
    await alone.compact()
    expect(await alone.readSpaces(undefined, 10)).toEqual([SPACE, OTHER_SPACE])
  })
})
