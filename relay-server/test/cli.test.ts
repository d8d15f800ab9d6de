import { createHmac } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Anchor,
  advance,
  assertChecks,
  defaultVerifier,
  emptyView,
  entryHash,
  type LogView,
  parseNote,
  toHex,
} from 'sealog/protocol'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Authored, author, authorGenesis, makeDevice, spaceOf } from './helpers/authoring.ts'
import { type BundledCli, bundleCli } from './helpers/bundle-cli.ts'
import { connected, type Listening, listeningCli, type Running, runCli } from './helpers/cli-process.ts'
import { testEnvironment } from './helpers/environment.ts'
import { until } from './helpers/replica.ts'
import { dataFolder } from './helpers/served.ts'

let cli: BundledCli

beforeAll(async () => {
  cli = await bundleCli()
}, 60_000)

afterAll(() => cli?.remove())

const run = (...args: readonly string[]): Running => runCli(cli.path, args)
const listening = (data: string, ...args: readonly string[]): Promise<Listening> =>
  listeningCli(cli.path, ['--data', data, ...args])

const GOOD = ['--port', '0', '--name', 'relay.example']

describe('arguments', () => {
  test.each([
    ['nothing', []],
    ['no folder', GOOD],
    ['no port', ['--data', 'x', '--name', 'relay.example']],
    ['no name', ['--data', 'x', '--port', '0']],
    ['a port that is none', ['--data', 'x', '--port', '70000', '--name', 'relay.example']],
    ['a name that is none', ['--data', join(tmpdir(), 'sealog-unused'), '--port', '0', '--name', 'a relay']],
    ['a flag that is none', ['--data', 'x', '--verbose', ...GOOD]],
    ['something more', ['--data', 'x', ...GOOD, 'start']],
    ['a command that is none', ['start', '--data', 'x', ...GOOD]],
    ['half of TLS', ['--data', join(tmpdir(), 'sealog-unused'), '--tls-cert', 'x', ...GOOD]],
    ['tokens without a use', ['--data', join(tmpdir(), 'sealog-unused'), '--tokens', 'a'.repeat(16), ...GOOD]],
    [
      'a token that can be guessed',
      ['--data', join(tmpdir(), 'sealog-unused'), '--admission', 'token', '--tokens', 'a', ...GOOD],
    ],
    ['heads elsewhere than logs', ['--data', 'x', '--heads', 'postgres://h/d', ...GOOD]],
  ])('%s: usage on stderr, status 2', async (_what, args) => {
    const running = run(...args)
    expect(await running.exited).toBe(2)
    expect(running.stderr()).toContain('usage: sealog-relay')
    expect(running.stdout()).toBe('')
  })

  test('--print-config: what is in force on stdout, status 0, and nothing is started', async () => {
    const running = runCli(cli.path, ['--print-config', '--port', '1'], { SEALOG_RELAY_NAME: 'relay.example' })
    expect(await running.exited).toBe(0)
    expect(JSON.parse(running.stdout())).toMatchObject({
      port: { value: 1, source: 'flag' },
      name: { value: 'relay.example', source: 'environment' },
    })
    expect(running.stderr()).toBe('')
  })

  test('of a command: --help says what it does', async () => {
    const running = run('fsck', '--help')
    expect(await running.exited).toBe(0)
    expect(running.stdout()).toContain('usage: sealog-relay fsck')
  })

  test('--help: usage on stdout, status 0', async () => {
    const running = run('--help')
    expect(await running.exited).toBe(0)
    expect(running.stdout()).toContain('usage: sealog-relay')
  })
})

describe('what keeps it from starting ends with a line that says so, status 1', () => {
  test('a port that is taken', async () => {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const { port } = server.address() as { port: number }
    const running = run('--data', dataFolder(), '--port', `${port}`, '--name', 'relay.example')
    expect(await running.exited).toBe(1)
    expect(running.stderr()).toContain('address already in use')
  })

  test('a folder that is none', async () => {
    const file = join(dataFolder(), 'file')
    writeFileSync(file, '')
    const running = run('--data', file, ...GOOD)
    expect(await running.exited).toBe(1)
    expect(running.stderr()).toContain('the data folder cannot be used')
  })

  test('a key that is missing', async () => {
    const data = dataFolder()
    const first = await listening(data)
    first.child.kill('SIGTERM')
    await first.exited
    rmSync(join(data, 'relay.key'))
    const running = run('--data', data, ...GOOD)
    expect(await running.exited).toBe(1)
    expect(running.stderr()).toContain('key is missing')
  })
})

test.each(['SIGTERM', 'SIGINT'] as const)('%s stops it in good order, status 0', async signal => {
  const relay = await listening(dataFolder())
  const replica = await connected(relay)
  relay.child.kill(signal)
  expect(await relay.exited).toBe(0)
  await until(() => replica.isClosed)
  expect(replica.closed?.message).toContain('1001')
  expect(relay.events().map(({ event }) => event)).toEqual(['relay-created', 'listening', 'stopping', 'stopped'])
})

