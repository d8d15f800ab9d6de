import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describePostgres } from '../../test/helpers/postgres.ts'
import { author, authorGenesis, makeDevice, spaceOf } from './helpers/authoring.ts'
import { type BundledCli, bundleCli } from './helpers/bundle-cli.ts'
import { connected, listeningCli, runCli } from './helpers/cli-process.ts'
import { testEnvironment } from './helpers/environment.ts'
import { until } from './helpers/replica.ts'
import { dataFolder } from './helpers/served.ts'

let cli: BundledCli

beforeAll(async () => {
  cli = await bundleCli()
}, 60_000)

afterAll(() => cli?.remove())

describePostgres('sealog-relay --store postgres://…', cluster => {
  test('several processes are one relay, by one database and one key', { timeout: 60_000 }, async () => {
    const url = await cluster.createDatabase()
    const password = new URL(url).password
    const data = dataFolder()
    const first = await listeningCli(cli.path, ['--data', data, '--store', url])
    const key = join(dataFolder(), 'copied.key')
    copyFileSync(join(data, 'relay.key'), key)
    // The URL may come from where others on the machine do not see it.
    const second = await listeningCli(cli.path, ['--key', key], { SEALOG_RELAY_STORE: url })
    expect(second.key).toEqual(first.key)

    const { random } = testEnvironment()
    const owner = makeDevice(random)
    const genesis = authorGenesis(random, owner, first)
    const space = spaceOf(genesis)
    const writer = await connected(first)
    writer.push(space, genesis)
    writer.open(space, owner)
    await until(() => writer.syncs.length > 0)
    await writer.follow(space)
    const reader = await connected(second)
    reader.open(space, owner)
    await until(() => reader.syncs.length > 0)
    writer.push(space, author(random, owner, genesis.hash, { seen: writer.seen }))
    await until(() => reader.syncs.length > 1, 'what the other process took')
    expect(await reader.follow(space)).toEqual(await writer.follow(space))

    const other = runCli(cli.path, ['--data', dataFolder(), '--store', url, '--port', '0', '--name', 'relay.example'])
    expect(await other.exited).toBe(1)
    expect(other.stderr()).toContain('key is missing')
    const stats = runCli(cli.path, ['stats', '--store', url, '--key', key])
    expect(await stats.exited).toBe(0)
    expect(stats.stdout()).toContain(space)
    for (const relay of [first, second]) {
      relay.child.kill('SIGTERM')
      expect(await relay.exited).toBe(0)
    }
    for (const { stdout, stderr } of [first, second, other, stats]) {
      if (password !== '') expect(stdout() + stderr()).not.toContain(password)
    }
  })

  test('a database that cannot be used is a line on stderr, without the password', { timeout: 60_000 }, async () => {
    const url = new URL(await cluster.createDatabase())
    const start = (store: URL) =>
      runCli(cli.path, ['--data', dataFolder(), '--store', `${store}`, '--port', '0', '--name', 'relay.example'])
    const password = 'canary-of-a-password'
    const wrong = new URL(url)
    wrong.password = password
    wrong.pathname = '/none'
    const gone = new URL(url)
    gone.port = '1'
    gone.password = password
    for (const store of [wrong, gone]) {
      const running = start(store)
      expect(await running.exited).toBe(1)
      expect(running.stderr()).toContain('sealog-relay: ERR_STORE')
      expect(running.stderr()).not.toContain(password)
    }
  })
})
