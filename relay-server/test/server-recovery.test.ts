import { copyFileSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { idBytes } from 'sealog/protocol'
import { describe, expect, onTestFinished, test } from 'vitest'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import { openReplica } from '../../src/node.ts'
import type { LogRecord } from '../src/log-record.ts'
import { type RelayServer, startRelay } from '../src/server.ts'
import type { RelayServerOptions } from '../src/server-options.ts'
import { author } from './helpers/authoring.ts'
import { testEnvironment } from './helpers/environment.ts'
import { until } from './helpers/replica.ts'
import { connected, dataFolder, populated, started } from './helpers/served.ts'

const NAME = 'relay.example'

function lose(data: string, file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(data, file + suffix), { force: true })
}

function refusal(options: Partial<RelayServerOptions>): Promise<unknown> {
  return startRelay({ port: 0, name: NAME, ...options }).then(
    async (relay: RelayServer) => {
      await relay.close()
      return 'started'
    },
    (error: unknown) => error,
  )
}

/** A relay with one space, stopped. */
async function stopped() {
  const data = dataFolder()
  const relay = await started({ data })
  const { owner, space } = await populated(relay)
  const copy = join(dataFolder(), 'old.db')
  await relay.close()
  copyFileSync(join(data, 'relay.db'), copy)
  return { data, copy, owner, space }
}

describe('the logs are lost, the key is there', () => {
  test('a start is refused, and --recover lets members give everything back (R-OPS-1)', {
    timeout: 60_000,
  }, async () => {
    const data = dataFolder()
    const first = await started({ data })
    const ada = await openReplica({ store: memoryStore(), relay: first.url })
    onTestFinished(() => ada.close())
    const space = await ada.createSpace({ name: 'Field notes' })
    const note = await space.createDocument({ title: 'Day 1' })
    await space.sync()
    await first.close()
    lose(data, 'relay.db')
    expect(await refusal({ data })).toMatchObject({ code: 'ERR_RELAY_IDENTITY', message: /--recover/ })

    const events: LogRecord[] = []
    const options = { data, port: first.port, recover: true, log: (record: LogRecord) => void events.push(record) }
    const second = await started(options)
    expect(second.key).toEqual(first.key)
    note.change(doc => {
      doc.title = 'Day 2'
    })
    await space.sync({ timeout: 30_000 })
    const happened = events.map(({ event }) => event)
    for (const event of ['recovering', 'relay-behind', 'restored']) expect(happened).toContain(event)
    await second.close()
    // Once is enough.
    await started({ data, port: first.port })
    await space.sync({ timeout: 30_000 })
    expect(space.problems).toEqual([])
  })

  test('without what was signed there is nothing to recover by (R-OPS-1)', async () => {
    const { data } = await stopped()
    lose(data, 'relay.db')
    lose(data, 'relay-heads.db')
    for (let attempt = 0; attempt < 2; attempt++) {
      expect(await refusal({ data, recover: true })).toMatchObject({
        code: 'ERR_RELAY_IDENTITY',
        message: /nothing to recover by/,
      })
    }
  })
})

describe('what was signed is lost, the logs are there', () => {
  test('the relay cannot know whether they are all: it starts on the word of its operator alone', async () => {
    const { data, owner, space } = await stopped()
    lose(data, 'relay-heads.db')
    expect(await refusal({ data })).toMatchObject({ code: 'ERR_STORE_CORRUPT', details: { reason: 'heads' } })
    expect(existsSync(join(data, 'relay-heads.db'))).toBe(false)
    const relay = await started({ data, acceptRollback: true })
    const replica = await connected(relay)
    replica.open(space, owner)
    await until(() => replica.syncs.length > 0, 'the space')
    await relay.close()
    await started({ data })
  })
})

describe('signed entries are lost', () => {
  async function setBack() {
    const { data, copy, owner, space } = await stopped()
    const relay = await started({ data })
    const later = await connected(relay)
    later.open(space, owner)
    await until(() => later.syncs.length > 0)
    await later.follow(space)
    later.push(space, author(testEnvironment(3).random, owner, idBytes(space), { seen: later.seen }))
    await until(() => later.syncs.length > 1, 'an entry that will be lost')
    await relay.close()
    lose(data, 'relay.db')
    copyFileSync(copy, join(data, 'relay.db'))
    return { data, owner, space }
  }

  test('the space takes nothing until they are back', async () => {
    const { data, owner, space } = await setBack()
    const events: LogRecord[] = []
    const relay = await started({ data, log: record => events.push(record) })
    const replica = await connected(relay)
    replica.open(space, owner)
    await until(() => replica.rejects.length > 0, 'a refusal')
    expect(replica.rejects[0]?.code).toBe('ERR_RELAY_BEHIND')
    expect(events).toContainEqual(expect.objectContaining({ event: 'relay-behind', space, signed: 2, stored: 1 }))
  })

  test('or until the operator gives them up, which the log names space by space (R-RESTORE-10)', async () => {
    const { data, owner, space } = await setBack()
    const events: LogRecord[] = []
    const relay = await started({ data, acceptRollback: true, log: record => events.push(record) })
    const replica = await connected(relay)
    replica.open(space, owner)
    await until(() => replica.syncs.length > 0, 'the space')
    expect((await replica.follow(space)).range.size).toBe(1)
    expect(events).toContainEqual(expect.objectContaining({ level: 'warn', event: 'rollback-allowed' }))
    expect(events).toContainEqual(
      expect.objectContaining({ level: 'error', event: 'rollback-accepted', space, signed: 2, stored: 1 }),
    )
  })
})