test('--admission webhook: spaces are created by whom the address lets', async () => {
  const secret = 'a secret of both'
  const asked: string[] = []
  const server = createHttpServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += chunk
    })
    request.on('end', () => {
      const signed = `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`
      asked.push(body)
      response.statusCode = request.headers['sealog-signature'] === signed && asked.length === 2 ? 204 : 403
      response.end()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as { port: number }
  const file = join(dataFolder(), 'secret')
  writeFileSync(file, `${secret}\n`)
  const webhook = ['--webhook-url', `http://127.0.0.1:${port}/`, '--webhook-secret-file', file]
  const relay = await listening(dataFolder(), '--admission', 'webhook', ...webhook)
  const { random } = testEnvironment()
  const genesis = authorGenesis(random, makeDevice(random), relay)
  const replica = await connected(relay)
  replica.push(spaceOf(genesis), genesis)
  await until(() => replica.rejects.length > 0, 'no')
  expect(replica.rejects[0]?.code).toBe('ERR_UNAUTHORIZED')
  replica.push(spaceOf(genesis), genesis)
  await until(() => replica.syncs.length > 0, 'yes')
  expect(asked.map(body => JSON.parse(body).space)).toEqual([spaceOf(genesis), spaceOf(genesis)])
})

test('--quiet writes one line and nothing else', async () => {
  const relay = await listening(dataFolder(), '--quiet')
  relay.child.kill('SIGTERM')
  expect(await relay.exited).toBe(0)
  expect(relay.stderr()).toBe('')
  expect(relay.stdout()).toMatch(
    /^sealog-relay: ws:\/\/127\.0\.0\.1:\d+ relay\.example relay\.example\+[0-9a-f]{8}\+\S+\n$/,
  )
})

test('killed under load again and again, it loses nothing acknowledged and signs no other log', async () => {
  const data = dataFolder()
  const { random } = testEnvironment()
  const owner = makeDevice(random)
  const verifier = await defaultVerifier()
  const acknowledged = new Set<string>()
  const heads: Anchor[] = []
  let genesis: Authored | undefined
  let key: Uint8Array | undefined
  let kills = 0
  let inFlight = 0

  /** The whole log, as somebody who holds every head that was ever shown. */
  async function readAll(relay: Listening): Promise<LogView> {
    const space = spaceOf(genesis as Authored)
    const reader = await connected(relay)
    reader.open(space, owner)
    let view = emptyView(space, relay, heads)
    const present = new Set<string>()
    let next = 0
    while (view.head === undefined || view.range.size < view.head.size) {
      await until(() => reader.syncs.length > next || reader.rejects.length > 0, 'the log')
      expect(reader.rejects).toEqual([])
      const advanced = advance(view, (reader.syncs[next++] as (typeof reader.syncs)[number]).batch)
      await assertChecks(verifier, advanced.checks)
      view = advanced.view
      for (const entry of advanced.entries) present.add(toHex(entry.hash))
    }
    reader.close()
    expect([...acknowledged].filter(hash => !present.has(hash))).toEqual([])
    return view
  }

  for (let round = 0; round < 5; round++) {
    const relay = await listening(data)
    key ??= relay.key
    expect(relay.key).toEqual(key)
    if (genesis === undefined) {
      genesis = authorGenesis(random, owner, relay)
      const creator = await connected(relay)
      creator.push(spaceOf(genesis), genesis)
      await until(() => creator.syncs.length > 0)
      acknowledged.add(toHex(genesis.hash))
      creator.close()
    }
    const view = await readAll(relay)
    expect(view.range.size).toBeGreaterThan(round * 2)
    const space = spaceOf(genesis)
    const writer = await connected(relay)
    const opened = writer.open(space, owner, view.range.size)
    await until(() => writer.syncs.some(sync => sync.ref === opened))
    // A chain of its own for each round, pushed without waiting, so that a kill finds work under way.
    owner.chains.clear()
    const document = `${round + 1}`.repeat(32) as never
    let pushed = 0
    const pushOne = () => {
      writer.push(space, author(random, owner, (genesis as Authored).hash, { document }))
      pushed++
    }
    const killAfter = 3 + round * 4
    const landed = () => writer.syncs.reduce((sum, { batch }) => sum + batch.entries.length, 0)
    while (landed() < killAfter) {
      while (pushed < landed() + 8) pushOne()
      await new Promise(resolve => setTimeout(resolve, 1))
    }
    relay.child.kill('SIGKILL')
    expect(await relay.exited).toBe('SIGKILL')
    await until(() => writer.isClosed)
    expect(writer.rejects).toEqual([])
    kills++
    inFlight += pushed - landed()
    for (const { batch } of writer.syncs) {
      const { size, root } = parseNote(batch.note).checkpoint
      heads.push({ size, root })
    }
    // Whatever a relay sent is acknowledged.
    for (const { batch } of writer.syncs) {
      for (const { header } of batch.entries) acknowledged.add(toHex(entryHash(header)))
    }
  }
  const relay = await listening(data)
  await readAll(relay)
  relay.child.kill('SIGTERM')
  expect(await relay.exited).toBe(0)
  expect(kills).toBe(5)
  expect(inFlight).toBeGreaterThan(0)
}, 60_000)
